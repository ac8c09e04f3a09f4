"""Give every attempt at a step of a job a folder of its own, and find the one whose result counts.

No other attempt writes to this folder. An attempt removes its folder when it fails, but not once it has committed a
manifest there: later steps may use it. So an attempt that was given up as lost but is still running does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from analytics_kit.code_version import code_version
from analytics_kit.errors import StoreError
from analytics_kit.model import StepContext
from analytics_kit.study.store import paths
from analytics_kit.study.store.paths import manifest_path
from analytics_kit.study.store.store import Store


class Committed(NamedTuple):
    """What an attempt has committed: its folder and the manifest there."""

    prefix: str
    manifest: dict[str, Any]


def job_folder(context: StepContext) -> str:
    """Return the folder that holds all that the job of this step writes."""
    return paths.job_folder(context.arguments["result_key"], context.job_id)


def attempt_folder(context: StepContext) -> str:
    """Return the folder that only this attempt at this step writes to."""
    return paths.attempt_folder(job_folder(context), context.step, context.attempt)


def latest_committed(
    store: Store, folder: str, step: str, before: int | None = None, by_any_code: bool = False
) -> Committed | None:
    """Return what the latest committed attempt at a step wrote; only attempts before number `before` count, if given.

    An attempt is made only when those before it were given up, so the latest one was not replaced. What other code
    than that of this process has written counts only with `by_any_code`.
    """
    numbers = [number for name in store.folders(folder) if (number := paths.attempt_number(name, step)) is not None]
    for number in sorted(numbers, reverse=True):
        if before is not None and number >= before:
            continue
        prefix = paths.attempt_folder(folder, step, number)
        manifest = store.manifest(prefix)
        if manifest and (by_any_code or manifest.get("code", code_version().code) == code_version().code):
            return Committed(prefix, manifest)
    return None


@contextmanager
def removed_unless_committed(store: Store, prefix: str) -> Iterator[None]:
    """Remove what was written below `prefix` when the block raises before it has committed."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):  # the first error is the one to report
            at_once = store.hurried()  # where the store is away, the clean-up of the job or a sweep removes it
            if at_once.manifest(prefix) is None:
                at_once.delete(prefix)
        raise


def remove_unreferenced(store: Store, folder: str, prefix: str) -> None:
    """Remove the files in a job's folder that the result below `prefix` does not refer to.

    Does nothing where there is no result any more: whatever removed it removes the rest. Revisions stay: one may be
    committed while this goes by the manifest before it.
    """
    manifest = store.manifest(prefix)
    if manifest is None:
        return
    referenced = {
        manifest_path(prefix), *manifest["tables"].values(), *(events["path"] for events in manifest["parts"])
    }  # fmt: skip
    for name in store.folders(folder):
        attempt = f"{folder}/{name}"
        if paths.is_revised(attempt):
            continue
        if not any(path.startswith(f"{attempt}/") for path in referenced):
            store.delete(attempt)
        else:
            referenced.add(manifest_path(attempt))  # so that an attempt that is still running finds that it has ended
    for file in store.files(folder):
        if file.path not in referenced and not paths.is_revised(file.path):
            store.remove(file.path)
