"""How keys were pressed: rhythm, rate, words per minute and corrections.

Conventions: t of presses ascending in seconds; `code` is the key's class (keys.CODE), all that is needed of a key.
Characters are letters, digits, punctuation and spaces.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analytics_kit.study.keys import CODE
from analytics_kit.study.metrics.kernel import Floats, Ints, kernel, longest, median

NAMES = (
    "inter_key_interval_mean_s", "inter_key_interval_median_s", "inter_key_interval_sd_s", "inter_key_interval_cv",
    "keystroke_rate_per_s", "words_per_minute_gross", "words_per_minute_net", "keystrokes_per_character",
    "backspace_rate", "error_corrections_per_character",
)  # fmt: skip
_LAST_CHARACTER = CODE["space"]
_BACKSPACE = CODE["backspace"]


@kernel
def intervals(t: Floats, scratch: Floats) -> Floats:
    """Time from press to press."""
    for i in range(1, len(t)):
        scratch[i - 1] = t[i] - t[i - 1]
    return scratch[: max(len(t) - 1, 0)]


@kernel
def sample_sd(values: Floats) -> float:
    """Standard deviation with n - 1."""
    mean, total = values.mean(), 0.0
    for value in values:
        total += (value - mean) ** 2
    return float(np.sqrt(total / (len(values) - 1)))


@kernel
def measure(t: Floats, code: npt.NDArray[np.int8], starts: Ints, ends: Ints, out: Floats) -> None:
    """Fill a row of `out` (NAMES) for each trial that has keys."""
    scratch = np.empty(longest(starts, ends))
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        n = end - start
        if n == 0:
            continue
        characters = backspaces = 0
        for k in range(start, end):
            characters += code[k] <= _LAST_CHARACTER
            backspaces += code[k] == _BACKSPACE
        left = characters - backspaces
        gaps = intervals(t[start:end], scratch)
        if n >= 2:
            out[i, 0] = gaps.mean()
        if n >= 3:
            out[i, 2] = sample_sd(gaps)
            if out[i, 0] > 0:
                out[i, 3] = out[i, 2] / out[i, 0]
        if n >= 2:
            out[i, 1] = median(gaps)
        span_s = t[end - 1] - t[start]
        if span_s > 0:
            out[i, 4] = (n - 1) / span_s
            if characters > 0:
                out[i, 5] = 12 * (characters - 1) / span_s
            if left > 0:
                out[i, 6] = 12 * (left - 1) / span_s
        out[i, 8] = backspaces / n
        if left > 0:
            out[i, 7], out[i, 9] = n / left, backspaces / left
