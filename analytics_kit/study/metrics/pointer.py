"""What does the path of the pointer tell? All families that need it, trial by trial.

Rows of equal times are merged into a copy that is only as large as the largest trial.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics import aiming, entropy, movement, turning
from analytics_kit.study.metrics import deviation as line
from analytics_kit.study.metrics.primitives import longest, merge_equal_times
from analytics_kit.study.schema.compiling import Floats, Ints, kernel

FAMILIES = (movement.NAMES, line.NAMES, turning.NAMES, aiming.NAMES)
_LINE = len(movement.NAMES)
_TURNING = _LINE + len(line.NAMES)
_AIMING = _TURNING + len(turning.NAMES)
COLUMNS = _AIMING + len(aiming.NAMES)


@kernel
def measure(
    t: Floats, x: Floats, y: Floats, starts: Ints, ends: Ints, presses: Floats, first: Ints, last: Ints, wanted: Ints,
    idle_gap_s: float, hover_gap_s: float, resample_s: float, flip_px: float, out: Floats, steps: Floats,
) -> None:  # fmt: skip
    """Fill a row of `out` (COLUMNS: all FAMILIES, those that are `wanted`) and of `steps` for each trial with rows.

    `steps` may have no rows. Presses of trial i are `presses[:, first[i]:last[i]]`.
    """
    merged = np.empty((3, longest(starts, ends)))
    scratch = np.empty(max(longest(starts, ends), longest(first, last)))
    for i in range(len(starts)):
        n = merge_equal_times(t[starts[i] : ends[i]], x[starts[i] : ends[i]], y[starts[i] : ends[i]], merged)
        if n == 0 and last[i] == first[i]:
            continue
        a, b, c = merged[0, :n], merged[1, :n], merged[2, :n]
        row = out[i]
        if n > 0:
            if wanted[0]:
                movement.measure(a, b, c, idle_gap_s, hover_gap_s, scratch, row[:_LINE])
            if wanted[1]:
                line.measure(a, b, c, resample_s, idle_gap_s, flip_px, row[_LINE:_TURNING])
            if wanted[2]:
                turning.measure(b, c, row[_TURNING:_AIMING])
            if len(steps):
                entropy.steps(a, b, steps[i])
        if wanted[3]:
            aiming.measure(a, b, c, presses[:, first[i] : last[i]], scratch, row[_AIMING:])
