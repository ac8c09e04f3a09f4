"""Which steps of jobs has nobody in hand any more, though the ledger says so, and what is to be done about them?

Whoever lives looks, at most once a second all together: workers, the supervisor of an embedded broker, clients that
ask for a job. What looks wrong has to look wrong for a while: a machine that wakes up finds all workers silent.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from itertools import groupby

from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import Attempt, RecordState, StaleAttemptError
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore, split_members
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY, QUEUE_NAME, Connection
from analytics_kit.backends.worker import entry as perform
from analytics_kit.errors import AnalyticsKitError, JobTimeoutError, WorkerLostError
from analytics_kit.model import Failure

logger = logging.getLogger(__name__)
TURN, SUSPECTS, SWEPT = "ak:turn", "ak:suspects", "ak:swept"
EVERY_MS = 1000
SILENT_S = 3.0
"""A worker that has not been heard of is dead when it is still not heard of after this time."""
LEFT_S = 5.0
"""A step that no queue and no worker knows of has this long to turn up."""
LATE_S = 2.0
SWEEP_EVERY_S = 3600


class _Round:
    """One look at all jobs: what was suspect before, and what is now."""

    def __init__(self, connection: Connection, code: str, dead: Collection[str]) -> None:
        self.connection, self.code, self.dead = connection, code, dead
        seconds, micros = connection.time()
        self.now_s = float(seconds + micros / 1e6)
        self.living = {name: w for name, w in rq_queue.live_workers(connection).items() if name not in dead}
        self.queued = {task.decode() for task in connection.lrange(f"rq:queue:{QUEUE_NAME}", 0, -1)}
        self._before: dict[str, float] = json.loads(connection.get(SUSPECTS) or "{}")
        self.suspects: dict[str, float] = {}

    def looks_wrong(self, what: str, for_s: float) -> bool:
        """Whether it has looked wrong for so long."""
        since = self.suspects[what] = self._before.get(what, self.now_s)
        return self.now_s - since >= for_s

    def step(self, store: AttemptStore, attempt: Attempt, where: str) -> None:
        """See to a step that is in flight."""
        if where == "queued":
            if attempt.rq_job_id not in self.queued and self.looks_wrong(attempt.rq_job_id, LEFT_S):
                _forget_taken(self.connection, attempt)
                store.return_to_queue(attempt, "its task had gone from the queue")
        elif where in self.dead or (where not in self.living and self.looks_wrong(f"{where} {attempt}", SILENT_S)):
            perform.retry_or_fail(
                store, attempt, WorkerLostError(f"The worker {where}, which worked on the job, is gone.")
            )
        elif self._is_forgotten(attempt, where) and self.looks_wrong(str(attempt), LEFT_S):
            perform.retry_or_fail(
                store, attempt, WorkerLostError(f"The worker {where} does not work on the job any more.")
            )

    def job(
        self, store: AttemptStore, job_id: str, flights: Mapping[Attempt, str], limits: tuple[float, float] | None
    ) -> None:
        """See to a job that has not ended."""
        if limits is None:
            store.forget_job(job_id)
            return
        for attempt, where in flights.items():
            if where != "later":
                self.step(store, attempt, where)
        begun, limit_s = limits
        if not flights:
            if self.looks_wrong(job_id, LEFT_S):
                _fail(store, job_id, WorkerLostError("Nobody works on the job any more."))
        elif begun and limit_s and self.now_s > begun + limit_s + LATE_S and not self._is_in_hand(flights):
            # A worker that has it in hand goes by its own clock, which stands still while the machine sleeps.
            _fail(store, job_id, JobTimeoutError(f"The job ran longer than its time limit of {limit_s:g} s."))

    def _is_forgotten(self, attempt: Attempt, where: str) -> bool:
        return where in self.living and self.living[where].rq_job_id != attempt.rq_job_id

    def _is_in_hand(self, flights: Mapping[Attempt, str]) -> bool:
        return bool(self.living.keys() & flights.values())


def reconcile(connection: Connection, code: str, dead: Collection[str] = ()) -> None:
    """Have done again what was lost, queue what is due, and end what can't go on.

    Parameters
    ----------
    code : dotted name of the module with `discard`, which removes what ended jobs left.
    dead : names of workers that are known to be gone; without any, nothing is done out of turn.
    """
    if not dead and not connection.set(TURN, b"", nx=True, px=EVERY_MS):
        return
    look = _Round(connection, code, dead)
    for member in connection.zrangebyscore(DELAYED_KEY, "-inf", look.now_s):
        job, step, number = member.decode().rsplit(":", 2)
        namespace, _, job_id = job.rpartition(":")
        AttemptStore(connection, namespace).queue_due(Attempt(job_id, step, int(number)))
    for store, job_ids in _by_namespace(connection, ACTIVE_KEY):
        for job_id, flights, limits in zip(
            job_ids, store.pending_steps(job_ids), store.time_limits(job_ids), strict=True
        ):
            with _others_go_on(job_id):
                look.job(store, job_id, flights, limits)
    for store, job_ids in _by_namespace(connection, CLEANUP_KEY):
        for job_id, flights in zip(job_ids, store.pending_steps(job_ids), strict=True):
            with _others_go_on(job_id):
                if not look.living.keys() & flights.values():
                    perform.queue_cleanup(store, job_id, code)
    connection.set(SUSPECTS, json.dumps(look.suspects))
    if connection.set(SWEPT, b"", nx=True, ex=SWEEP_EVERY_S):
        perform.queue_function(connection, perform.SWEEP_FUNCTION, code)
    took_ms = int(1000 * (_now_s(connection) - look.now_s))
    if took_ms * 5 > EVERY_MS:  # with very many jobs, others get a chance between two looks
        connection.set(TURN, b"", px=took_ms * 5)


def recover_worker(connection: Connection, worker: str, code: str) -> None:
    """Take a dead worker off rq's list, and give what it had in hand to others."""
    key = f"rq:worker:{worker}"
    for member in connection.smembers(f"{key}:executions"):
        with contextlib.suppress(NoSuchJobError):
            Job.fetch(member.decode().split(":")[0], connection, JSONSerializer).delete()
    connection.srem("rq:workers", key)
    connection.srem(f"rq:workers:{QUEUE_NAME}", key)
    connection.delete(key, f"{key}:executions")
    reconcile(connection, code, dead=[worker])


def return_all_to_queue(connection: Connection, why: str) -> None:
    """Give every step that a worker has in hand to a new attempt: the workers have been told to end."""
    for store, job_ids in _by_namespace(connection, ACTIVE_KEY):
        for flights in store.pending_steps(job_ids):
            for attempt, where in flights.items():
                if where not in ("queued", "later"):
                    store.return_to_queue(attempt, why)


def rebuild_queue(connection: Connection) -> None:
    """Begin anew on a server whose workers are all gone: what they had in hand is lost, what was queued is queued."""
    for key in connection.scan_iter("rq:*", count=1000):
        connection.delete(key)
    connection.delete(TURN, SUSPECTS)
    for key in connection.scan_iter("ak:discard:*", count=1000):
        connection.delete(key)
    left: list[tuple[float, AttemptStore, Attempt, str]] = []
    for store, job_ids in _by_namespace(connection, ACTIVE_KEY):
        created = {record.job_id: record.created_at for record in store.get_many(job_ids)}
        for flights in store.pending_steps(job_ids):
            left += [(created.get(attempt.job_id, 0.0), store, attempt, where) for attempt, where in flights.items()]
    for _, store, attempt, where in sorted(left, key=lambda each: (each[0], each[2])):
        if where == "queued":
            store.requeue(attempt)
        elif where != "later":
            perform.retry_or_fail(
                store, attempt, WorkerLostError("The worker and the broker ended while the job ran.")
            )


@contextlib.contextmanager
def _others_go_on(job_id: str) -> Iterator[None]:
    """One job that can't be seen to keeps no other from being seen to."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        logger.exception("Job %s can't be looked after.", job_id)


def _fail(store: AttemptStore, job_id: str, error: AnalyticsKitError) -> None:
    with contextlib.suppress(StaleAttemptError):
        store.change_state(Attempt(job_id, "", 0), RecordState.FAILED, error=Failure.of(error))


def _forget_taken(connection: Connection, attempt: Attempt) -> None:
    """What rq still knows of a task that a worker took and died."""
    taken = f"rq:queue:{QUEUE_NAME}:intermediate"
    connection.lrem(taken, 1, attempt.rq_job_id)
    connection.delete(f"{taken}:first_seen:{attempt.rq_job_id}", f"rq:job:{attempt.rq_job_id}")


def _by_namespace(connection: Connection, key: str) -> list[tuple[AttemptStore, list[str]]]:
    members = sorted(split_members(connection.smembers(key)))
    return [
        (AttemptStore(connection, namespace), [job_id for _, job_id in found])
        for namespace, found in groupby(members, key=lambda member: member[0])
    ]


def _now_s(connection: Connection) -> float:
    seconds, micros = connection.time()
    return float(seconds + micros / 1e6)
