"""Remove what jobs that have ended left in the store, by a worker or in this process."""

from __future__ import annotations

import logging

from analytics_kit.backends.dotted_names import resolve, wire_name
from analytics_kit.backends.record import UnreadableRecord
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.connection import Connection, set_for
from analytics_kit.backends.redis.rq_queue import CLEANUP_FUNCTION, SWEEP_FUNCTION, put_function
from analytics_kit.errors import StoreError
from analytics_kit.settings import Settings

logger = logging.getLogger(__name__)
CLEANUP_RETRY_S = 60
"""A clean-up that a worker has not done by then is queued again."""
CLEANUP_ELSEWHERE_S = 10
"""So is one that a worker could not do, after this time: another may have access to the store."""


def queue_cleanup(store: AttemptStore, job_id: str, code: str) -> None:
    """Let one worker remove what a job left; `code` names the module whose `discard` does it."""
    jobs = store.jobs
    if set_for(jobs.connection, jobs.keys.cleanup_queued(job_id), CLEANUP_RETRY_S):
        put_function(jobs.connection, CLEANUP_FUNCTION, jobs.keys.namespace, job_id, wire_name(code))


def queue_sweep(connection: Connection, code: str) -> None:
    """Let a worker remove what has expired in the store; `code` names the module whose `tidy` does it."""
    put_function(connection, SWEEP_FUNCTION, wire_name(code))


def clean_up(store: AttemptStore, job_id: str, code: str, settings: Settings | None = None) -> None:
    """Remove what a job left, in this process.

    Where the store is away or refuses access, recovery queues it again, for any worker. What else can't be removed is
    left to the sweep.

    Parameters
    ----------
    code : name of the module whose `discard` does it; never one that Redis names.
    settings : those of this process, where it is not a worker.
    """
    for record in store.jobs.get_many([job_id]):
        if isinstance(record, UnreadableRecord) or not store.jobs.is_signed(record, store.jobs.now_s()):
            logger.warning("The files of job %s are left to the sweep: its record can't be trusted.", job_id)
            continue
        try:
            resolve(f"{code}.discard")(record.arguments, job_id, record.result, settings)
        except StoreError as error:
            if error.may_work_elsewhere:
                logger.warning("The files that job %s left can't be removed yet: %s", job_id, error.message)
                store.jobs.connection.expire(store.jobs.keys.cleanup_queued(job_id), CLEANUP_ELSEWHERE_S)
                return
            logger.exception("The files that job %s left can't be removed.", job_id)
            store.append_log(job_id, [f"files of the job can't be removed: {error.message}"])
        except Exception as error:
            logger.exception("The files that job %s left can't be removed.", job_id)
            store.append_log(job_id, [f"files of the job can't be removed: {type(error).__name__}: {error}"])
    store.mark_cleaned_up(job_id)
