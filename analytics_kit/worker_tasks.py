"""The functions that workers call by dotted name: process a study or a shard of it, merge, clean up, warm up.

Each step takes a `StepContext` and returns JSON. Heavy modules are imported where they are used, so that a process
that only names these functions does not load them. Stored jobs hold the dotted names: a function that is renamed gets
an entry in `backends/dotted_names.py`.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_kit.errors import BadArchiveError, JobFailedError, SourceNotFoundError, StoreError, UnsafeArchiveError
from analytics_kit.model import CannotRunHere, Split, StepContext
from analytics_kit.options import Options, format_distributions
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.pipeline.attempts import Committed, job_folder, remove_unreferenced
from analytics_kit.study.store import paths
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import is_upload

if TYPE_CHECKING:
    from analytics_kit.study.archive.base import Archive

SHARD_TASK = "analytics_kit.worker_tasks.process_shard"
MERGE_TASK = "analytics_kit.worker_tasks.merge_shards"
_settings: Settings | None = None
"""A worker's settings, which it reads once."""


def process_study(context: StepContext) -> dict[str, Any] | Split:
    """Process the study that the arguments name; return where its result is in the store, and its summary.

    A large study is only planned here; its shards are returned for other workers to process at the same time.
    """
    from analytics_kit.study.pipeline import distributed

    with _offered_to_other_workers():
        store = _checked_store(context)
        outcome = distributed.begin(context, store, SHARD_TASK, MERGE_TASK, partial(_open_unchanged, context))
    return outcome if isinstance(outcome, Split) else _job_result(context, outcome)


def process_shard(context: StepContext) -> dict[str, Any]:
    """Process one shard of a study."""
    from analytics_kit.study.pipeline import distributed

    with _offered_to_other_workers():
        distributed.process_shard(context, _checked_store(context))
    return {}


def merge_shards(context: StepContext) -> dict[str, Any]:
    """Make the result from all shards; return where it is in the store, and its summary."""
    from analytics_kit.study.pipeline import distributed

    with _offered_to_other_workers():
        return _job_result(context, distributed.merge(context, _checked_store(context)))


def discard(
    arguments: Mapping[str, Any], job_id: str, result: Mapping[str, Any] | None, settings: Settings | None = None
) -> None:
    """Remove what an ended job left in the store: all of it without a `result`, else what the result can spare.

    Raises StoreError at once where the store is away.

    Parameters
    ----------
    settings
        Settings of this process, which say what its store is; None takes those of a worker.
    """
    store, folder = _store(arguments, settings).hurried(), _job_folder(arguments, job_id)
    if result is None:
        store.delete(folder)
    elif result["folder"] == folder and str(result["prefix"]).startswith(f"{folder}/"):
        remove_unreferenced(store, folder, result["prefix"])


def warm() -> None:
    """Load what the steps need, so that no job waits for it; compile the kernels on first use. Runs no polars."""
    global _settings
    from analytics_kit.study.pipeline import loading, run, warmup

    loading.load_numbers()
    _settings = Settings.of()
    run.versions()
    format_distributions("auto")
    warmup.warm()


def tidy() -> None:
    """Remove results that have expired or exceed the limit of the store; looks at most once an hour.

    Raises CannotRunHere where the store can't be used, and another worker, or this one later, may succeed.
    """
    from analytics_kit.study.store.retention import sweep_if_due

    settings = Settings.of()
    limit_gb = settings.store_limit_gb
    try:
        sweep_if_due(
            Store.of(settings),
            time.time(),
            None if limit_gb is None or math.isinf(limit_gb) else int(limit_gb * 1e9),
        )
    except StoreError as error:  # a step that needs the store raises it
        if error.may_work_elsewhere:
            raise CannotRunHere(error.message) from error


@contextmanager
def _offered_to_other_workers() -> Iterator[None]:
    """Raise CannotRunHere for what may succeed on another worker, or later: storage that is away or refuses access.

    A study that this worker does not find, or may not read, is looked for by those of other pools, and not again.
    """
    try:
        yield
    except StoreError as error:
        if error.may_work_elsewhere:
            raise CannotRunHere(f"{error.message} {error.hint}") from error
        raise
    except SourceNotFoundError as error:
        raise CannotRunHere(f"{error.message} {error.hint}", patience_s=0.0) from error


def _store(arguments: Mapping[str, Any], settings: Settings | None = None) -> Store:
    """Return the store that a job's arguments name. Raises CannotRunHere when it is none of a worker's stores.

    Whoever can write to Redis can name any place in a job, so there the job only chooses. A job that never left its
    process says where its store is.
    """
    settings, named = settings or _settings, str(arguments.get("store"))
    if settings is None:
        return Store.of(Settings.of(), named)
    for url in (settings.store_url(), *settings.stores):
        if _normal_location(named) == _normal_location(url):
            return Store.of(settings, url)
    raise CannotRunHere(
        f"the job's store {without_secrets(named)} is not that of this worker, "
        f"{without_secrets(settings.store_url())}. Set ANALYTICS_KIT_STORE of the workers to that of the clients, or "
        "name it in ANALYTICS_KIT_STORES."
    )


def _normal_location(url: str) -> str:
    """Return the same text for all ways to write the location of a store."""
    local = url.removeprefix("file://")
    if "://" in local:
        return local.rstrip("/")
    return str(Path(local).expanduser().resolve())


def _job_folder(arguments: Mapping[str, Any], job_id: str) -> str:
    """Return the folder of a job in its store. Raises JobFailedError for names that would lead elsewhere."""
    key = arguments.get("result_key")
    for name in (key, job_id):
        if not isinstance(name, str) or not paths.PLAIN_NAME.fullmatch(name):
            raise JobFailedError(
                f"The job names {name!r}, where a plain name is expected: nothing is read or written.",
                hint="Submit the study again.",
            )
    return paths.job_folder(str(key), job_id)


def _checked_store(context: StepContext) -> Store:
    """Return the store of a step. Raises CannotRunHere when this worker does not see the store of the client."""
    _job_folder(context.arguments, context.job_id)
    source = context.arguments.get("source")
    if not isinstance(source, str):
        raise JobFailedError("The job names no study.", hint="Submit the study again.")
    _require_allowed(source)
    _require_formats(context.arguments)
    store = _store(context.arguments)
    if store_id := context.arguments.get("store_id"):
        try:
            store.require(store_id)
        except StoreError as error:
            raise CannotRunHere(f"{error.message} {error.hint}") from error  # another worker may see the right one
    return store


def _require_formats(arguments: Mapping[str, Any]) -> None:
    """Raise CannotRunHere unless this worker has the versions of formats from other packages that the client has."""
    if (submitted := arguments.get("formats")) is None:
        return
    installed = list(format_distributions(Options.of(**arguments["options"]).format))
    if installed != submitted:
        raise CannotRunHere(
            f"it was submitted with formats of other packages: {', '.join(submitted) or 'none'}; the workers have "
            f"{', '.join(installed) or 'none'}. Install the same versions, restart the workers, or submit it again."
        )


def _job_result(context: StepContext, committed: Committed) -> dict[str, Any]:
    """Return what the record keeps of a completed job."""
    manifest = committed.manifest
    preview = {"preview": manifest["preview"]} if "preview" in manifest else {}
    location = {"store": context.arguments["store"], "prefix": committed.prefix, "folder": job_folder(context)}
    return {**location, "summary": manifest["summary"], **preview}


def _open_unchanged(context: StepContext) -> Archive:
    """Open the study, which has to be the one that was submitted: its result is shared under the key of that content.

    The directory is read once, for the list of members and for the comparison. Raises SourceNotFoundError,
    BadArchiveError, UnsafeArchiveError.
    """
    from analytics_kit.study.archive.source import fingerprint, open_archive

    source, submitted = context.arguments["source"], context.arguments.get("content")
    options = Options.of(**context.arguments["options"])
    if submitted is None:
        return open_archive(source, options)
    try:
        try:
            archive = open_archive(source, options)
        except (BadArchiveError, UnsafeArchiveError):
            if fingerprint(source, options)[0] == submitted:
                raise
            raise _changed(source) from None
    except SourceNotFoundError as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} existed when it was submitted; a worker on {socket.gethostname()} can't find "
            "it there.",
            hint="It was moved or deleted since, or that host does not see its folder. Submit it again.",
        ) from error
    if archive.fingerprint() != submitted:
        archive.close()
        raise _changed(source)
    return archive


def _changed(source: str) -> BadArchiveError:
    return BadArchiveError(
        f"{without_secrets(source)} has changed since it was submitted.", hint="Submit it again as it is now."
    )


def _require_allowed(source: str) -> None:
    """Raise SourceNotFoundError unless this worker's settings let it read the source."""
    from analytics_kit.study.archive.source import is_url

    settings = _settings or Settings.of()
    roots = settings.sources
    if roots is None or is_upload(settings.store_url(), source):  # by this worker's store, not by what a job names
        return
    # A URL may start with file:// or chain others, so under limits only paths are allowed.
    path = None if is_url(source) else Path(source).resolve()
    if path is None or not any(path.is_relative_to(root.resolve()) for root in roots):
        raise SourceNotFoundError(
            f"{without_secrets(source)} is not below a folder that this worker may read.",
            hint="ANALYTICS_KIT_SOURCES on the worker lists the folders it may read.",
        )


STEPS = (process_study, process_shard, merge_shards)
"""The only functions that a job can have workers call."""
