"""How did the wheel turn: in which bursts, how fast, and, where the log has the wheel's own steps, how far and back?

Rows of a trial ascend in time.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.deviation import visit
from analytics_kit.study.metrics.movement import gaps
from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import Floats, Ints, kernel

NAMES = (
    "scroll_burst_count", "scroll_time_s", "scroll_rate_per_s", "scroll_distance_px", "scroll_reversal_count",
)  # fmt: skip


@kernel
def reversals(d: Floats) -> int:
    """How often the wheel turned back; steps of 0, and unknown ones, are none."""
    way, at = (0.0, 0.0, 0.0, 0), 0.0
    for step in d:
        if not np.isnan(step):
            at += step
            way = visit(way, at, 0.0)
    return way[3]


@kernel
def measure(t: Floats, dx: Floats, dy: Floats, starts: Ints, ends: Ints, scroll_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial. No rows: no burst, 0 s, rate NA.

    dx and dy may be empty arrays or hold NaN; dy alone tells only the way that the wheel turned, and no distance.
    What they tell is NA without rows, since a shard does not know what the log tells of other trials.
    """
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        trial_t = t[start:end]
        n = len(trial_t)
        pauses, _, time_s = gaps(trial_t, scroll_gap_s)
        out[i, 0] = pauses + 1 if n else 0
        out[i, 1] = time_s
        if time_s > 0:
            out[i, 2] = n / time_s
        if len(dx) and n:
            total = 0.0
            for row in range(start, end):
                total += distance(0.0, 0.0, dx[row], dy[row])
            out[i, 3] = total
        told = 0
        for step in dy[start:end]:
            told += not np.isnan(step)
        if told:
            out[i, 4] = reversals(dx[start:end]) + reversals(dy[start:end])
