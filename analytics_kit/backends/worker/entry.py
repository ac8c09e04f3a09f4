"""What happens to a job when rq runs one of its tasks, or the process that ran it is gone?"""

from __future__ import annotations

import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import Attempt, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.job_store import QUEUE_NAME, Connection
from analytics_kit.backends.step_runner import RETURN_DELAY_S, resolve, run
from analytics_kit.errors import AnalyticsKitError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import CannotRunHere, Failure

logger = logging.getLogger(__name__)
connection: Connection | None = None
"""Of the process that does tasks, to its broker."""
CLEANUP_FUNCTION = "analytics_kit.backends.worker.entry.discard"
SWEEP_FUNCTION = "analytics_kit.backends.worker.entry.sweep"
OUTPUT_CHARACTERS = 4000
CLEANUP_RETRY_S = 60


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
    run(book, record, ticket, winners)


def sweep(code: str) -> None:
    """Remove what is past its time from the store; a task of its own, about once an hour."""
    resolve(f"{code}.tidy")()


def discard(namespace: str, job_id: str, code: str) -> None:
    """Remove what a job that has ended left in the store; a task of its own, because a store may be slow."""
    remove_remains(AttemptStore(_connection(), namespace), job_id, code)


def remove_remains(book: AttemptStore, job_id: str, code: str) -> None:
    """Do that here and now. Whatever can't be removed is left to the sweep."""
    for record in book.get_many([job_id]):
        try:
            resolve(f"{code}.discard")(record.arguments, job_id, record.result)
        except Exception as error:
            logger.exception("What job %s left can't be removed.", job_id)
            book.append_log(job_id, [f"what it left can't be removed: {type(error).__name__}: {error}"])
    book.mark_cleaned_up(job_id)


def queue_cleanup(book: AttemptStore, job_id: str, code: str) -> None:
    """Have it done by a worker, by one at a time."""
    if book.connection.set(f"ak:discard:{book.namespace}:{job_id}", b"", nx=True, ex=CLEANUP_RETRY_S):
        queue_function(book.connection, CLEANUP_FUNCTION, book.namespace, job_id, code)


def queue_function(connection: Connection, function: str, *arguments: str) -> None:
    """Give the workers something to do that is no step of a job."""
    queue = Queue(QUEUE_NAME, connection=connection, serializer=JSONSerializer)
    queue.enqueue_call(function, args=arguments, timeout=-1, result_ttl=0, failure_ttl=1, at_front=True)


def retry_or_fail(book: AttemptStore, ticket: Attempt, error: AnalyticsKitError, output: str = "") -> None:
    """The process of an attempt is gone: have it done again, or fail the job. No effect when it is out of date."""
    for record in book.get_many([ticket.job_id]):
        book.retry_or_fail(ticket, Failure.of(error, output), record.retries)


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
