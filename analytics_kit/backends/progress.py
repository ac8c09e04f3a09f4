"""How often is progress told, and what is worked out from it?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from analytics_kit.model import Progress

INTERVAL_S = 0.1
"""At most one word in this time, but for the first of each phase and the last."""


class ProgressReporter:
    """Passes a task's progress on: not too often, with numbers that never fall, with rate and time left.

    Parameters
    ----------
    write : what is called with the progress to be told.
    start : what was told before, by an earlier attempt.
    clock : seconds that never go back.
    """

    def __init__(
        self, write: Callable[[Progress], None], start: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._told = start
        self._kept: Progress | None = None
        self._published_at = -math.inf
        self._begun_at = clock()
        self._phase: tuple[str, float, int] | None = None
        self._start_fraction = start.fraction

    def report(self, progress: Progress) -> None:
        """Tell it now, or keep it as the latest."""
        now = self._clock()
        if self._phase is None or progress.phase != self._phase[0]:
            self._phase = (progress.phase, now, progress.done)
            self._published_at = -math.inf
        self._kept = self._completed(progress, now)
        if now - self._published_at >= INTERVAL_S:
            self._published_at = now
            self.flush()

    def flush(self) -> None:
        """Tell the latest, if it was kept back."""
        if self._kept is not None:
            self._told, self._kept = self._kept, None
            self._write(self._told)

    @property
    def latest(self) -> Progress:
        """What was reported last."""
        return self._kept or self._told

    def _completed(self, progress: Progress, now: float) -> Progress:
        assert self._phase is not None  # noqa: S101 - report() has set it
        _, phase_at, phase_done = self._phase
        fraction = max(self.latest.fraction, min(progress.fraction, 1.0))
        rate, left = progress.rate_per_s, progress.eta_s
        if rate is None and now > phase_at:
            rate = (progress.done - phase_done) / (now - phase_at)
        gained = fraction - self._start_fraction
        if left is None and gained > 0:
            left = (now - self._begun_at) * (1 - fraction) / gained
        rows, files = _most(progress.rows, self.latest.rows), _most(progress.files, self.latest.files)
        return replace(progress, fraction=fraction, rate_per_s=rate, eta_s=left, rows=rows, files=files)


def _most(count: int | None, before: int | None) -> int | None:
    return count if before is None else before if count is None else max(count, before)
