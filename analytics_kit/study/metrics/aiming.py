"""How did the pointer get to its clicks: how straight, by MacKenzie's accuracy measures, and with what pause?

Conventions: presses are (t, x, y) as `pairs.clicks` gives them. A segment is the movement rows after a press and
before the next; its axis is the line from press to press, and a segment whose presses are at one place has none. Rows
ascend in time, equal times merged; y grows downwards, so that a distance to the axis is positive on the right hand of
who goes along it.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.movement import path_length
from analytics_kit.study.metrics.primitives import distance, median
from analytics_kit.study.schema.compiling import TOLERANCE_PX, Floats, kernel

NAMES = (
    "pre_click_pause_median_s", "inter_click_path_efficiency",
    "task_axis_crossings", "movement_direction_changes", "orthogonal_direction_changes", "movement_variability_px",
    "movement_error_px", "movement_offset_px",
)  # fmt: skip


@kernel
def direction(step: float) -> int:
    """1 or -1; 0 if it is none but for rounding."""
    return int(step > TOLERANCE_PX) - int(step < -TOLERANCE_PX)


@kernel
def segment(
    x: Floats, y: Floats, from_x: float, from_y: float, to_x: float, to_y: float
) -> tuple[int, int, int, float, float, float]:
    """Of one segment, the last six of NAMES; variability needs two rows, error and offset one."""
    length = distance(from_x, from_y, to_x, to_y)
    ux, uy = (to_x - from_x) / length, (to_y - from_y) / length
    n, total, absolute, squares = len(x), 0.0, 0.0, 0.0
    side = across_way = along_way = crossings = turns = returns = 0
    was_across = was_along = 0.0
    for i in range(n):
        across = ux * (y[i] - from_y) - uy * (x[i] - from_x)
        along = ux * (x[i] - from_x) + uy * (y[i] - from_y)
        now = direction(across)
        crossings += now * side < 0
        side = now if now != 0 else side
        if i > 0:
            now = direction(across - was_across)
            turns += now * across_way < 0
            across_way = now if now != 0 else across_way
            now = direction(along - was_along)
            returns += now * along_way < 0
            along_way = now if now != 0 else along_way
        was_across, was_along = across, along
        total += across
        absolute += abs(across)
    offset = total / n
    for i in range(n):
        squares += (ux * (y[i] - from_y) - uy * (x[i] - from_x) - offset) ** 2
    variability = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
    return crossings, turns, returns, variability, absolute / n, offset


@kernel
def rows_until(t: Floats, moment: float, low: int) -> int:
    """How many times are not after a moment; it is known that `low` are not."""
    high = len(t)
    while low < high:
        middle = (low + high) // 2
        if t[middle] <= moment:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def efficiency(x: Floats, y: Floats, from_x: float, from_y: float, to_x: float, to_y: float) -> float:
    """Straight distance / length of the way from press to press by the rows of a segment; NaN for a length of 0."""
    last = len(x) - 1
    if last < 0:
        length = distance(from_x, from_y, to_x, to_y)
    else:
        length = distance(from_x, from_y, x[0], y[0]) + path_length(x, y) + distance(x[last], y[last], to_x, to_y)
    return distance(from_x, from_y, to_x, to_y) / length if length > 0 else np.nan


@kernel
def measure(t: Floats, x: Floats, y: Floats, presses: Floats, scratch: Floats, out: Floats) -> None:
    """Fill `out` (NAMES) for one trial: sums of the counts, means of the others over its segments.

    NA where no segment has an axis; the means also where none of them has enough rows.
    """
    pauses = segments = counted = varied = straightened = 0
    crossings = turns = returns = 0
    variability = error = offset = straightness = 0.0
    before = 0
    for press in range(presses.shape[1]):
        first = before
        before = rows_until(t, presses[0, press], first)
        if before > 0:
            scratch[pauses] = presses[0, press] - t[before - 1]
            pauses += 1
        if press == 0:
            continue
        end = before
        while end > first and t[end - 1] == presses[0, press]:
            end -= 1
        from_x, from_y = presses[1, press - 1], presses[2, press - 1]
        to_x, to_y = presses[1, press], presses[2, press]
        share = efficiency(x[first:end], y[first:end], from_x, from_y, to_x, to_y)
        if not np.isnan(share):
            straightness += share
            straightened += 1
        if from_x == to_x and from_y == to_y:
            continue
        segments += 1
        if end == first:
            continue
        found = segment(x[first:end], y[first:end], from_x, from_y, to_x, to_y)
        crossings += found[0]
        turns += found[1]
        returns += found[2]
        counted += 1
        error += found[4]
        offset += found[5]
        if end - first > 1:
            varied += 1
            variability += found[3]
    if pauses > 0:
        out[0] = median(scratch[:pauses])
    if straightened > 0:
        out[1] = straightness / straightened
    if segments:
        out[2], out[3], out[4] = crossings, turns, returns
        if counted:
            out[6], out[7] = error / counted, offset / counted
        if varied:
            out[5] = variability / varied
