"""How do many processes work on one study? One plans, each takes a part, one merges.

What they hand on lies in the store (`handover`), in a folder for each attempt (`attempts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.errors import BadArchiveError, StoreError
from analytics_kit.model import Progress, Split, StepContext
from analytics_kit.options import Options
from analytics_kit.study.archive.source import open_members
from analytics_kit.study.archive.zip_archive import Archive, Member, without_gc
from analytics_kit.study.pipeline import exchange as handover
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.pipeline.attempts import (
    Committed,
    job_folder,
    kept_if_committed,
    latest,
    own_folder,
    remove_rest,
)
from analytics_kit.study.pipeline.shard import run_shard
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.store.store import Store


def begin(
    task: StepContext, store: Store, part: str, merge: str, open_study: Callable[[], Archive]
) -> Committed | Split:
    """Plan the study that `open_study` opens; do all the work if it is little, else split it into steps of the given
    names.
    """
    prefix = own_folder(task)
    done = latest(store, job_folder(task.arguments, task.job_id), task.step, before=task.attempt)
    if done is None:
        options = Options.of(**task.arguments["options"])
        with (
            kept_if_committed(store, prefix),
            pipeline.planned(open_study, options, store, task.report) as (archive, plan, issues),
        ):
            if task.can_split and len(plan.shards) > 1:
                with without_gc():
                    handover.write_plan(store, prefix, archive, plan, issues)
            else:
                pipeline.complete(archive, plan, issues, options, store, prefix, task.report, task.begin_commit)
        done = _committed(store, prefix)
    if "shards" in done.manifest:
        return Split(len(done.manifest["shards"]), done.manifest["raw_bytes"], part, merge)
    return done


def part(task: StepContext, store: Store) -> None:
    """Work on one shard, unless an earlier attempt has done it: then commit what that one wrote."""
    prefix, folder = own_folder(task), job_folder(task.arguments, task.job_id)
    assert task.part is not None  # noqa: S101  it is one of a Split
    done = latest(store, folder, task.step, before=task.attempt)
    with kept_if_committed(store, prefix):
        if done is not None:
            total, read = done.manifest["raw_bytes"], done.manifest.get("read", {})
            end = Progress("processing", total, total, fraction=1.0, rows=read.get("rows"), files=read.get("files"))
            task.report(end)
            store.commit(prefix, done.manifest)
            return
        plan = _plan_of(store, folder)
        options = Options.of(**task.arguments["options"])
        with without_gc():
            shard, members = handover.read_shard(store, *plan, task.part)
            advance = _Advance(task, shard.raw_bytes)
            with _opened(task, store, plan, members) as archive:
                result = run_shard(archive, shard, options, store, prefix, advance)
        advance.finish()
        handover.write_result(store, prefix, result, shard.raw_bytes)


def merge(task: StepContext, store: Store) -> Committed:
    """Make the result from the parts' results, and remove what was handed on, which nobody needs any more."""
    folder = job_folder(task.arguments, task.job_id)
    done = latest(store, folder, task.step)
    if done is None:
        try:
            done = _merged(task, store, folder)
        except StoreError:
            done = latest(store, folder, task.step)  # one that was given up may have ended well, and tidied up
            if done is None:
                raise
    remove_rest(store, folder, done.prefix)
    return done


def _merged(task: StepContext, store: Store, folder: str) -> Committed:
    prefix = own_folder(task)
    options = Options.of(**task.arguments["options"])
    with kept_if_committed(store, prefix), without_gc():
        planned = _plan_of(store, folder)
        plan, found, members = handover.read_plan(store, *planned)
        task.report(Progress("merging", plan.raw_bytes, plan.raw_bytes))
        results = []
        for number in range(len(planned.manifest["shards"])):
            part = _committed(store, f"{folder}/part-{number}-{task.winners[number]}")
            results.append(handover.read_result(store, part.manifest))
        issues = Issues(options.on_error)
        issues.list = found
        with _opened(task, store, planned, members) as archive:
            pipeline.conclude(archive, plan, results, issues, options, store, prefix, task.report, task.begin_commit)
    return _committed(store, prefix)


class _Advance:
    """Reports how far a part is; at its end exactly what the plan says of it, whatever its files turned out to be."""

    def __init__(self, task: StepContext, total: int) -> None:
        self._task, self._total = task, total
        self._done = 0
        self._rows = self._files = 0
        self(0)

    def __call__(self, raw_bytes: int, rows: int = 0, files: int = 0) -> None:
        self._done = min(self._done + raw_bytes, self._total)
        self._rows += rows
        self._files += files
        share = self._done / self._total if self._total else 1.0
        self._task.report(
            Progress("processing", self._done, self._total, fraction=share, rows=self._rows, files=self._files)
        )

    def finish(self) -> None:
        self(self._total)


def _opened(task: StepContext, store: Store, plan: Committed, members: Sequence[Member]) -> Archive:
    """The study opened for some of its members, if it still is the one that was planned."""
    nested = handover.read_nested(store, plan.prefix) if any(member.container for member in members) else []
    archive = open_members(task.arguments["source"], members, nested)
    planned: Mapping[str, Any] = plan.manifest
    if archive.size_bytes and archive.size_bytes != planned["source_bytes"]:
        archive.close()
        raise BadArchiveError(
            f"{archive.name} has changed since the work began: it has {archive.size_bytes:,} bytes, "
            f"it had {planned['source_bytes']:,}.",
            hint="Submit it again once it is complete.",
        )
    archive.size_bytes = planned["source_bytes"]  # of a folder that was not listed it is not known
    return archive


def _plan_of(store: Store, folder: str) -> Committed:
    plan = latest(store, folder, "begin")
    if plan is None:
        raise handover.gone(f"{folder}/begin")
    return plan


def _committed(store: Store, prefix: str) -> Committed:
    manifest = store.manifest(prefix)
    if manifest is None:
        raise handover.gone(prefix)
    return Committed(prefix, manifest)
