"""Measure path length, rest, extent, speed and acceleration of the pointer.

Conventions: t in seconds, ascending, equal times merged; x and y in pixels as stored. A step leads from one row to
the next. Without rows every metric is NA.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance, median, min_max
from analytics_kit.study.schema.compiling import TOLERANCE_S, Floats, subkernel

MOVEMENT_METRICS = (
    "path_length_px", "displacement_px", "path_efficiency", "initiation_time_s", "idle_time_s", "hover_count",
    "hover_time_s", "movement_time_s", "x_min_px", "x_max_px", "y_min_px", "y_max_px", "bounding_area_px2",
    "speed_mean_px_s", "speed_median_px_s", "speed_max_px_s", "speed_max_time_s", "acceleration_max_px_s2",
    "acceleration_max_time_s", "acceleration_min_px_s2",
)  # fmt: skip


@subkernel
def path_length(x: Floats, y: Floats) -> float:
    """Return the sum of the step lengths."""
    total = 0.0
    for i in range(1, len(x)):
        total += distance(x[i - 1], y[i - 1], x[i], y[i])
    return total


@subkernel
def split_gaps(t: Floats, limit_s: float) -> tuple[int, float, float]:
    """Return number and sum of the gaps longer than `limit_s`, and the sum of the others (exactly 0 if none)."""
    count, over, within = 0, 0.0, 0.0
    for i in range(1, len(t)):
        gap = t[i] - t[i - 1]
        if gap > limit_s + TOLERANCE_S:
            count += 1
            over += gap
        else:
            within += gap
    return count, over, within


@subkernel
def speeds(t: Floats, x: Floats, y: Floats, scratch: Floats) -> Floats:
    """Return the speed of each step."""
    n = len(t) - 1
    for i in range(n):
        scratch[i] = distance(x[i], y[i], x[i + 1], y[i + 1]) / (t[i + 1] - t[i])
    return scratch[:n]


@subkernel
def speed_max(t: Floats, speed: Floats) -> tuple[float, float]:
    """Return the largest speed of a step and the midpoint of that step's time; of equal speeds the first counts."""
    fastest, time = -1.0, np.nan
    for i in range(len(speed)):
        if speed[i] > fastest:
            fastest, time = speed[i], (t[i + 1] + t[i]) / 2
    return fastest, time


@subkernel
def accelerations(t: Floats, speed: Floats) -> tuple[float, float, float]:
    """Return the largest acceleration, its time, and the smallest; of equal ones the first counts.

    The acceleration at a row is the change of speed there, divided by the duration of the step that leads to it.
    """
    largest, time, smallest = -np.inf, np.nan, np.inf
    for i in range(1, len(speed)):
        acceleration = (speed[i] - speed[i - 1]) / (t[i] - t[i - 1])
        if acceleration > largest:
            largest, time = acceleration, t[i]
        smallest = min(smallest, acceleration)
    return largest, time, smallest


@subkernel
def measure(
    t: Floats, x: Floats, y: Floats, idle_gap_s: float, hover_gap_s: float, scratch: Floats, out: Floats
) -> None:
    """Fill `out` (in the order of MOVEMENT_METRICS) for one trial with at least one row."""
    last = len(t) - 1
    length = path_length(x, y)
    straight = distance(x[0], y[0], x[last], y[last])
    speed = speeds(t, x, y, scratch)
    out[0], out[1] = length, straight
    if length > 0:
        out[2] = straight / length
    out[3] = t[0]
    _, out[4], moved_s = split_gaps(t, idle_gap_s)
    out[5], out[6], _ = split_gaps(t, hover_gap_s)
    out[7] = moved_s
    out[8], out[9] = min_max(x)
    out[10], out[11] = min_max(y)
    out[12] = (out[9] - out[8]) * (out[11] - out[10])
    if last > 0:
        out[15], out[16] = speed_max(t, speed)
    if last > 1:
        out[17], out[18], out[19] = accelerations(t, speed)
    if moved_s > 0:
        out[13] = length / moved_s
        out[14] = median(speed)
