"""The work that workers do, by dotted name; each task takes what `model.StepContext` offers and returns JSON.

What is heavy is imported where it is used, so that a process that only names tasks does not pay for it.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from analytics_kit.errors import BadArchiveError, SourceNotFoundError, StoreError
from analytics_kit.model import CannotRunHere, Split, StepContext
from analytics_kit.options import Options
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.pipeline.attempts import Committed, job_folder, remove_unreferenced
from analytics_kit.study.store import paths
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import is_upload

PART = "analytics_kit.worker_tasks.process_shard"
MERGE = "analytics_kit.worker_tasks.merge_shards"
_settings: Settings | None = None
"""Of a worker, which reads them once."""


def process_study(task: StepContext) -> dict[str, Any] | Split:
    """Process the study that the arguments name: where its result is in the store, and its summary.

    A large one is only planned here, and answered with the parts that others may work on at the same time.
    """
    from analytics_kit.study.pipeline import distributed as fanout

    store = _checked_store(task)
    _require_unchanged(task)
    done = fanout.begin(task, store, PART, MERGE)
    return done if isinstance(done, Split) else _answer(task, done)


def process_shard(task: StepContext) -> dict[str, Any]:
    """Process one part of a study."""
    from analytics_kit.study.pipeline import distributed as fanout

    fanout.process_shard(task, _checked_store(task))
    return {}


def merge_shards(task: StepContext) -> dict[str, Any]:
    """Make the result from all parts: where it is in the store, and its summary."""
    from analytics_kit.study.pipeline import distributed as fanout

    return _answer(task, fanout.merge(task, _checked_store(task)))


def discard(arguments: Mapping[str, Any], job_id: str, result: Mapping[str, Any] | None) -> None:
    """Remove what a job that has ended leaves in the store: all without a `result`, else what that does not need."""
    store = _store(arguments)
    if result is None:
        store.delete(paths.job_folder(arguments["result_key"], job_id))
    else:
        remove_unreferenced(store, result["folder"], result["prefix"])


def warm() -> None:
    """Load what tasks need, so that no job pays for it; compile kernels where that was never done. Runs no polars."""
    global _settings
    from analytics_kit.study.pipeline import distributed as fanout  # noqa: F401  fanout is loaded for later
    from analytics_kit.study.pipeline import run as pipeline
    from analytics_kit.study.pipeline import warmup as warm

    _settings = Settings.of()
    pipeline.versions()
    warm.warm()


def tidy() -> None:
    """Remove results that have had their time or are too much for the store; looks at most once an hour."""
    from analytics_kit.study.store.retention import sweep_if_due

    settings = Settings.of()
    limit_gb = settings.store_limit_gb
    with suppress(StoreError):  # whoever needs the store will be told
        sweep_if_due(
            Store.of(settings),
            time.time(),
            None if limit_gb is None or math.isinf(limit_gb) else int(limit_gb * 1e9),
        )


def _store(arguments: Mapping[str, Any]) -> Store:
    """The store that a job's arguments name."""
    return Store.of(_settings or Settings.of(), arguments["store"])


def _checked_store(task: StepContext) -> Store:
    """The store that a task writes to. Raises CannotRunHere when this worker does not see it as its client does."""
    _require_allowed(task.arguments["source"])
    store = _store(task.arguments)
    if store_id := task.arguments.get("store_id"):
        try:
            store.require(store_id)
        except StoreError as error:
            raise CannotRunHere(f"{error.message} {error.hint}") from error
    return store


def _answer(task: StepContext, done: Committed) -> dict[str, Any]:
    folder = job_folder(task)
    where = {"store": task.arguments["store"], "prefix": done.prefix, "folder": folder}
    shown = {"preview": done.manifest["preview"]} if "preview" in done.manifest else {}
    return {**where, "summary": done.manifest["summary"], **shown}


def _require_unchanged(task: StepContext) -> None:
    """Raise unless the study is the one that was submitted: under its key nothing else may be kept."""
    from analytics_kit.study.archive.source import fingerprint

    source, content = task.arguments["source"], task.arguments.get("content")
    if content is None:
        return
    try:
        found, _ = fingerprint(source, Options.of(**task.arguments["options"]))
    except SourceNotFoundError as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} was there when it was submitted, and is not where a worker on "
            f"{socket.gethostname()} looked for it.",
            hint="It was moved or deleted meanwhile, or that host does not see its folder. Submit it again.",
        ) from error
    if found != content:
        raise BadArchiveError(
            f"{without_secrets(source)} has changed since it was submitted.", hint="Submit it again as it is now."
        )


def _require_allowed(source: str) -> None:
    from analytics_kit.study.archive.source import is_url

    settings = _settings or Settings.of()
    roots = settings.sources
    if roots is None or is_upload(settings.store_url(), source):  # by our own settings, not by what a job says
        return
    # A URL may say file:// or chain others, so where there are limits only paths are let through.
    path = None if is_url(source) else Path(source).resolve()
    if path is None or not any(path.is_relative_to(root.expanduser().resolve()) for root in roots):
        raise SourceNotFoundError(
            f"{without_secrets(source)} is not below a folder that this worker may read.",
            hint="ANALYTICS_KIT_SOURCES on the worker lists the folders it may read.",
        )
