"""How the wheel turned: bursts, their time and rate. Rows of a trial ascend in time."""

from __future__ import annotations

from analytics_kit.study.metrics.kernel import Floats, Ints, kernel
from analytics_kit.study.metrics.movement import gaps

NAMES = ("scroll_burst_count", "scroll_time_s", "scroll_rate_per_s")


@kernel
def measure(t: Floats, starts: Ints, ends: Ints, scroll_gap_s: float, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial. No rows: no burst, 0 s, rate NA."""
    for i in range(len(starts)):
        trial_t = t[starts[i] : ends[i]]
        n = len(trial_t)
        pauses, _, time_s = gaps(trial_t, scroll_gap_s)
        out[i, 0] = pauses + 1 if n else 0
        out[i, 1] = time_s
        if time_s > 0:
            out[i, 2] = n / time_s
