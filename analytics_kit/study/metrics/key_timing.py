"""Measure dwell and flight times, rollover and auto-repeat, for logs that record key releases.

Conventions: presses ascending in time; `released` holds the time of each press's release, NaN if it has none.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import max_rows, mean, median, without_nan
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, Ints, kernel

KEY_TIMING_METRICS = (
    "dwell_time_mean_s", "dwell_time_median_s", "flight_time_mean_s", "flight_time_median_s", "rollover_ratio",
)  # fmt: skip
AUTO_REPEAT_METRICS = ("auto_repeat_share",)


@kernel
def measure(t: Floats, released: Floats, starts: Ints, ends: Ints, out: Floats) -> None:
    """Fill a row of `out` (columns in the order of KEY_TIMING_METRICS) for each trial.

    Dwell times are NA if no press has a release, the others if no such press has a successor.
    """
    scratch = np.empty(max_rows(starts, ends))
    values = np.empty(len(scratch))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        for k in range(start, end):
            values[k - start] = released[k] - t[k]
        dwell = without_nan(values[: end - start], scratch)
        if len(dwell) > 0:
            out[i, 0] = mean(dwell)
            out[i, 1] = median(dwell)
        rolled = 0
        for k in range(start + 1, end):
            values[k - 1 - start] = t[k] - released[k - 1]
            rolled += t[k] <= released[k - 1] + TOLERANCE_S
        flight = without_nan(values[: max(end - start - 1, 0)], scratch)
        if len(flight) > 0:
            out[i, 2] = mean(flight)
            out[i, 3] = median(flight)
            out[i, 4] = rolled / len(flight)


@kernel
def measure_repeats(t: Floats, number: Ints, starts: Ints, ends: Ints, repeat_s: float, out: Floats) -> None:
    """Fill `out` with the fraction of presses that repeat the previous key within `repeat_s`; NA without presses."""
    for i in range(len(starts)):
        repeats, n = 0, ends[i] - starts[i]
        for k in range(starts[i] + 1, ends[i]):
            repeats += number[k] == number[k - 1] and t[k] - t[k - 1] <= repeat_s + TOLERANCE_S
        if n > 0:
            out[i, 0] = repeats / n
