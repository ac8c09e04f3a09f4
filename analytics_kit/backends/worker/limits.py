"""Is a task that runs still wanted, and within its job's limits? Its parent looks: the task itself may be stuck."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from analytics_kit.backends.record import Attempt, RecordState, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.errors import AnalyticsKitError, JobTimeoutError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import Failure

MB = 1024**2


class Watch:
    """Looks at the process `pid`, which works on `ticket`."""

    def __init__(self, book: AttemptStore, ticket: Attempt, pid: int) -> None:
        self._book, self._ticket, self._pid = book, ticket, pid
        self._kills = kernel_kills()
        self.over = False
        """Whether the process has to go, and the record says why."""
        self._record = next(iter(book.jobs.get_many([ticket.job_id])), None)
        self._ends_at: float | None = None
        if self._record is not None and (limit_s := self._record.time_limit_s) is not None:
            begun = self._record.started_at
            passed_s = 0.0 if begun is None else max(0.0, book.jobs.now_s() - begun)
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


OUTPUT_CHARACTERS = 4000


def cause(status: int | None, out_of_memory: bool = False) -> AnalyticsKitError:
    """Why a process is gone, from its wait status and whether the kernel has ended any for want of memory."""
    if out_of_memory and status is not None and status & 0x7F == signal.SIGKILL:
        return OutOfMemoryError(
            "The system ended the process that worked on the job because memory ran out.",
            hint="Run fewer workers on this machine, or process fewer participants at once.",
        )
    return WorkerLostError(f"The process that worked on the job is gone: {death(status)}.")


def death(status: int | None) -> str:
    """How a process ended, from its wait status, in words."""
    if status is None:
        return "it ended without a word"
    number = status & 0x7F
    if number == signal.SIGKILL:
        return "it was killed (SIGKILL), possibly because memory ran out"
    if number:
        return f"it was ended by {signal.Signals(number).name}"
    return f"it left with exit code {status >> 8} before its work was done"


def kernel_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel has ended for want of memory since the machine started; 0 where it can't say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def rest_of(output: Any) -> str:
    """The end of what a process printed into the file."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - OUTPUT_CHARACTERS))
    return str(output.read().decode(errors="replace")).strip()
