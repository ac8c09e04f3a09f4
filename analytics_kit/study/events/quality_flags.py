"""Flag doubtful rows: times that step back, negative times, coordinates outside any screen."""

from __future__ import annotations

import numpy as np

from analytics_kit.study.schema.compiling import Floats, Ints, kernel

QUALITY_FLAGS = (
    ("time_backwards", "time(s) earlier than the row before; rows were sorted by time"),
    ("negative_time", "running time(s) below zero; kept"),
    ("artefact", "coordinate(s) outside any screen; kept"),
)
"""Kind and message of the issue for each flag."""


@kernel
def count_flags(t: Floats, x: Floats, y: Floats, offsets: Ints, limit: float, out: Ints) -> None:
    """Set out[i, f] to (count, first row) of flag f in member i, which has rows `offsets[i]` to `offsets[i + 1]`."""
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        for row in range(start, end):
            flags = 0
            if row > start and t[row] < t[row - 1]:
                flags |= 1
            if t[row] < 0:
                flags |= 2
            if len(x) and (abs(x[row]) > limit or abs(y[row]) > limit):
                flags |= 4
            for f in range(3):
                if flags >> f & 1:
                    if out[i, f, 0] == 0:
                        out[i, f, 1] = row - start
                    out[i, f, 0] += 1


@kernel
def find_unsorted(t: Floats, starts: Ints, ends: Ints) -> Ints:
    """Return the trials, rows `starts[i]` to `ends[i]`, whose times step back."""
    found = np.zeros(len(starts), np.int64)
    for i in range(len(starts)):
        for row in range(starts[i] + 1, ends[i]):
            if t[row] < t[row - 1]:
                found[i] = 1
                break
    return np.nonzero(found)[0]
