"""Is a task that runs still wanted, and within its job's limits? Its parent looks: the task itself may be stuck."""

from __future__ import annotations

import contextlib
import time

import psutil

from analytics_kit.backends.record import Attempt, RecordState, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.worker.entry import kernel_kills
from analytics_kit.errors import AnalyticsKitError, JobTimeoutError, OutOfMemoryError
from analytics_kit.model import Failure

MB = 1024**2


class Watch:
    """Looks at the process `pid`, which works on `ticket`."""

    def __init__(self, book: AttemptStore, ticket: Attempt, pid: int) -> None:
        self._book, self._ticket, self._pid = book, ticket, pid
        self._kills = kernel_kills()
        self.over = False
        """Whether the process has to go, and the record says why."""
        self._record = next(iter(book.get_many([ticket.job_id])), None)
        self._ends_at: float | None = None
        if self._record is not None and (limit_s := self._record.time_limit_s) is not None:
            begun = self._record.started_at
            passed_s = 0.0 if begun is None else max(0.0, book.now_s() - begun)
            self._ends_at = time.monotonic() + limit_s - passed_s

    @property
    def kernel_killed(self) -> bool:
        """Whether the kernel has ended a process for want of memory since the watch began."""
        return kernel_kills() > self._kills

    def look(self) -> bool:
        """Whether the process has to go: it broke a limit, which fails the job, or is not wanted any more."""
        if error := self._broken():
            with contextlib.suppress(StaleAttemptError):
                self._book.change_state(self._ticket, RecordState.FAILED, error=Failure.of(error))
            self.over = True
        elif not self._book.is_wanted(self._ticket):
            self.over = True
        return self.over

    def _broken(self) -> AnalyticsKitError | None:
        if self._record is None:
            return None
        if self._ends_at is not None and time.monotonic() > self._ends_at:
            return JobTimeoutError(f"The job ran longer than its time limit of {self._record.time_limit_s:g} s.")
        limit_mb = self._record.memory_limit_mb
        with contextlib.suppress(psutil.Error):
            if limit_mb is not None and (used := psutil.Process(self._pid).memory_info().rss / MB) > limit_mb:
                return OutOfMemoryError(
                    f"A process of the job needed {used:.0f} MB of memory, more than memory_limit_mb={limit_mb:g}.",
                    hint="Raise memory_limit_mb; the program itself takes about 250 MB of it.",
                )
        return None
