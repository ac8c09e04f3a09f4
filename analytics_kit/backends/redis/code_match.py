"""Decide which worker may run a step: no result is made by other code than its key says, or by two.

A job names the code of its client. Workers with other code leave it to those that have it. When none of these is
left, as after an upgrade, a newer worker takes the whole job over, under the key of its own code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from analytics_kit.backends.record import BEGIN_STEP, Attempt, Record, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import OTHER_VERSION_PATIENCE_S, AttemptStore
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.redis.rq_queue import WorkerState
from analytics_kit.code_version import CodeVersion, code_version, is_newer, result_key_of
from analytics_kit.model import RECORD_VERSION, CannotRunHere


def settle_code(
    connection: Connection, attempts: AttemptStore, record: Record, attempt: Attempt, worker: str
) -> Record | None:
    """Return the record with which a worker goes on; None where the job begins anew and this step has ended.

    Raises
    ------
    CannotRunHere
        A worker with the job's code lives, or this worker is not newer than the job.
    ChangeRefusedError
        The attempt is not the newest one any more.
    """
    mine, required = code_version(), record.required_code
    if required is None:
        if record.version < RECORD_VERSION and attempt.step == BEGIN_STEP:
            # From now on workers of the version before leave its steps to those with this code.
            attempts.take_over(record, attempt, mine, "")
        return record
    if required.code == mine.code:
        return record
    reason = reason_to_leave(record, rq_queue.live_workers(connection), worker, mine)
    if reason:
        raise CannotRunHere(reason, OTHER_VERSION_PATIENCE_S)
    key = result_key_of(record.request_key, mine.code) if record.request_key else ""
    attempts.take_over(record, attempt, mine, key)
    if attempt.step != BEGIN_STEP:
        return None
    state = RecordState.RUNNING if record.state is RecordState.COMMITTING else record.state
    return replace(record, processed_by=mine, result_key=key or record.result_key, state=state)


def reason_to_leave(record: Record, live: Mapping[str, WorkerState], worker: str, mine: CodeVersion) -> str:
    """Return why a worker with other code does not take a job over; an empty text where it does."""
    required = record.required_code
    if required is None or required.code in {other.code.code for other in live.values()}:
        return f"it is for workers of {required}, and this one runs {mine}."
    if is_newer(mine.version, required.version):
        return ""
    started_at = live[worker].started_at if worker in live else 0.0
    if mine.version == required.version and started_at > record.created_at:
        return ""  # an editable installation, or another library, has changed since
    return waiting_notice(required, [mine])


def waiting_notice(required: CodeVersion, present: Collection[CodeVersion]) -> str:
    """Return the notice of a job that no worker has the code for."""
    found = " and ".join(map(str, sorted(set(present))))
    return (
        f"The job was submitted by {required}, and the workers run {found}. Upgrade analytics_kit and its libraries "
        "where the workers run and restart them, or submit the job again with their version."
    )
