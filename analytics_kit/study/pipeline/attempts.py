"""Where does each attempt at a step of a job write, and which attempt counts?

Below the job's folder every attempt has a folder of its own, which nobody else writes to. It removes that folder when
it fails, but not once it has committed a manifest there: others may build on it. So an attempt that was given up and
lives on can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from analytics_kit.errors import StoreError
from analytics_kit.model import StepContext
from analytics_kit.study.store.paths import MANIFEST
from analytics_kit.study.store.store import Store


class Committed(NamedTuple):
    """What an attempt has finished."""

    prefix: str
    manifest: dict[str, Any]


def job_folder(arguments: Mapping[str, Any], job_id: str) -> str:
    """The folder that holds all that a job writes."""
    return f"results/{arguments['result_key']}/{job_id}"


def own_folder(task: StepContext) -> str:
    """The folder that only this attempt at this step writes to."""
    return f"{job_folder(task.arguments, task.job_id)}/{task.step}-{task.attempt}"


def latest(store: Store, folder: str, step: str, before: int | None = None) -> Committed | None:
    """What the latest attempt at a step that finished has committed; only attempts below `before`, where given.

    An attempt is made only when those before it were given up, so the latest is never one that was replaced.
    """
    attempts = []
    for name in store.folders(folder):
        its_step, _, attempt = name.rpartition("-")
        if its_step == step and attempt.isdecimal() and (before is None or int(attempt) < before):
            attempts.append(int(attempt))
    for number in sorted(attempts, reverse=True):
        prefix = f"{folder}/{step}-{number}"
        if manifest := store.manifest(prefix):
            return Committed(prefix, manifest)
    return None


@contextmanager
def kept_if_committed(store: Store, prefix: str) -> Iterator[None]:
    """Remove what was written below `prefix` when the work ends in an error before it was committed."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):  # what went wrong first is what has to be told
            if store.manifest(prefix) is None:
                store.delete(prefix)
        raise


def remove_rest(store: Store, folder: str, prefix: str) -> None:
    """Remove the files in a job's folder that the result below `prefix` does not refer to.

    Does nothing where there is no result (any more): who removed it, removes the rest.
    """
    manifest = store.manifest(prefix)
    if manifest is None:
        return
    needed = {f"{prefix}/{MANIFEST}", *manifest["tables"].values(), *(part["path"] for part in manifest["parts"])}
    for name in store.folders(folder):
        below = f"{folder}/{name}/"
        if not any(path.startswith(below) for path in needed):
            store.delete(f"{folder}/{name}")
        else:
            needed.add(f"{below}{MANIFEST}")  # by which an attempt that lives on knows that it has ended
    for file in store.files(folder):
        if file.path not in needed:
            store.remove(file.path)
