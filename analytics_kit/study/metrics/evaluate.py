"""Compute the metrics of every trial of a shard from its event tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options
from analytics_kit.study.events.table import Grouped
from analytics_kit.study.metrics import (
    aiming,
    clicks,
    durations,
    entropy,
    key_timing,
    pointer_path,
    press_release,
    scrolls,
    typing,
)
from analytics_kit.study.metrics.catalogue import EVENT_COUNT_METRICS, METRIC_NAMES
from analytics_kit.study.schema.columns import RELEASE
from analytics_kit.study.schema.compiling import Floats, Ints

SAMPLE_ENTROPY = "sample_entropy"
"""The metric that is computed when shards are merged, from `TrialMetrics.x_differences` of all trials."""
_RATE, _RATE_INPUTS = "click_rate_per_min", ("click_count", "completion_time_s")


class TrialMetrics:
    """The metrics of a shard's trials.

    `values` has an array per metric, NaN where it is NA. `x_differences` (trials x entropy.X_DIFFERENCES) is the
    input of sample entropy, which needs all trials of the study; None if it was not requested.
    """

    def __init__(self, trials: int, requested: Sequence[str] | None) -> None:
        self.trials = trials
        self.requested = {*METRIC_NAMES} if requested is None else {*requested}
        self.needed = self.requested | ({*_RATE_INPUTS} if _RATE in self.requested else set())
        self.values = {name: np.full(trials, np.nan) for name in METRIC_NAMES if name in self.needed}
        self.x_differences: Floats | None = None

    def compute(self, names: Sequence[str], present: Ints | None, measure: Callable[[Floats], None]) -> None:
        """Let `measure` fill an array with a row per trial and a column per name, unless no name is needed.

        Trials whose `present` is 0 get NaN.
        """
        if self.needed.isdisjoint(names):
            return
        out = np.full((self.trials, len(names)), np.nan)
        measure(out)
        self.store(names, present, out)

    def store(self, names: Sequence[str], present: Ints | None, out: Floats) -> None:
        """Keep the columns of `out` as the values of these metrics."""
        if present is not None:
            out[present == 0] = np.nan
        for column, name in enumerate(names):
            if name in self.needed:
                self.values[name] = out[:, column]

    def finish(self) -> None:
        """Add the metric that depends on others, drop what was not requested, and turn infinite values into NaN."""
        if _RATE in self.needed:
            count, time_s = (self.values[name] for name in _RATE_INPUTS)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                self.values[_RATE] = 60 * count / time_s
        self.values = {name: column for name, column in self.values.items() if name in self.requested}
        for name, column in self.values.items():  # one by one, so that never all of them are held twice
            self.values[name] = np.where(np.isfinite(column), column, np.nan)


def evaluate(groups: Mapping[Kind, Grouped], trials: int, options: Options) -> TrialMetrics:
    """Compute the requested metrics of a shard.

    Parameters
    ----------
    groups
        The events of each kind, sorted by time within each trial.
    trials
        Number of trials in the shard.
    options
        Requested metrics (`options.metrics`, None for all) and thresholds.

    Returns
    -------
    TrialMetrics
        The requested metrics; sample entropy is NaN until the merge computes it from `x_differences`.
    """
    metrics = TrialMetrics(trials, options.metrics)
    for kind, name in EVENT_COUNT_METRICS.items():
        if (group := groups.get(kind)) and name in metrics.needed:
            counts = _press_counts(group) if kind == "keyboard" else group.ends - group.starts
            metrics.values[name] = np.where(group.present == 1, counts, np.nan)
    zeros = np.zeros(trials, np.int64)
    presses, first, last = np.empty((5, 0)), zeros, zeros
    click_rows, movement_rows = groups.get("mouse_clicks"), groups.get("mouse_movement")
    if click_rows:
        table = click_rows.table
        presses, first, last, tally = press_release.pair_clicks(
            table.t, table.x, table.y, table.action, click_rows.starts, click_rows.ends
        )
        metrics.compute(clicks.CLICK_METRICS, click_rows.present, lambda out: clicks.measure(
            presses, first, last, tally, options.double_click_s, options.double_click_px, options.rage_click_s,
            options.rage_click_px, options.drag_px, out,
        ))  # fmt: skip
    if movement_rows:
        clicks_present = click_rows.present if click_rows else zeros
        _compute_pointer_path(metrics, options, movement_rows, presses, first, last, clicks_present)
    if scroll_rows := groups.get("mouse_scrolls"):
        wheel = scroll_rows.table
        metrics.compute(scrolls.SCROLL_METRICS, scroll_rows.present, lambda out: scrolls.measure(
            wheel.t, wheel.dx, wheel.dy, scroll_rows.starts, scroll_rows.ends, options.scroll_gap_s, out
        ))  # fmt: skip
    if key_rows := groups.get("keyboard"):
        _compute_keys(metrics, options, key_rows)
    _compute_durations(metrics, options, groups)
    metrics.finish()
    return metrics


def _compute_pointer_path(
    metrics: TrialMetrics, options: Options, group: Grouped, presses: Floats, first: Ints, last: Ints,
    clicks_present: Ints,
) -> None:  # fmt: skip
    if SAMPLE_ENTROPY in metrics.needed:
        metrics.x_differences = np.full((metrics.trials, entropy.X_DIFFERENCES), np.nan)
    needed = np.array([not metrics.needed.isdisjoint(names) for names in pointer_path.PATH_FAMILIES], np.int64)
    if not needed.any() and metrics.x_differences is None:
        return
    table, out = group.table, np.full((metrics.trials, pointer_path.PATH_COLUMNS), np.nan)
    pointer_path.measure(
        table.t, table.x, table.y, group.starts, group.ends, presses, first, last, needed, options.idle_gap_s,
        options.hover_gap_s, options.resample_s, options.flip_px, out,
        np.empty((0, entropy.X_DIFFERENCES)) if metrics.x_differences is None else metrics.x_differences,
    )  # fmt: skip
    column = 0
    for names in pointer_path.PATH_FAMILIES:
        present = group.present & clicks_present if names is aiming.AIMING_METRICS else group.present
        metrics.store(names, present, out[:, column : column + len(names)])
        column += len(names)


def _compute_keys(metrics: TrialMetrics, options: Options, group: Grouped) -> None:
    table = group.table
    t, code, number, starts, ends = table.t, table.key_class, table.key_number, group.starts, group.ends
    with_repeats = group.present
    if len(table.action) and table.key is None:
        # Unless keys="full", auto-repeat is computed only if the log has releases. A shard has only its own trials,
        # so this is decided for each trial alone.
        with_repeats = np.asarray(group.ends - group.starts > _press_counts(group), np.int64)
    if len(table.action):
        released = np.full(len(t), np.nan)
        rows = np.flatnonzero(table.action != RELEASE)
        if len(number):
            identity = table.press_number if len(table.press_number) else number
            rows, released, starts, ends = press_release.pair_keys(t, identity, table.action, starts, ends)
        else:
            starts, ends = np.searchsorted(rows, starts), np.searchsorted(rows, ends)
        t, code, number = t[rows], code[rows], number[rows] if len(number) else number
        metrics.compute(key_timing.KEY_TIMING_METRICS, group.present, lambda out: key_timing.measure(
            t, released, starts, ends, out
        ))  # fmt: skip
    metrics.compute(typing.TYPING_METRICS, group.present, lambda out: typing.measure(
        t, code, starts, ends, options.typing_pause_s, out
    ))  # fmt: skip
    if len(number):
        metrics.compute(key_timing.AUTO_REPEAT_METRICS, with_repeats, lambda out: key_timing.measure_repeats(
            t, number, starts, ends, options.auto_repeat_s, out
        ))  # fmt: skip


def _press_counts(group: Grouped) -> Ints:
    """Return the number of presses of each trial."""
    action = group.table.action
    if not len(action):
        return group.ends - group.starts
    before = np.concatenate([[0], np.cumsum(action != RELEASE)])
    return np.asarray(before[group.ends] - before[group.starts])


def _compute_durations(metrics: TrialMetrics, options: Options, groups: Mapping[Kind, Grouped]) -> None:
    present = [groups[kind] for kind in sorted(KINDS, key=lambda kind: kind == "keyboard") if kind in groups]
    if not present:
        return
    t = np.concatenate([group.table.t for group in present])
    shifts = np.cumsum([0, *(len(group.table.t) for group in present)])[:-1]
    starts = np.stack([group.starts + shift for group, shift in zip(present, shifts, strict=True)])
    ends = np.stack([group.ends + shift for group, shift in zip(present, shifts, strict=True)])
    keyboard = len(present) - ("keyboard" in groups)
    metrics.compute(durations.DURATION_METRICS, None, lambda out: durations.measure(
        t, starts, ends, keyboard, options.activity_gap_s, out
    ))  # fmt: skip
