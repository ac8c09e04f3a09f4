"""Enforce a job's limits on the process that executes a step, and name the cause when such a process dies.

The worker checks the process from outside, because a step may be stuck in native code, where no signal handler runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import IO

import psutil

from analytics_kit.backends.machine import MemoryShare
from analytics_kit.backends.record import Attempt, ChangeRefusedError, RecordState
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.errors import AnalyticsKitError, JobTimeoutError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import Failure

BYTES_PER_MB = 1024**2
OUTPUT_BYTES = 4000
"""A job's log gets this much from the end of a process's output."""


class LimitMonitor:
    """Checks the process that executes an attempt.

    Parameters
    ----------
    attempts
        Store of the job's record.
    attempt
        Attempt that the process executes.
    pid
        Id of the process; the caller kills it when `check` returns True.
    share
        Memory that a process may use whose job names no limit; None for any.
    """

    def __init__(self, attempts: AttemptStore, attempt: Attempt, pid: int, share: MemoryShare | None = None) -> None:
        self._share = share
        self._attempts, self._attempt, self._pid = attempts, attempt, pid
        self._oom_kills = count_oom_kills()
        self.must_end = False
        """Whether the process has to be killed, for a reason that the record states."""
        self._record = next(iter(attempts.jobs.get_many([attempt.job_id])), None)
        self._deadline: float | None = None
        if self._record is not None and (limit_s := self._record.time_limit_s) is not None:
            started_at = self._record.started_at
            elapsed_s = 0.0 if started_at is None else max(0.0, attempts.jobs.now_s() - started_at)
            self._deadline = time.monotonic() + limit_s - elapsed_s

    @property
    def kernel_killed(self) -> bool:
        """Whether the kernel has killed any process for lack of memory since the monitor was made."""
        return count_oom_kills() > self._oom_kills

    def check(self) -> bool:
        """Return whether the process must end: it exceeds a limit, which fails the job, or is no longer wanted."""
        if error := self._exceeded():
            with contextlib.suppress(ChangeRefusedError):
                self._attempts.change_state(self._attempt, RecordState.FAILED, error=Failure.of(error))
            self.must_end = True
        elif not self._attempts.is_wanted(self._attempt):
            self.must_end = True
        return self.must_end

    def _exceeded(self) -> AnalyticsKitError | None:
        if self._record is None:
            return None
        if self._deadline is not None and time.monotonic() > self._deadline:
            return JobTimeoutError(f"The job ran longer than its time limit of {self._record.time_limit_s:g} s.")
        with contextlib.suppress(psutil.Error):
            return self._exceeded_memory(self._record.memory_limit_mb)
        return None

    def _exceeded_memory(self, limit_mb: float | None) -> AnalyticsKitError | None:
        used_bytes = psutil.Process(self._pid).memory_info().rss
        used = f"A process of the job used {used_bytes / BYTES_PER_MB:,.0f} MB of memory"
        if limit_mb is not None:
            if used_bytes <= limit_mb * BYTES_PER_MB:
                return None
            return OutOfMemoryError(
                f"{used}, more than memory_limit_mb={limit_mb:g}.",
                hint="Raise memory_limit_mb; the program itself takes about 250 MB of it.",
            )
        if self._share is None or used_bytes <= self._share.limit_bytes:
            return None
        memory = self._share.memory
        return OutOfMemoryError(
            f"{used}, more than the {self._share.limit_bytes / BYTES_PER_MB:,.0f} MB that each of "
            f"{self._share.workers} worker(s) may use of the {memory.size_bytes / BYTES_PER_MB:,.0f} MB of "
            f"{memory.origin}.",
            hint="Run fewer workers (ANALYTICS_KIT_WORKERS, analytics-kit worker -n) or more memory, process fewer "
            "participants at once, or set the limit yourself: submit(…, memory_limit_mb=…).",
        )


def cause_of_death(wait_status: int, kernel_killed: bool = False) -> AnalyticsKitError:
    """Return the error for a process that ended before its work was done.

    Parameters
    ----------
    wait_status
        As `os.waitpid` returns it.
    kernel_killed
        Whether the kernel has killed any process for lack of memory meanwhile.
    """
    if kernel_killed and wait_status & 0x7F == signal.SIGKILL:
        return OutOfMemoryError(
            "The system ended the process that worked on the job because memory ran out.",
            hint="Run fewer workers on this machine, or process fewer participants at once.",
        )
    return WorkerLostError(f"The process that worked on the job is gone: {_describe_exit(wait_status)}.")


def count_oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes the kernel has killed for lack of memory since boot; 0 where it does not count."""
    try:
        match = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


def read_tail(output: IO[bytes]) -> str:
    """Return the end of a process's output as text."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - OUTPUT_BYTES))
    return output.read().decode(errors="replace").strip()


def _describe_exit(wait_status: int) -> str:
    number = wait_status & 0x7F
    if number == signal.SIGKILL:
        return "it was killed (SIGKILL), possibly because memory ran out"
    if number:
        return f"it was ended by {signal.Signals(number).name}"
    return f"it ended with exit code {wait_status >> 8} before its work was done"
