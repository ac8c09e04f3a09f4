"""Process one study in many processes: one plans, each takes a shard, one merges.

What they exchange lies in the store (`exchange`), in a folder of each attempt's own (`attempts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.errors import BadArchiveError, StoreError
from analytics_kit.model import Progress, Split, StepContext
from analytics_kit.options import Options
from analytics_kit.study.archive.base import Archive, Member, without_gc
from analytics_kit.study.archive.source import open_members
from analytics_kit.study.pipeline import exchange, run
from analytics_kit.study.pipeline.attempts import (
    Committed,
    attempt_folder,
    job_folder,
    latest_committed,
    remove_unreferenced,
    removed_unless_committed,
)
from analytics_kit.study.pipeline.shard import run_shard
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.store import paths
from analytics_kit.study.store.store import Store

UNRECORDED_CODE = "unknown"
"""Stands in a provenance for the code of a version that recorded none and was upgraded while a job was in shards."""


def begin(
    context: StepContext, store: Store, shard_task: str, merge_task: str, open_study: Callable[[], Archive]
) -> Committed | Split:
    """Plan the study that `open_study` opens; process it here if it is small, else return shards for other steps.

    `shard_task` and `merge_task` are the dotted names of what those steps call. What an earlier attempt has committed
    is used again.
    """
    prefix = attempt_folder(context)
    committed = latest_committed(store, job_folder(context), context.step, before=context.attempt)
    if committed is None:
        options = Options.of(**context.arguments["options"])
        with (
            removed_unless_committed(store, prefix),
            run.planned(open_study, options, store, context.report) as (archive, plan, issues),
        ):
            if context.can_split and len(plan.shards) > 1:
                with without_gc():
                    exchange.write_plan(store, prefix, archive, plan, issues)
            else:
                run.process_and_commit(
                    archive, plan, issues, options, store, prefix, context.report, context.begin_commit,
                    context.arguments.get("owner", ""),
                )  # fmt: skip
        committed = _committed(store, prefix)
    if "shards" in committed.manifest:
        return Split(len(committed.manifest["shards"]), committed.manifest["raw_bytes"], shard_task, merge_task)
    return committed


def process_shard(context: StepContext, store: Store) -> None:
    """Process one shard of the plan; where an earlier attempt has done so, commit what that one wrote."""
    prefix, folder = attempt_folder(context), job_folder(context)
    assert context.shard is not None  # noqa: S101  this step belongs to a Split
    earlier = latest_committed(store, folder, context.step, before=context.attempt)
    with removed_unless_committed(store, prefix):
        if earlier is not None:
            total, read = earlier.manifest["raw_bytes"], earlier.manifest.get("read", {})
            context.report(
                Progress("processing", total, total, fraction=1.0, rows=read.get("rows"), files=read.get("files"))
            )
            store.commit(prefix, earlier.manifest)
            return
        plan = _plan_of(store, folder)
        options = Options.of(**context.arguments["options"])
        with without_gc():
            shard, members = exchange.read_shard(store, *plan, context.shard)
            advance = _ShardProgress(context, shard.raw_bytes)
            with _open_planned(context, store, plan, members) as archive:
                result = run_shard(archive, shard, options, store, prefix, advance)
        advance.finish()
        exchange.write_result(store, prefix, result, shard.raw_bytes)


def merge(context: StepContext, store: Store) -> Committed:
    """Make the result from the results of all shards, and remove what was only exchanged between steps."""
    folder = job_folder(context)
    committed = latest_committed(store, folder, context.step)
    if committed is None:
        try:
            committed = _merge(context, store, folder)
        except StoreError:
            # An attempt that was given up for lost may have committed, and removed what this one was reading.
            committed = latest_committed(store, folder, context.step)
            if committed is None:
                raise
    remove_unreferenced(store, folder, committed.prefix)
    return committed


def _merge(context: StepContext, store: Store, folder: str) -> Committed:
    prefix = attempt_folder(context)
    options = Options.of(**context.arguments["options"])
    with removed_unless_committed(store, prefix), without_gc():
        committed_plan = _plan_of(store, folder)
        plan, planning_issues, members = exchange.read_plan(store, *committed_plan)
        context.report(Progress("merging", plan.raw_bytes, plan.raw_bytes))
        results, codes = [], {committed_plan.manifest.get("code", UNRECORDED_CODE)}
        for number in range(len(committed_plan.manifest["shards"])):
            attempt = context.winning_attempts[number]
            shard = _committed(store, paths.attempt_folder(folder, paths.shard_step(number), attempt))
            results.append(exchange.read_result(store, shard.manifest))
            codes.add(shard.manifest.get("code", UNRECORDED_CODE))
        issues = Issues(options.on_error)
        issues.list = planning_issues
        with _open_planned(context, store, committed_plan, members) as archive:
            run.merge_and_commit(
                archive, plan, results, issues, options, store, prefix, context.report, context.begin_commit,
                context.arguments.get("owner", ""), codes,
            )  # fmt: skip
    return _committed(store, prefix)


class _ShardProgress:
    """Report the progress of a shard; at its end exactly the bytes that were planned, whatever its files held."""

    def __init__(self, context: StepContext, total: int) -> None:
        self._context, self._total = context, total
        self._done = 0
        self._rows = self._files = 0
        self(0)

    def __call__(self, raw_bytes: int, rows: int = 0, files: int = 0) -> None:
        self._done = min(self._done + raw_bytes, self._total)
        self._rows += rows
        self._files += files
        fraction = self._done / self._total if self._total else 1.0
        self._context.report(
            Progress("processing", self._done, self._total, fraction=fraction, rows=self._rows, files=self._files)
        )

    def finish(self) -> None:
        self(self._total)


def _open_planned(context: StepContext, store: Store, plan: Committed, members: Sequence[Member]) -> Archive:
    """Open the study for some of its members. Raises BadArchiveError where it is not the one that was planned."""
    nested = exchange.read_nested(store, plan.prefix) if any(member.zip_number for member in members) else []
    archive = open_members(context.arguments["source"], members, nested)
    planned: Mapping[str, Any] = plan.manifest
    if archive.size_bytes and archive.size_bytes != planned["source_bytes"]:
        archive.close()
        raise BadArchiveError(
            f"{archive.name} has changed since the work began: it has {archive.size_bytes:,} bytes, "
            f"it had {planned['source_bytes']:,}.",
            hint="Submit it again once it is complete.",
        )
    if "content" in planned:  # not in a plan of an earlier version
        archive.expect(planned["content"])
    archive.size_bytes = planned["source_bytes"]  # unknown for a folder that was not listed again
    return archive


def _plan_of(store: Store, folder: str) -> Committed:
    plan = latest_committed(store, folder, "begin", by_any_code=True)
    if plan is None:
        raise exchange.missing(f"{folder}/begin")
    return plan


def _committed(store: Store, prefix: str) -> Committed:
    manifest = store.manifest(prefix)
    if manifest is None:
        raise exchange.missing(prefix)
    return Committed(prefix, manifest)
