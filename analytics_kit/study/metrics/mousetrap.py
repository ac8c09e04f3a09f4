"""Compute the measures of the R package mousetrap by its own rules, which differ from those of the other families.

Conventions: t in milliseconds, ascending, equal times merged; x and y in pixels as stored; at least three samples.
In real paths several deviations can be equal up to rounding, and which of them comes out larger decides the time that
is reported. Operations are therefore done in mousetrap's order, without contraction.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import max_rows, merge_equal_times, min_max
from analytics_kit.study.schema.compiling import Floats, Ints, literal_kernel, literal_subkernel

MEASURES = (
    "xpos_max", "xpos_min", "ypos_max", "ypos_min", "MAD", "MAD_time", "MD_above", "MD_above_time", "MD_below",
    "MD_below_time", "AD", "AUC", "xpos_flips", "ypos_flips", "xpos_reversals", "ypos_reversals", "RT",
    "initiation_time", "idle_time", "hover_time", "hovers", "total_dist", "vel_max", "vel_max_time", "vel_min",
    "vel_min_time", "acc_max", "acc_max_time", "acc_min", "acc_min_time",
)  # fmt: skip
MIN_SAMPLES = 3
"""Samples that mousetrap needs at least."""
TOLERANCE_MS = 1e-6
"""A time or gap is longer than another if it is longer by more than this; the rest is rounding."""


@literal_subkernel
def sample_count(t: Floats, step_ms: float) -> int:
    """Return the number of samples that `resample` produces."""
    first = min(t[0], 0.0)
    steps = np.floor((t[-1] - first) / step_ms + TOLERANCE_MS / step_ms)
    return int(steps) + (2 if first + steps * step_ms < t[-1] - TOLERANCE_MS else 1)


@literal_subkernel
def resample(t: Floats, x: Floats, y: Floats, step_ms: float, hold_ms: float, out: Floats) -> None:
    """Fill `out` (t, x, y) with a sample every `step_ms` from 0, or from an earlier first row, and one at the end.

    In a gap longer than `hold_ms` the pointer rests until `hold_ms / 2` before the gap's end.
    """
    first, last, i = min(t[0], 0.0), len(t) - 1, 0
    count = out.shape[1]
    for k in range(count):
        now = first + k * step_ms
        if k == count - 1 or now > t[last]:
            now = t[last]
        while i < last and t[i + 1] <= now:
            i += 1
        out[0, k], out[1, k], out[2, k] = now, x[i], y[i]
        if i == last or now <= t[i]:
            continue
        start = t[i]
        if t[i + 1] - start > hold_ms + TOLERANCE_MS:
            start = t[i + 1] - hold_ms / 2
        if now > start:
            fraction = (now - start) / (t[i + 1] - start)
            out[1, k] += fraction * (x[i + 1] - x[i])
            out[2, k] += fraction * (y[i + 1] - y[i])


@literal_subkernel
def area_under_curve(x: Floats, y: Floats) -> float:
    """Return the area between path and line, negated if x and y both increase or both decrease from start to end."""
    last, total = len(x) - 1, 0.0
    for i in range(1, last):  # relative to the first sample, which keeps the sums small
        total += (x[i] - x[0]) * (y[i + 1] - y[0]) - (x[i + 1] - x[0]) * (y[i] - y[0])
    same = (x[last] > x[0] and y[last] > y[0]) or (x[last] < x[0] and y[last] < y[0])
    return -total / 2 if same else total / 2


@literal_subkernel
def flips(values: Floats) -> int:
    """Count the changes of direction; steps of 0 are skipped."""
    count, sign = 0, 0.0
    for i in range(1, len(values)):
        step = values[i] - values[i - 1]
        if step != 0:
            count += sign * np.sign(step) < 0
            sign = np.sign(step)
    return count


@literal_subkernel
def reversals(values: Floats) -> int:
    """Count the changes of sign; zeros are skipped."""
    count, sign = 0, 0.0
    for value in values:
        if value != 0:
            count += sign * np.sign(value) < 0
            sign = np.sign(value)
    return count


@literal_subkernel
def deviations(t: Floats, x: Floats, y: Floats, out: Floats) -> None:
    """Fill `out` with MAD, MD_above and MD_below, each with its (first) time, and the mean deviation AD."""
    last, total = len(t) - 1, 0.0
    dx, dy = x[last] - x[0], y[last] - y[0]
    square = dx * dx + dy * dy
    for k in (0, 2, 4):
        out[k], out[k + 1] = 0.0, t[0]  # the first sample deviates by 0
    for i in range(len(t)):
        along = ((x[i] - x[0]) * dx + (y[i] - y[0]) * dy) / square if square > 0 else 0.0
        ideal_x, ideal_y = x[0] + along * dx, y[0] + along * dy
        deviation = np.sqrt((ideal_x - x[i]) ** 2 + (ideal_y - y[i]) ** 2)
        if ideal_y > y[i]:
            deviation = -deviation
        if dy < 0:
            deviation = -deviation
        total += deviation
        if abs(deviation) > abs(out[0]):
            out[0], out[1] = deviation, t[i]
        if deviation > out[2]:
            out[2], out[3] = deviation, t[i]
        if deviation < out[4]:
            out[4], out[5] = deviation, t[i]
    out[6] = total / len(t)


@literal_subkernel
def rests(t: Floats, x: Floats, y: Floats, hover_ms: float, out: Floats) -> None:
    """Fill `out` with initiation_time, idle_time, hover_time and hovers."""
    n = len(t)
    initiation, idle, hover, hovers = t[n - 1], 0.0, 0.0, 0
    moved, still, run = 0, 0, 0.0
    for i in range(1, n):
        if initiation == t[n - 1] and moved == 0 and (x[i] != x[0] or y[i] != y[0]):
            initiation = t[i - 1]
        if x[i] == x[i - 1] and y[i] == y[i - 1]:
            still += 1
            idle += t[i] - t[i - 1]
            run += t[i] - t[i - 1]
        else:
            moved += 1
            if run > hover_ms + TOLERANCE_MS:
                hover += run
                hovers += 1
            run = 0.0
    if run > hover_ms + TOLERANCE_MS:
        hover += run
        hovers += 1
    if still == 0:
        idle, hover, hovers = t[0], t[0] if t[0] > hover_ms + TOLERANCE_MS else 0.0, 0
    elif moved == 0:
        long = t[n - 1] > hover_ms + TOLERANCE_MS
        idle, hover, hovers = t[n - 1], t[n - 1] if long else 0.0, 1 if long else 0
    out[0], out[1], out[2], out[3] = initiation, idle, hover, hovers


@literal_subkernel
def derivatives(t: Floats, x: Floats, y: Floats, out: Floats) -> None:
    """Fill `out` with total_dist, then vel_max, vel_min, acc_max and acc_min, each with its first time.

    The first sample has velocity and acceleration 0, the last has no acceleration. The time of a velocity is the
    start of its step.
    """
    for k in range(9):
        out[k] = 0.0 if k in (0, 1, 3, 5, 7) else t[0]
    before = 0.0
    for i in range(1, len(t)):
        length = np.sqrt((x[i] - x[i - 1]) ** 2 + (y[i] - y[i - 1]) ** 2)
        out[0] += length
        velocity = length / (t[i] - t[i - 1])
        if velocity > out[1]:
            out[1], out[2] = velocity, t[i - 1]
        if i > 1:
            acceleration = (velocity - before) / (t[i - 1] - t[i - 2])
            if acceleration > out[5]:
                out[5], out[6] = acceleration, t[i - 1]
            if acceleration < out[7]:
                out[7], out[8] = acceleration, t[i - 1]
        before = velocity


@literal_kernel
def measure(
    t: Floats, x: Floats, y: Floats, starts: Ints, ends: Ints, step_ms: float, hold_ms: float, hover_ms: float,
    out: Floats,
) -> None:  # fmt: skip
    """Fill a row of `out` (columns in the order of MEASURES) for each trial with at least MIN_SAMPLES samples.

    Paths are resampled if `step_ms` > 0.
    """
    merged = np.empty((3, max_rows(starts, ends)))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        n = merge_equal_times(t[start:end], x[start:end], y[start:end], merged)
        if n < MIN_SAMPLES:
            continue
        a, b, c = merged[0, :n], merged[1, :n], merged[2, :n]
        if step_ms > 0:
            sampled = np.empty((3, sample_count(a, step_ms)))
            resample(a, b, c, step_ms, hold_ms, sampled)
            a, b, c = sampled[0], sampled[1], sampled[2]
        row = out[i]
        row[1], row[0] = min_max(b)
        row[3], row[2] = min_max(c)
        deviations(a, b, c, row[4:11])
        row[11] = area_under_curve(b, c)
        row[12], row[13] = flips(b), flips(c)
        row[14], row[15] = reversals(b), reversals(c)
        row[16] = a[-1]
        rests(a, b, c, hover_ms, row[17:21])
        derivatives(a, b, c, row[21:30])
