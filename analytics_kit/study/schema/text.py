"""Read whole numbers from text, and sort text by them."""

from __future__ import annotations

import re

MAX_INT64_DIGITS = 18
"""A longer number may not fit into 64 bits and is treated as text."""


def parse_whole_number(text: str) -> int | None:
    """Return the number if the text is digits only and fits into 64 bits, else None.

    >>> parse_whole_number("0012"), parse_whole_number("-3"), parse_whole_number("9" * 19)
    (12, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= MAX_INT64_DIGITS else None


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares runs of digits as numbers.

    >>> sorted(["trial_10", "trial_9", "trial_a"], key=natural_key)
    ['trial_9', 'trial_10', 'trial_a']
    """
    parts = [part for part in re.split(r"(\d+)", text) if part]
    numbers = [parse_whole_number(part) for part in parts]
    return [(1, 0, part) if n is None else (0, n, "") for part, n in zip(parts, numbers, strict=True)]
