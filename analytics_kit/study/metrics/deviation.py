"""Measure how far the path deviates from the straight line between its first and last point, and how often it flips.

Conventions: t in seconds, ascending, equal times merged; x and y in pixels as stored. Signs are mousetrap's: a
deviation is negative where the nearest point of the line has the larger y; all signs are flipped if y decreases from
the first to the last point.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import distance
from analytics_kit.study.schema.compiling import TOLERANCE_PX, TOLERANCE_S, Floats, subkernel

DEVIATION_METRICS = (
    "maximum_absolute_deviation_px", "maximum_absolute_deviation_time_s", "maximum_deviation_above_px",
    "maximum_deviation_below_px", "area_under_curve_px2", "average_deviation_px", "x_flips", "y_flips",
)  # fmt: skip
StraightLine = tuple[float, float, float]
"""dx, dy, and 1 / length with the sign of the deviations (0 for a line of length 0)."""
FlipState = tuple[float, float, float, int]
"""Position, signed length of the run in progress, that of the last run long enough to count, number of flips."""


@subkernel
def straight(x: Floats, y: Floats) -> StraightLine:
    """Return the line from the first to the last point."""
    last = len(x) - 1
    dx, dy = x[last] - x[0], y[last] - y[0]
    length = distance(x[0], y[0], x[last], y[last])
    sign = -1.0 if (dy < 0) != (dx < 0) else 1.0
    return dx, dy, sign / length if length > 0 else 0.0


@subkernel
def deviation(p: float, q: float, line: StraightLine) -> float:
    """Return the signed distance from the line of the point at (p, q) relative to the first point.

    If the path ends where it began, this is the distance from that point.
    """
    dx, dy, scale = line
    if dx != 0:
        return (dx * q - dy * p) * scale  # exactly 0 on the line if pixels are whole numbers
    if dy != 0:  # beside a vertical line all deviations have one sign
        return -abs(p) if dy < 0 else abs(p)
    away = distance(0.0, 0.0, p, q)
    return -away if q < 0 else away


@subkernel
def maximum_deviations(t: Floats, x: Floats, y: Floats) -> tuple[float, float, float, float]:
    """Return the deviation of largest absolute value, its time, and the largest and smallest signed deviation.

    Of equal absolute values the first counts.
    """
    line = straight(x, y)
    largest, time, above, below = 0.0, t[0], 0.0, 0.0
    for i in range(len(x)):
        signed = deviation(x[i] - x[0], y[i] - y[0], line)
        above, below = max(above, signed), min(below, signed)
        if abs(signed) > abs(largest):
            largest, time = signed, t[i]
    return largest, time, above, below


@subkernel
def area_under_curve(x: Floats, y: Floats) -> float:
    """Return the signed area between path and line; as in mousetrap the sign depends on where the path ends."""
    last = len(x) - 1
    total = 0.0
    for i in range(1, last):  # relative to the first point, which keeps the sums small
        total += (x[i] - x[0]) * (y[i + 1] - y[0]) - (x[i + 1] - x[0]) * (y[i] - y[0])
    dx, dy = x[last] - x[0], y[last] - y[0]
    return -total / 2 if dx * dy > 0 else total / 2


@subkernel
def update_flips(state: FlipState, position: float, min_run: float) -> FlipState:
    """Return the state after a move to `position`; a flip is a change of sign between runs longer than `min_run`.

    A pause in the movement ends no run. A run counts as soon as it is long enough.
    """
    previous, run, counted_run, flips = state
    step = position - previous
    if abs(step) <= TOLERANCE_PX:
        return state
    run = run + step if (step > 0) == (run > 0) else step
    if abs(run) > min_run:
        flips += (run > 0) != (counted_run > 0) and counted_run != 0
        counted_run = run
    return position, run, counted_run, flips


@subkernel
def resampled(
    t: Floats, x: Floats, y: Floats, step_s: float, hold_gap_s: float, flip_px: float
) -> tuple[float, int, int]:
    """Return average deviation, x flips and y flips of the path sampled every `step_s` from 0 s on, and at its end.

    Before the first row the pointer rests. In a gap longer than `hold_gap_s` it rests until `hold_gap_s / 2` before
    the gap's end. Samples are not stored, so memory does not grow with the duration: the samples between two rows lie
    on a line, along which the deviation is linear and only the first and the last sample can be a turning point.
    """
    line, last = straight(x, y), len(t) - 1
    origin = 0.0 if t[0] > 0 else t[0]
    per_s, slack = 1 / step_s, TOLERANCE_S / step_s
    sample = np.ceil((t[0] - origin) * per_s - slack)
    total, from_deviation = 0.0, 0.0  # the deviation is 0 at the first row and before it
    x_state, y_state = (x[0], 0.0, 0.0, 0), (y[0], 0.0, 0.0, 0)
    for i in range(last):
        start, end = t[i], t[i + 1]
        dx, dy = x[i + 1] - x[i], y[i + 1] - y[i]
        to_deviation = deviation(x[i + 1] - x[0], y[i + 1] - y[0], line)
        next_sample = np.ceil((end - origin) * per_s - slack)
        moving = sample
        if end - start > hold_gap_s + TOLERANCE_S:
            start = end - hold_gap_s / 2
            moving = max(sample, np.ceil((start - origin) * per_s - slack))
            if moving > sample:
                total += (moving - sample) * from_deviation
                x_state = update_flips(x_state, x[i], flip_px)
                y_state = update_flips(y_state, y[i], flip_px)
        count = next_sample - moving
        if count > 0:
            per_gap = 1 / (end - start)
            each, first = step_s * per_gap, (origin + moving * step_s - start) * per_gap
            final = first + (count - 1) * each
            if line[0] != 0:
                total += count * (from_deviation + (first + final) / 2 * (to_deviation - from_deviation))
            else:
                for k in range(int(count)):
                    fraction = first + k * each
                    total += deviation(x[i] - x[0] + fraction * dx, y[i] - y[0] + fraction * dy, line)
            x_state = update_flips(x_state, x[i] + first * dx, flip_px)
            y_state = update_flips(y_state, y[i] + first * dy, flip_px)
            if count > 1:
                x_state = update_flips(x_state, x[i] + final * dx, flip_px)
                y_state = update_flips(y_state, y[i] + final * dy, flip_px)
        sample, from_deviation = next_sample, to_deviation
    x_state, y_state = update_flips(x_state, x[last], flip_px), update_flips(y_state, y[last], flip_px)
    return (total + from_deviation) / (sample + 1), x_state[3], y_state[3]


@subkernel
def measure(t: Floats, x: Floats, y: Floats, step_s: float, hold_gap_s: float, flip_px: float, out: Floats) -> None:
    """Fill `out` (in the order of DEVIATION_METRICS) for one trial with at least one row; one row has no line."""
    if len(t) == 1:
        out[6], out[7] = 0, 0
        return
    out[0], out[1], out[2], out[3] = maximum_deviations(t, x, y)
    out[4] = area_under_curve(x, y)
    out[5], out[6], out[7] = resampled(t, x, y, step_s, hold_gap_s, flip_px)
