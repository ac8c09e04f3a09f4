"""What happens to a job's record when rq runs its task, or loses it?"""

from __future__ import annotations

import contextlib
import signal
from typing import Any

from rq import get_current_job
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.ledger import QUEUE, Connection, Ledger
from analytics_kit.backends.record import RefusedError, State
from analytics_kit.backends.running import run
from analytics_kit.errors import JobNotFoundError, WorkerLostError
from analytics_kit.model import Failure


def perform(namespace: str, job_id: str, fence: int) -> None:
    """Do one attempt at a job: what rq calls in the forked process. Does nothing when the attempt is out of date."""
    task = get_current_job()
    if task is None:
        raise RuntimeError("perform() is called by rq workers only.")
    book = Ledger(task.connection, namespace)
    with contextlib.suppress(JobNotFoundError):
        record = book.get(job_id)
        if record.fence == fence and not record.state.shown.final:
            run(book, record)


def lost(task: Job, why: str) -> None:
    """Fail the job of an rq task that nobody works on any more; no effect when it has ended or is in other hands."""
    namespace, job_id, fence = task.args
    error = WorkerLostError(f"The process that worked on the job is gone: {why}.")
    with contextlib.suppress(RefusedError):
        Ledger(task.connection, namespace).move(job_id, fence, State.FAILED, error=Failure.of(error))


def lost_with(connection: Connection, worker: str, why: str) -> None:
    """Fail the jobs that a dead worker had in hand, and take it off rq's list."""
    key = f"rq:worker:{worker}"
    for member in connection.smembers(f"{key}:executions"):
        with contextlib.suppress(NoSuchJobError):
            lost(Job.fetch(member.decode().split(":")[0], connection, JSONSerializer), why)
    connection.srem("rq:workers", key)
    connection.srem(f"rq:workers:{QUEUE}", key)
    connection.delete(key, f"{key}:executions")


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


def on_killed(task: Job, pid: int | None, status: int | None, usage: Any) -> None:
    """rq's `work_horse_killed_handler`."""
    lost(task, death(status))


def on_exception(task: Job, kind: type[BaseException], error: BaseException, trace: Any) -> bool:
    """rq's exception handler: an abandoned task, or one that failed outside of what `run` writes down."""
    lost(task, "its worker went silent" if kind.__name__ == "AbandonedJobError" else f"{kind.__name__}: {error}")
    return True
