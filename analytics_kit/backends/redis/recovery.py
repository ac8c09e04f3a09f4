"""Find the steps of jobs that no queue and no worker has any more, and retry, requeue or fail them.

Every live process takes part, together at most once a second: workers, the supervisor of an embedded broker, and
clients that read a job. A step has to look lost for a while before anything is done: when a machine wakes up, all its
workers look dead.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby

import redis

from analytics_kit.backends.record import Attempt, ChangeRefusedError, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import UNREADABLE, AttemptStore, TimeLimit
from analytics_kit.backends.redis.cleanup import queue_cleanup, queue_sweep
from analytics_kit.backends.redis.connection import Connection, queue_keys, server_time_s, set_for
from analytics_kit.backends.redis.job_store import DELAYED, QUEUED
from analytics_kit.backends.redis.keys import as_text, split_member
from analytics_kit.backends.redis.repair import repair_queue
from analytics_kit.backends.redis.server_errors import is_about_keys
from analytics_kit.errors import AnalyticsKitError, JobTimeoutError, WorkerLostError
from analytics_kit.model import Failure

logger = logging.getLogger(__name__)
ROUND_EVERY_S = 1.0
MAX_ROUND_S = 60.0
"""However many jobs there are, a round begins at the latest after this time."""
WORKER_SILENT_S = 3.0
"""A worker without a heartbeat is dead when it still has none after this time."""
STEP_LOST_S = 5.0
"""A step that is neither queued nor worked on is lost after this time."""
TIME_LIMIT_GRACE_S = 2.0
"""A job that no live worker works on fails this long after its time limit."""
SWEEP_EVERY_S = 3600
LONGEST_STEP_DELAY_S = 60.0
"""No step is delayed for longer."""


class RecoveryRound:
    """One check of all jobs: what looked lost in the last round, and what looks lost now."""

    def __init__(self, connection: Connection, now_s: float, dead: Collection[str]) -> None:
        self._connection, self._dead = connection, dead
        self.now_s = now_s
        workers = rq_queue.read_workers(connection)
        self.live = {name: state for name, state in workers.own.items() if name not in dead}
        self._foreign = workers.foreign
        self._queued = set(rq_queue.waiting_ids(connection))
        self._suspects_before = _read_suspects(connection)
        self.suspects: dict[str, float] = {}

    def check_job(
        self,
        store: AttemptStore,
        job_id: str,
        steps: Mapping[Attempt, str] | None,
        limits: TimeLimit | None,
    ) -> None:
        """Check a job that has not ended, and its pending steps."""
        if limits is None:
            store.forget_job(job_id)
            return
        if steps is None or limits is UNREADABLE:
            store.give_up(job_id)
            return
        if limits.has_ended:  # a reader may add a job to the list that has just ended
            store.forget_active(job_id)
            return
        for attempt, location in steps.items():
            if location != DELAYED:
                self._check_step(store, attempt, location)
        started, limit_s, _ = limits
        if not steps:
            if self._looks_lost(job_id, STEP_LOST_S):
                _fail(store, job_id, WorkerLostError("No step of the job is queued or running any more."))
        elif started and limit_s and self.now_s > started + limit_s + TIME_LIMIT_GRACE_S and not self.works_on(steps):
            # A worker that has a step goes by its own clock, which stands still while the machine sleeps.
            _fail(store, job_id, JobTimeoutError(f"The job ran longer than its time limit of {limit_s:g} s."))

    def works_on(self, steps: Mapping[Attempt, str]) -> bool:
        """Return whether a live worker has one of the steps."""
        return bool(self.live.keys() & steps.values())

    def _check_step(self, store: AttemptStore, attempt: Attempt, location: str) -> None:
        if location == QUEUED:
            if attempt.rq_job_id not in self._queued and self._looks_lost(attempt.rq_job_id, STEP_LOST_S):
                rq_queue.forget_taken(self._connection, attempt.rq_job_id)
                notice = foreign_worker_notice(self._connection, self._foreign)
                reason = f", on which {', '.join(self._foreign)} listens, too" if notice else ""
                store.return_to_queue(attempt, f"it had gone from the queue{reason}", notice)
        elif location in self._dead or (
            location not in self.live and self._looks_lost(f"{location} {attempt}", WORKER_SILENT_S)
        ):
            _retry(store, attempt, f"The worker {location}, which worked on the job, is gone.")
        elif self._is_abandoned(attempt, location) and self._looks_lost(str(attempt), STEP_LOST_S):
            _retry(store, attempt, f"The worker {location} does not work on the job any more.")

    def _looks_lost(self, name: str, for_s: float) -> bool:
        """Note that something looks lost; return whether it has done so for `for_s` seconds."""
        since = self._suspects_before.get(name, self.now_s)
        if not since <= self.now_s:  # no time, or one to come
            since = self.now_s
        self.suspects[name] = since
        return self.now_s - since >= for_s

    def _is_abandoned(self, attempt: Attempt, worker: str) -> bool:
        return worker in self.live and self.live[worker].rq_job_id != attempt.rq_job_id


def run_recovery(
    connection: Connection,
    code: str,
    dead: Collection[str] = (),
    clock: Callable[[Connection], float] = server_time_s,
) -> None:
    """Run one round: retry lost steps, queue delayed ones that are due, fail jobs that can't go on, queue clean-ups.

    Parameters
    ----------
    code : dotted name of the module with `discard`, which removes what ended jobs left, and `tidy`.
    dead : names of workers that are known to be dead; without any, a call within a second of the last round returns
        at once.
    clock : returns the server's time in seconds.
    """
    keys = queue_keys(connection)
    if not dead and not set_for(connection, keys.recovery_turn, ROUND_EVERY_S):
        return
    repair_queue(connection)
    recovery = RecoveryRound(connection, clock(connection), dead)
    for member in _due_members(connection, recovery.now_s):
        _queue_due(connection, keys.delayed, member)
    for store, job_ids in _by_namespace(connection, keys.active):
        steps_of, limits_of = store.pending_steps(job_ids), store.time_limits(job_ids)
        for job_id, steps, limits in zip(job_ids, steps_of, limits_of, strict=True):
            with _isolated(job_id):
                recovery.check_job(store, job_id, steps, limits)
    for store, job_ids in _by_namespace(connection, keys.cleanup):
        for job_id, steps in zip(job_ids, store.pending_steps(job_ids), strict=True):
            with _isolated(job_id):
                if not recovery.works_on(steps or {}):
                    queue_cleanup(store, job_id, code)
    connection.set(keys.suspects, json.dumps(recovery.suspects))
    if set_for(connection, keys.swept, SWEEP_EVERY_S):
        queue_sweep(connection, code)
    pause_s = 5 * (clock(connection) - recovery.now_s)
    if pause_s > ROUND_EVERY_S:  # with very many jobs, leave time for other work between two rounds
        connection.set(keys.recovery_turn, b"", px=int(1000 * min(pause_s, MAX_ROUND_S)))


def _due_members(connection: Connection, now_s: float) -> list[bytes]:
    """Return the steps whose delay is over, and those that the server's clock was set back before."""
    key = queue_keys(connection).delayed
    ranges = (("-inf", now_s), (now_s + LONGEST_STEP_DELAY_S, "+inf"))
    return [member for low, high in ranges for member in connection.zrangebyscore(key, low, high)]


def recover_worker(connection: Connection, worker: str, code: str) -> None:
    """Remove a dead worker from rq and retry the step that it had."""
    rq_queue.remove_worker(connection, worker)
    run_recovery(connection, code, dead=[worker])


def return_all_to_queue(connection: Connection, reason: str) -> None:
    """Return every step that a worker has to the queue, after all workers were stopped."""
    for store, job_ids in _by_namespace(connection, queue_keys(connection).active):
        for steps in store.pending_steps(job_ids):
            for attempt, location in (steps or {}).items():
                if location not in (QUEUED, DELAYED):
                    store.return_to_queue(attempt, reason)


def rebuild_queue(connection: Connection) -> None:
    """Rebuild rq's queue from the records, on a server whose workers are all gone; retry what they had."""
    keys = queue_keys(connection)
    repair_queue(connection)
    rq_queue.clear(connection)
    connection.delete(keys.recovery_turn, keys.suspects)
    for store, job_ids in _by_namespace(connection, keys.cleanup):
        connection.delete(*map(store.jobs.keys.cleanup_queued, job_ids))
    pending: list[tuple[float, AttemptStore, Attempt, str]] = []
    for store, job_ids in _by_namespace(connection, keys.active):
        created = {record.job_id: record.created_at for record in store.jobs.get_many(job_ids)}
        for steps in store.pending_steps(job_ids):
            pending += [
                (created.get(attempt.job_id, 0.0), store, attempt, at) for attempt, at in (steps or {}).items()
            ]
    for _, store, attempt, location in sorted(pending, key=lambda each: (each[0], each[2])):
        if location == QUEUED:
            store.requeue(attempt)
        elif location != DELAYED:
            _retry(store, attempt, "The worker and the broker ended while the job ran.")


def foreign_worker_notice(connection: Connection, foreign: Collection[str]) -> str:
    """Return what to say of a job while workers of other applications listen on the queue; empty without any."""
    if not foreign:
        return ""
    return (
        f"Workers of another application ({', '.join(foreign)}) listen on the queue "
        f"{rq_queue.queue_name(connection)!r} of this Redis, and may take steps of jobs, which then wait for "
        f"{STEP_LOST_S:g} s and are queued again. Give ANALYTICS_KIT_QUEUE another name."
    )


def _queue_due(connection: Connection, key: str, member: bytes) -> None:
    """Queue the step that a member of `QueueKeys.delayed` names, or remove the member if it names none."""
    job, _, step = as_text(member).rpartition(":")[0].rpartition(":")
    number = as_text(member).rpartition(":")[2]
    parts = split_member(job.encode())
    if parts is None or not step or not number.isdecimal():
        logger.warning("A member of %s names no step; it was removed.", key)
        connection.zrem(key, member)
        return
    with _isolated(parts[1]):
        AttemptStore(connection, parts[0]).queue_due(Attempt(parts[1], step, int(number)))


def _read_suspects(connection: Connection) -> dict[str, float]:
    try:
        suspects = json.loads(connection.get(queue_keys(connection).suspects) or b"{}")
        return {str(name): float(since) for name, since in suspects.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, redis.ResponseError):
        return {}  # whatever is lost is then noticed some seconds later


@contextlib.contextmanager
def _isolated(job_id: str) -> Iterator[None]:
    """Log what goes wrong with one job, so that recovery goes on with the others."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        logger.exception("Recovery of job %s failed.", job_id)
    except redis.ResponseError as error:
        if not is_about_keys(error):  # the server refuses: to the others, too
            raise
        logger.exception("Recovery of job %s failed.", job_id)


def _retry(store: AttemptStore, attempt: Attempt, reason: str) -> None:
    store.retry_or_fail(attempt, Failure.of(WorkerLostError(reason)))


def _fail(store: AttemptStore, job_id: str, error: AnalyticsKitError) -> None:
    with contextlib.suppress(ChangeRefusedError):
        store.change_state(Attempt(job_id, "", 0), RecordState.FAILED, error=Failure.of(error))


def _by_namespace(connection: Connection, key: str) -> list[tuple[AttemptStore, list[str]]]:
    members = []
    for member in connection.smembers(key):
        if parts := split_member(member):
            members.append(parts)
        else:  # nothing of this package writes such a member
            logger.warning("A member of %s names no job; it was removed.", key)
            connection.srem(key, member)
    members.sort()
    return [
        (AttemptStore(connection, namespace), [job_id for _, job_id in group])
        for namespace, group in groupby(members, key=lambda member: member[0])
    ]
