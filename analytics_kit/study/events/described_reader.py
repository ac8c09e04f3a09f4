"""All events of a shard whose files are logs of a described format: a table for each kind, grouped by trial.

Such a file may hold several kinds and several trials, and a record may be a press and a release. It is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analytics_kit.event_format import NAMES
from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError
from analytics_kit.study.events import quality_flags
from analytics_kit.study.events.table import EventTable, MemberRows, classify_keys
from analytics_kit.study.formats.base import UNITS_PER_SECOND, LogFormat, empty_rows
from analytics_kit.study.formats.event_format import ROW_ISSUES
from analytics_kit.study.formats.trials import batch_by_size, find_runs, trial_label
from analytics_kit.study.schema.columns import PRESS, RELEASE
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issues

Slots = Mapping[str, int]
"""The place in the shard of each trial of a file, by its label."""


class RowCounts(NamedTuple):
    """What was read of a file: its data records, of the trials that were asked for, and those that were kept."""

    rows_in: int
    rows_kept: int
    readable: bool = True


def read_logs(
    archive: Archive, work: Sequence[tuple[Member, Slots]], log: LogFormat, issues: Issues, keep_keys: bool,
    trials: int, advance: Callable[[int], None],
) -> tuple[list[EventTable], Floats, list[RowCounts]]:  # fmt: skip
    """The events of `work`, pairs of a member and its trials' slots.

    Also the time of each trial's first event on the log's own clock, in s (NaN where each trial has its own), and
    what was read of each member.
    """
    frames: list[pl.DataFrame] = []
    read: dict[int, RowCounts] = {}
    for batch in batch_by_size(range(len(work)), [member.raw_bytes for member, _ in work]):
        files, numbers = [], []
        broken: dict[int, MemberUnreadableError] = {}
        for number in batch:
            member = work[number][0]
            try:
                files.append((member.name, archive.read(member)))
                numbers.append(number)
            except MemberUnreadableError as error:
                broken[number] = error
            advance(member.raw_bytes)
        table = log.read_all(files, issues)
        broken.update((numbers[n], error) for n, error in table.broken.items())
        kept, counts = _kept(table.rows, numbers, work, log, issues)
        frames.append(kept)
        read.update(counts)
        for number, trouble in broken.items():
            lost = max(0, trouble.partial.count(b"\n") - 1)
            issues.add(work[number][0].name, trouble.kind, str(trouble), rows_dropped=lost, lost=True)
            read[number] = RowCounts(lost, 0, readable=False)
    holds = [[*log.kinds(member.name)] if read[n].readable else [] for n, (member, _) in enumerate(work)]
    nothing = empty_rows().select("file", "line", "kind", "t").with_columns(pl.lit(0, pl.Int64).alias("slot"))
    events = pl.concat([nothing, *frames], how="diagonal")
    starts = np.full(trials, np.nan)
    per_second = UNITS_PER_SECOND[log.time_unit]
    if log.time_origin == "trial":
        first = events.group_by("slot").agg(pl.col("t").min())
        starts[first["slot"].to_numpy()] = first["t"].to_numpy() / per_second
        # subtracted before it is turned into seconds, so that a difference of milliseconds stays exact
        times = [name for name in ("t", "release") if name in events.columns]
        events = events.with_columns(pl.col(name) - pl.col("t").min().over("slot") for name in times)
    tables = [
        _table(kind, events, work, [kind in kinds for kinds in holds], per_second, keep_keys, issues)
        for kind in KINDS
        if any(kind in kinds for kinds in holds)
    ]
    return tables, starts, [read[number] for number in range(len(work))]


def _kept(
    rows: pl.DataFrame, numbers: Sequence[int], work: Sequence[tuple[Member, Slots]], log: LogFormat,
    issues: Issues,
) -> tuple[pl.DataFrame, dict[int, RowCounts]]:  # fmt: skip
    """The good records of trials that have a slot, with it, and what was read of each file. Bad ones are issues."""
    runs, run_of = find_runs(rows)
    groups = [log.group(work[number][0].name) for number in numbers]
    slots = np.array([work[numbers[n]][1].get(trial_label(groups[n], names), -1) for n, names in runs], np.int64)
    files = np.asarray(numbers, np.int64)[rows["file"].to_numpy()] if len(rows) else np.empty(0, np.int64)
    slot = slots[run_of] if len(runs) else np.empty(0, np.int64)
    chosen = rows.drop(NAMES, strict=False).with_columns(pl.Series("file", files), pl.Series("slot", slot))
    chosen = chosen.filter(pl.col("slot") >= 0)
    good = chosen.filter(pl.col("problem").is_null())
    rows_in, rows_kept = (dict(frame.group_by("file").len().iter_rows()) for frame in (chosen, good))
    troubles = chosen.drop_nulls("problem").group_by("file", "problem", maintain_order=True)
    for number, problem, line, count in troubles.agg(pl.col("line").first(), pl.len()).iter_rows():
        issues.add(
            work[number][0].name, problem, ROW_ISSUES.get(problem, problem), line=line, rows_dropped=count
        )  # fmt: skip
    return good.drop("problem"), {n: RowCounts(rows_in.get(n, 0), rows_kept.get(n, 0)) for n in numbers}


def _table(
    kind: Kind, events: pl.DataFrame, work: Sequence[tuple[Member, Slots]], holds: Sequence[bool], per_second: float,
    keep_keys: bool, issues: Issues,
) -> EventTable:  # fmt: skip
    rows = events.filter(pl.col("kind") == kind).sort("slot", "file", maintain_order=True)
    if kind == "keyboard" and "release" in rows.columns and rows["release"].null_count() < len(rows):
        rows = _released(rows, work, issues)
    members = _members(rows, work, holds)
    here = {name for name in rows.columns if rows[name].null_count() < max(len(rows), 1)}

    def numbers(name: str) -> Floats:
        return rows[name].to_numpy(writable=True) if name in here else np.empty(0)

    t = numbers("t") / per_second
    if kind == "keyboard":
        keys = rows["key"]
        table = EventTable(
            kind, members, t, np.empty(0), np.empty(0), classify_keys(keys), keys if keep_keys else None
        )
        if keep_keys or "action" in here:
            table.key_number = keys.rank("dense").fill_null(0).cast(pl.Int64).to_numpy(writable=True)
        if "index" in here:
            table.press_number = rows["index"].cast(pl.Int64).to_numpy(writable=True)
    else:
        table = EventTable(kind, members, t, numbers("x"), numbers("y"), np.empty(0, np.int8), None)
    if "action" in here and kind in ("mouse_clicks", "keyboard"):
        table.action = np.where(rows["action"].eq_missing("release").to_numpy(), RELEASE, PRESS)
    if kind == "mouse_scrolls":
        table.dx, table.dy = numbers("dx"), numbers("dy")
    return table


def _released(rows: pl.DataFrame, work: Sequence[tuple[Member, Slots]], issues: Issues) -> pl.DataFrame:
    """A row for each press and, where it is known, for its release, in the order of time; `index` pairs them."""
    back = rows.filter(pl.col("t").diff().over("slot", "file") < 0).group_by("file", maintain_order=True)
    for number, line, count in back.agg(pl.col("line").first(), pl.len()).iter_rows():
        name, message = quality_flags.QUALITY_FLAGS[0]
        issues.add(work[number][0].name, name, f"{count} {message}", line=line)
    early = pl.col("release") < pl.col("t")
    for number, line, count in (
        rows.filter(early).group_by("file", maintain_order=True).agg(pl.col("line").first(), pl.len()).iter_rows()
    ):
        message = f"{count} release(s) earlier than the press; taken for unknown"
        issues.add(work[number][0].name, "early_release", message, line=line)
    rows = rows.with_columns(pl.when(~early).then(pl.col("release")).alias("release"))
    press = rows.with_columns(pl.lit("press").alias("action")).with_row_index()
    known = press.drop_nulls("release")
    release = known.with_columns(pl.col("release").alias("t"), pl.lit("release").alias("action"))
    return pl.concat([press, release]).sort("slot", "file", "t", "index", maintain_order=True)


def _members(rows: pl.DataFrame, work: Sequence[tuple[Member, Slots]], holds: Sequence[bool]) -> list[MemberRows]:
    """Which rows are which file's, in their order; a file that could hold the kind and does not has none."""
    runs = rows.group_by("slot", "file", maintain_order=True).agg(pl.len())
    counts = {(slot, number): count for slot, number, count in runs.iter_rows()}
    lines = rows["line"].to_numpy()
    places = sorted((slot, n) for n, (_, slots) in enumerate(work) if holds[n] for slot in {*slots.values()})
    members, row = [], 0
    for slot, number in places:
        count = counts.get((slot, number), 0)
        exact = lines[row : row + count]
        members.append(MemberRows(work[number][0].name, slot, count, count, lines=[(0, exact, count)]))
        row += count
    return members
