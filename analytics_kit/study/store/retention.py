"""Remove results and uploads that have expired, and the least recently used ones beyond the store's limit.

Uploads count in that limit, but only results are removed for it: a job may still need its upload.
`excess` only decides what to remove; `sweep` removes it. Only folders with the names that `paths` gives are touched:
somebody may have named a folder as store that has a `results/` of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from analytics_kit.errors import StoreError
from analytics_kit.model import RESULT_TTL_S
from analytics_kit.study.store.paths import (
    LEFTOVER,
    MANIFEST,
    RESULT_KEY,
    RESULTS,
    SWEEP_MARKER,
    UNFINISHED_UPLOAD,
    UPLOAD_TOKEN,
    UPLOADS,
    result_manifests,
)
from analytics_kit.study.store.store import Store, StoredFile

SWEEP_INTERVAL_S = 3600.0
"""A store is swept at most this often; what was made or used within this time is never removed to make room."""
UNFINISHED_S = 1800.0
"""An upload is given up when nothing of it has arrived for this long."""


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What a sweep removed: expired folders, folders beyond the limit, and the bytes of both."""

    expired: int = 0
    evicted: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """The folder of a job or an upload. `manifests` are those of results, the latest last; none while it has none."""

    path: str
    size_bytes: int
    first_changed_at: float
    last_changed_at: float
    manifests: tuple[StoredFile, ...]

    @property
    def used_at(self) -> float:
        """When the result was made or last opened: opening it touches the manifest."""
        return self.manifests[-1].changed_at


def sweep(store: Store, now: float, max_bytes: int | None, keep_s: float = RESULT_TTL_S) -> SweepCounts:
    """Remove results completed more than `keep_s` ago, then the least recently used ones beyond `max_bytes`.

    A folder without a result is removed when nothing in it was written for `keep_s`: its job may be running. What was
    made or used within the last hour stays, whatever the limit. Several processes may sweep at the same time.
    """
    kept, expired, evicted, freed_bytes = [], 0, 0, 0
    for folder in _folders(store.files(RESULTS), RESULT_KEY, depth=3):
        if now - _ended_at(store, folder, now - keep_s) <= keep_s:
            kept.append(folder)
        elif _remove(store, folder):
            expired += 1
            freed_bytes += folder.size_bytes
    tidy_uploads(store, now)
    upload_files = store.files(UPLOADS)
    upload_bytes = sum({file.content_id or file.path: file.size_bytes for file in upload_files}.values())
    for folder in excess(kept, now, None if max_bytes is None else max_bytes - upload_bytes):
        used_at = store.changed_at(folder.manifests[-1].path)
        if used_at == folder.used_at and _remove(store, folder):  # else it was opened since it was listed, or is gone
            evicted += 1
            freed_bytes += folder.size_bytes
    for folder in _folders(upload_files, UPLOAD_TOKEN, depth=2):
        if now - folder.last_changed_at <= keep_s:
            continue
        if _remove(store, folder):
            expired += 1
            freed_bytes += folder.size_bytes
    store.prune(RESULTS, RESULT_KEY)
    store.prune(UPLOADS, UPLOAD_TOKEN)
    for file in store.files("", recursive=False):
        if LEFTOVER.fullmatch(file.path) and now - file.changed_at > SWEEP_INTERVAL_S:
            with suppress(StoreError):
                store.remove(file.path)
    return SweepCounts(expired, evicted, freed_bytes)


def tidy_uploads(store: Store, now: float) -> None:
    """Remove uploads that broke off, and let those with equal content be stored once.

    It is done here, and not while an upload is received, so that nobody can tell whether others have the same study.
    """
    by_size = defaultdict(list)
    for file in store.files(UPLOADS):
        if not UNFINISHED_UPLOAD.fullmatch(file.path):
            by_size[file.size_bytes].append(file)
        elif now - file.changed_at > UNFINISHED_S:
            with suppress(StoreError):
                store.remove(file.path.rpartition("/")[0])
    for equal_size in by_size.values():
        distinct: dict[object, StoredFile] = {}
        for file in equal_size:
            if file.content_id in distinct or file.content_id is None:
                continue
            if not any(store.share(kept.path, file.path) for kept in distinct.values()):
                distinct[file.content_id] = file


def sweep_if_due(store: Store, now: float, max_bytes: int | None, keep_s: float = RESULT_TTL_S) -> SweepCounts | None:
    """Sweep, unless any process did so within the last hour; a store that does not exist is not made."""
    swept_at = store.changed_at(SWEEP_MARKER)
    if swept_at is None and not store.exists():
        return None
    if swept_at is not None and abs(now - swept_at) < SWEEP_INTERVAL_S:
        return None
    with store.create(SWEEP_MARKER, durable=False):  # first, so that others don't sweep too; if they do, no harm
        pass
    return sweep(store, now, max_bytes, keep_s)


def excess(folders: Iterable[StoredFolder], now: float, max_bytes: int | None) -> list[StoredFolder]:
    """Return the folders to remove so that all results together fit, the least recently used first."""
    folders = list(folders)
    over = 0 if max_bytes is None else sum(folder.size_bytes for folder in folders) - max_bytes
    chosen = []
    for folder in sorted((f for f in folders if f.manifests), key=lambda f: f.used_at):
        if over <= 0 or now - folder.used_at < SWEEP_INTERVAL_S:
            break
        chosen.append(folder)
        over -= folder.size_bytes
    return chosen


def _folders(files: Sequence[StoredFile], second: re.Pattern[str], depth: int) -> list[StoredFolder]:
    """Return the folders `depth` below the root whose second component has this form; other files are left out."""
    by_folder = defaultdict(list)
    for file in files:
        parts = file.path.split("/")
        if len(parts) > depth and second.fullmatch(parts[1]):
            by_folder["/".join(parts[:depth])].append(file)
    folders = []
    for path, inside in by_folder.items():
        manifests = result_manifests([file.path for file in inside])
        folders.append(
            StoredFolder(
                path,
                sum(file.size_bytes for file in inside),
                min(file.changed_at for file in inside),
                max(file.changed_at for file in inside),
                tuple(sorted((f for f in inside if f.path in manifests), key=lambda f: f.changed_at)),
            )
        )
    return folders


def _ended_at(store: Store, folder: StoredFolder, limit: float) -> float:
    """Return when the result was completed or, of an unfinished folder, when it was last written to.

    The manifest has that time. It is opened only if a file is older than `limit`, since else the result is not.
    """
    if not folder.manifests:
        return folder.last_changed_at
    if folder.first_changed_at >= limit:
        return folder.first_changed_at
    try:
        manifest = store.manifest(folder.manifests[-1].path.removesuffix(f"/{MANIFEST}"))
        if manifest is None:  # another process is removing it
            return 0.0
        completed_at = datetime.fromisoformat(manifest["provenance"]["created_at"]).timestamp()
    except (StoreError, ValueError, KeyError, TypeError):
        return folder.used_at
    return min(completed_at, folder.used_at)


def _remove(store: Store, folder: StoredFolder) -> bool:
    """Remove a folder, its manifests first; return whether it is gone. It may belong to another user."""
    try:
        for manifest in folder.manifests:
            store.remove(manifest.path)
        store.delete(folder.path)
    except StoreError:
        return False
    return True
