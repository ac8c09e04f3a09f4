"""Limit how often progress is published, keep it from falling, and derive rate and remaining time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from analytics_kit.model import Progress

INTERVAL_S = 0.1
"""Least time between two publications, except for the first of each phase and the last."""


class ProgressReporter:
    """Passes the progress of a step on: throttled, with numbers that never fall, with rate and remaining time.

    Parameters
    ----------
    publish : called with the progress to publish.
    start : what an earlier attempt published last.
    clock : monotonic time in seconds.
    """

    def __init__(
        self, publish: Callable[[Progress], None], start: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._published = start
        self._withheld: Progress | None = None
        self._published_at = -math.inf
        self._started_at = clock()
        self._phase: tuple[str, float, int] | None = None
        self._start_fraction = start.fraction

    def report(self, progress: Progress) -> None:
        """Publish the progress now, or withhold it until the next report or `flush`."""
        now = self._clock()
        if self._phase is None or progress.phase != self._phase[0]:
            self._phase = (progress.phase, now, progress.done)
            self._published_at = -math.inf
        self._withheld = self._completed(progress, now)
        if now - self._published_at >= INTERVAL_S:
            self._published_at = now
            self.flush()

    def flush(self) -> None:
        """Publish the latest progress, if it was withheld."""
        if self._withheld is not None:
            self._published, self._withheld = self._withheld, None
            self._publish(self._published)

    @property
    def latest(self) -> Progress:
        """The progress that was reported last."""
        return self._withheld or self._published

    def _completed(self, progress: Progress, now: float) -> Progress:
        """Return the progress with what is derived from it."""
        assert self._phase is not None  # noqa: S101 - report() has set it
        _, phase_started_at, phase_done = self._phase
        fraction = max(self.latest.fraction, min(progress.fraction, 1.0))
        rate, eta_s = progress.rate_per_s, progress.eta_s
        if rate is None and now > phase_started_at:
            rate = (progress.done - phase_done) / (now - phase_started_at)
        gained = fraction - self._start_fraction
        if eta_s is None and gained > 0:
            eta_s = (now - self._started_at) * (1 - fraction) / gained
        rows, files = _highest(progress.rows, self.latest.rows), _highest(progress.files, self.latest.files)
        return replace(progress, fraction=fraction, rate_per_s=rate, eta_s=eta_s, rows=rows, files=files)


def _highest(count: int | None, previous: int | None) -> int | None:
    return count if previous is None else previous if count is None else max(count, previous)
