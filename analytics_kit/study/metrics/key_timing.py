"""How long was each key down, and when was the next one pressed? For logs with releases that say which key it was.

Conventions: presses ascending in time; `released` is each one's time of release, NaN where there is none.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import known, longest, mean, median
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, Ints, kernel

NAMES = ("dwell_time_mean_s", "dwell_time_median_s", "flight_time_mean_s", "flight_time_median_s", "rollover_ratio")
REPEAT_NAMES = ("auto_repeat_share",)


@kernel
def measure(t: Floats, released: Floats, starts: Ints, ends: Ints, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial; NA where no press has a release, and a press after it."""
    scratch = np.empty(longest(starts, ends))
    values = np.empty(len(scratch))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        for k in range(start, end):
            values[k - start] = released[k] - t[k]
        dwell = known(values[: end - start], scratch)
        if len(dwell) > 0:
            out[i, 0] = mean(dwell)
            out[i, 1] = median(dwell)
        rolled = 0
        for k in range(start + 1, end):
            values[k - 1 - start] = t[k] - released[k - 1]
            rolled += t[k] <= released[k - 1] + TOLERANCE_S
        flight = known(values[: max(end - start - 1, 0)], scratch)
        if len(flight) > 0:
            out[i, 2] = mean(flight)
            out[i, 3] = median(flight)
            out[i, 4] = rolled / len(flight)


@kernel
def measure_repeats(t: Floats, number: Ints, starts: Ints, ends: Ints, repeat_s: float, out: Floats) -> None:
    """Share of presses of the same key as the one before, not later than `repeat_s`; NA without presses."""
    for i in range(len(starts)):
        repeats, n = 0, ends[i] - starts[i]
        for k in range(starts[i] + 1, ends[i]):
            repeats += number[k] == number[k - 1] and t[k] - t[k - 1] <= repeat_s + TOLERANCE_S
        if n > 0:
            out[i, 0] = repeats / n
