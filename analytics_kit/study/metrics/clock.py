"""How long a trial took and when something happened, over all kinds of events together."""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.kernel import TICK_S, Floats, Ints, kernel

NAMES = ("completion_time_s", "time_to_first_event_s", "active_time_s")


@kernel
def measure(t: Floats, starts: Ints, ends: Ints, activity_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial that has events.

    `t` holds the times of all kinds one after the other; kind k of trial i is `t[starts[k, i]:ends[k, i]]`,
    ascending. The kinds are merged as they are read.
    """
    kinds, trials = starts.shape
    at = np.empty(kinds, np.int64)
    for i in range(trials):
        at[:] = starts[:, i]
        first = last = np.nan
        active = 0.0
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
            while row < end and t[row] <= others:  # as far as no other kind comes in between
                gap = t[row] - last
                if gap <= activity_gap_s + TICK_S:
                    active += gap
                last = t[row]
                row += 1
            at[earliest] = row
        if not np.isnan(first):
            out[i, 0], out[i, 1], out[i, 2] = last, first, active
