"""Pair presses with their releases, for mouse buttons and keys.

Conventions: rows of a trial ascend in time; `action` holds 0 for a press and 1 for a release, or is empty if the log
does not distinguish them. A press without a release has NaN for the values that need one.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.columns import RELEASE
from analytics_kit.study.schema.compiling import Codes, Floats, Ints, kernel


@kernel
def pair_clicks(
    t: Floats, x: Floats, y: Floats, action: Codes, starts: Ints, ends: Ints
) -> tuple[Floats, Ints, Ints, Ints]:
    """Pair click rows.

    Without `action` the odd rows (1st, 3rd, …) are presses. If a trial then has an odd number of rows, one row is
    missing somewhere and the pairing is unknown: no press has a release.

    Returns
    -------
    presses, shape (5, rows)
        t, x, y, hold time, and distance from press to release; columns after the last trial's end are undefined.
    starts, ends
        The columns of each trial's presses.
    tally, shape (trials, 2)
        Number of pairs, and of rows without a partner.
    """
    presses = np.full((5, len(t)), np.nan)
    new_starts, new_ends = np.empty_like(starts), np.empty_like(ends)
    tally = np.empty((len(starts), 2), np.int64)
    n = 0
    for i in range(len(starts)):
        new_starts[i] = n
        start, rows = starts[i], ends[i] - starts[i]
        is_pairing_known = len(action) > 0 or rows % 2 == 0
        open_row, pairs = -1, 0
        for row in range(start, ends[i]):
            released = action[row] == RELEASE if len(action) else (row - start) % 2 == 1
            if not released:
                presses[0, n], presses[1, n], presses[2, n] = t[row], x[row], y[row]
                open_row = row
                n += 1
            elif open_row >= 0:
                if is_pairing_known:
                    presses[3, n - 1] = t[row] - t[open_row]
                    presses[4, n - 1] = distance(x[open_row], y[open_row], x[row], y[row])
                open_row = -1
                pairs += 1
        new_ends[i] = n
        tally[i, 0], tally[i, 1] = pairs, rows - 2 * pairs
    return presses, new_starts, new_ends, tally


@kernel
def pair_keys(t: Floats, number: Ints, action: Codes, starts: Ints, ends: Ints) -> tuple[Ints, Floats, Ints, Ints]:
    """Return the rows that are presses, the release time of each, and the start and end of each trial in these.

    `number` identifies the key or the press. A key that is pressed again while it is down (auto-repeat) is released
    once, and the release belongs to its last press.
    """
    rows, released = np.empty(len(t), np.int64), np.full(len(t), np.nan)
    new_starts, new_ends = np.empty_like(starts), np.empty_like(ends)
    largest = 0
    for row in range(len(number)):
        largest = max(largest, number[row])
    down = np.full(largest + 1, -1)
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
