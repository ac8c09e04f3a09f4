"""What happens to a job when rq runs one of its tasks, or the process that ran it is gone?"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from rq import get_current_job

from analytics_kit.backends.record import RefusedError, Ticket
from analytics_kit.backends.running import resolve, run
from analytics_kit.backends.steps import Steps
from analytics_kit.errors import AnalyticsKitError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import Failure

OUTPUT_CHARACTERS = 4000


def perform(namespace: str, job_id: str, step: str, attempt: int) -> None:
    """Do one attempt at a step: what rq calls in the forked process. Does nothing when it is out of date."""
    task = get_current_job()
    if task is None:
        raise RuntimeError("perform() is called by rq workers only.")
    book, ticket = Steps(task.connection, namespace), Ticket(job_id, step, attempt)
    try:
        record, winners = book.claim(ticket, os.environ["RQ_WORKER_ID"])
    except RefusedError:
        return
    run(book, record, ticket, winners)


def sweep(code: str) -> None:
    """Remove what is past its time from the store; a task of its own, about once an hour."""
    resolve(f"{code}.tidy")()


def lost(book: Steps, ticket: Ticket, error: AnalyticsKitError, output: str = "") -> None:
    """The process of an attempt is gone: have it done again, or fail the job. No effect when it is out of date."""
    for record in book.get_many([ticket.job_id]):
        book.lost(ticket, Failure.of(error, output), record.retries)


def tidy(book: Steps, ticket: Ticket, code: str) -> None:
    """Let go of a step; the last one who worked for a job that has ended removes what it left in the store."""
    if (record := book.leave(ticket)) is not None:
        discard(book, record.job_id, code)


def discard(book: Steps, job_id: str, code: str) -> None:
    """Remove what a job that has ended left in the store, whatever its code says that is."""
    for record in book.get_many([job_id]):
        try:
            resolve(f"{code}.discard")(record.arguments, job_id, record.result)
        except AnalyticsKitError as error:  # whoever removes by age finds it
            book.say(job_id, [f"what it left can't be removed: {error.message}"])
    book.tidied(job_id)


def cause(status: int | None, out_of_memory: bool = False) -> AnalyticsKitError:
    """Why a process is gone, from its wait status."""
    if out_of_memory:
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
    return f"it left with exit code {status >> 8}"


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
