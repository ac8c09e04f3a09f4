"""Limit how long calls of a backend may take, where their caller waits for a limited time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def time_budget(seconds: float | None) -> Iterator[None]:
    """Have `seconds_left` return at most what is left of so many seconds in this block; None sets no limit."""
    token = _deadline.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left(at_most: float) -> float:
    """Return `at_most`, or the seconds that are left of the caller's budget if those are fewer.

    >>> seconds_left(60.0)
    60.0
    >>> with time_budget(0):
    ...     seconds_left(60.0)
    0.0
    """
    deadline = _deadline.get()
    return at_most if deadline is None else max(0.0, min(at_most, deadline - time.monotonic()))
