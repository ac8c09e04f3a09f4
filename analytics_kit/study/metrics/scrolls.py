"""Measure scrolling: bursts and rate, and, for logs that record the wheel's steps, distance and reversals.

Conventions: the rows of a trial ascend in time.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.deviation import update_flips
from analytics_kit.study.metrics.movement import split_gaps
from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import Floats, Ints, kernel, subkernel

SCROLL_METRICS = (
    "scroll_burst_count", "scroll_time_s", "scroll_rate_per_s", "scroll_distance_px", "scroll_reversal_count",
)  # fmt: skip


@subkernel
def reversals(d: Floats) -> int:
    """Count the changes of the wheel's direction; steps that are 0 or unknown (NaN) are skipped."""
    state, position = (0.0, 0.0, 0.0, 0), 0.0
    for step in d:
        if not np.isnan(step):
            position += step
            state = update_flips(state, position, 0.0)
    return state[3]


@kernel
def measure(t: Floats, dx: Floats, dy: Floats, starts: Ints, ends: Ints, scroll_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (columns in the order of SCROLL_METRICS) for each trial.

    Without rows there are 0 bursts in 0 s, and the rate is NA. Distance and reversals are then NA too, not 0: a shard
    does not show whether the log has dx and dy in other trials. dx and dy may be empty arrays or contain NaN. One
    of them alone gives no distance; dy alone gives the wheel's direction.
    """
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        trial_t = t[start:end]
        n = len(trial_t)
        pauses, _, time_s = split_gaps(trial_t, scroll_gap_s)
        out[i, 0] = pauses + 1 if n else 0
        out[i, 1] = time_s
        if time_s > 0:
            out[i, 2] = n / time_s
        if len(dx) and len(dy) and n:
            total = 0.0
            for row in range(start, end):
                total += distance(0.0, 0.0, dx[row], dy[row])
            out[i, 3] = total
        known_steps = 0
        for step in dy[start:end]:
            known_steps += not np.isnan(step)
        if known_steps:
            out[i, 4] = reversals(dx[start:end]) + reversals(dy[start:end])
