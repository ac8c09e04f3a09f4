"""Measure clicks: how many, how long they are held, how soon they follow each other, double and rage clicks, drags.

Conventions: presses as `press_release.pair_clicks` returns them, ascending in time.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance, intervals, max_rows, mean, median, without_nan
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, Ints, kernel, subkernel

CLICK_METRICS = (
    "time_to_first_click_s", "click_count", "unpaired_click_events", "click_hold_mean_s", "click_hold_median_s",
    "inter_click_interval_median_s", "double_click_count", "rage_click_count", "drag_count",
)  # fmt: skip


@subkernel
def double_clicks(t: Floats, x: Floats, y: Floats, max_s: float, max_px: float) -> int:
    """Count the pairs of presses at most `max_s` and `max_px` apart; no press belongs to two pairs."""
    count, k = 0, 1
    while k < len(t):
        if t[k] - t[k - 1] <= max_s + TOLERANCE_S and distance(x[k - 1], y[k - 1], x[k], y[k]) <= max_px:
            count += 1
            k += 1
        k += 1
    return count


@subkernel
def rage_clicks(t: Floats, x: Floats, y: Floats, within_s: float, within_px: float) -> int:
    """Count the runs of three presses, each less than `within_s` and `within_px` (|dx| + |dy|) from its predecessor.

    After three presses a new run begins.
    """
    count, run = 0, 0
    for k in range(len(t)):
        close = (
            run > 0
            and t[k] - t[k - 1] < within_s - TOLERANCE_S
            and abs(x[k] - x[k - 1]) + abs(y[k] - y[k - 1]) < within_px
        )
        run = run + 1 if close else 1
        if run == 3:
            count += 1
            run = 0
    return count


@kernel
def measure(
    presses: Floats, starts: Ints, ends: Ints, tally: Ints, double_s: float, double_px: float, rage_s: float,
    rage_px: float, drag_px: float, out: Floats,
) -> None:  # fmt: skip
    """Fill a row of `out` (columns in the order of CLICK_METRICS) for each trial."""
    scratch = np.empty(max_rows(starts, ends))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        t, x, y = presses[0, start:end], presses[1, start:end], presses[2, start:end]
        n = len(t)
        out[i, 1], out[i, 2] = tally[i, 0], tally[i, 1]
        out[i, 6] = double_clicks(t, x, y, double_s, double_px)
        out[i, 7] = rage_clicks(t, x, y, rage_s, rage_px)
        held = without_nan(presses[3, start:end], scratch)
        if len(held) > 0:
            out[i, 3] = mean(held)
            out[i, 4] = median(held)
        if len(held) > 0 or tally[i, 0] + tally[i, 1] == 0:
            drags = 0
            for k in range(start, end):
                drags += presses[4, k] > drag_px
            out[i, 8] = drags
        if n == 0:
            continue
        out[i, 0] = t[0]
        if n > 1:
            out[i, 5] = median(intervals(t, scratch))
