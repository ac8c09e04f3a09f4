"""The metrics of every trial, from event tables: which family measures what, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options
from analytics_kit.study.events.table import Grouped
from analytics_kit.study.metrics import aiming, clicks, entropy, pointer, scrolls, typing
from analytics_kit.study.metrics import durations as clock
from analytics_kit.study.metrics import key_timing as strokes
from analytics_kit.study.metrics import press_release as pairs
from analytics_kit.study.metrics.catalogue import COUNTS, NAMES
from analytics_kit.study.schema.columns import RELEASE
from analytics_kit.study.schema.compiling import Floats, Ints

if TYPE_CHECKING:
    pass

ENTROPY = "sample_entropy"
"""The metric that is settled at the merge, from `Measured.steps`."""
_RATE, _RATE_OF = "click_rate_per_min", ("click_count", "completion_time_s")


class Measured:
    """What becomes of the trials of a shard: `values`, an array for each metric, NaN where the log can't say.

    `steps` (trials x entropy.STEPS) is what sample entropy is worked out from once all of the study is known; None
    where that is not asked for.
    """

    def __init__(self, trials: int, wanted: Sequence[str] | None) -> None:
        self.trials = trials
        self.wanted = {*NAMES} if wanted is None else {*wanted}
        self.needed = self.wanted | ({*_RATE_OF} if _RATE in self.wanted else set())
        self.values = {name: np.full(trials, np.nan) for name in NAMES if name in self.needed}
        self.steps: Floats | None = None

    def take(self, names: Sequence[str], chosen: Ints | None, measure: Callable[[Floats], None]) -> None:
        """Have `measure` fill an array of a row per trial, a column per name; trials not `chosen` (1) are NaN."""
        if self.needed.isdisjoint(names):
            return
        out = np.full((self.trials, len(names)), np.nan)
        measure(out)
        self.put(names, chosen, out)

    def put(self, names: Sequence[str], chosen: Ints | None, out: Floats) -> None:
        """Keep the columns of `out` as the values of these names."""
        if chosen is not None:
            out[chosen == 0] = np.nan
        for position, name in enumerate(names):
            if name in self.needed:
                self.values[name] = out[:, position]

    def finish(self) -> None:
        """Add what is worked out from other metrics; what is not finite is NaN."""
        if _RATE in self.needed:
            count, time_s = (self.values[name] for name in _RATE_OF)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                self.values[_RATE] = 60 * count / time_s
        self.values = {
            name: np.where(np.isfinite(column), column, np.nan)
            for name, column in self.values.items()
            if name in self.wanted
        }


def evaluate(groups: Mapping[Kind, Grouped], trials: int, options: Options) -> Measured:
    """Every metric that the options ask for. Tables are sorted by time within trials."""
    measured = Measured(trials, options.metrics)
    for kind, name in COUNTS.items():
        if (group := groups.get(kind)) and name in measured.needed:
            counts = _presses(group) if kind == "keyboard" else group.ends - group.starts
            measured.values[name] = np.where(group.present == 1, counts, np.nan)
    nothing = np.zeros(trials, np.int64)
    presses, first, last = np.empty((5, 0)), nothing, nothing
    clicked, movers = groups.get("mouse_clicks"), groups.get("mouse_movement")
    if clicked:
        table = clicked.table
        presses, first, last, tally = pairs.clicks(
            table.t, table.x, table.y, table.action, clicked.starts, clicked.ends
        )
        measured.take(clicks.NAMES, clicked.present, lambda out: clicks.measure(
            presses, first, last, tally, options.double_click_s, options.double_click_px, options.rage_click_s,
            options.rage_click_px, options.drag_px, out,
        ))  # fmt: skip
    if movers:
        _pointer(measured, options, movers, presses, first, last, clicked.present if clicked else nothing)
    if wheel := groups.get("mouse_scrolls"):
        rolled = wheel.table
        measured.take(scrolls.NAMES, wheel.present, lambda out: scrolls.measure(
            rolled.t, rolled.dx, rolled.dy, wheel.starts, wheel.ends, options.scroll_gap_s, out
        ))  # fmt: skip
    if keys := groups.get("keyboard"):
        _keys(measured, options, keys)
    _clock(measured, options, groups)
    measured.finish()
    return measured


def _pointer(
    measured: Measured, options: Options, group: Grouped, presses: Floats, first: Ints, last: Ints, clicked: Ints
) -> None:
    if ENTROPY in measured.needed:
        measured.steps = np.full((measured.trials, entropy.STEPS), np.nan)
    wanted = np.array([not measured.needed.isdisjoint(names) for names in pointer.FAMILIES], np.int64)
    if not wanted.any() and measured.steps is None:
        return
    table, out = group.table, np.full((measured.trials, pointer.COLUMNS), np.nan)
    pointer.measure(
        table.t, table.x, table.y, group.starts, group.ends, presses, first, last, wanted, options.idle_gap_s,
        options.hover_gap_s, options.resample_s, options.flip_px, out,
        np.empty((0, entropy.STEPS)) if measured.steps is None else measured.steps,
    )  # fmt: skip
    column = 0
    for names in pointer.FAMILIES:
        chosen = group.present & clicked if names is aiming.NAMES else group.present
        measured.put(names, chosen, out[:, column : column + len(names)])
        column += len(names)


def _keys(measured: Measured, options: Options, group: Grouped) -> None:
    table = group.table
    t, code, number, starts, ends = table.t, table.key_class, table.key_number, group.starts, group.ends
    told = group.present  # without keys only where the log has releases: a shard can ask that of each trial alone
    if len(table.action) and table.key is None:
        told = np.asarray(group.ends - group.starts > _presses(group), np.int64)
    if len(table.action):
        released = np.full(len(t), np.nan)
        rows = np.flatnonzero(table.action != RELEASE)
        if len(number):
            which = table.press_number if len(table.press_number) else number
            rows, released, starts, ends = pairs.keys(t, which, table.action, starts, ends)
        else:
            starts, ends = np.searchsorted(rows, starts), np.searchsorted(rows, ends)
        t, code, number = t[rows], code[rows], number[rows] if len(number) else number
        measured.take(strokes.NAMES, group.present, lambda out: strokes.measure(t, released, starts, ends, out))
    measured.take(typing.NAMES, group.present, lambda out: typing.measure(
        t, code, starts, ends, options.typing_pause_s, out
    ))  # fmt: skip
    if len(number):
        measured.take(strokes.REPEAT_NAMES, told, lambda out: strokes.measure_repeats(
            t, number, starts, ends, options.auto_repeat_s, out
        ))  # fmt: skip


def _presses(group: Grouped) -> Ints:
    action = group.table.action
    if not len(action):
        return group.ends - group.starts
    before = np.concatenate([[0], np.cumsum(action != RELEASE)])
    return np.asarray(before[group.ends] - before[group.starts])


def _clock(measured: Measured, options: Options, groups: Mapping[Kind, Grouped]) -> None:
    present = [groups[kind] for kind in sorted(KINDS, key=lambda kind: kind == "keyboard") if kind in groups]
    if not present:
        return
    t = np.concatenate([group.table.t for group in present])
    shifts = np.cumsum([0, *(len(group.table.t) for group in present)])[:-1]
    starts = np.stack([group.starts + shift for group, shift in zip(present, shifts, strict=True)])
    ends = np.stack([group.ends + shift for group, shift in zip(present, shifts, strict=True)])
    keyboard = len(present) - ("keyboard" in groups)
    measured.take(clock.NAMES, None, lambda out: clock.measure(
        t, starts, ends, keyboard, options.activity_gap_s, out
    ))  # fmt: skip
