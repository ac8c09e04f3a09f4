"""Measure a trial's duration, its active time, and the switches of the hand between mouse and keyboard.

These metrics use the events of all kinds together.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import max_rows, median
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, Ints, kernel

DURATION_METRICS = (
    "completion_time_s", "time_to_first_event_s", "active_time_s", "device_switch_count", "homing_time_median_s",
)  # fmt: skip


@kernel
def measure(t: Floats, starts: Ints, ends: Ints, keyboard: int, activity_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (columns in the order of DURATION_METRICS) for each trial that has events.

    `t` holds the times of all kinds one after the other; those of kind k in trial i are `t[starts[k, i]:ends[k, i]]`,
    ascending. The kinds are merged while they are read. `keyboard` is the index of the keyboard, which is the last
    kind (the number of kinds if there is no keyboard); all other kinds are the mouse. At equal times the hand does
    not switch.
    """
    kinds, trials = starts.shape
    next_row = np.empty(kinds, np.int64)
    homing = np.empty(2 * max_rows(starts[keyboard], ends[keyboard]) + 1 if keyboard < kinds else 0)
    for i in range(trials):
        for k in range(kinds):  # assigning a slice would take seconds to compile
            next_row[k] = starts[k, i]
        first = last = np.nan
        active, switches, typing = 0.0, 0, False
        while True:
            earliest, others = -1, np.inf
            for k in range(kinds):
                if next_row[k] < ends[k, i]:
                    if earliest < 0 or t[next_row[k]] < t[next_row[earliest]]:
                        others = np.inf if earliest < 0 else t[next_row[earliest]]
                        earliest = k
                    else:
                        others = min(others, t[next_row[k]])
            if earliest < 0:
                break
            row, end = next_row[earliest], ends[earliest, i]
            if np.isnan(first):
                first = last = t[row]
            elif (earliest == keyboard) != typing:
                homing[switches] = t[row] - last
                switches += 1
            typing = earliest == keyboard
            while row < end and t[row] <= others:  # until a row of another kind is earlier
                gap = t[row] - last
                if gap <= activity_gap_s + TOLERANCE_S:
                    active += gap
                last = t[row]
                row += 1
            next_row[earliest] = row
        if not np.isnan(first):
            out[i, 0], out[i, 1], out[i, 2], out[i, 3] = last, first, active, switches
        if switches > 0:
            out[i, 4] = median(homing[:switches])
