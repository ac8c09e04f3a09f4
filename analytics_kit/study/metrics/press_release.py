"""Which press belongs to which release?

Conventions: rows of a trial ascend in time; `action` holds 0 for a press and 1 for a release, or nothing where the
log does not tell. A press without a release has NaN for what needs one.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.columns import RELEASE
from analytics_kit.study.schema.compiling import Codes, Floats, Ints, kernel


@kernel
def clicks(
    t: Floats, x: Floats, y: Floats, action: Codes, starts: Ints, ends: Ints
) -> tuple[Floats, Ints, Ints, Ints]:
    """Presses (t, x, y, hold time, distance to the release), where each trial starts and ends in them, and pairs.

    The last is (pairs, rows without a partner) of each trial; what stands behind the last trial's end means nothing.
    Without `action` odd rows (1st, 3rd, …) are presses; if
    their number is odd, one row is missing somewhere and it is unknown which is which: no press has a release.
    """
    presses = np.full((5, len(t)), np.nan)
    new_starts, new_ends = np.empty_like(starts), np.empty_like(ends)
    tally = np.empty((len(starts), 2), np.int64)
    n = 0
    for i in range(len(starts)):
        new_starts[i] = n
        start, rows = starts[i], ends[i] - starts[i]
        known = len(action) > 0 or rows % 2 == 0
        open_row, pairs = -1, 0
        for row in range(start, ends[i]):
            released = action[row] == RELEASE if len(action) else (row - start) % 2 == 1
            if not released:
                presses[0, n], presses[1, n], presses[2, n] = t[row], x[row], y[row]
                open_row = row
                n += 1
            elif open_row >= 0:
                if known:
                    presses[3, n - 1] = t[row] - t[open_row]
                    presses[4, n - 1] = distance(x[open_row], y[open_row], x[row], y[row])
                open_row = -1
                pairs += 1
        new_ends[i] = n
        tally[i, 0], tally[i, 1] = pairs, rows - 2 * pairs
    return presses, new_starts, new_ends, tally


@kernel
def keys(t: Floats, number: Ints, action: Codes, starts: Ints, ends: Ints) -> tuple[Ints, Floats, Ints, Ints]:
    """The presses' rows, the time of release of each, and where each trial starts and ends in them.

    `number` says which key it was, or which press. A key that is pressed again while it is down (auto-repeat) is
    released once, and its last press has the release.
    """
    rows, released = np.empty(len(t), np.int64), np.full(len(t), np.nan)
    new_starts, new_ends = np.empty_like(starts), np.empty_like(ends)
    most = 0
    for row in range(len(number)):
        most = max(most, number[row])
    down = np.full(most + 1, -1)
    n = 0
    for i in range(len(starts)):
        new_starts[i] = n
        for row in range(starts[i], ends[i]):
            if action[row] != RELEASE:
                down[number[row]] = n
                rows[n] = row
                n += 1
            elif down[number[row]] >= new_starts[i]:
                released[down[number[row]]] = t[row]
                down[number[row]] = -1
        new_ends[i] = n
    return rows[:n], released[:n], new_starts, new_ends
