"""What happens to a job when rq runs one of its tasks, or the process that ran it is gone?"""

from __future__ import annotations

import os

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.record import Attempt, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.cleanup import clean_up
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.step_runner import RETURN_DELAY_S, run_step
from analytics_kit.model import CannotRunHere

connection: Connection | None = None
"""Of the process that does tasks, to its broker."""


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


def _connection() -> Connection:
    if connection is None:
        raise RuntimeError("Only workers call this.")
    return connection
