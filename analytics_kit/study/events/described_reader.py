"""Read the events of a shard whose files have a LogFormat: a table for each kind, grouped by trial.

Such a file may hold several kinds and several trials, and a row may be a press and its release. It is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analytics_kit.event_format import TRIAL_KEYS
from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError
from analytics_kit.study.csv.log_limits import DEFAULT_LIMITS, LogLimits
from analytics_kit.study.events import quality_flags
from analytics_kit.study.events.table import EventTable, ReadMember, classify_keys
from analytics_kit.study.formats.base import UNITS_PER_SECOND, LogFormat, empty_rows
from analytics_kit.study.formats.event_format import ROW_ISSUES
from analytics_kit.study.formats.trials import batch_by_size, find_names, trial_label
from analytics_kit.study.schema.columns import PRESS, RELEASE
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issues

Slots = Mapping[str, int]
"""The slot in the shard of each trial of a file, by its label."""

ShardMembers = Sequence[tuple[Member, Slots]]
"""The members of a shard with their trials."""


class RowCounts(NamedTuple):
    """The rows of a file that belong to trials of the shard, and those of them that were kept."""

    rows_in: int
    rows_kept: int
    readable: bool = True


def read_logs(
    archive: Archive, members: ShardMembers, log: LogFormat, issues: Issues, keep_keys: bool,
    trials: int, advance: Callable[[int], None], limits: LogLimits = DEFAULT_LIMITS,
) -> tuple[list[EventTable], Floats, list[RowCounts]]:  # fmt: skip
    """Read the events of the members of a shard.

    Parameters
    ----------
    archive
        The opened study.
    members
        Pairs of a member and the slots of its trials by label.
    log
        The format of the members.
    issues
        Where lost and doubtful rows are reported.
    keep_keys
        Whether the tables keep the keys besides their classes.
    trials
        The number of trials of the shard.
    advance
        Called with the bytes of each member once it is inflated.
    limits
        What a log may have; it was checked when the trials were found, unless paths name them.

    Returns
    -------
    tables
        An event table for each kind that the members can hold.
    starts
        float64, s: the time of the first event of each slot in the log; NaN if each trial starts at 0.
    counts
        The number of rows of each member.
    """
    frames: list[pl.DataFrame] = []
    counts: dict[int, RowCounts] = {}
    for batch in batch_by_size(range(len(members)), [member.raw_bytes for member, _ in members]):
        files, numbers = [], []
        broken: dict[int, MemberUnreadableError] = {}
        for number in batch:
            member = members[number][0]
            limits.check_size(member)
            try:
                files.append((member.name, archive.read(member)))
                limits.check_whole(files[-1][1], member.name)
                numbers.append(number)
            except MemberUnreadableError as error:
                broken[number] = error
            advance(member.raw_bytes)
        table = log.read_all(files, issues)
        broken.update((numbers[n], error) for n, error in table.broken.items())
        kept, kept_counts = _good_rows(table.rows, numbers, members, log, issues)
        frames.append(kept)
        counts.update(kept_counts)
        for number, unreadable in broken.items():
            lost = max(0, _count_lines(unreadable.partial) - 1)  # the first one is the header
            issues.add(members[number][0].name, unreadable.kind, str(unreadable), rows_dropped=lost, lost=True)
            counts[number] = RowCounts(lost, 0, readable=False)
    member_kinds = [[*log.kinds(member.name)] if counts[n].readable else [] for n, (member, _) in enumerate(members)]
    nothing = empty_rows().select("file", "line", "kind", "t").with_columns(pl.lit(0, pl.Int64).alias("slot"))
    events = pl.concat([nothing, *frames], how="diagonal")
    starts = np.full(trials, np.nan)
    per_second = UNITS_PER_SECOND[log.time_unit]
    if log.time_origin == "trial":
        first = events.group_by("slot").agg(pl.col("t").min())
        starts[first["slot"].to_numpy()] = first["t"].to_numpy() / per_second
        # subtract before converting to seconds, so that differences of milliseconds stay exact
        times = [name for name in ("t", "release") if name in events.columns]
        events = events.with_columns(pl.col(name) - pl.col("t").min().over("slot") for name in times)
    tables = [
        _make_table(kind, events, members, [kind in kinds for kinds in member_kinds], per_second, keep_keys, issues)
        for kind in KINDS
        if any(kind in kinds for kinds in member_kinds)
    ]
    return tables, starts, [counts[number] for number in range(len(members))]


def _count_lines(raw: bytes) -> int:
    """Return the number of lines with text on them."""
    codes = np.frombuffer(raw, np.uint8)
    is_break = (codes == ord("\n")) | (codes == ord("\r"))
    breaks = np.concatenate([[True], is_break[is_break | (codes > ord(" "))]])
    return int(np.count_nonzero(breaks[:-1] & ~breaks[1:]))


def _good_rows(
    rows: pl.DataFrame, numbers: Sequence[int], members: ShardMembers, log: LogFormat,
    issues: Issues,
) -> tuple[pl.DataFrame, dict[int, RowCounts]]:  # fmt: skip
    """Return the good rows of trials that have a slot, which becomes a column, and the counts of each file."""
    trials, trial_of = find_names(rows)
    groups = [log.group(members[number][0].name) for number in numbers]
    slots = np.array([members[numbers[n]][1].get(trial_label(groups[n], names), -1) for n, names in trials], np.int64)
    files = np.asarray(numbers, np.int64)[rows["file"].to_numpy()] if len(rows) else np.empty(0, np.int64)
    slot = slots[trial_of] if len(trials) else np.empty(0, np.int64)
    chosen = rows.drop(TRIAL_KEYS, strict=False).with_columns(pl.Series("file", files), pl.Series("slot", slot))
    chosen = chosen.filter(pl.col("slot") >= 0)
    good = chosen.filter(pl.col("problem").is_null())
    rows_in, rows_kept = (dict(frame.group_by("file").len().iter_rows()) for frame in (chosen, good))
    bad = chosen.drop_nulls("problem").group_by("file", "problem", maintain_order=True)
    for number, problem, line, count in bad.agg(pl.col("line").first(), pl.len()).iter_rows():
        issues.add(
            members[number][0].name, problem, ROW_ISSUES.get(problem, problem), line=line, rows_dropped=count
        )  # fmt: skip
    return good.drop("problem"), {n: RowCounts(rows_in.get(n, 0), rows_kept.get(n, 0)) for n in numbers}


def _make_table(
    kind: Kind, events: pl.DataFrame, members: ShardMembers, can_hold: Sequence[bool], per_second: float,
    keep_keys: bool, issues: Issues,
) -> EventTable:  # fmt: skip
    """Return the table of one kind; `can_hold` is True for the members that can hold it."""
    rows = events.filter(pl.col("kind") == kind).sort("slot", "file", maintain_order=True)
    if kind == "keyboard" and "release" in rows.columns and rows["release"].null_count() < len(rows):
        rows = _split_releases(rows, members, issues)
    read = _read_members(rows, members, can_hold)
    filled = {name for name in rows.columns if rows[name].null_count() < max(len(rows), 1)}

    def numbers(name: str) -> Floats:
        return rows[name].to_numpy(writable=True) if name in filled else np.empty(0)

    t = numbers("t") / per_second
    if kind == "keyboard":
        keys = rows["key"]
        table = EventTable(kind, read, t, np.empty(0), np.empty(0), classify_keys(keys), keys if keep_keys else None)
        if keep_keys or "action" in filled:
            table.key_number = keys.rank("dense").fill_null(0).cast(pl.Int64).to_numpy(writable=True)
        if "index" in filled:
            table.press_number = rows["index"].cast(pl.Int64).to_numpy(writable=True)
    else:
        table = EventTable(kind, read, t, numbers("x"), numbers("y"), np.empty(0, np.int8), None)
    if "action" in filled and kind in ("mouse_clicks", "keyboard"):
        table.action = np.where(rows["action"].eq_missing("release").to_numpy(), RELEASE, PRESS)
    if kind == "mouse_scrolls":
        table.dx, table.dy = numbers("dx"), numbers("dy")
    return table


def _split_releases(rows: pl.DataFrame, members: ShardMembers, issues: Issues) -> pl.DataFrame:
    """Return a row for each press and for each known release, ordered by time; `index` pairs them."""
    backwards = rows.filter(pl.col("t").diff().over("slot", "file") < 0).group_by("file", maintain_order=True)
    for number, line, count in backwards.agg(pl.col("line").first(), pl.len()).iter_rows():
        name, message = quality_flags.QUALITY_FLAGS[0]
        issues.add(members[number][0].name, name, f"{count} {message}", line=line)
    early = pl.col("release") < pl.col("t")
    for number, line, count in (
        rows.filter(early).group_by("file", maintain_order=True).agg(pl.col("line").first(), pl.len()).iter_rows()
    ):
        message = f"{count} release(s) earlier than the press; treated as unknown"
        issues.add(members[number][0].name, "early_release", message, line=line)
    rows = rows.with_columns(pl.when(~early).then(pl.col("release")).alias("release"))
    press = rows.with_columns(pl.lit("press").alias("action")).with_row_index()
    with_release = press.drop_nulls("release")
    release = with_release.with_columns(pl.col("release").alias("t"), pl.lit("release").alias("action"))
    return pl.concat([press, release]).sort("slot", "file", "t", "index", maintain_order=True)


def _read_members(rows: pl.DataFrame, members: ShardMembers, can_hold: Sequence[bool]) -> list[ReadMember]:
    """Return the members that can hold the kind, for each of their trials, in the order of the rows."""
    runs = rows.group_by("slot", "file", maintain_order=True).agg(pl.len())
    counts = {(slot, number): count for slot, number, count in runs.iter_rows()}
    lines = rows["line"].to_numpy()
    pairs = sorted((slot, n) for n, (_, slots) in enumerate(members) if can_hold[n] for slot in {*slots.values()})
    read, row = [], 0
    for slot, number in pairs:
        count = counts.get((slot, number), 0)
        row_lines = lines[row : row + count]
        read.append(ReadMember(members[number][0].name, slot, count, count, lines=[(0, row_lines, count)]))
        row += count
    return read
