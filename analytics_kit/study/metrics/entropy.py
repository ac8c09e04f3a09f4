"""How complex was the movement to and fro? Sample entropy, whose tolerance all trials of the study have in common.

Conventions: t in seconds, ascending, equal times merged. A trial's steps are worked out with its shard, the
entropy of all trials at the merge.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.schema.compiling import TOLERANCE_PX, Floats, kernel

STEPS = 100
"""Steps of equal time from the first row to the last."""
WINDOW = 3
"""Steps in a row that have to be alike."""
TOLERANCE = 0.2
"""Steps are alike that differ by so many standard deviations of all steps of the study, or less."""


@kernel
def steps(t: Floats, x: Floats, out: Floats) -> None:
    """out[k] is how far x changes in the k-th of the steps of one trial; left alone where there are not two rows."""
    row, last = 0, len(t) - 1
    if last <= row:
        return
    before, each = x[0], (t[last] - t[0]) / STEPS
    for k in range(STEPS):
        now, here = t[0] + (k + 1) * each, x[last]
        while row < last and t[row + 1] <= now:
            row += 1
        if row < last and k < STEPS - 1:
            here = x[row] + (now - t[row]) / (t[row + 1] - t[row]) * (x[row + 1] - x[row])
        out[k] = here - before
        before = here


@kernel
def _entropies(moved: Floats, tolerance: float, out: Floats) -> None:
    trials, count = moved.shape
    same = np.empty(count, np.uint8)
    for i in range(trials):
        alike = longer = np.int64(0)
        for lag in range(1, count):
            for k in range(lag, count):
                same[k] = abs(moved[i, k] - moved[i, k - lag]) <= tolerance
            window = same[lag:count]
            for k in range(len(window) - WINDOW):  # nothing follows the last window that could be alike too
                three = window[k] & window[k + 1] & window[k + 2]
                alike += np.int64(three)
                longer += np.int64(three & window[k + WINDOW])
        if longer > 0:
            out[i] = np.log(alike / longer)


def sample_entropies(moved: Floats) -> Floats:
    """Sample entropy (nat) of each trial from its steps (trials x STEPS); NaN where steps are, or none are alike.

    The share of windows of 3 alike steps whose next steps are alike too, as its negative logarithm (Hehman et al.
    2015, as in mousetrap). The tolerance is 0.2 standard deviations (n - 1) of the steps of all trials.
    """
    out = np.full(len(moved), np.nan)
    known = np.isfinite(moved).all(axis=1)
    if known.any():
        with np.errstate(over="ignore", invalid="ignore"):
            tolerance = TOLERANCE * float(np.std(moved[known], ddof=1)) + TOLERANCE_PX
        entropies = np.full(int(known.sum()), np.nan)
        _entropies(moved[known], tolerance, entropies)
        out[known] = entropies
    return out
