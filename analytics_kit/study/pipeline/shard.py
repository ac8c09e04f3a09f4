"""Process one shard: read its events, compute the metrics of its trials, write its event tables."""

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
from analytics_kit.study.csv.log_limits import LogLimits
from analytics_kit.study.events import quality_flags
from analytics_kit.study.events.described_reader import read_logs
from analytics_kit.study.events.reading import read_events
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
    """What the merge needs of a shard.

    `values` has an array per metric, and `clocks` is the wall clock of the first event in seconds since midnight (NaN
    where unknown), each with one value per trial. `event_files` are the event tables that the shard has written.
    """

    first_trial: int
    values: dict[str, Floats]
    clocks: Floats
    members: list[MemberRow] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    event_files: list[EventFile] = field(default_factory=list)
    x_differences: Floats | None = None
    """See `evaluate.TrialMetrics`."""


class ProgressCallback(Protocol):
    """Called with the bytes that were inflated, and with the rows and files that were read, since the last call."""

    def __call__(self, raw_bytes: int, rows: int = 0, files: int = 0) -> None: ...


def run_shard(
    archive: Archive, shard: Shard, options: Options, store: Store, prefix: str, advance: ProgressCallback
) -> ShardResult:
    """Read the members of a shard, write its event tables below `prefix`, and return the metrics of its trials."""
    issues = Issues(options.on_error)
    groups: dict[Kind, Grouped] = {}
    members: list[MemberRow] = []
    first_events = np.full((shard.trials, 2), np.nan)
    event_files: list[EventFile] = []
    read_tables = _read_native if shard.format == NATIVE else _read_described
    with archive.expecting({archive.members[member.member] for member in shard.members}):
        for table in read_tables(archive, shard, options, issues, advance, members, first_events):
            kind = table.kind
            _report_quality_flags(table, issues)
            group = groups[kind] = Grouped(table, shard.trials)
            _report_odd_clicks(group, issues)
            group.sort_by_time()
            if len(table.t):
                path = events_path(prefix, kind, shard.index)
                with store.create(path) as file:
                    write_events(file, group, shard.first_trial)
                last = shard.trial_index(shard.trials - 1)
                event_files.append(
                    EventFile(kind=kind, path=path, rows=len(table.t), first_trial=shard.first_trial, last_trial=last)
                )
    measured = evaluate(groups, shard.trials, options)
    clocks = first_events[:, 1]
    return ShardResult(
        shard.first_trial, measured.values, clocks, members, issues.list, event_files, measured.x_differences
    )


def _read_native(
    archive: Archive, shard: Shard, options: Options, issues: Issues, advance: ProgressCallback,
    members: list[MemberRow], first_events: Floats,
) -> Iterator[EventTable]:  # fmt: skip
    """Yield the table of each kind from members of one kind and one trial each; fill `members` and `first_events`."""
    for kind in KINDS:
        of_kind = sorted((m for m in shard.members if m.kind == kind), key=lambda m: (m.slot, m.member))
        if not of_kind:
            continue
        slots = [(archive.members[m.member], m.slot) for m in of_kind]
        table = read_events(archive, slots, kind, issues, options.keys == "full", advance, LogLimits.of(options))
        advance(0, sum(member.rows_in for member in table.members), len(table.members))
        _update_first_events(table, first_events)
        for read, member in zip(table.members, of_kind, strict=True):
            trial, raw_bytes = shard.trial_index(read.slot), archive.members[member.member].raw_bytes
            members.append(MemberRow(read.member, kind, trial, raw_bytes, read.rows_in, read.rows_kept))
        yield table


def _read_described(
    archive: Archive, shard: Shard, options: Options, issues: Issues, advance: ProgressCallback,
    members: list[MemberRow], first_events: Floats,
) -> Iterator[EventTable]:  # fmt: skip
    """Yield the table of each kind from members that a LogFormat reads; fill `members` and `first_events`."""
    slots: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for shard_member in shard.members:
        slots[shard_member.member][shard_member.label] = shard_member.slot
    logs = [(archive.members[number], slots[number]) for number in sorted(slots)]
    log_format = load_format(shard.format, options)
    tables, first_events[:, 1], read = read_logs(
        archive, logs, log_format, issues, options.keys == "full", shard.trials, advance, LogLimits.of(options)
    )
    advance(0, sum(file.rows_in for file in read), len(read))
    for (member, slot_by_label), file in zip(logs, read, strict=True):
        kinds, in_slots = log_format.kinds(member.name), {*slot_by_label.values()}
        trial = shard.trial_index(in_slots.pop()) if len(in_slots) == 1 else None
        role = kinds[0] if len(kinds) == 1 else LOG_ROLE
        members.append(MemberRow(member.name, role, trial, member.raw_bytes, file.rows_in, file.rows_kept))
    yield from tables


def _report_quality_flags(table: EventTable, issues: Issues) -> None:
    """Report an issue for each member and quality flag of the rows that were kept."""
    offsets = np.cumsum([0, *(member.rows_kept for member in table.members)])
    counts = np.zeros((len(table.members), len(quality_flags.QUALITY_FLAGS), 2), np.int64)
    quality_flags.count_flags(table.t, table.x, table.y, offsets, float(SCREEN_LIMIT_PX), counts)
    for i, flag in zip(*np.nonzero(counts[:, :, 0]), strict=True):
        member = table.members[i]
        name, message = quality_flags.QUALITY_FLAGS[flag]
        count, row = counts[i, flag]
        issues.add(member.member, name, f"{count} {message}", line=member.line_of(int(row)))


def _report_odd_clicks(group: Grouped, issues: Issues) -> None:
    if group.table.kind != "mouse_clicks" or len(group.table.action):
        return
    rows = group.ends - group.starts
    for member in group.table.members:
        if rows[member.slot] % 2:
            issues.add(
                member.member, "odd_clicks", f"{rows[member.slot]} rows where press and release make pairs; "
                "which is which is unknown, hold times are NA",
            )  # fmt: skip


def _update_first_events(table: EventTable, first_events: Floats) -> None:
    """Update running time and wall clock of the earliest first row of each trial, an array of shape (trials, 2)."""
    row = 0
    for member in table.members:
        if member.rows_kept:
            clock = _CLOCK.fullmatch(member.clock)
            earliest = first_events[member.slot]
            if clock and not table.t[row] >= earliest[0]:
                earliest[:] = table.t[row], int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
            row += member.rows_kept
