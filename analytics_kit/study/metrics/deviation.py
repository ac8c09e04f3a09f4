"""How far did the pointer stray from the straight line between its first and its last point?

Conventions: t in seconds, ascending, equal times merged; x, y in pixels, y as stored. Signs are mousetrap's: negative
where the nearest point of the line has the larger y, all flipped if y falls from first to last point.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import TOLERANCE_PX, TOLERANCE_S, Floats, kernel

NAMES = (
    "maximum_absolute_deviation_px", "maximum_absolute_deviation_time_s", "maximum_deviation_above_px",
    "maximum_deviation_below_px", "area_under_curve_px2", "average_deviation_px", "x_flips", "y_flips",
)  # fmt: skip
Line = tuple[float, float, float]
Way = tuple[float, float, float, int]


@kernel
def straight(x: Floats, y: Floats) -> Line:
    """The line from first to last point: its dx and dy, and 1 / length with the sign that deviations get."""
    last = len(x) - 1
    dx, dy = x[last] - x[0], y[last] - y[0]
    length = distance(x[0], y[0], x[last], y[last])
    sign = -1.0 if (dy < 0) != (dx < 0) else 1.0
    return dx, dy, sign / length if length > 0 else 0.0


@kernel
def deviation(p: float, q: float, line: Line) -> float:
    """Signed distance to the line of the point that lies p and q from the first one, or to that if it is the last."""
    dx, dy, scale = line
    if dx != 0:
        return (dx * q - dy * p) * scale  # exactly 0 on the line where pixels are whole
    if dy != 0:  # of points beside a vertical line none is above it
        return -abs(p) if dy < 0 else abs(p)
    away = distance(0.0, 0.0, p, q)
    return -away if q < 0 else away


@kernel
def maximum_deviations(t: Floats, x: Floats, y: Floats) -> tuple[float, float, float, float]:
    """The deviation largest whatever its sign, its time (both of the first one), the largest, the smallest."""
    line = straight(x, y)
    best, at, above, below = 0.0, t[0], 0.0, 0.0
    for i in range(len(x)):
        strayed = deviation(x[i] - x[0], y[i] - y[0], line)
        above, below = max(above, strayed), min(below, strayed)
        if abs(strayed) > abs(best):
            best, at = strayed, t[i]
    return best, at, above, below


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
def visit(way: Way, now: float, least: float) -> Way:
    """Go on to another place: where it is, the run in one direction, the last run longer than `least`, turns so far.

    Standing still ends no run. A run counts as soon as it is long enough.
    """
    at, run, kept, turns = way
    step = now - at
    if abs(step) <= TOLERANCE_PX:
        return way
    run = run + step if (step > 0) == (run > 0) else step
    if abs(run) > least:
        turns += (run > 0) != (kept > 0) and kept != 0
        kept = run
    return now, run, kept, turns


@kernel
def resampled(
    t: Floats, x: Floats, y: Floats, step_s: float, hold_gap_s: float, flip_px: float
) -> tuple[float, int, int]:
    """Average deviation, x flips and y flips of the path as it was at every `step_s` from 0 s on, and at its end.

    In a gap longer than `hold_gap_s` the pointer rests until half of that before the gap's end; so does it before the
    first row. The path is not laid out, however long it lasts: between two rows its points lie on a line, where the
    deviation is linear and only the first and the last point can be a turn.
    """
    line, last = straight(x, y), len(t) - 1
    origin = 0.0 if t[0] > 0 else t[0]
    per_s, slack = 1 / step_s, TOLERANCE_S / step_s
    point = np.ceil((t[0] - origin) * per_s - slack)
    total, here = 0.0, 0.0  # at the first row, and before it, there is no deviation
    x_way, y_way = (x[0], 0.0, 0.0, 0), (y[0], 0.0, 0.0, 0)
    for i in range(last):
        start, end = t[i], t[i + 1]
        dx, dy = x[i + 1] - x[i], y[i + 1] - y[i]
        there = deviation(x[i + 1] - x[0], y[i + 1] - y[0], line)
        following = np.ceil((end - origin) * per_s - slack)
        moving = point
        if end - start > hold_gap_s + TOLERANCE_S:
            start = end - hold_gap_s / 2
            moving = max(point, np.ceil((start - origin) * per_s - slack))
            if moving > point:
                total += (moving - point) * here
                x_way, y_way = visit(x_way, x[i], flip_px), visit(y_way, y[i], flip_px)
        count = following - moving
        if count > 0:
            per_gap = 1 / (end - start)
            each, first = step_s * per_gap, (origin + moving * step_s - start) * per_gap
            final = first + (count - 1) * each
            if line[0] != 0:
                total += count * (here + (first + final) / 2 * (there - here))
            else:
                for k in range(int(count)):
                    share = first + k * each
                    total += deviation(x[i] - x[0] + share * dx, y[i] - y[0] + share * dy, line)
            x_way, y_way = visit(x_way, x[i] + first * dx, flip_px), visit(y_way, y[i] + first * dy, flip_px)
            if count > 1:
                x_way, y_way = visit(x_way, x[i] + final * dx, flip_px), visit(y_way, y[i] + final * dy, flip_px)
        point, here = following, there
    x_way, y_way = visit(x_way, x[last], flip_px), visit(y_way, y[last], flip_px)
    return (total + here) / (point + 1), x_way[3], y_way[3]


@kernel
def measure(t: Floats, x: Floats, y: Floats, step_s: float, hold_gap_s: float, flip_px: float, out: Floats) -> None:
    """Fill `out` (NAMES) for one trial of one row or more; one row has no flips and no line."""
    if len(t) == 1:
        out[6], out[7] = 0, 0
        return
    out[0], out[1], out[2], out[3] = maximum_deviations(t, x, y)
    out[4] = area_under_curve(x, y)
    out[5], out[6], out[7] = resampled(t, x, y, step_s, hold_gap_s, flip_px)
