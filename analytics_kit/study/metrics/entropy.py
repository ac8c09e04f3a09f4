"""Measure the complexity of horizontal movement by sample entropy, with one tolerance for all trials of a study.

Conventions: t in seconds, ascending, equal times merged. A trial's differences of x are computed with its shard; the
entropies of all trials follow when the shards are merged, since the tolerance depends on the whole study.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.schema.compiling import TOLERANCE_PX, Floats, kernel, subkernel

X_DIFFERENCES = 100
"""Number of differences of x per trial, over intervals of equal duration from the first row to the last."""
WINDOW = 3
"""Consecutive differences that must be similar; sample entropy calls it m."""
TOLERANCE = 0.2
"""Differences are similar if they are at most this many standard deviations of all differences of the study apart."""


@subkernel
def x_differences(t: Floats, x: Floats, out: Floats) -> None:
    """Fill `out` with the differences of x between points of equal time in one trial; unchanged below two rows."""
    row, last = 0, len(t) - 1
    if last <= row:
        return
    previous, interval = x[0], (t[last] - t[0]) / X_DIFFERENCES
    for k in range(X_DIFFERENCES):
        time, position = t[0] + (k + 1) * interval, x[last]
        while row < last and t[row + 1] <= time:
            row += 1
        if row < last and k < X_DIFFERENCES - 1:
            position = x[row] + (time - t[row]) / (t[row + 1] - t[row]) * (x[row + 1] - x[row])
        out[k] = position - previous
        previous = position


@kernel
def _entropies(differences: Floats, tolerance: float, out: Floats) -> None:
    trials, count = differences.shape
    similar = np.empty(count, np.uint8)
    for i in range(trials):
        matches = longer_matches = np.int64(0)
        for lag in range(1, count):
            for k in range(lag, count):
                similar[k] = abs(differences[i, k] - differences[i, k - lag]) <= tolerance
            pair = similar[lag:count]
            for k in range(len(pair) - WINDOW):  # the last window has no successor to compare
                match = pair[k] & pair[k + 1] & pair[k + 2]
                matches += np.int64(match)
                longer_matches += np.int64(match & pair[k + WINDOW])
        if longer_matches > 0:
            out[i] = np.log(matches / longer_matches)


def sample_entropies(differences: Floats) -> Floats:
    """Return the sample entropy of each trial of a study.

    It is the negative logarithm of the fraction of pairs of similar windows (3 differences each) whose next
    differences are similar too (Hehman et al. 2015, as in mousetrap). The tolerance is 0.2 standard deviations
    (n - 1) of the differences of all trials.

    Parameters
    ----------
    differences, shape (trials, X_DIFFERENCES)
        Differences of x of each trial in pixels, NaN if it has fewer than two rows.

    Returns
    -------
    numpy.ndarray, shape (trials,), float64
        Sample entropy in nat; NaN for a trial without differences, or if no next differences are similar.
    """
    out = np.full(len(differences), np.nan)
    finite = np.isfinite(differences).all(axis=1)
    if finite.any():
        chosen = differences if finite.all() else differences[finite]
        with np.errstate(over="ignore", invalid="ignore"):
            tolerance = TOLERANCE * float(np.std(chosen, ddof=1)) + TOLERANCE_PX
        entropies = np.full(len(chosen), np.nan)
        _entropies(chosen, tolerance, entropies)
        out[finite] = entropies
    return out
