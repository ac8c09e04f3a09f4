"""Which way did the pointer go, and how sharply did it turn?

Conventions: x, y in pixels, y grows downwards; rows ascend in time, equal times merged. Steps of length 0 have no
direction and are passed over.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.kernel import Floats, Ints, distance, kernel

SECTORS = 8
NAMES = ("turning_angle_mean_rad", "curvature_mean_rad_px", *(f"direction_sector_{k}" for k in range(SECTORS)))
_FLAT = np.sqrt(2) - 1
"""The tangent of 22.5 degrees, where a sector ends."""


@kernel
def sector(dx: float, dy: float) -> int:
    """Which eighth of the circle a step goes to: 0 is right, 2 is up as seen on the screen."""
    wide, high = abs(dx), abs(dy)
    if high < _FLAT * wide:
        return 0 if dx > 0 else 4
    if wide < _FLAT * high:
        return 2 if dy < 0 else 6
    if dy < 0:
        return 1 if dx > 0 else 3
    return 7 if dx > 0 else 5


@kernel
def turns(x: Floats, y: Floats) -> tuple[float, float]:
    """Mean angle between a step and the next, and mean of angle / length of the step before it; NaN without turns."""
    px, py, length = 0.0, 0.0, 0.0
    angles, curvatures, count = 0.0, 0.0, 0
    for i in range(1, len(x)):
        dx, dy = x[i] - x[i - 1], y[i] - y[i - 1]
        following = np.sqrt(dx * dx + dy * dy)
        if following == 0:
            continue
        if length > 0:
            angle = abs(np.arctan2(px * dy - py * dx, px * dx + py * dy))
            angles += angle
            curvatures += angle / length
            count += 1
        px, py, length = dx, dy, following
    return angles / count, curvatures / count


@kernel
def measure(x: Floats, y: Floats, starts: Ints, ends: Ints, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial whose pointer moved."""
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        out[i, 0], out[i, 1] = turns(x[start:end], y[start:end])
        total = 0.0
        for k in range(SECTORS):
            out[i, 2 + k] = 0
        for row in range(start + 1, end):
            dx, dy = x[row] - x[row - 1], y[row] - y[row - 1]
            length = distance(0.0, 0.0, dx, dy)
            out[i, 2 + sector(dx, dy)] += length
            total += length
        for k in range(SECTORS):
            out[i, 2 + k] /= total
