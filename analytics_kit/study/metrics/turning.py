"""Which way did the pointer go, and how sharply did it turn?

Conventions: x, y in pixels, y grows downwards; rows ascend in time, equal times merged. Steps of length 0 have no
direction and are passed over.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import Floats, kernel

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
def between(px: float, py: float, dx: float, dy: float) -> float:
    """Angle between two steps, 0 to pi; NaN if one is 0. Of a ratio up to 1 the arc tangent is a third as dear."""
    across, along = abs(px * dy - py * dx), px * dx + py * dy
    angle = np.arctan(min(across, abs(along)) / max(across, abs(along)))
    if across > abs(along):
        angle = np.pi / 2 - angle
    return float(np.pi - angle if along < 0 else angle)


@kernel
def measure(x: Floats, y: Floats, out: Floats) -> None:
    """Fill `out` (NAMES) for one trial: NA for the angles below two steps, for the shares without any."""
    px, py, before = 0.0, 0.0, 0.0
    total, angles, curvatures, count = 0.0, 0.0, 0.0, 0
    for k in range(SECTORS):
        out[2 + k] = 0
    for i in range(1, len(x)):
        dx, dy = x[i] - x[i - 1], y[i] - y[i - 1]
        length = distance(x[i - 1], y[i - 1], x[i], y[i])
        if length == 0:
            continue
        out[2 + sector(dx, dy)] += length
        total += length
        if before > 0:
            angle = between(px, py, dx, dy)
            angles += angle
            curvatures += angle / before
            count += 1
        px, py, before = dx, dy, length
    if count > 0:
        out[0], out[1] = angles / count, curvatures / count
    for k in range(SECTORS):
        out[2 + k] = out[2 + k] / total if total > 0 else np.nan
