"""Which steps of jobs has nobody in hand any more, though the ledger says so, and what is to be done about them?

Whoever lives looks, at most once a second all together: workers, the supervisor of an embedded broker, clients that
ask for a job.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from itertools import groupby

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends import perform, roster
from analytics_kit.backends.ledger import ACTIVE, LATER, LEAVING, QUEUE, Connection
from analytics_kit.backends.record import RefusedError, State, Ticket
from analytics_kit.backends.steps import Steps, split_members
from analytics_kit.errors import JobTimeoutError, WorkerLostError
from analytics_kit.model import Failure

SWEEP = "analytics_kit.backends.perform.sweep"
TURN, SUSPECTS, SWEPT = "ak:turn", "ak:suspects", "ak:swept"
EVERY_MS = 1000
PATIENCE_S = 5.0
"""A task that was taken off the queue has this long to say so in the ledger."""
SETTLING_S = 15
"""A server that was started less than this ago has not heard from all workers yet."""
LATE_S = 2.0
SWEEP_EVERY_S = 3600


def reconcile(connection: Connection, code: str, dead: Collection[str] = ()) -> None:
    """Have done again what was lost, queue what is due, and end what can't go on.

    Parameters
    ----------
    code : dotted name of the module with `discard`, which removes what ended jobs left.
    dead : names of workers that are known to be gone; without any, nothing is done out of turn.
    """
    if not dead and not connection.set(TURN, b"", nx=True, px=EVERY_MS):
        return
    now_s = _now_s(connection)
    for member in connection.zrangebyscore(LATER, "-inf", now_s):
        job, step, attempt = member.decode().rsplit(":", 2)
        namespace, _, job_id = job.rpartition(":")
        Steps(connection, namespace).due(Ticket(job_id, step, int(attempt)))
    settled = connection.info("server")["uptime_in_seconds"] >= SETTLING_S
    living = roster.living(connection).keys() - set(dead)
    queued = {task.decode() for task in connection.lrange(f"rq:queue:{QUEUE}", 0, -1)}
    suspects: dict[str, float] = {}
    before = json.loads(connection.get(SUSPECTS) or "{}")
    for book, job_ids in _by_namespace(connection, ACTIVE):
        records = {record.job_id: record for record in book.get_many(job_ids)}
        for job_id, flights in zip(job_ids, book.flights(job_ids), strict=True):
            record = records.get(job_id)
            if record is None:
                book.forget(job_id)
                continue
            for ticket, where in flights.items():
                if where == "queued" and ticket.task_id not in queued:
                    since = suspects[ticket.task_id] = before.get(ticket.task_id, now_s)
                    if now_s - since > PATIENCE_S:
                        _forget_taken(connection, ticket)
                        book.hand_back(ticket, "its task had gone from the queue")
                elif where not in ("queued", "later") and where not in living and (settled or where in dead):
                    error = WorkerLostError(f"The worker {where}, which worked on the job, is gone.")
                    perform.lost(book, ticket, error)
            if not flights:
                since = suspects[job_id] = before.get(job_id, now_s)
                if now_s - since > PATIENCE_S:
                    _fail(book, job_id, WorkerLostError("Nobody works on the job any more."))
            elif (limit_s := record.time_limit_s) and now_s > (record.started_at or now_s) + limit_s + LATE_S:
                _fail(book, job_id, JobTimeoutError(f"The job ran longer than its time limit of {limit_s:g} s."))
    connection.set(SUSPECTS, json.dumps(suspects))
    if connection.set(SWEPT, b"", nx=True, ex=SWEEP_EVERY_S):
        queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
        queue.enqueue_call(SWEEP, args=(code,), timeout=-1, result_ttl=0, failure_ttl=1)
    for book, job_ids in _by_namespace(connection, LEAVING):
        for job_id, flights in zip(job_ids, book.flights(job_ids), strict=True):
            if not living.intersection(flights.values()) and (settled or set(flights.values()) <= set(dead)):
                perform.discard(book, job_id, code)


def bury(connection: Connection, worker: str, code: str) -> None:
    """Take a dead worker off rq's list, and give what it had in hand to others."""
    key = f"rq:worker:{worker}"
    for member in connection.smembers(f"{key}:executions"):
        with contextlib.suppress(NoSuchJobError):
            Job.fetch(member.decode().split(":")[0], connection, JSONSerializer).delete()
    connection.srem("rq:workers", key)
    connection.srem(f"rq:workers:{QUEUE}", key)
    connection.delete(key, f"{key}:executions")
    reconcile(connection, code, dead=[worker])


def hand_all_back(connection: Connection, why: str) -> None:
    """Give every step that a worker has in hand to a new attempt: the workers have been told to end."""
    for book, job_ids in _by_namespace(connection, ACTIVE):
        for flights in book.flights(job_ids):
            for ticket, where in flights.items():
                if where not in ("queued", "later"):
                    book.hand_back(ticket, why)


def take_over(connection: Connection) -> None:
    """Begin anew on a server whose workers are all gone: what they had in hand is lost, what was queued is queued."""
    for key in connection.scan_iter("rq:*", count=1000):
        connection.delete(key)
    connection.delete(TURN, SUSPECTS)
    left: list[tuple[float, Steps, Ticket, str]] = []
    for book, job_ids in _by_namespace(connection, ACTIVE):
        created = {record.job_id: record.created_at for record in book.get_many(job_ids)}
        for flights in book.flights(job_ids):
            left += [(created.get(ticket.job_id, 0.0), book, ticket, where) for ticket, where in flights.items()]
    for _, book, ticket, where in sorted(left, key=lambda each: (each[0], each[2])):
        if where == "queued":
            book.requeue(ticket)
        elif where != "later":
            perform.lost(book, ticket, WorkerLostError("The worker and the broker ended while the job ran."))


def _fail(book: Steps, job_id: str, error: WorkerLostError | JobTimeoutError) -> None:
    with contextlib.suppress(RefusedError):
        book.move(Ticket(job_id, "", 0), State.FAILED, error=Failure.of(error))


def _forget_taken(connection: Connection, ticket: Ticket) -> None:
    """What rq still knows of a task that a worker took and died."""
    taken = f"rq:queue:{QUEUE}:intermediate"
    connection.lrem(taken, 1, ticket.task_id)
    connection.delete(f"{taken}:first_seen:{ticket.task_id}", f"rq:job:{ticket.task_id}")


def _by_namespace(connection: Connection, key: str) -> list[tuple[Steps, list[str]]]:
    members = sorted(split_members(connection.smembers(key)))
    return [
        (Steps(connection, namespace), [job_id for _, job_id in found])
        for namespace, found in groupby(members, key=lambda member: member[0])
    ]


def _now_s(connection: Connection) -> float:
    seconds, micros = connection.time()
    return float(seconds + micros / 1e6)
