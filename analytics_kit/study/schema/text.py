"""Read whole numbers from text."""

from __future__ import annotations

MOST_DIGITS = 18
"""Longer numbers do not fit into 64 bits and are read as text."""


def whole_number(text: str) -> int | None:
    """The number, if the text is one that fits into 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None
