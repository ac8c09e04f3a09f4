"""Measure all families of metrics that need the path of the pointer, trial by trial.

The rows of a trial without repeated times are copied to a buffer of the size of the largest trial, which all families
share.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics import aiming, deviation, entropy, movement, turning
from analytics_kit.study.metrics.primitives import max_rows, merge_equal_times
from analytics_kit.study.schema.compiling import Floats, Ints, kernel

PATH_FAMILIES = (
    movement.MOVEMENT_METRICS, deviation.DEVIATION_METRICS, turning.TURNING_METRICS, aiming.AIMING_METRICS,
)  # fmt: skip
_DEVIATION = len(movement.MOVEMENT_METRICS)
_TURNING = _DEVIATION + len(deviation.DEVIATION_METRICS)
_AIMING = _TURNING + len(turning.TURNING_METRICS)
PATH_COLUMNS = _AIMING + len(aiming.AIMING_METRICS)


@kernel
def measure(
    t: Floats, x: Floats, y: Floats, starts: Ints, ends: Ints, presses: Floats, first: Ints, last: Ints, needed: Ints,
    idle_gap_s: float, hover_gap_s: float, resample_s: float, flip_px: float, out: Floats, x_differences: Floats,
) -> None:  # fmt: skip
    """Fill a row of `out` and of `x_differences` for each trial.

    `out` has PATH_COLUMNS columns, PATH_FAMILIES one after the other; families whose `needed` is 0 are left as they
    are. `x_differences` may have no rows. The presses of trial i are `presses[:, first[i]:last[i]]`.
    """
    merged = np.empty((3, max_rows(starts, ends)))
    scratch = np.empty(max(max_rows(starts, ends), max_rows(first, last)))
    for i in range(len(starts)):
        n = merge_equal_times(t[starts[i] : ends[i]], x[starts[i] : ends[i]], y[starts[i] : ends[i]], merged)
        if n == 0 and last[i] == first[i]:
            continue
        a, b, c = merged[0, :n], merged[1, :n], merged[2, :n]
        row = out[i]
        if n > 0:
            if needed[0]:
                movement.measure(a, b, c, idle_gap_s, hover_gap_s, scratch, row[:_DEVIATION])
            if needed[1]:
                deviation.measure(a, b, c, resample_s, idle_gap_s, flip_px, row[_DEVIATION:_TURNING])
            if needed[2]:
                turning.measure(b, c, row[_TURNING:_AIMING])
            if len(x_differences):
                entropy.x_differences(a, b, x_differences[i])
        if needed[3]:
            aiming.measure(a, b, c, presses[:, first[i] : last[i]], scratch, row[_AIMING:])
