"""Compute the lines, perpendiculars and distances that drawings of the example show."""

from __future__ import annotations

import numpy as np

from analytics_kit.options import Options
from scripts.canvas import Point
from scripts.example import CLICKS, MOVES

T = [t for t, _, _ in MOVES]
PATH: list[Point] = [(x, y) for _, x, y in MOVES]
XY = np.array(PATH, float)
STEPS = np.diff(XY, axis=0)
LENGTHS = np.hypot(*STEPS.T)
SPEEDS = LENGTHS / np.diff(T)
PRESSES = CLICKS[::2]
START, TARGET = ((float(x), float(y)) for _, x, y in PRESSES[:2])
AIMED = [(x, y) for t, x, y in MOVES if PRESSES[0][0] < t < PRESSES[1][0]]
AXIS = np.subtract(TARGET, START) / np.hypot(*np.subtract(TARGET, START))
OPTIONS = Options()


def deviations(points: np.ndarray) -> np.ndarray:
    """Return the signed distances of points from the straight line between first and last point."""
    across, down = XY[-1] - XY[0]
    sign = -1 if (across < 0) != (down < 0) else 1
    away = points - XY[0]
    return np.asarray(sign * (across * away[:, 1] - down * away[:, 0]) / np.hypot(across, down))


def foot(point: np.ndarray) -> Point:
    """Return the nearest point of that line."""
    line = XY[-1] - XY[0]
    x, y = XY[0] + (point - XY[0]) @ line / (line @ line) * line
    return float(x), float(y)


def resampled() -> np.ndarray:
    """Return the points of the resampled path."""
    times, points = [0.0], [XY[0]]
    for i, t in enumerate(T):
        if i and t - T[i - 1] > OPTIONS.idle_gap_s:
            times.append(t - OPTIONS.idle_gap_s / 2)
            points.append(XY[i - 1])
        times.append(t)
        points.append(XY[i])
    samples = np.arange(round(T[-1] / OPTIONS.resample_s) + 1) * OPTIONS.resample_s
    return np.column_stack([np.interp(samples, times, np.array(points)[:, k]) for k in (0, 1)])


def along_axis(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of points along the first segment's axis, and their distances to its right."""
    away = points - np.array(START)
    return away @ AXIS, AXIS[0] * away[:, 1] - AXIS[1] * away[:, 0]


def beside_axis(distance: float) -> list[Point]:
    """Return the axis, shifted to the right by `distance`."""
    aside = distance * np.array([-AXIS[1], AXIS[0]])
    return [(float(x), float(y)) for x, y in (np.array(START) + aside, np.array(TARGET) + aside)]
