"""Queue work for RQ and read which workers live; all of rq's keys and the layout of its messages are defined here.

All jobs of all namespaces share one rq queue. An rq job is one attempt at one step of a job, or a housekeeping
function; the record of a job is what counts, so rq keeps no results.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.dotted_names import present_name, wire_name
from analytics_kit.backends.record import BEGIN_STEP, Attempt
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.code_version import UNKNOWN_CODE, CodeVersion

QUEUE_NAME = "analytics"
STEP_FUNCTION = "analytics_kit.backends.worker.entry.perform"
"""Dotted name of the function that workers call with namespace, job id, step and attempt number."""

_WORKERS, _LISTENERS = "rq:workers", f"rq:workers:{QUEUE_NAME}"
_WORKER_PREFIX = "rq:worker:"
_POOL_WORKER = re.compile(r"(.+-\d+)-\d+-[0-9a-f]{4}")
QUEUE_KEY = f"rq:queue:{QUEUE_NAME}"
_INTERMEDIATE = f"{QUEUE_KEY}:intermediate"


class WorkerState(NamedTuple):
    """What a live worker last published: rq's state of it, and the rq job of the step it has claimed or `""`."""

    state: str
    rq_job_id: str
    code: CodeVersion = UNKNOWN_CODE
    """The code that it runs; empty for a worker of a version that does not say so."""
    started_at: float = 0.0
    """When it was started, by the server's clock in seconds since 1970; 0 where it does not say so."""


def open_queue(connection: Connection) -> Queue:
    """Return the rq queue; its messages are JSON, never pickles."""
    return Queue(QUEUE_NAME, connection=connection, serializer=JSONSerializer)


class StepQueue:
    """The queue of attempts at steps."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection, self._namespace = connection, namespace
        self._queue = open_queue(connection)

    def put(self, attempts: Iterable[Attempt], pipe: Connection, front: bool = False) -> None:
        """Queue attempts, through the pipeline `pipe`."""
        for attempt in attempts:
            self._queue.enqueue_call(
                wire_name(STEP_FUNCTION),
                args=(self._namespace, *attempt),
                job_id=attempt.rq_job_id,
                timeout=-1,
                result_ttl=0,  # the record is the truth
                failure_ttl=1,
                description=attempt.job_id,
                at_front=front,
                pipeline=pipe,
            )

    def remove(self, rq_job_id: bytes) -> None:
        """Take an attempt off the queue; if a worker is just taking it, its claim will be refused."""
        if self._connection.lrem(QUEUE_KEY, 1, rq_job_id):
            self._connection.delete(b"rq:job:" + rq_job_id)

    def queued_begins(self) -> dict[str, int]:
        """Return the jobs whose first step is queued, in the order of the queue, with the number of its attempt."""
        begins: dict[str, int] = {}
        for rq_job_id in waiting_ids(self._connection):
            job_id, _, number = rq_job_id.partition(f"-{BEGIN_STEP}-")
            if number:
                begins.setdefault(job_id, int(number))
        return begins


def put_function(connection: Connection, function: str, *arguments: str) -> None:
    """Queue a call of a housekeeping function, ahead of all steps."""
    open_queue(connection).enqueue_call(
        wire_name(function), args=arguments, timeout=-1, result_ttl=0, failure_ttl=1, at_front=True
    )


def waiting_ids(connection: Connection) -> list[str]:
    """Return the ids of the rq jobs that wait, in their order."""
    return [rq_job_id.decode() for rq_job_id in connection.lrange(QUEUE_KEY, 0, -1)]


def attempt_of(job: Job) -> tuple[str, Attempt] | None:
    """Return namespace and attempt of an rq job; None when it is a housekeeping function."""
    if present_name(str(job.func_name)) != STEP_FUNCTION:
        return None
    namespace, job_id, step, number = job.args
    return namespace, Attempt(job_id, step, int(number))


def forget_taken(connection: Connection, rq_job_id: str) -> None:
    """Remove what rq keeps of a job that a worker took before it died."""
    connection.lrem(_INTERMEDIATE, 1, rq_job_id)
    connection.delete(f"{_INTERMEDIATE}:first_seen:{rq_job_id}", f"rq:job:{rq_job_id}")


def forget_done(pipe: Connection, job: Job) -> None:
    """Remove what rq keeps of a job that a worker has worked on."""
    pipe.lrem(_INTERMEDIATE, 1, job.id)
    # Another worker's maintenance sets the second key, for a day, when it sees the job before it is started.
    pipe.delete(job.key, f"{_INTERMEDIATE}:first_seen:{job.id}")


def publish_heartbeat(
    connection: Connection,
    worker_key: str,
    state: str,
    rq_job_id: str,
    code: CodeVersion = UNKNOWN_CODE,
    started_at: float = 0.0,
) -> None:
    """Write what `live_workers` reads of a worker, into rq's hash of it."""
    greeting = {"ak_version": code.version, "ak_code": code.code, "ak_started": started_at}
    connection.hset(worker_key, mapping={"state": state, "hand": rq_job_id, **greeting})


def live_workers(connection: Connection) -> dict[str, WorkerState]:
    """Return the workers that live, by name; the key of a dead one expires seconds after its last heartbeat."""
    keys = [key.decode() for key in connection.smembers(_LISTENERS)]
    with connection.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, "state", "hand", "ak_version", "ak_code", "ak_started")
        return {
            key.removeprefix(_WORKER_PREFIX): WorkerState(
                state.decode(),
                (rq_job_id or b"").decode(),
                CodeVersion((version or b"").decode(), (code or b"").decode()),
                float(started_at or 0),
            )
            for key, (state, rq_job_id, version, code, started_at) in zip(keys, pipe.execute(), strict=True)
            if state
        }


def pool_of(worker: str) -> str:
    """Return the part of a worker's name that all workers of its pool share, the whole name of one without a pool.

    >>> pool_of("host-31-2-f3a9"), pool_of("host-31")
    ('host-31', 'host-31')
    """
    found = _POOL_WORKER.fullmatch(worker)
    return found[1] if found else worker


def count_workers(connection: Connection) -> tuple[int, int]:
    """Return how many workers live, and how many of them are busy."""
    states = [worker.state for worker in live_workers(connection).values()]
    return len(states), states.count("busy")


def count_registered(connection: Connection) -> int:
    """Return how many workers are registered, dead ones included until they are removed; cheap."""
    return int(connection.scard(_LISTENERS))


def remove_worker(connection: Connection, name: str) -> None:
    """Remove a dead worker and its rq jobs."""
    key = f"{_WORKER_PREFIX}{name}"
    for member in connection.smembers(f"{key}:executions"):
        rq_job_id = member.decode().split(":")[0]
        with contextlib.suppress(NoSuchJobError):
            Job.fetch(rq_job_id, connection, JSONSerializer).delete()
        forget_taken(connection, rq_job_id)
    connection.srem(_WORKERS, key)
    connection.srem(_LISTENERS, key)
    connection.delete(key, f"{key}:executions")


def clear(connection: Connection) -> None:
    """Remove everything that rq keeps on the server."""
    for key in connection.scan_iter("rq:*", count=1000):
        connection.delete(key)
