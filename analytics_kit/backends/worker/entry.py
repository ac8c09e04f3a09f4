"""What happens to a job when rq runs one of its tasks, or the process that ran it is gone?"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.record import Attempt, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.cleanup import clean_up
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.step_runner import RETURN_DELAY_S, run_step
from analytics_kit.errors import AnalyticsKitError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import CannotRunHere

connection: Connection | None = None
"""Of the process that does tasks, to its broker."""
OUTPUT_CHARACTERS = 4000


def perform(namespace: str, job_id: str, step: str, attempt: int) -> None:
    """Do one attempt at a step, in the forked process. Does nothing when it is out of date."""
    book, ticket = AttemptStore(_connection(), namespace), Attempt(job_id, step, attempt)
    try:
        record, winners = book.claim(ticket, os.environ["RQ_WORKER_ID"])
    except StaleAttemptError:
        return
    except CannotRunHere as why:
        book.return_to_queue(ticket, str(why), f"No worker can do it yet: {why}", RETURN_DELAY_S)
        return
    run_step(book, record, ticket, winners)


def sweep(code: str) -> None:
    """Remove what is past its time from the store; a task of its own, about once an hour."""
    resolve(f"{code}.tidy")()


def discard(namespace: str, job_id: str, code: str) -> None:
    """Remove what a job that has ended left in the store; a task of its own, because a store may be slow."""
    clean_up(AttemptStore(_connection(), namespace), job_id, code)


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


def _connection() -> Connection:
    if connection is None:
        raise RuntimeError("Only workers call this.")
    return connection
