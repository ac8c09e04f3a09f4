"""Measure how the pointer approached its clicks: efficiency, MacKenzie's accuracy measures, pause before a press.

Conventions: presses are (t, x, y, …) as `press_release.pair_clicks` returns them. A segment consists of the movement
rows after a press and before the next one. Its axis is the line from press to press; a segment whose presses have the
same position has no axis. Rows ascend in time, equal times merged. y grows downwards, so a distance from the axis is
positive to the right of the direction of travel.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.movement import path_length
from analytics_kit.study.metrics.primitives import distance, median
from analytics_kit.study.schema.compiling import TOLERANCE_PX, Floats, subkernel

AIMING_METRICS = (
    "pre_click_pause_median_s", "inter_click_path_efficiency",
    "task_axis_crossings", "movement_direction_changes", "orthogonal_direction_changes", "movement_variability_px",
    "movement_error_px", "movement_offset_px",
)  # fmt: skip


@subkernel
def sign(step: float) -> int:
    """Return the sign of a step as 1 or -1, or 0 if it is no more than a rounding error."""
    return int(step > TOLERANCE_PX) - int(step < -TOLERANCE_PX)


@subkernel
def segment(
    x: Floats, y: Floats, from_x: float, from_y: float, to_x: float, to_y: float
) -> tuple[int, int, int, float, float, float]:
    """Return the last six of AIMING_METRICS for one segment of at least one row; variability is NaN for one."""
    length = distance(from_x, from_y, to_x, to_y)
    ux, uy = (to_x - from_x) / length, (to_y - from_y) / length
    n, total, absolute, squares = len(x), 0.0, 0.0, 0.0
    side = across_sign = along_sign = crossings = turns = returns = 0
    was_across = was_along = 0.0
    for i in range(n):
        across = ux * (y[i] - from_y) - uy * (x[i] - from_x)
        along = ux * (x[i] - from_x) + uy * (y[i] - from_y)
        new_sign = sign(across)
        crossings += new_sign * side < 0
        side = new_sign if new_sign != 0 else side
        if i > 0:
            new_sign = sign(across - was_across)
            turns += new_sign * across_sign < 0
            across_sign = new_sign if new_sign != 0 else across_sign
            new_sign = sign(along - was_along)
            returns += new_sign * along_sign < 0
            along_sign = new_sign if new_sign != 0 else along_sign
        was_across, was_along = across, along
        total += across
        absolute += abs(across)
    offset = total / n
    for i in range(n):
        squares += (ux * (y[i] - from_y) - uy * (x[i] - from_x) - offset) ** 2
    variability = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
    return crossings, turns, returns, variability, absolute / n, offset


@subkernel
def count_until(t: Floats, time: float, low: int) -> int:
    """Return how many of the ascending times `t` are at most `time`, by bisection; at least `low` are."""
    high = len(t)
    while low < high:
        middle = (low + high) // 2
        if t[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


@subkernel
def efficiency(x: Floats, y: Floats, from_x: float, from_y: float, to_x: float, to_y: float) -> float:
    """Return straight distance / path length from press to press through the rows of a segment; NaN for length 0."""
    last = len(x) - 1
    if last < 0:
        length = distance(from_x, from_y, to_x, to_y)
    else:
        length = distance(from_x, from_y, x[0], y[0]) + path_length(x, y) + distance(x[last], y[last], to_x, to_y)
    return distance(from_x, from_y, to_x, to_y) / length if length > 0 else np.nan


@subkernel
def measure(t: Floats, x: Floats, y: Floats, presses: Floats, scratch: Floats, out: Floats) -> None:
    """Fill `out` (in the order of AIMING_METRICS) for one trial: counts are summed over segments, others averaged.

    NA if no segment has an axis; a mean is also NA if no segment has enough rows.
    """
    pauses = segments = with_rows = with_variability = with_efficiency = 0
    crossings = turns = returns = 0
    variability = error = offset = efficiencies = 0.0
    rows_before = 0
    for press in range(presses.shape[1]):
        first = rows_before
        rows_before = count_until(t, presses[0, press], first)
        if rows_before > 0:
            scratch[pauses] = presses[0, press] - t[rows_before - 1]
            pauses += 1
        if press == 0:
            continue
        end = rows_before
        while end > first and t[end - 1] == presses[0, press]:
            end -= 1
        from_x, from_y = presses[1, press - 1], presses[2, press - 1]
        to_x, to_y = presses[1, press], presses[2, press]
        straightness = efficiency(x[first:end], y[first:end], from_x, from_y, to_x, to_y)
        if not np.isnan(straightness):
            efficiencies += straightness
            with_efficiency += 1
        if from_x == to_x and from_y == to_y:
            continue
        segments += 1
        if end == first:
            continue
        values = segment(x[first:end], y[first:end], from_x, from_y, to_x, to_y)
        crossings += values[0]
        turns += values[1]
        returns += values[2]
        with_rows += 1
        error += values[4]
        offset += values[5]
        if end - first > 1:
            with_variability += 1
            variability += values[3]
    if pauses > 0:
        out[0] = median(scratch[:pauses])
    if with_efficiency > 0:
        out[1] = efficiencies / with_efficiency
    if segments:
        out[2], out[3], out[4] = crossings, turns, returns
        if with_rows:
            out[6], out[7] = error / with_rows, offset / with_rows
        if with_variability:
            out[5] = variability / with_variability
