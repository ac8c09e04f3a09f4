"""Measure the directions in which the pointer moved, and how sharply it turned.

Conventions: x and y in pixels, y grows downwards; rows ascend in time, equal times merged. Steps of length 0 have no
direction and are skipped.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import Floats, subkernel

SECTORS = 8
TURNING_METRICS = (
    "turning_angle_mean_rad", "curvature_mean_rad_px", *(f"direction_sector_{k}" for k in range(SECTORS)),
)  # fmt: skip
_TAN_22_5 = np.sqrt(2) - 1
"""Tangent of 22.5 degrees, the border of a sector."""


@subkernel
def sector(dx: float, dy: float) -> int:
    """Return the eighth of the circle in which a step points: 0 is right, 2 is up as seen on the screen."""
    wide, high = abs(dx), abs(dy)
    if high < _TAN_22_5 * wide:
        return 0 if dx > 0 else 4
    if wide < _TAN_22_5 * high:
        return 2 if dy < 0 else 6
    if dy < 0:
        return 1 if dx > 0 else 3
    return 7 if dx > 0 else 5


@subkernel
def angle_between(px: float, py: float, dx: float, dy: float) -> float:
    """Return the angle between two steps, 0 to pi; NaN if one has length 0.

    The arc tangent of a ratio of at most 1 takes a third of the time.
    """
    across, along = abs(px * dy - py * dx), px * dx + py * dy
    angle = np.arctan(min(across, abs(along)) / max(across, abs(along)))
    if across > abs(along):
        angle = np.pi / 2 - angle
    return float(np.pi - angle if along < 0 else angle)


@subkernel
def measure(x: Floats, y: Floats, out: Floats) -> None:
    """Fill `out` (in the order of TURNING_METRICS) for one trial.

    Angle and curvature are NA below two steps, the fractions per sector without any step.
    """
    px, py, previous_length = 0.0, 0.0, 0.0
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
        if previous_length > 0:
            angle = angle_between(px, py, dx, dy)
            angles += angle
            curvatures += angle / previous_length
            count += 1
        px, py, previous_length = dx, dy, length
    if count > 0:
        out[0], out[1] = angles / count, curvatures / count
    for k in range(SECTORS):
        out[2 + k] = out[2 + k] / total if total > 0 else np.nan
