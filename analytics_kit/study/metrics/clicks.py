"""How the pointer clicked: pairs, hold times, intervals, and the straightness of the way from click to click.

Conventions: rows of a trial ascending in time; odd rows (1st, 3rd, …) are presses, even ones releases.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.kernel import Floats, Ints, distance, kernel, longest, median

NAMES = (
    "time_to_first_click_s", "click_count", "unpaired_click_events", "click_hold_mean_s", "click_hold_median_s",
    "inter_click_interval_median_s", "inter_click_path_efficiency",
)  # fmt: skip


@kernel
def holds(t: Floats, scratch: Floats) -> Floats:
    """Release - press of each pair."""
    n = len(t) // 2
    for k in range(n):
        scratch[k] = t[2 * k + 1] - t[2 * k]
    return scratch[:n]


@kernel
def press_intervals(t: Floats, scratch: Floats) -> Floats:
    """Time from press to press."""
    n = (len(t) + 1) // 2 - 1
    for k in range(n):
        scratch[k] = t[2 * k + 2] - t[2 * k]
    return scratch[:n]


@kernel
def path_efficiency_between(t: Floats, x: Floats, y: Floats, move_t: Floats, move_x: Floats, move_y: Floats) -> float:
    """Mean over click-to-click segments of straight distance / length of the way by the points moved through."""
    total, segments, j = 0.0, 0, 0
    for press in range(0, len(t) - 2, 2):
        after = press + 2
        px, py, length = x[press], y[press], 0.0
        while j < len(move_t) and move_t[j] <= t[press]:
            j += 1
        while j < len(move_t) and move_t[j] < t[after]:
            length += distance(px, py, move_x[j], move_y[j])
            px, py = move_x[j], move_y[j]
            j += 1
        length += distance(px, py, x[after], y[after])
        if length > 0:
            total += distance(x[press], y[press], x[after], y[after]) / length
            segments += 1
    return total / segments if segments else np.nan


@kernel
def measure(
    t: Floats, x: Floats, y: Floats, starts: Ints, ends: Ints,
    move_t: Floats, move_x: Floats, move_y: Floats, move_starts: Ints, move_ends: Ints, moved: Ints, out: Floats,
) -> None:  # fmt: skip
    """Fill a row of `out` (NAMES) for each trial; `moved` is 1 where the trial has a movement file."""
    scratch = np.empty(longest(starts, ends) + 1)
    for i in range(len(starts)):
        trial_t = t[starts[i] : ends[i]]
        n = len(trial_t)
        out[i, 1], out[i, 2] = n // 2, n % 2
        if n == 0:
            continue
        out[i, 0] = trial_t[0]
        if n % 2 == 0:
            held = holds(trial_t, scratch)
            out[i, 3], out[i, 4] = held.mean(), median(held)
        if n >= 3:
            out[i, 5] = median(press_intervals(trial_t, scratch))
            if moved[i]:
                a, b = move_starts[i], move_ends[i]
                out[i, 6] = path_efficiency_between(
                    trial_t, x[starts[i] : ends[i]], y[starts[i] : ends[i]], move_t[a:b], move_x[a:b], move_y[a:b]
                )
