"""Which results have had their time, or are too much for the store? Decided purely, then removed.

Below `results/` lie `<key>/<job>/…`: a folder per job, or per call of `process`, that holds a manifest somewhere once
there is a result. A key is a SHA-256 in hex: somebody may have named a folder as store that has a `results/` of
its own. Uploaded studies lie below `uploads/<token>/` and live as long. Whatever else lies in the store is left
alone.
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
from analytics_kit.study.store.store import ID, MANIFEST, PROBE, Store, Stored
from analytics_kit.study.store.uploads import UPLOADS

RESULTS = "results"
KEY = re.compile("[0-9a-f]{64}")
TOKEN = re.compile("[0-9a-f]{32}")
MARKER = ".swept"
SCRATCH = re.compile(
    rf"{re.escape(PROBE)}\d+-[0-9a-f]+(\.[0-9a-f]+~)?|({re.escape(ID)}|{re.escape(MARKER)})(\.[0-9a-f]+~?)+"
)
"""Files at the root that stay only where a process was killed while it wrote them."""
HOUR_S = 3600.0
"""How often a store is swept, and how long what was just made or used is safe."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: folders past their time, folders that were too much, and their bytes."""

    expired: int = 0
    evicted: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of a job: `manifests` are the files that make it readable, the latest last; none if it is not."""

    path: str
    size_bytes: int
    began_at: float
    changed_at: float
    manifests: tuple[Stored, ...]

    @property
    def used_at(self) -> float:
        """When the result was made or last opened; opening it touches the manifest."""
        return self.manifests[-1].changed_at


def sweep(store: Store, now: float, max_bytes: int | None, keep_s: float = RESULT_TTL_S) -> Swept:
    """Remove results that were completed more than `keep_s` ago, then the least recently used beyond `max_bytes`.

    A folder without a manifest goes when nothing in it was written for `keep_s`: its job may be running. What was
    made or used within the last hour is never removed to make room. Others may sweep at the same time.
    """
    kept, expired, evicted, freed_bytes = [], 0, 0, 0
    for folder in _folders(store.files(RESULTS)):
        if now - _ended_at(store, folder, now - keep_s) <= keep_s:
            kept.append(folder)
        elif _remove(store, folder):
            expired += 1
            freed_bytes += folder.size_bytes
    for folder in excess(kept, now, max_bytes):
        used_at = store.changed_at(folder.manifests[-1].path)
        if used_at == folder.used_at and _remove(store, folder):  # else it is in use since it was listed, or gone
            evicted += 1
            freed_bytes += folder.size_bytes
    for folder in _uploads(store.files(UPLOADS)):
        if now - folder.changed_at <= keep_s:
            continue
        if _remove(store, folder):
            expired += 1
            freed_bytes += folder.size_bytes
    store.prune(RESULTS, KEY)
    store.prune(UPLOADS, TOKEN)
    for file in store.files("", below=False):
        if SCRATCH.fullmatch(file.path) and now - file.changed_at > HOUR_S:
            with suppress(StoreError):
                store.remove(file.path)
    return Swept(expired, evicted, freed_bytes)


def sweep_if_due(store: Store, now: float, max_bytes: int | None, keep_s: float = RESULT_TTL_S) -> Swept | None:
    """Sweep unless that was done within the last hour, by whomever; makes no store where there is none."""
    swept_at = store.changed_at(MARKER)
    if swept_at is None and not store.exists():
        return None
    if swept_at is not None and abs(now - swept_at) < HOUR_S:
        return None
    with store.create(MARKER, safe=False):  # first, so that others don't sweep too; if they do it does no harm
        pass
    return sweep(store, now, max_bytes, keep_s)


def excess(folders: Iterable[Kept], now: float, max_bytes: int | None) -> list[Kept]:
    """What has to go so that all results together fit, the least recently used first."""
    folders = list(folders)
    over = 0 if max_bytes is None else sum(folder.size_bytes for folder in folders) - max_bytes
    chosen = []
    for folder in sorted((f for f in folders if f.manifests), key=lambda f: f.used_at):
        if over <= 0 or now - folder.used_at < HOUR_S:
            break
        chosen.append(folder)
        over -= folder.size_bytes
    return chosen


def _folders(files: Sequence[Stored]) -> list[Kept]:
    """The jobs' folders. Files that are not where results put theirs are somebody else's."""
    return _grouped(files, KEY, 3)


def _uploads(files: Sequence[Stored]) -> list[Kept]:
    """The folders of uploaded studies."""
    return _grouped(files, TOKEN, 2)


def _grouped(files: Sequence[Stored], second: re.Pattern[str], depth: int) -> list[Kept]:
    """Folders `depth` below the root whose second part is such a name."""
    found = defaultdict(list)
    for file in files:
        parts = file.path.split("/")
        if len(parts) > depth and second.fullmatch(parts[1]):
            found["/".join(parts[:depth])].append(file)
    return [
        Kept(
            path,
            sum(file.size_bytes for file in inside),
            min(file.changed_at for file in inside),
            max(file.changed_at for file in inside),
            tuple(sorted(_of_results(inside), key=lambda f: f.changed_at)),
        )
        for path, inside in found.items()
    ]


def _of_results(files: Sequence[Stored]) -> list[Stored]:
    """The manifests that make a result readable: parts and plans have one too, which is for the merge only."""
    above = {file.path: file.path.rpartition("/")[0] for file in files}
    plans = {folder for path, folder in above.items() if path.endswith("/shard-0.parquet")}
    return [
        file
        for file in files
        if file.path.endswith(f"/{MANIFEST}")
        and above[file.path] not in plans
        and not above[file.path].rpartition("/")[2].startswith("part-")
    ]


def _ended_at(store: Store, folder: Kept, limit: float) -> float:
    """When the result was completed, or the unfinished folder last written to.

    The manifest says when; it is opened only if a file is older than the limit, without which the result can't be.
    """
    if not folder.manifests:
        return folder.changed_at
    if folder.began_at >= limit:
        return folder.began_at
    try:
        manifest = store.manifest(folder.manifests[-1].path.removesuffix(f"/{MANIFEST}"))
        if manifest is None:  # somebody else is removing it
            return 0.0
        told = datetime.fromisoformat(manifest["provenance"]["created_at"]).timestamp()
    except (StoreError, ValueError, KeyError, TypeError):
        return folder.used_at
    return min(told, folder.used_at)


def _remove(store: Store, folder: Kept) -> bool:
    """Whether the folder is gone; it may be somebody else's to remove."""
    try:
        for manifest in folder.manifests:
            store.remove(manifest.path)
        store.delete(folder.path)
    except StoreError:
        return False
    return True
