"""Define the functions that messages in rq's queue name; the task process of a worker calls them."""

from __future__ import annotations

import os

from analytics_kit.backends.dotted_names import resolve, step_function
from analytics_kit.backends.record import Attempt, ChangeRefusedError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.cleanup import clean_up
from analytics_kit.backends.redis.code_match import settle_code
from analytics_kit.backends.redis.connection import Connection, queue_keys
from analytics_kit.backends.step_runner import offer_to_others, run_step
from analytics_kit.errors import JobFailedError
from analytics_kit.model import CannotRunHere

SWEEP_AGAIN_S = 60
"""A sweep that a worker could not do is queued again after this time."""
connection: Connection | None = None
"""Connection of the task process to its broker, set after the fork."""
code = ""
"""Name of the module with the work, set after the fork; what a message calls it does not count."""


def perform(namespace: str, job_id: str, step: str, attempt: int) -> None:
    """Execute one attempt at a step of a job; a stale attempt does nothing."""
    attempts, claimed = AttemptStore(_connection(), namespace), Attempt(job_id, step, attempt)
    try:
        worker = os.environ["RQ_WORKER_ID"]
        claimed_record, winning_attempts = attempts.claim(claimed, worker)
        task = step_function(code, claimed_record.task_of(step))
        record = settle_code(_connection(), attempts, claimed_record, claimed, worker)
    except ChangeRefusedError:
        return
    except CannotRunHere as reason:
        offer_to_others(attempts, claimed, reason)
        return
    except JobFailedError as error:
        attempts.give_up(job_id, error)
        return
    if record is not None:
        run_step(attempts, record, claimed, winning_attempts, task)


def discard(namespace: str, job_id: str, named_code: str) -> None:
    """Remove what a finished job left in the store, which may be slow and is therefore queued.

    `named_code` is for workers of earlier versions.
    """
    clean_up(AttemptStore(_connection(), namespace), job_id, code)


def sweep(named_code: str) -> None:
    """Remove what has expired in the store; queued about once an hour. `named_code` is as for `discard`."""
    try:
        resolve(f"{code}.tidy")()
    except CannotRunHere:
        _connection().expire(queue_keys(_connection()).swept, SWEEP_AGAIN_S)


def _connection() -> Connection:
    if connection is None:
        raise RuntimeError("Only the task process of a worker may call this.")
    return connection
