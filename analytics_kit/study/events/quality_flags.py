"""What is doubtful in the rows of each member: times that step back, negative times, artefact coordinates."""

from __future__ import annotations

import numpy as np

from analytics_kit.study.schema.compiling import Floats, Ints, kernel

QUALITY_FLAGS = (
    ("time_backwards", "time(s) earlier than the row before; rows were sorted by time"),
    ("negative_time", "running time(s) below zero; kept"),
    ("artefact", "coordinate(s) outside any screen; kept"),
)


@kernel
def count_flags(t: Floats, x: Floats, y: Floats, offsets: Ints, limit: float, out: Ints) -> None:
    """For member i, rows `offsets[i]` to `offsets[i + 1]`: out[i, d] is (how many, first row) of each doubt."""
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        for row in range(start, end):
            found = 0
            if row > start and t[row] < t[row - 1]:
                found |= 1
            if t[row] < 0:
                found |= 2
            if len(x) and (abs(x[row]) > limit or abs(y[row]) > limit):
                found |= 4
            for d in range(3):
                if found >> d & 1:
                    if out[i, d, 0] == 0:
                        out[i, d, 1] = row - start
                    out[i, d, 0] += 1


@kernel
def find_unsorted(t: Floats, starts: Ints, ends: Ints) -> Ints:
    """Trials whose times step back."""
    found = np.zeros(len(starts), np.int64)
    for i in range(len(starts)):
        for row in range(starts[i] + 1, ends[i]):
            if t[row] < t[row - 1]:
                found[i] = 1
                break
    return np.nonzero(found)[0]
