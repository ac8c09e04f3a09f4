"""All events of a shard whose files are logs of a described format: a table for each kind, grouped by trial.

Such a file may hold several kinds and several trials, and a record may be a press and a release. It is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive import Archive, Member, MemberUnreadableError
from analytics_kit.study.events import EventTable, MemberRows, classes_of
from analytics_kit.study.formats.arranging import label, names_of
from analytics_kit.study.formats.described import TROUBLES, LogFormat
from analytics_kit.study.issues import Issues
from analytics_kit.study.metrics import check
from analytics_kit.study.metrics.kernel import Floats
from analytics_kit.study.metrics.pairs import PRESS, RELEASE

PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_NOTHING = pl.DataFrame(schema={
    "slot": pl.Int64, "member": pl.Int64, "line": pl.Int64, "kind": pl.String, "t": pl.Float64, "x": pl.Float64,
    "y": pl.Float64, "dx": pl.Float64, "dy": pl.Float64, "key": pl.String, "action": pl.String, "release": pl.Float64,
})  # fmt: skip
Slots = Mapping[str, int]
"""The place in the shard of each trial of a file, by its label."""


class Read(NamedTuple):
    """What was read of a file: its data records, of the trials that were asked for, and those that were kept."""

    rows_in: int
    rows_kept: int


def read_logs(
    archive: Archive, work: Sequence[tuple[Member, Slots]], log: LogFormat, issues: Issues, keep_keys: bool,
    trials: int, advance: Callable[[int], None],
) -> tuple[list[EventTable], Floats, list[Read]]:  # fmt: skip
    """The events of `work`, pairs of a member and its trials' slots.

    Also the time of each trial's first event on the log's own clock, in s (NaN where each trial has its own), and
    what was read of each member.
    """
    frames: list[pl.DataFrame] = []
    read: list[Read] = []
    holds: list[set[Kind]] = []
    for number, (member, slots) in enumerate(work):
        holds.append(set())
        try:
            table = _slotted(log.read(member.name, archive.read(member), issues), log.group(member.name), slots)
        except MemberUnreadableError as error:
            lost = max(0, error.partial.count(b"\n") - 1)
            issues.add(member.name, error.kind, str(error), rows_dropped=lost, lost=True)
            read.append(Read(lost, 0))
        else:
            holds[-1] = {*log.kinds(member.name)}
            frames.append(_kept(table, number, member.name, issues))
            read.append(Read(len(table), len(frames[-1])))
        advance(member.raw_bytes)
    events = pl.concat([_NOTHING, *frames], how="diagonal")
    starts = np.full(trials, np.nan)
    per_second = PER_SECOND[log.time_unit]
    if log.time_origin == "trial":
        first = events.group_by("slot").agg(pl.col("t").min())
        starts[first["slot"].to_numpy()] = first["t"].to_numpy() / per_second
        # subtracted before it is turned into seconds, so that a difference of milliseconds stays exact
        events = events.with_columns(pl.col(name) - pl.col("t").min().over("slot") for name in ("t", "release"))
    tables = [
        _table(kind, events, work, [kind in kinds for kinds in holds], per_second, keep_keys, issues)
        for kind in KINDS
        if any(kind in kinds for kinds in holds)
    ]
    return tables, starts, read


def _slotted(table: pl.DataFrame, group: str, slots: Slots) -> pl.DataFrame:
    """The records of the trials that have a slot."""
    named = table.select(names_of(table)).unique(maintain_order=True)
    places = [slots.get(label(group, names)) for names in named.iter_rows()]
    if len(places) == 1:
        return table.with_columns(pl.lit(places[0], pl.Int64).alias("slot")).drop_nulls("slot")
    keys = named.with_columns(pl.Series("slot", places, pl.Int64))
    joined = table.with_columns(names_of(table)).join(
        keys, on=named.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.drop_nulls("slot")


def _kept(table: pl.DataFrame, number: int, member: str, issues: Issues) -> pl.DataFrame:
    """The good records, with the number of their file; the others are issues."""
    bad = table.filter(pl.col("problem").is_not_null())
    troubles = bad.group_by("problem", maintain_order=True).agg(pl.col("line").first(), pl.len())
    for problem, line, count in troubles.iter_rows():
        issues.add(member, problem, TROUBLES.get(problem, problem), line=line, rows_dropped=count)
    good = table.filter(pl.col("problem").is_null()).with_columns(pl.lit(number, pl.Int64).alias("member"))
    return good.select(pl.col(name).cast(kind) for name, kind in _NOTHING.schema.items() if name in good.columns)


def _table(
    kind: Kind, events: pl.DataFrame, work: Sequence[tuple[Member, Slots]], holds: Sequence[bool], per_second: float,
    keep_keys: bool, issues: Issues,
) -> EventTable:  # fmt: skip
    rows = events.filter(pl.col("kind") == kind).sort("slot", "member", maintain_order=True)
    if kind == "keyboard" and rows["release"].null_count() < len(rows):
        rows = _released(rows, work, issues)
    members = _members(rows, work, holds)
    here = {name for name in rows.columns if rows[name].null_count() < max(len(rows), 1)}

    def numbers(name: str) -> Floats:
        return rows[name].to_numpy(writable=True) if name in here else np.empty(0)

    t = numbers("t") / per_second
    if kind == "keyboard":
        keys = rows["key"]
        table = EventTable(kind, members, t, np.empty(0), np.empty(0), classes_of(keys), keys if keep_keys else None)
        if keep_keys or "action" in here:
            table.key_number = keys.rank("dense").fill_null(0).cast(pl.Int64).to_numpy(writable=True)
    else:
        table = EventTable(kind, members, t, numbers("x"), numbers("y"), np.empty(0, np.int8), None)
    if "action" in here and kind in ("mouse_clicks", "keyboard"):
        table.action = np.where(rows["action"].eq_missing("release").to_numpy(), RELEASE, PRESS)
    if kind == "mouse_scrolls":
        table.dx, table.dy = numbers("dx"), numbers("dy")
    return table


def _released(rows: pl.DataFrame, work: Sequence[tuple[Member, Slots]], issues: Issues) -> pl.DataFrame:
    """A row for each press and, where it is known, for its release, in the order of time."""
    back = rows.filter(pl.col("t").diff().over("slot", "member") < 0).group_by("member", maintain_order=True)
    for number, line, count in back.agg(pl.col("line").first(), pl.len()).iter_rows():
        name, message = check.DOUBTS[0]
        issues.add(work[number][0].name, name, f"{count} {message}", line=line)
    press = rows.with_columns(pl.lit("press").alias("action")).with_row_index()
    known = press.drop_nulls("release")
    release = known.with_columns(pl.col("release").alias("t"), pl.lit("release").alias("action"))
    return pl.concat([press, release]).sort("slot", "member", "t", "index", maintain_order=True)


def _members(rows: pl.DataFrame, work: Sequence[tuple[Member, Slots]], holds: Sequence[bool]) -> list[MemberRows]:
    """Which rows are which file's, in their order; a file that could hold the kind and does not has none."""
    runs = rows.group_by("slot", "member", maintain_order=True).agg(pl.len())
    counts = {(slot, number): count for slot, number, count in runs.iter_rows()}
    lines = rows["line"].to_list() if len(rows) else []
    places = sorted((slot, n) for n, (_, slots) in enumerate(work) if holds[n] for slot in {*slots.values()})
    members, row = [], 0
    for slot, number in places:
        count = counts.get((slot, number), 0)
        exact = lines[row : row + count]
        members.append(MemberRows(work[number][0].name, slot, count, count, lines=[(0, exact, count)]))
        row += count
    return members
