"""Choose which points to draw when there are too many, and describe the choice in a note."""

from __future__ import annotations

import numpy as np

from analytics_kit.plot.arrays import FloatArray, IntArray

MAX_POINTS = 10_000
"""Default limit: no screen shows more points of one thing, and SVG becomes slow."""


def stride(count: int, limit: int = MAX_POINTS) -> int:
    """Return the stride that keeps at most `limit` of `count` points.

    Examples
    --------
    >>> stride(10_000), stride(10_001)
    (1, 2)
    """
    return max(1, -(-count // limit))


def every_nth(count: int, limit: int = MAX_POINTS) -> IntArray:
    """Return the indices of at most `limit` of `count` points, evenly spaced."""
    return np.arange(0, count, stride(count, limit))


def note(count: int, noun: str, limit: int = MAX_POINTS) -> str:
    """Return the note on points that are left out; empty where all are drawn.

    Examples
    --------
    >>> note(1_200_000, "points")
    'every 120th of 1,200,000 points'
    """
    step = stride(count, limit)
    return f"every {_ordinal(step)} of {count:,} {noun}" if step > 1 else ""


def _ordinal(number: int) -> str:
    is_teen = 10 < number % 100 < 20
    ending = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def extremes(values: FloatArray, trial: IntArray, block_size: int) -> IntArray:
    """Return, in order, the indices of the highest and the lowest value in each block of consecutive rows of a trial.

    Parameters
    ----------
    values : array of shape (n,)
    trial : array of shape (n,)
        Number of the trial of each row, ascending.
    block_size : int
        Rows per block; the last block of a trial may be shorter.

    Examples
    --------
    >>> extremes(np.array([1.0, 5, 3, 2, 4, 9]), np.zeros(6, np.int64), 3).tolist()
    [0, 1, 3, 5]
    """
    first = np.flatnonzero(np.diff(trial, prepend=-1))
    within = np.arange(len(trial)) - np.repeat(first, np.diff(first, append=len(trial)))
    order = np.lexsort((values, within // block_size, trial))
    block = np.stack([trial[order], within[order] // block_size])
    lowest = np.diff(block, prepend=-1).any(axis=0)
    highest = np.diff(block, append=-1).any(axis=0)
    return np.sort(order[lowest | highest])
