"""How straight did the pointer go from click to click? MacKenzie's accuracy measures, with the clicks as targets.

Conventions: a segment is the movement rows after a press and before the next; its axis is the line from press to
press, and a segment whose presses are at one place has none. Rows ascend in time, equal times merged; y grows
downwards, so that a distance to the axis is positive on the right hand of who goes along it.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.kernel import Floats, Ints, distance, kernel
from analytics_kit.study.metrics.line import visit

NAMES = (
    "task_axis_crossings", "movement_direction_changes", "orthogonal_direction_changes", "movement_variability_px",
    "movement_error_px", "movement_offset_px",
)  # fmt: skip


@kernel
def segment(
    x: Floats, y: Floats, from_x: float, from_y: float, to_x: float, to_y: float
) -> tuple[int, int, int, float, float, float]:
    """Of one segment, in the order of NAMES; variability needs two rows, error and offset one."""
    length = distance(from_x, from_y, to_x, to_y)
    ux, uy = (to_x - from_x) / length, (to_y - from_y) / length
    n, side, crossings = len(x), 0.0, 0
    total = absolute = squares = 0.0
    off, along = (0.0, 0.0, 0.0, 0), (0.0, 0.0, 0.0, 0)
    for i in range(n):
        across = ux * (y[i] - from_y) - uy * (x[i] - from_x)
        ahead = ux * (x[i] - from_x) + uy * (y[i] - from_y)
        if i == 0:
            off, along = (across, 0.0, 0.0, 0), (ahead, 0.0, 0.0, 0)
        off, along = visit(off, across, 0.0), visit(along, ahead, 0.0)
        if across != 0:
            crossings += (across > 0 and side < 0) or (across < 0 and side > 0)
            side = across
        total += across
        absolute += abs(across)
    offset = total / n
    for i in range(n):
        squares += (ux * (y[i] - from_y) - uy * (x[i] - from_x) - offset) ** 2
    variability = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
    return crossings, off[3], along[3], variability, absolute / n, offset


@kernel
def measure(
    presses: Floats, starts: Ints, ends: Ints, moves: Floats, move_starts: Ints, move_ends: Ints, out: Floats
) -> None:
    """Fill a row of `out` (NAMES) for each trial: sums of the counts, means of the others over its segments.

    NA where no segment has an axis; the means also where none of them has enough rows.
    """
    for i in range(len(starts)):
        row, end = move_starts[i], move_ends[i]
        segments = counted = varied = 0
        crossings = turns = returns = 0
        variability = error = offset = 0.0
        for press in range(starts[i] + 1, ends[i]):
            from_x, from_y = presses[1, press - 1], presses[2, press - 1]
            to_x, to_y = presses[1, press], presses[2, press]
            while row < end and moves[0, row] <= presses[0, press - 1]:
                row += 1
            first = row
            while row < end and moves[0, row] < presses[0, press]:
                row += 1
            if from_x == to_x and from_y == to_y:
                continue
            segments += 1
            if row == first:
                continue
            found = segment(moves[1, first:row], moves[2, first:row], from_x, from_y, to_x, to_y)
            crossings += found[0]
            turns += found[1]
            returns += found[2]
            counted += 1
            error += found[4]
            offset += found[5]
            if row - first > 1:
                varied += 1
                variability += found[3]
        if segments:
            out[i, 0], out[i, 1], out[i, 2] = crossings, turns, returns
            out[i, 3], out[i, 4], out[i, 5] = variability / varied, error / counted, offset / counted
