"""How long did a trial take, when did something happen, and how often did the hand go from mouse to keys and back?

All kinds of events together count.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import longest, median
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, Ints, kernel

NAMES = (
    "completion_time_s", "time_to_first_event_s", "active_time_s", "device_switch_count", "homing_time_median_s",
)  # fmt: skip


@kernel
def measure(t: Floats, starts: Ints, ends: Ints, keyboard: int, activity_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial that has events.

    `t` holds the times of all kinds one after the other; kind k of trial i is `t[starts[k, i]:ends[k, i]]`,
    ascending. The kinds are merged as they are read. Kind `keyboard`, the last if there is one, is the other device;
    at equal times the hand stays where it is.
    """
    kinds, trials = starts.shape
    at = np.empty(kinds, np.int64)
    homing = np.empty(2 * longest(starts[keyboard], ends[keyboard]) + 1 if keyboard < kinds else 0)
    for i in range(trials):
        for k in range(kinds):  # assigning a slice would take seconds to compile
            at[k] = starts[k, i]
        first = last = np.nan
        active, switches, typed = 0.0, 0, False
        while True:
            earliest, others = -1, np.inf
            for k in range(kinds):
                if at[k] < ends[k, i]:
                    if earliest < 0 or t[at[k]] < t[at[earliest]]:
                        others = np.inf if earliest < 0 else t[at[earliest]]
                        earliest = k
                    else:
                        others = min(others, t[at[k]])
            if earliest < 0:
                break
            row, end = at[earliest], ends[earliest, i]
            if np.isnan(first):
                first = last = t[row]
            elif (earliest == keyboard) != typed:
                homing[switches] = t[row] - last
                switches += 1
            typed = earliest == keyboard
            while row < end and t[row] <= others:  # as far as no other kind comes in between
                gap = t[row] - last
                if gap <= activity_gap_s + TOLERANCE_S:
                    active += gap
                last = t[row]
                row += 1
            at[earliest] = row
        if not np.isnan(first):
            out[i, 0], out[i, 1], out[i, 2], out[i, 3] = last, first, active, switches
        if switches > 0:
            out[i, 4] = median(homing[:switches])
