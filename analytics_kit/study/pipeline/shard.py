"""One shard's work: read its events, measure its trials, write its event tables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options
from analytics_kit.study.archive.base import Archive
from analytics_kit.study.events import quality_flags
from analytics_kit.study.events.described_reader import read_logs
from analytics_kit.study.events.native.reader import read_events
from analytics_kit.study.events.table import EventTable, Grouped
from analytics_kit.study.formats.layout import LOG_ROLE
from analytics_kit.study.formats.registry import NATIVE, load_format
from analytics_kit.study.metrics.evaluate import evaluate
from analytics_kit.study.pipeline.plan import MemberRow, Shard
from analytics_kit.study.schema.columns import SCREEN_LIMIT_PX
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issue, Issues
from analytics_kit.study.store.event_parquet import write_events
from analytics_kit.study.store.manifests import EventFile
from analytics_kit.study.store.paths import events_path
from analytics_kit.study.store.store import Store

_CLOCK = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)")


@dataclass(slots=True)
class ShardResult:
    """What the merge needs of a shard: a value per trial and metric, wall clock of each trial's first event, …"""

    first_trial: int
    values: dict[str, Floats]
    clocks: Floats
    members: list[MemberRow] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    parts: list[EventFile] = field(default_factory=list)
    steps: Floats | None = None
    """See `metrics.Measured`."""


class Advance(Protocol):
    """Is told of bytes as they are inflated, and of rows and files once they are read."""

    def __call__(self, raw_bytes: int, rows: int = 0, files: int = 0) -> None: ...


def run_shard(
    archive: Archive, shard: Shard, options: Options, store: Store, prefix: str, advance: Advance
) -> ShardResult:
    """Read, measure and write a shard."""
    issues = Issues(options.on_error)
    groups: dict[Kind, Grouped] = {}
    members: list[MemberRow] = []
    first_events = np.full((shard.trials, 2), np.nan)
    parts: list[EventFile] = []
    read = _native if shard.format == NATIVE else _logs
    for table in read(archive, shard, options, issues, advance, members, first_events):
        kind = table.kind
        _note_doubts(table, issues)
        group = groups[kind] = Grouped(table, shard.trials)
        _note_odd_clicks(group, issues)
        group.sort_by_time()
        if len(table.t):
            path = events_path(prefix, kind, shard.index)
            with store.create(path) as file:
                write_events(file, group, shard.first_trial)
            last = shard.first_trial + shard.trials - 1
            parts.append(
                EventFile(kind=kind, path=path, rows=len(table.t), first_trial=shard.first_trial, last_trial=last)
            )
    measured = evaluate(groups, shard.trials, options)
    clocks = first_events[:, 1]
    return ShardResult(shard.first_trial, measured.values, clocks, members, issues.list, parts, measured.steps)


def _native(
    archive: Archive, shard: Shard, options: Options, issues: Issues, advance: Advance, members: list[MemberRow],
    first_events: Floats,
) -> Iterator[EventTable]:  # fmt: skip
    """The table of each kind from files that hold one kind of one trial."""
    for kind in KINDS:
        work = sorted((w for w in shard.work if w.kind == kind), key=lambda w: (w.slot, w.member))
        if not work:
            continue
        pairs = [(archive.members[w.member], w.slot) for w in work]
        table = read_events(archive, pairs, kind, issues, options.keys == "full", advance)
        advance(0, sum(member.rows_in for member in table.members), len(table.members))
        _first_events(table, first_events)
        for m, w in zip(table.members, work, strict=True):
            trial, raw_bytes = shard.first_trial + m.slot, archive.members[w.member].raw_bytes
            members.append(MemberRow(m.member, kind, trial, raw_bytes, m.rows_in, m.rows_kept))
        yield table


def _logs(
    archive: Archive, shard: Shard, options: Options, issues: Issues, advance: Advance, members: list[MemberRow],
    first_events: Floats,
) -> Iterator[EventTable]:  # fmt: skip
    """The table of each kind from files of a described format."""
    slots: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for w in shard.work:
        slots[w.member][w.label] = w.slot
    work = [(archive.members[number], slots[number]) for number in sorted(slots)]
    log = load_format(shard.format, options)
    tables, first_events[:, 1], read = read_logs(
        archive, work, log, issues, options.keys == "full", shard.trials, advance
    )
    advance(0, sum(file.rows_in for file in read), len(read))
    for (member, places), file in zip(work, read, strict=True):
        kinds, trials = log.kinds(member.name), {*places.values()}
        trial = shard.first_trial + trials.pop() if len(trials) == 1 else None
        role = kinds[0] if len(kinds) == 1 else LOG_ROLE
        members.append(MemberRow(member.name, role, trial, member.raw_bytes, file.rows_in, file.rows_kept))
    yield from tables


def _note_doubts(table: EventTable, issues: Issues) -> None:
    """Say of each member what is doubtful in the rows that were kept."""
    offsets = np.cumsum([0, *(member.rows_kept for member in table.members)])
    found = np.zeros((len(table.members), len(quality_flags.QUALITY_FLAGS), 2), np.int64)
    quality_flags.count_flags(table.t, table.x, table.y, offsets, float(SCREEN_LIMIT_PX), found)
    for i, d in zip(*np.nonzero(found[:, :, 0]), strict=True):
        member = table.members[i]
        name, message = quality_flags.QUALITY_FLAGS[d]
        count, row = found[i, d]
        issues.add(member.member, name, f"{count} {message}", line=member.line_of(int(row)))


def _note_odd_clicks(group: Grouped, issues: Issues) -> None:
    if group.table.kind != "mouse_clicks" or len(group.table.action):
        return
    rows = group.ends - group.starts
    for member in group.table.members:
        if rows[member.slot] % 2:
            issues.add(
                member.member, "odd_clicks", f"{rows[member.slot]} rows where press and release make pairs; "
                "which is which is unknown, hold times are NA",
            )  # fmt: skip


def _first_events(table: EventTable, first: Floats) -> None:
    """Keep, per trial, running time and wall clock of the earliest first row met so far."""
    row = 0
    for member in table.members:
        if member.rows_kept:
            clock = _CLOCK.fullmatch(member.clock)
            known = first[member.slot]
            if clock and not table.t[row] >= known[0]:
                known[:] = table.t[row], int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
            row += member.rows_kept
