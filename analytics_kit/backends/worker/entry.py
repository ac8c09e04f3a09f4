"""Define the functions that messages in rq's queue name; the task process of a worker calls them."""

from __future__ import annotations

import os

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.record import Attempt, ChangeRefusedError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.cleanup import clean_up
from analytics_kit.backends.redis.code_match import settle_code
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.redis.keys import SWEPT_KEY
from analytics_kit.backends.step_runner import offer_to_others, run_step
from analytics_kit.model import CannotRunHere

SWEEP_AGAIN_S = 60
"""A sweep that a worker could not do is queued again after this time."""
connection: Connection | None = None
"""Connection of the task process to its broker, set after the fork."""


def perform(namespace: str, job_id: str, step: str, attempt: int) -> None:
    """Execute one attempt at a step of a job; a stale attempt does nothing."""
    attempts, claimed = AttemptStore(_connection(), namespace), Attempt(job_id, step, attempt)
    try:
        worker = os.environ["RQ_WORKER_ID"]
        claimed_record, winning_attempts = attempts.claim(claimed, worker)
        record = settle_code(_connection(), attempts, claimed_record, claimed, worker)
    except ChangeRefusedError:
        return
    except CannotRunHere as reason:
        offer_to_others(attempts, claimed, reason)
        return
    if record is not None:
        run_step(attempts, record, claimed, winning_attempts)


def discard(namespace: str, job_id: str, code: str) -> None:
    """Remove what a finished job left in the store, which may be slow and is therefore queued."""
    clean_up(AttemptStore(_connection(), namespace), job_id, code)


def sweep(code: str) -> None:
    """Remove what has expired in the store; queued about once an hour."""
    try:
        resolve(f"{code}.tidy")()
    except CannotRunHere:
        _connection().expire(SWEPT_KEY, SWEEP_AGAIN_S)


def _connection() -> Connection:
    if connection is None:
        raise RuntimeError("Only the task process of a worker may call this.")
    return connection
