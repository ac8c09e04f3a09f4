"""Remove results and uploads that have expired, and the least recently used ones beyond the store's limit.

Uploads count in that limit, but only results are removed for it: a job may still need its upload.
`excess` and `confirm` only decide what to remove; `sweep` removes it. Only folders with the names that `paths` gives
are touched: somebody may have named a folder as store that has a `results/` of its own.

A clock that is days ahead would make everything look expired. So ages are differences of the store's own times,
whoever sweeps, and an age that time was not seen to pass removes nothing before it was confirmed a day later.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from analytics_kit.errors import StoreError
from analytics_kit.model import RESULT_TTL_S
from analytics_kit.study.store.paths import (
    LEFTOVER,
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
CLOCK_TOLERANCE_S = 300.0
"""A host whose clock differs by more from the store's does not sweep."""
SEEN_TO_PASS_S = 24 * 3600.0
"""Time between two sweeps that is believed to have passed. After more, the clock may have been set."""
CONFIRM_AFTER_S = 24 * 3600.0
"""What expired suddenly is removed when a sweep at least this much later finds it expired too."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What a sweep removed: expired folders, folders beyond the limit, and the bytes of both.

    `held` has the folders that look expired and stay until their age is confirmed, with the time since when they do.
    """

    expired: int = 0
    evicted: int = 0
    freed_bytes: int = 0
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SweepState:
    """What the last sweep left: when it was, and since when folders that look expired are held; by the store's clock.

    It is kept in the marker of sweeps, whose modification time is `swept_at`.
    """

    swept_at: float | None
    held: Mapping[str, float]

    def was_seen(self, now: float) -> bool:
        """Return whether the time since the last sweep was seen to pass; else the clock may have been set."""
        return self.swept_at is not None and 0 <= now - self.swept_at <= SEEN_TO_PASS_S


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """The folder of a job or an upload. `manifests` are those of results, the latest last; none while it has none."""

    path: str
    size_bytes: int
    last_changed_at: float
    completed_at: float
    """When its last file was written, other than a manifest of a result, which is touched when it is opened."""
    manifests: tuple[StoredFile, ...]

    @property
    def used_at(self) -> float:
        """When the result was made or last opened: opening it touches the manifest."""
        return self.manifests[-1].changed_at

    @property
    def ended_at(self) -> float:
        """When the result was completed or, of an unfinished folder, when it was last written to.

        By the store's clock: the time in the manifest is that of a worker, whose clock may be wrong.
        """
        return min(self.completed_at, self.used_at) if self.manifests else self.last_changed_at


def sweep(
    store: Store,
    now: float,
    max_bytes: int | None,
    keep_s: float = RESULT_TTL_S,
    before: SweepState | None = None,
) -> SweepCounts:
    """Remove results completed more than `keep_s` ago, then the least recently used ones beyond `max_bytes`.

    A folder without a result is removed when nothing in it was written for `keep_s`: its job may be running. What was
    made or used within the last hour stays, whatever the limit. Several processes may sweep at the same time.

    Parameters
    ----------
    now
        The time by the store's clock.
    before
        State after the last sweep; None confirms every age.
    """
    tidy_uploads(store, now)
    upload_files = store.files(UPLOADS)
    upload_bytes = sum({file.content_id or file.path: file.size_bytes for file in upload_files}.values())
    results_max_bytes = None if max_bytes is None else max_bytes - upload_bytes
    results = _folders(store.files(RESULTS), RESULT_KEY, depth=3)
    uploads = _folders(upload_files, UPLOAD_TOKEN, depth=2)
    expired = [folder.path for folder in (*results, *uploads) if now - folder.ended_at > keep_s]
    held: dict[str, float] = {}
    last_seen = now
    if before is not None:
        held = confirm(expired, len(results) + len(uploads), now, before)
        if not before.was_seen(now):  # what was used within an hour of the last sweep may have been used just now
            last_seen = -math.inf if before.swept_at is None else min(now, before.swept_at)
    to_remove = set(expired) - held.keys()
    removed = [folder for folder in (*results, *uploads) if folder.path in to_remove and _remove(store, folder)]
    evicted = []
    for folder in excess(
        [folder for folder in results if folder.path not in to_remove], last_seen, results_max_bytes
    ):
        used_at = store.changed_at(folder.manifests[-1].path)
        if used_at == folder.used_at and _remove(store, folder):  # else it was opened since it was listed, or is gone
            evicted.append(folder)
            held.pop(folder.path, None)
    store.prune(RESULTS, RESULT_KEY)
    store.prune(UPLOADS, UPLOAD_TOKEN)
    for file in store.files("", recursive=False):
        if LEFTOVER.fullmatch(file.path) and now - file.changed_at > SWEEP_INTERVAL_S:
            with suppress(StoreError):
                store.remove(file.path)
    freed_bytes = sum(folder.size_bytes for folder in (*removed, *evicted))
    return SweepCounts(len(removed), len(evicted), freed_bytes, held)


def tidy_uploads(store: Store, now: float) -> None:
    """Remove uploads that broke off, and let those with equal content be stored once.

    It is done here, and not while an upload is received, so that nobody can tell whether others have the same study.
    """
    by_size = defaultdict(list)
    for file in store.files(UPLOADS):
        if not UNFINISHED_UPLOAD.fullmatch(file.path):
            by_size[file.size_bytes].append(file)
        elif math.isfinite(now) and now - file.changed_at > UNFINISHED_S:
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
    """Sweep, unless any process did so within the last hour; a store that does not exist is not made.

    Parameters
    ----------
    now
        The time by the clock of this host. It is only compared with the store's: where the two differ, nothing is
        removed.
    """
    before = read_state(store)
    if before.swept_at is None and not store.exists():
        return None
    if before.swept_at is not None and abs(now - before.swept_at) < SWEEP_INTERVAL_S:
        return None
    store_now = store.now_s()
    if not math.isfinite(store_now):  # a file system without times
        return None
    if abs(now - store_now) > CLOCK_TOLERANCE_S:
        logger.warning("Nothing was removed from %s: %s", store.name, _clocks_differ(now, store_now))
        return None
    if before.swept_at is not None and 0 <= store_now - before.swept_at < SWEEP_INTERVAL_S:
        return None
    _write_state(store, before.held)  # first, so that others don't sweep too; if they do, no harm
    counts = sweep(store, store_now, max_bytes, keep_s, before)
    if counts.held != before.held:
        _write_state(store, counts.held)
    if counts.held:
        logger.warning("%s", _held_notice(store, counts.held))
    return counts


def confirm(expired: Sequence[str], total: int, now: float, before: SweepState) -> dict[str, float]:
    """Return which of the folders that look expired are to stay, and since when: their age is not confirmed.

    A folder whose time ran out while sweeps went on may go. It stays for now where the clock may have been set since
    the last sweep, and where all folders look expired at once. It may go when it has looked expired for
    `CONFIRM_AFTER_S`; a time that is in the future by now was that of a wrong clock and does not count.

    >>> week = SweepState(swept_at=0.0, held={})
    >>> confirm(["a", "b"], 3, now=8 * 86400.0, before=week)
    {'a': 691200.0, 'b': 691200.0}
    >>> confirm(["a", "b"], 3, now=9 * 86400.0, before=SweepState(8.9 * 86400, {"a": 8 * 86400.0}))
    {}
    """
    is_sudden = not before.was_seen(now) or len(expired) == total
    held = {}
    for path in expired:
        since = before.held.get(path)
        if since is not None and since <= now:
            if now - since < CONFIRM_AFTER_S:
                held[path] = since
        elif is_sudden:
            held[path] = now
    return held


def clock_notice(store: Store, now: float) -> str:
    """Return why a host with the time `now` removes nothing from the store or holds results back; else empty.

    Writes a small file, whose time is the store's.
    """
    store_now = store.now_s()
    if math.isfinite(store_now) and abs(now - store_now) > CLOCK_TOLERANCE_S:
        return _clocks_differ(now, store_now)
    state = read_state(store)
    if state.swept_at is not None and state.swept_at - store_now > CLOCK_TOLERANCE_S:
        return f"It was last swept at {_utc(state.swept_at)}, which is in the future: a clock was or is wrong."
    return _held_notice(store, state.held) if state.held else ""


def read_state(store: Store) -> SweepState:
    """Return what the last sweep left; a marker that can't be read holds nothing."""
    swept_at = store.changed_at(SWEEP_MARKER)
    held: dict[str, float] = {}
    with suppress(ValueError, AttributeError, TypeError, FileNotFoundError), store.open(SWEEP_MARKER) as file:
        held = {str(path): float(since) for path, since in json.loads(file.read())["held"].items()}
    return SweepState(swept_at, held)


def _write_state(store: Store, held: Mapping[str, float]) -> None:
    with store.create(SWEEP_MARKER, durable=False) as file:
        file.write(json.dumps({"held": dict(held)}).encode() if held else b"")


def _clocks_differ(now: float, store_now: float) -> str:
    return (
        f"the clock of this host says {_utc(now)}, that of the store {_utc(store_now)}. "
        "Set the clock of this host, by NTP for example."
    )


def _held_notice(store: Store, held: Mapping[str, float]) -> str:
    return (
        f"{len(held)} results or uploads in {store.name} look expired, but all at once or after a jump of the clock, "
        f"at {_utc(min(held.values()))}. They are removed a day later unless the clock is set right."
    )


def _utc(seconds: float) -> str:
    with suppress(ValueError, OverflowError, OSError):
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    return "no time"


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
        last_changed_at = max(file.changed_at for file in inside)
        folders.append(
            StoredFolder(
                path,
                sum(file.size_bytes for file in inside),
                last_changed_at,
                max((file.changed_at for file in inside if file.path not in manifests), default=last_changed_at),
                tuple(sorted((f for f in inside if f.path in manifests), key=lambda f: f.changed_at)),
            )
        )
    return folders


def _remove(store: Store, folder: StoredFolder) -> bool:
    """Remove a folder, its manifests first; return whether it is gone. It may belong to another user."""
    try:
        for manifest in folder.manifests:
            store.remove(manifest.path)
        store.delete(folder.path)
    except StoreError:
        return False
    return True
