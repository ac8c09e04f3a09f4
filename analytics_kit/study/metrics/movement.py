"""How the pointer moved: length, time, speed, extent and deviation of the path of one trial.

Conventions: t in seconds, ascending, equal times merged; x, y in pixels, y as stored. Without rows all is NA.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.kernel import TICK_S, Floats, Ints, distance, extent, kernel, longest, median

NAMES = (
    "path_length_px", "displacement_px", "path_efficiency", "initiation_time_s", "idle_time_s", "hover_count",
    "hover_time_s", "movement_time_s", "x_min_px", "x_max_px", "y_min_px", "y_max_px", "bounding_area_px2",
    "speed_mean_px_s", "speed_median_px_s", "speed_max_px_s", "speed_max_time_s", "maximum_absolute_deviation_px",
    "maximum_absolute_deviation_time_s", "area_under_curve_px2",
)  # fmt: skip


@kernel
def path_length(x: Floats, y: Floats) -> float:
    """Sum of step lengths."""
    total = 0.0
    for i in range(1, len(x)):
        total += distance(x[i - 1], y[i - 1], x[i], y[i])
    return total


@kernel
def gaps(t: Floats, longest_s: float) -> tuple[int, float, float]:
    """Number and sum of the gaps longer than `longest_s`; the sum of the others, exactly 0 where there is none."""
    count, over, within = 0, 0.0, 0.0
    for i in range(1, len(t)):
        gap = t[i] - t[i - 1]
        if gap > longest_s + TICK_S:
            count += 1
            over += gap
        else:
            within += gap
    return count, over, within


@kernel
def speeds(t: Floats, x: Floats, y: Floats, scratch: Floats) -> Floats:
    """Speed of each step."""
    n = len(t) - 1
    for i in range(n):
        scratch[i] = distance(x[i], y[i], x[i + 1], y[i + 1]) / (t[i + 1] - t[i])
    return scratch[:n]


@kernel
def speed_max(t: Floats, speed: Floats) -> tuple[float, float]:
    """Largest speed of a step (the first one), and the middle of its time."""
    best, at = -1.0, np.nan
    for i in range(len(speed)):
        if speed[i] > best:
            best, at = speed[i], (t[i + 1] + t[i]) / 2
    return best, at


@kernel
def maximum_absolute_deviation(t: Floats, x: Floats, y: Floats) -> tuple[float, float]:
    """Signed deviation from the line through first and last point where it is largest (the first one), and its time.

    The sign is mousetrap's: negative where the nearest point of the line has the larger y, all flipped if y falls
    from first to last. If both points are one, deviations are distances to it.
    """
    last = len(x) - 1
    dx, dy = x[last] - x[0], y[last] - y[0]
    square = dx * dx + dy * dy
    flip = -1.0 if dy < 0 else 1.0
    best, at = 0.0, t[0]
    for i in range(len(x)):
        share = 0.0 if square == 0 else ((x[i] - x[0]) * dx + (y[i] - y[0]) * dy) / square
        ideal_x, ideal_y = x[0] + share * dx, y[0] + share * dy
        deviation = distance(x[i], y[i], ideal_x, ideal_y)
        if deviation > abs(best):
            best, at = (-flip if ideal_y > y[i] else flip) * deviation, t[i]
    return best, at


@kernel
def area_under_curve(x: Floats, y: Floats) -> float:
    """Signed area between path and line; mousetrap's sign, which depends on where the path ends."""
    last = len(x) - 1
    total = 0.0
    for i in range(1, last):  # relative to the first point, where the sums are small
        total += (x[i] - x[0]) * (y[i + 1] - y[0]) - (x[i + 1] - x[0]) * (y[i] - y[0])
    dx, dy = x[last] - x[0], y[last] - y[0]
    return -total / 2 if dx * dy > 0 else total / 2


@kernel
def _measure(
    t: Floats, x: Floats, y: Floats, idle_gap_s: float, hover_gap_s: float, scratch: Floats, out: Floats
) -> None:
    last = len(t) - 1
    length = path_length(x, y)
    straight = distance(x[0], y[0], x[last], y[last])
    speed = speeds(t, x, y, scratch)
    out[0], out[1] = length, straight
    if length > 0:
        out[2] = straight / length
    out[3] = t[0]
    _, out[4], moved_s = gaps(t, idle_gap_s)
    out[5], out[6], _ = gaps(t, hover_gap_s)
    out[7] = moved_s
    out[8], out[9] = extent(x)
    out[10], out[11] = extent(y)
    out[12] = (out[9] - out[8]) * (out[11] - out[10])
    if last > 0:
        out[15], out[16] = speed_max(t, speed)
        out[17], out[18] = maximum_absolute_deviation(t, x, y)
        out[19] = area_under_curve(x, y)
    if moved_s > 0:
        out[13] = length / moved_s
        out[14] = median(speed)


@kernel
def measure(
    t: Floats, x: Floats, y: Floats, starts: Ints, ends: Ints, idle_gap_s: float, hover_gap_s: float, out: Floats
) -> None:
    """Fill a row of `out` (NAMES) for each trial that has rows."""
    scratch = np.empty(longest(starts, ends))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        if end > start:
            _measure(t[start:end], x[start:end], y[start:end], idle_gap_s, hover_gap_s, scratch, out[i])
