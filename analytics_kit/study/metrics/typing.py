"""Measure typing: rhythm, rate, words per minute, corrections, pauses, bursts, and the fraction of each key class.

Conventions: t holds the times of presses in seconds, ascending; `code` is the class of the key (see schema/keys.py).
Characters are letters, digits, punctuation and spaces.
"""

from __future__ import annotations

import numpy as np

from analytics_kit.study.metrics.primitives import intervals, max_rows, mean, median
from analytics_kit.study.schema.compiling import TOLERANCE_S, Codes, Floats, Ints, kernel, subkernel
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, KEY_CLASSES

TYPING_METRICS = (
    "inter_key_interval_mean_s", "inter_key_interval_median_s", "inter_key_interval_sd_s", "inter_key_interval_cv",
    "keystroke_rate_per_s", "words_per_minute_gross", "words_per_minute_net", "keystrokes_per_character",
    "backspace_rate", "error_corrections_per_character", "correction_burst_count", "correction_burst_length_mean",
    "typing_pause_count", "typing_pause_time_s", "p_burst_count", "p_burst_length_mean", "initial_pause_s",
    *(f"key_share_{name}" for name in KEY_CLASSES),
)  # fmt: skip
_CLASSES = len(KEY_CLASSES)
_SHARES = len(TYPING_METRICS) - _CLASSES
_LAST_CHARACTER, _BACKSPACE, _DELETE = (KEY_CLASS_CODES[name] for name in ("space", "backspace", "delete"))


@subkernel
def sample_sd(values: Floats, center: float) -> float:
    """Return the standard deviation with n - 1 in the denominator."""
    total = 0.0
    for value in values:
        total += (value - center) ** 2
    return float(np.sqrt(total / (len(values) - 1)))


@subkernel
def pauses(gaps: Floats, min_s: float) -> tuple[int, float]:
    """Return number and sum of the intervals of at least `min_s`."""
    count, total = 0, 0.0
    for gap in gaps:
        if gap >= min_s - TOLERANCE_S:
            count += 1
            total += gap
    return count, total


@subkernel
def correction_bursts(code: Codes) -> tuple[int, int]:
    """Return the number of runs of backspace and delete, and the number of keys in them."""
    bursts = keys = 0
    for k in range(len(code)):
        if code[k] == _BACKSPACE or code[k] == _DELETE:
            bursts += k == 0 or (code[k - 1] != _BACKSPACE and code[k - 1] != _DELETE)
            keys += 1
    return bursts, keys


@kernel
def measure(t: Floats, code: Codes, starts: Ints, ends: Ints, pause_s: float, out: Floats) -> None:
    """Fill a row of `out` (columns in the order of TYPING_METRICS) for each trial.

    Without keys counts and sums are 0, the other metrics NA.
    """
    scratch = np.empty(max_rows(starts, ends))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        n = end - start
        bursts, corrections = correction_bursts(code[start:end])
        gaps = intervals(t[start:end], scratch)
        out[i, 10] = bursts
        if bursts > 0:
            out[i, 11] = corrections / bursts
        out[i, 12], out[i, 13] = pauses(gaps, pause_s)
        out[i, 14] = out[i, 12] + 1 if n > 0 else 0
        if n == 0:
            continue
        out[i, 15] = n / out[i, 14]
        out[i, 16] = t[start]
        for k in range(_CLASSES):
            out[i, _SHARES + k] = 0
        for k in range(start, end):
            out[i, _SHARES + code[k]] += 1
        characters = 0.0
        for k in range(_LAST_CHARACTER + 1):
            characters += out[i, _SHARES + k]
        backspaces = out[i, _SHARES + _BACKSPACE]
        for k in range(_CLASSES):
            out[i, _SHARES + k] /= n
        remaining = characters - backspaces
        if n >= 2:
            out[i, 0] = mean(gaps)
        if n >= 3:
            out[i, 2] = sample_sd(gaps, out[i, 0])
            if out[i, 0] > 0:
                out[i, 3] = out[i, 2] / out[i, 0]
        if n >= 2:
            out[i, 1] = median(gaps)
        span_s = t[end - 1] - t[start]
        if span_s > 0:
            out[i, 4] = (n - 1) / span_s
            if characters > 0:
                out[i, 5] = 12 * (characters - 1) / span_s
            if remaining > 0:
                out[i, 6] = 12 * (remaining - 1) / span_s
        out[i, 8] = backspaces / n
        if remaining > 0:
            out[i, 7], out[i, 9] = n / remaining, backspaces / remaining
