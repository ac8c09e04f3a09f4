"""Process a study in this process: plan, process the shards, merge, commit the result."""

from __future__ import annotations

import datetime
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.metadata import version
from typing import Any

from analytics_kit.code_version import code_version
from analytics_kit.errors import JobCancelledError
from analytics_kit.model import SCHEMA_VERSION, Progress
from analytics_kit.options import Options
from analytics_kit.study.archive.base import Archive, without_gc
from analytics_kit.study.archive.source import open_archive
from analytics_kit.study.pipeline.attempts import removed_unless_committed
from analytics_kit.study.pipeline.loading import load_numbers
from analytics_kit.study.pipeline.merge import merge
from analytics_kit.study.pipeline.plan import SHARD_BYTES, Plan, Shard, make_plan
from analytics_kit.study.pipeline.shard import ShardResult, run_shard
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.store.manifests import ResultManifest
from analytics_kit.study.store.store import Store

MERGE_FRACTION = 0.05
"""The fraction of the progress that belongs to the merge."""
MAX_REPORTS = 500
"""Progress is reported at most about this often for a study."""
SMALL_BYTES = 64 << 10
"""Files smaller than this on average keep the interpreter busy, so that threads hinder each other."""
THREAD_SHARD_BYTES = 16 << 20
"""Shards for threads are smaller, so that all threads end at about the same time."""
Report = Callable[[Progress], None]


def run(
    source: str | Archive, options: Options, store: Store, prefix: str, *,
    report: Report = lambda progress: None, before_commit: Callable[[], None] = lambda: None,
    threads: int = 1, shard_bytes: int | None = None, owner: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Process a study, commit the result below `prefix`, and return the summary of the result.

    `owner` is what the manifest says of the namespace, see `paths.owner_of`.
    `before_commit` is called when nothing is left but to make the result readable, and may raise to prevent that.
    An error removes all that was written.
    """
    with (
        removed_unless_committed(store, prefix),
        planned(
            lambda: open_archive(source, options) if isinstance(source, str) else nullcontext(source),
            options,
            store,
            report,
            shard_bytes or (SHARD_BYTES if threads == 1 else THREAD_SHARD_BYTES),
        ) as study,
    ):
        archive, plan, issues = study
        summary = process_and_commit(
            archive, plan, issues, options, store, prefix, report, before_commit, owner, threads
        )
    files = sum(len(shard.members) for shard in plan.shards)
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
    """Open the study and plan it; yields the archive, the plan and the issues of planning."""
    load_numbers()
    report(Progress("planning"))
    store.check()  # now rather than when most of the work is done
    with open_study() as archive:
        issues = Issues(options.on_error)
        with without_gc():
            plan = make_plan(archive, options, issues, shard_bytes or SHARD_BYTES)
        yield archive, plan, issues


def process_and_commit(
    archive: Archive, plan: Plan, issues: Issues, options: Options, store: Store, prefix: str,
    report: Report, before_commit: Callable[[], None], owner: str = "", threads: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Process the shards of a plan in this process, commit the result, and return its summary."""
    results = _ShardThreads(archive, plan, options, store, prefix, report).run(threads)
    return merge_and_commit(archive, plan, results, issues, options, store, prefix, report, before_commit, owner)


def merge_and_commit(
    archive: Archive, plan: Plan, results: Sequence[ShardResult], issues: Issues, options: Options, store: Store,
    prefix: str, report: Report, before_commit: Callable[[], None], owner: str = "", codes: Iterable[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Merge the results of all shards, commit the result below `prefix`, and return its summary.

    `codes` are the hashes of the code that made the shards, where that is not this process alone.
    """
    report(progress_after_reading(plan, results))
    merged = merge(archive, plan, results, issues, store, prefix)
    manifest: ResultManifest = {
        "schema_version": SCHEMA_VERSION,
        "code": code_version().code,
        "provenance": _provenance(archive, plan, options, codes),
        "summary": merged["summary"],
        "preview": merged["preview"],
        "tables": merged["tables"],
        "parts": merged["parts"],
    }
    if owner:
        manifest["owner"] = owner
    before_commit()
    store.commit(prefix, dict(manifest))
    return manifest["summary"]


def progress_after_reading(plan: Plan, results: Sequence[ShardResult]) -> Progress:
    """Return the progress when all shards are read. Its rows count those of files left out, as `rows_in` does."""
    read = [row for result in results for row in result.members]
    rows = sum(row.rows_in or 0 for row in (*read, *plan.others))
    return Progress(
        "merging", plan.raw_bytes, plan.raw_bytes, fraction=1 - MERGE_FRACTION, rows=rows, files=len(read)
    )


class _ShardThreads:
    """Process the shards of a plan in threads that report one progress."""

    def __init__(
        self, archive: Archive, plan: Plan, options: Options, store: Store, prefix: str, report: Report
    ) -> None:
        self._archive, self._plan, self._options = archive, plan, options
        self._store, self._prefix, self._report = store, prefix, report
        self._lock = threading.Lock()
        self._stopped = False
        self._done = self._reported = self._rows = self._files = 0

    def run(self, threads: int) -> list[ShardResult]:
        """Return the results in the order of the shards. An error or an interrupt ends the other threads soon."""
        files = sum(len(shard.members) for shard in self._plan.shards)
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
                raise JobCancelledError("The work was stopped because another shard failed.")
            self._done += raw_bytes
            self._rows += rows
            self._files += files
            total = self._plan.raw_bytes
            if self._done - self._reported < total / MAX_REPORTS:
                return
            self._reported = self._done
            fraction = (1 - MERGE_FRACTION) * (min(self._done / total, 1.0) if total else 1.0)
            self._report(
                Progress("processing", self._done, total, fraction=fraction, rows=self._rows, files=self._files)
            )


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of this package and of those that the numbers depend on."""
    packages = ("analytics_kit", "numpy", "numba", "polars", "pyarrow", "pandas")
    return {name: version(name) for name in packages}


def _provenance(archive: Archive, plan: Plan, options: Options, codes: Iterable[str] = ()) -> dict[str, Any]:
    """Describe how the result was made, for a methods section and for repeating it."""
    return {
        "source": archive.source,
        "source_bytes": archive.size_bytes,
        "format": plan.format.name,
        "format_chosen": plan.format.reason,
        "options": options.to_json(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "code": " and ".join(sorted({code_version().code, *codes})),
        "versions": dict(versions()),
    }
