"""The metrics of every trial, from event tables: which family measures what, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analytics_kit.model import KINDS, Kind, Options
from analytics_kit.study.catalogue import NAMES
from analytics_kit.study.metrics import check, clicks, clock, movement, scrolls, typing
from analytics_kit.study.metrics.kernel import Floats, Ints, merge_equal_times

if TYPE_CHECKING:
    from analytics_kit.study.events import EventTable

_COUNTS: dict[Kind, str] = {
    "mouse_movement": "movement_count",
    "mouse_clicks": "click_event_count",
    "mouse_scrolls": "scroll_event_count",
    "keyboard": "keystroke_count",
}


class Grouped:
    """A table's rows by trial: rows `starts[i]` to `ends[i]` are trial i's, `present[i]` says if it has a file."""

    def __init__(self, table: EventTable, trials: int) -> None:
        self.table = table
        rows = np.zeros(trials, np.int64)
        self.present = np.zeros(trials, np.int64)
        for member in table.members:
            rows[member.slot] += member.rows_kept
            self.present[member.slot] |= member.readable
        self.ends: Ints = np.cumsum(rows)
        self.starts: Ints = self.ends - rows

    def sort_by_time(self) -> None:
        """Bring each trial's rows in the order of their times; rows of equal times stay as they were."""
        table = self.table
        everything = np.arange(len(table.t)) if table.key is not None else None
        for i in check.unsorted(table.t, self.starts, self.ends):
            part = slice(self.starts[i], self.ends[i])
            order = np.argsort(table.t[part], kind="stable")
            for name in ("t", "x", "y", "key_class"):
                column = getattr(table, name)
                if len(column):
                    column = column if column.flags.writeable else column.copy()
                    column[part] = column[part][order]
                    setattr(table, name, column)
            if everything is not None:
                everything[part] = everything[part][order]
        if table.key is not None and everything is not None:
            table.key = table.key.gather(everything)


def evaluate(groups: Mapping[Kind, Grouped], trials: int, options: Options) -> dict[str, Floats]:
    """A value per trial for every metric; NaN where the log can't say. Tables are sorted by time within trials."""
    values = {name: np.full(trials, np.nan) for name in NAMES}

    def run(names: Sequence[str], chosen: Ints, measure: Callable[[Floats], None]) -> None:
        out = np.full((trials, len(names)), np.nan)
        measure(out)
        out[chosen == 0] = np.nan
        for position, name in enumerate(names):
            values[name] = out[:, position]

    for kind, name in _COUNTS.items():
        if kind in groups:
            group = groups[kind]
            values[name] = np.where(group.present == 1, group.ends - group.starts, np.nan)
    moves, presses = groups.get("mouse_movement"), groups.get("mouse_clicks")
    moved, moved_starts, moved_ends = np.empty((3, 0)), np.zeros(trials, np.int64), np.zeros(trials, np.int64)
    if moves is not None:
        table = moves.table
        moved, moved_starts, moved_ends = merge_equal_times(table.t, table.x, table.y, moves.starts, moves.ends)
        run(movement.NAMES, moves.present, lambda out: movement.measure(
            moved[0], moved[1], moved[2], moved_starts, moved_ends, options.idle_gap_s, options.hover_gap_s, out
        ))  # fmt: skip
    if presses is not None:
        group, table = presses, presses.table
        has_path = np.zeros(trials, np.int64) if moves is None else moves.present
        run(clicks.NAMES, group.present, lambda out: clicks.measure(
            table.t, table.x, table.y, group.starts, group.ends,
            moved[0], moved[1], moved[2], moved_starts, moved_ends, has_path, out,
        ))  # fmt: skip
    if wheel := groups.get("mouse_scrolls"):
        run(scrolls.NAMES, wheel.present, lambda out: scrolls.measure(
            wheel.table.t, wheel.starts, wheel.ends, options.scroll_gap_s, out
        ))  # fmt: skip
    if keys := groups.get("keyboard"):
        run(typing.NAMES, keys.present, lambda out: typing.measure(
            keys.table.t, keys.table.key_class, keys.starts, keys.ends, out
        ))  # fmt: skip
    _clock(groups, trials, options, run)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = 60 * values["click_count"] / values["completion_time_s"]
    values["click_rate_per_min"] = rate
    for name, column in values.items():
        values[name] = np.where(np.isfinite(column), column, np.nan)
    return values


def _clock(
    groups: Mapping[Kind, Grouped], trials: int, options: Options,
    run: Callable[[Sequence[str], Ints, Callable[[Floats], None]], None],
) -> None:  # fmt: skip
    present = [groups[kind] for kind in KINDS if kind in groups]
    if not present:
        return
    t = np.concatenate([group.table.t for group in present])
    shifts = np.cumsum([0, *(len(group.table.t) for group in present)])[:-1]
    starts = np.stack([group.starts + shift for group, shift in zip(present, shifts, strict=True)])
    ends = np.stack([group.ends + shift for group, shift in zip(present, shifts, strict=True)])
    everyone = np.ones(trials, np.int64)
    run(clock.NAMES, everyone, lambda out: clock.measure(t, starts, ends, options.activity_gap_s, out))
