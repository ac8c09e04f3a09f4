"""What every kernel is compiled with, and the few words they share.

A kernel is a plain loop over one trial's arrays that reads like its formula. Families drive their kernels over all
trials from `starts[i]` to `ends[i]`, inside compiled code. With NUMBA_DISABLE_JIT=1 all of it runs as Python.

What is compiled is kept beside the file. numba does not see that a kernel called from another file has changed: then
remove it (`make clean`).
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.schema.compiling import Floats, Ints, kernel


@kernel
def distance(x0: float, y0: float, x1: float, y1: float) -> float:
    """Distance of two points."""
    return float(np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2))


@kernel
def merge_equal_times(t: Floats, x: Floats, y: Floats, merged: Floats) -> int:
    """Write one trial's rows (t, x, y), of those of equal times the last, and return their number."""
    n, last = 0, len(t) - 1
    for row in range(len(t)):  # written in any case, and written over if the next one has its time
        merged[0, n], merged[1, n], merged[2, n] = t[row], x[row], y[row]
        n += row == last or t[row] != t[row + 1]
    return n


@kernel
def longest(starts: Ints, ends: Ints) -> int:
    """Rows of the largest trial."""
    most = 0
    for i in range(len(starts)):
        most = max(most, ends[i] - starts[i])
    return most


@kernel
def known(values: Floats, scratch: Floats) -> Floats:
    """The values that are not NaN."""
    n = 0
    for value in values:
        if not np.isnan(value):
            scratch[n] = value
            n += 1
    return scratch[:n]


@kernel
def mean(values: Floats) -> float:
    """Mean of one value or more."""
    total = 0.0
    for value in values:
        total += value
    return float(total / len(values))


@kernel
def median(values: Floats) -> float:
    """Median of one value or more; they are left in another order."""
    middle = len(values) // 2
    upper = _select(values, middle)
    if len(values) % 2:
        return upper
    lower = values[0]
    for i in range(1, middle):
        lower = max(lower, values[i])
    return float((lower + upper) / 2)


@kernel
def _select(values: Floats, k: int) -> float:
    """The value that sorting would bring to place k; smaller ones are brought before it.

    Quickselect without a branch that a processor could guess wrong, which makes it five times as fast as numpy's
    median in compiled code.
    """
    low, high = 0, len(values)
    while True:
        first, middle, last = values[low], values[(low + high) // 2], values[high - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        equal = low
        for i in range(low, high):
            value = values[i]
            values[i] = values[equal]
            values[equal] = value
            equal += value < pivot
        if k < equal:
            high = equal
            continue
        larger = equal
        for i in range(equal, high):
            value = values[i]
            values[i] = values[larger]
            values[larger] = value
            larger += value == pivot
        if k < larger:
            return float(pivot)
        if larger == equal:
            return np.nan
        low = larger


@kernel
def extent(values: Floats) -> tuple[float, float]:
    """Smallest and largest of one value or more."""
    smallest = largest = values[0]
    for value in values:
        smallest, largest = min(smallest, value), max(largest, value)
    return smallest, largest
