"""Which of too many points are drawn, and how does the figure say so?"""

from __future__ import annotations

import numpy as np

from analytics_kit.plot.selection import Rows

MOST_POINTS = 10_000
"""More are not drawn of one thing: no screen shows them, and SVG grows slow."""


def stride(count: int, most: int = MOST_POINTS) -> int:
    """Every how-manieth of so many is drawn."""
    return max(1, -(-count // most))


def every(count: int, most: int = MOST_POINTS) -> Rows:
    """Rows to draw of so many: every nth, evenly."""
    return np.arange(0, count, stride(count, most))


def note(count: int, of: str, most: int = MOST_POINTS) -> str:
    """`every 12th of 1,200,000 points`; empty where all are drawn."""
    step = stride(count, most)
    return f"every {_nth(step)} of {count:,} {of}" if step > 1 else ""


def _nth(number: int) -> str:
    teens = 10 < number % 100 < 20
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def extremes(values: np.ndarray[tuple[int], np.dtype[np.float64]], trial: Rows, step: int) -> Rows:
    """Rows with the highest and the lowest value of every `step` rows in a row of one trial, in their order."""
    first = np.flatnonzero(np.diff(trial, prepend=-1))
    within = np.arange(len(trial)) - np.repeat(first, np.diff(first, append=len(trial)))
    order = np.lexsort((values, within // step, trial))
    block = np.stack([trial[order], within[order] // step])
    lowest = np.diff(block, prepend=-1).any(axis=0)
    highest = np.diff(block, append=-1).any(axis=0)
    return np.sort(order[lowest | highest])
