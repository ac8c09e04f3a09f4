"""From a study to a stored result, in this process: plan, shard after shard, merge, commit."""

from __future__ import annotations

import datetime
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.metadata import version
from typing import Any

from analytics_kit.errors import JobCancelledError
from analytics_kit.model import SCHEMA_VERSION, Progress
from analytics_kit.options import Options
from analytics_kit.study.archive.source import open_archive
from analytics_kit.study.archive.zip_archive import Archive, without_gc
from analytics_kit.study.pipeline.attempts import kept_if_committed
from analytics_kit.study.pipeline.merge import merge
from analytics_kit.study.pipeline.plan import SHARD_BYTES, Plan, Shard, make_plan
from analytics_kit.study.pipeline.shard import ShardResult, run_shard
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.store.store import Store

MERGE_SHARE = 0.05
"""The part of the progress that belongs to the merge."""
REPORTS = 500
"""A study is reported on at most about so many times."""
SMALL_BYTES = 64 << 10
"""Files smaller than this on average are mostly work for the interpreter, where threads only hinder each other."""
SHARED_BYTES = 16 << 20
"""Shards for threads are smaller, so that all threads end at about the same time."""
Report = Callable[[Progress], None]


def run(
    source: str | Archive, options: Options, store: Store, prefix: str, *,
    report: Report = lambda progress: None, before_commit: Callable[[], None] = lambda: None,
    threads: int = 1, shard_bytes: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Process the study and commit the result below `prefix`; the result's summary.

    `before_commit` is called when nothing is left but to make the result readable, and may raise to prevent it.
    Whatever was written is removed when the work ends in an error.
    """
    with (
        kept_if_committed(store, prefix),
        planned(
            lambda: open_archive(source, options) if isinstance(source, str) else nullcontext(source),
            options,
            store,
            report,
            shard_bytes or (SHARD_BYTES if threads == 1 else SHARED_BYTES),
        ) as study,
    ):
        archive, plan, issues = study
        summary = complete(archive, plan, issues, options, store, prefix, report, before_commit, threads)
    files = sum(len(shard.work) for shard in plan.shards)
    end = Progress("completed", plan.raw_bytes, plan.raw_bytes, fraction=1.0, rows=summary["rows_in"], files=files)
    report(end)
    return summary


@contextmanager
def planned(
    open_study: Callable[[], AbstractContextManager[Archive]],
    options: Options,
    store: Store,
    report: Report,
    shard_bytes: int | None = None,
) -> Iterator[tuple[Archive, Plan, Issues]]:
    """Open the study; give it, the plan of the work on it, and the issues found so far."""
    report(Progress("planning"))
    store.check()  # now, and not when most of the work is done
    with open_study() as archive:
        issues = Issues(options.on_error)
        with without_gc():
            plan = make_plan(archive, options, issues, shard_bytes or SHARD_BYTES)
        yield archive, plan, issues


def complete(
    archive: Archive, plan: Plan, issues: Issues, options: Options, store: Store, prefix: str,
    report: Report, before_commit: Callable[[], None], threads: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Do what was planned, in this process, and commit the result; its summary."""
    results = _Shards(archive, plan, options, store, prefix, report).run(threads)
    return conclude(archive, plan, results, issues, options, store, prefix, report, before_commit)


def conclude(
    archive: Archive, plan: Plan, results: Sequence[ShardResult], issues: Issues, options: Options, store: Store,
    prefix: str, report: Report, before_commit: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    """Merge the results of all shards, wherever their parts lie, and commit; the summary."""
    report(read_by(plan, results))
    merged = merge(archive, plan, results, issues, store, prefix)
    provenance = _provenance(archive, plan, options)
    before_commit()
    store.commit(prefix, {"schema_version": SCHEMA_VERSION, "provenance": provenance, **merged})
    summary: dict[str, Any] = merged["summary"]
    return summary


def read_by(plan: Plan, results: Sequence[ShardResult]) -> Progress:
    """How far the work is when all shards are read; their rows, and those of files left out, are `rows_in`."""
    read = [row for result in results for row in result.members]
    rows = sum(row.rows_in or 0 for row in (*read, *plan.others))
    return Progress("merging", plan.raw_bytes, plan.raw_bytes, fraction=1 - MERGE_SHARE, rows=rows, files=len(read))


class _Shards:
    """The shards of a plan, worked on by threads that report together."""

    def __init__(
        self, archive: Archive, plan: Plan, options: Options, store: Store, prefix: str, report: Report
    ) -> None:
        self._archive, self._plan, self._options = archive, plan, options
        self._store, self._prefix, self._report = store, prefix, report
        self._lock = threading.Lock()
        self._stopped = False
        self._done = self._reported = self._rows = self._files = 0

    def run(self, threads: int) -> list[ShardResult]:
        """The results, in order. When one fails, or the caller is interrupted, the others end soon."""
        files = sum(len(shard.work) for shard in self._plan.shards)
        if threads == 1 or self._plan.raw_bytes < SMALL_BYTES * files:
            return [self._shard(shard) for shard in self._plan.shards]
        with ThreadPoolExecutor(threads) as pool:
            try:
                return list(pool.map(self._shard, self._plan.shards))
            finally:
                self._stopped = True
                pool.shutdown(wait=False, cancel_futures=True)

    def _shard(self, shard: Shard) -> ShardResult:
        with without_gc():
            return run_shard(self._archive, shard, self._options, self._store, self._prefix, self._advance)

    def _advance(self, raw_bytes: int, rows: int = 0, files: int = 0) -> None:
        with self._lock:
            if self._stopped:
                raise JobCancelledError("The work was stopped because another part of it failed.")
            self._done += raw_bytes
            self._rows += rows
            self._files += files
            total = self._plan.raw_bytes
            if self._done - self._reported < total / REPORTS:
                return
            self._reported = self._done
            share = min(self._done / total, 1.0) if total else 1.0
            fraction = (1 - MERGE_SHARE) * share
            self._report(
                Progress("processing", self._done, total, fraction=fraction, rows=self._rows, files=self._files)
            )


@cache
def versions() -> Mapping[str, str]:
    """Of us and of what the numbers depend on."""
    packages = ("analytics_kit", "numpy", "numba", "polars", "pyarrow", "pandas")
    return {name: version(name) for name in packages}


def _provenance(archive: Archive, plan: Plan, options: Options) -> dict[str, Any]:
    """How the result came to be, for a methods section and for whoever has to make it again."""
    return {
        "source": archive.source,
        "source_bytes": archive.size_bytes,
        "format": plan.format.name,
        "format_chosen": plan.format.why,
        "options": options.to_json(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": dict(versions()),
    }
