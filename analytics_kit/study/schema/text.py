"""Read whole numbers from text."""

from __future__ import annotations

MAX_INT64_DIGITS = 18
"""Longer numbers do not fit into 64 bits and are read as text."""


def parse_whole_number(text: str) -> int | None:
    """The number, if the text is one that fits into 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= MAX_INT64_DIGITS else None
