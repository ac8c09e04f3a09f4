"""Queue work for RQ and read which workers live; all of rq's keys and the layout of its messages are defined here.

All jobs of all namespaces of a queue share one rq queue. An rq job is one attempt at one step of a job, or a
housekeeping function; the record of a job is what counts, so rq keeps no results. Other applications may use rq on
the same server, even with a queue of the same name: what is theirs is left alone.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.dotted_names import present_name, wire_name
from analytics_kit.backends.record import BEGIN_STEP, MERGE_STEP, SHARD_PREFIX, Attempt
from analytics_kit.backends.redis.connection import Connection, queue_keys, queue_of, signatures_of
from analytics_kit.backends.redis.keys import DEFAULT_QUEUE, as_float, as_text, as_texts
from analytics_kit.backends.redis.signature import MAX_AGE_S
from analytics_kit.code_version import UNKNOWN_CODE, CodeVersion

DEFAULT_QUEUE_NAME = "analytics"
"""What rq calls the queue `DEFAULT_QUEUE`, as the first version did; other queues have the same name in both."""
STEP_FUNCTION = "analytics_kit.backends.worker.entry.perform"
"""Dotted name of the function that workers call with namespace, job id, step and attempt number."""
CLEANUP_FUNCTION = "analytics_kit.backends.worker.entry.discard"
SWEEP_FUNCTION = "analytics_kit.backends.worker.entry.sweep"
ARGUMENTS = {STEP_FUNCTION: 4, CLEANUP_FUNCTION: 3, SWEEP_FUNCTION: 1}
"""The functions that a message may name, and how many arguments each takes. Workers call no others."""
OWN_ID_PREFIX = "analytics_kit-"
"""Prefix of the ids of messages that name a housekeeping function."""
_STEP_ID = re.compile(rf"(.+)-(?:{BEGIN_STEP}|{MERGE_STEP}|{SHARD_PREFIX}\d+)-\d+", re.DOTALL)
_WORKER_PREFIX = f"{RQ_KEY_PREFIX}:worker:"
_MESSAGE_PREFIX = f"{RQ_KEY_PREFIX}:job:"
MAX_REFUSALS = 20
REFUSALS_TTL_S = 24 * 3600
_STUCK_S = 60
"""A message that a worker took, and began no work on for this long, was taken by a worker that has died."""

_POOL_WORKER = re.compile(r"(.+-\d+)-\d+-[0-9a-f]{4}")


class RqKeys(NamedTuple):
    """The keys that rq has for one queue.

    >>> RqKeys(rq_name("ak")).queue, RqKeys(rq_name("lab")).queue
    ('rq:queue:analytics', 'rq:queue:lab')
    """

    name: str

    @property
    def queue(self) -> str:
        """List of the ids of waiting messages."""
        return f"{RQ_KEY_PREFIX}:queue:{self.name}"

    @property
    def intermediate(self) -> str:
        """List of the ids of messages that a worker has taken and not yet begun to work on."""
        return f"{self.queue}:intermediate"

    @property
    def started(self) -> str:
        """Executions of messages, sorted by when they are taken for dead."""
        return f"{RQ_KEY_PREFIX}:wip:{self.name}"

    @property
    def listeners(self) -> str:
        """Set of the keys of workers that listen on this queue."""
        return f"{RQ_KEY_PREFIX}:workers:{self.name}"

    def first_seen(self, rq_job_id: str) -> str:
        """Key that holds when a message was first seen in the intermediate list."""
        return f"{self.intermediate}:first_seen:{rq_job_id}"


_ALL_WORKERS = f"{RQ_KEY_PREFIX}:workers"
_ALL_QUEUES = f"{RQ_KEY_PREFIX}:queues"


class WorkerState(NamedTuple):
    """What a live worker last published: rq's state of it, and the rq job of the step it has claimed or `""`."""

    state: str
    rq_job_id: str
    code: CodeVersion = UNKNOWN_CODE
    """The code that it runs; empty for a worker of a version that does not say so."""
    started_at: float = 0.0
    """When it was started, by the server's clock in seconds since 1970; 0 where it does not say so."""


class QueueMessage(NamedTuple):
    """What a worker is asked to do: one of the functions in `ARGUMENTS`, and its arguments."""

    function: str
    arguments: tuple[Any, ...]

    @property
    def attempt(self) -> tuple[str, Attempt] | None:
        """Namespace and attempt; None when the function is a housekeeping one."""
        if self.function != STEP_FUNCTION:
            return None
        namespace, job_id, step, number = self.arguments
        return namespace, Attempt(job_id, step, int(number))


class RefusedMessageError(Exception):
    """A message that looks like one of this package and is not run; the text says why.

    Parameters
    ----------
    attempt : namespace and attempt that a message names which is only not signed.
    """

    def __init__(self, reason: str, attempt: tuple[str, Attempt] | None = None) -> None:
        super().__init__(reason)
        self.attempt = attempt


def rq_name(queue: str) -> str:
    """Return what rq calls a queue."""
    return DEFAULT_QUEUE_NAME if queue == DEFAULT_QUEUE else queue


def queue_name(connection: Connection) -> str:
    """Return what rq calls the connection's queue."""
    return rq_name(queue_of(connection))


def rq_keys(connection: Connection) -> RqKeys:
    """Return rq's keys for the connection's queue."""
    return RqKeys(queue_name(connection))


def open_queue(connection: Connection) -> Queue:
    """Return the rq queue; its messages are JSON, never pickles."""
    return Queue(queue_name(connection), connection=connection, serializer=JSONSerializer)


class StepQueue:
    """The queue of attempts at steps."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection, self._namespace = connection, namespace
        self._queue = open_queue(connection)

    def put(self, attempts: Iterable[Attempt], pipe: Connection, front: bool = False) -> None:
        """Queue attempts, through the pipeline `pipe`."""
        for attempt in attempts:
            arguments = (self._namespace, *attempt)
            self._queue.enqueue_call(
                wire_name(STEP_FUNCTION),
                args=arguments,
                job_id=attempt.rq_job_id,
                timeout=-1,
                result_ttl=0,  # the record is the truth
                failure_ttl=1,
                description=attempt.job_id,
                meta=_signed(self._connection, attempt.rq_job_id, STEP_FUNCTION, arguments),
                at_front=front,
                pipeline=pipe,
            )

    def remove(self, rq_job_id: bytes) -> None:
        """Take an attempt off the queue; if a worker is just taking it, its claim will be refused."""
        if self._connection.lrem(rq_keys(self._connection).queue, 1, rq_job_id):
            self._connection.delete(_MESSAGE_PREFIX.encode() + rq_job_id)

    def queued_begins(self) -> dict[str, int]:
        """Return the jobs whose first step is queued, in the order of the queue, with the number of its attempt."""
        begins: dict[str, int] = {}
        for rq_job_id in waiting_ids(self._connection):
            job_id, _, number = rq_job_id.partition(f"-{BEGIN_STEP}-")
            if number.isdecimal():
                begins.setdefault(job_id, int(number))
        return begins


def put_function(connection: Connection, function: str, *arguments: str) -> None:
    """Queue a call of a housekeeping function, ahead of all steps."""
    rq_job_id = f"{OWN_ID_PREFIX}{secrets.token_hex(8)}"
    open_queue(connection).enqueue_call(
        wire_name(function),
        args=arguments,
        job_id=rq_job_id,
        timeout=-1,
        result_ttl=0,
        failure_ttl=1,
        meta=_signed(connection, rq_job_id, function, arguments),
        at_front=True,
    )


def is_queue(connection: Connection) -> bool:
    """Return whether rq's key of the queue holds a queue, or nothing."""
    return connection.type(rq_keys(connection).queue) in (b"list", b"none")


def waiting_ids(connection: Connection) -> list[str]:
    """Return the ids of the rq jobs that wait, in their order; entries that are no text are left out."""
    with contextlib.suppress(redis.ResponseError):  # the key holds something else
        return as_texts(connection.lrange(rq_keys(connection).queue, 0, -1))
    return []


def message_of(job: Job, connection: Connection) -> QueueMessage | None:
    """Return what an rq job asks for; None for one of another application. Nothing of it is imported or called.

    Raises
    ------
    RefusedMessageError
        It looks like one of this package, and has other arguments or, where signatures are required, no valid one.
    """
    looks_own = is_own(job.id, job.description)
    try:
        function, arguments, meta = present_name(str(job.func_name)), tuple(job.args), job.meta
    except Exception as error:  # whatever a serializer raises for what another one wrote
        if not looks_own:
            return None
        raise RefusedMessageError("its content can't be read") from error
    if function not in ARGUMENTS:
        if not looks_own:
            return None
        raise RefusedMessageError(f"it names the function {function[:80]!r}, which workers do not run")
    if len(arguments) != ARGUMENTS[function] or not all(isinstance(each, str | int) for each in arguments):
        raise RefusedMessageError("its arguments are not those of its function")
    message = QueueMessage(function, arguments)
    if function == STEP_FUNCTION:
        _, job_id, step, number = map(str, arguments)
        if not number.isdecimal() or not _STEP_ID.fullmatch(f"{job_id}-{step}-{number}"):
            raise RefusedMessageError("it names no step")
    signed_at = meta.get("at") if isinstance(meta, dict) else None
    signatures = signatures_of(connection)
    if signatures.are_required and not (
        isinstance(signed_at, int | float)
        and time.time() - signed_at <= MAX_AGE_S
        and signatures.is_valid(
            meta.get("signature"), "message", _content(connection, job.id, function, arguments, signed_at)
        )
    ):
        raise RefusedMessageError("it is not signed with this queue's ANALYTICS_KIT_SECRET", message.attempt)
    return message


def is_own(rq_job_id: str, description: str | None) -> bool:
    """Return whether an rq job looks like one of this package; `lua/take.lua` looks at the id alone."""
    step = _STEP_ID.fullmatch(rq_job_id)
    return (step is not None and step[1] == description) or rq_job_id.startswith(OWN_ID_PREFIX)


def forget_taken(connection: Connection, rq_job_id: str) -> None:
    """Remove what rq keeps of a job that a worker took before it died."""
    keys = rq_keys(connection)
    with contextlib.suppress(redis.ResponseError):
        connection.lrem(keys.intermediate, 1, rq_job_id)
    connection.delete(keys.first_seen(rq_job_id), f"{_MESSAGE_PREFIX}{rq_job_id}")


def forget_done(pipe: Connection, job: Job) -> None:
    """Remove what rq keeps of a job that a worker has worked on."""
    keys = RqKeys(job.origin)
    pipe.lrem(keys.intermediate, 1, job.id)
    # Another worker's maintenance sets the second key, for a day, when it sees the job before it is started.
    pipe.delete(job.key, keys.first_seen(job.id))


class WorkerRegistry(NamedTuple):
    """The workers that are registered for a queue and live: those of this package, and others."""

    own: dict[str, WorkerState]
    foreign: list[str]
    """Names of rq workers of other applications, which may take steps of jobs and can't do them."""


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


def read_workers(connection: Connection) -> WorkerRegistry:
    """Return the workers that live, by name; the key of a dead one expires seconds after its last heartbeat."""
    keys = _listener_keys(connection)
    with connection.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, "state", "hand", "birth", "last_heartbeat", "ak_version", "ak_code", "ak_started")
        answers = pipe.execute(raise_on_error=False)
    registry = WorkerRegistry({}, [])
    for key, answer in zip(keys, answers, strict=True):
        if isinstance(answer, Exception) or not answer[0]:
            continue
        state, rq_job_id, birth, heartbeat, version, code, started_at = answer
        name = key.removeprefix(_WORKER_PREFIX)
        if rq_job_id is not None:
            registry.own[name] = WorkerState(
                as_text(state),
                as_text(rq_job_id),
                CodeVersion(as_text(version or b""), as_text(code or b"")),
                as_float(started_at),
            )
        elif birth != heartbeat:  # else it has just started, and publishes the rest with its first heartbeat
            registry.foreign.append(name)
    return registry


def live_workers(connection: Connection) -> dict[str, WorkerState]:
    """Return the workers of this package that live, by name."""
    return read_workers(connection).own


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
    try:
        return int(connection.scard(rq_keys(connection).listeners))
    except redis.ResponseError:
        return 0


def count_foreign(connection: Connection) -> int:
    """Return how many messages of other applications wait on the queue."""
    return sum(not is_own_id(rq_job_id) for rq_job_id in waiting_ids(connection))


def is_own_id(rq_job_id: str) -> bool:
    """Return whether the id of an rq job is one that this package makes."""
    return rq_job_id.startswith(OWN_ID_PREFIX) or _STEP_ID.fullmatch(rq_job_id) is not None


def remove_worker(connection: Connection, name: str) -> None:
    """Remove a dead worker and its rq jobs."""
    key, keys = f"{_WORKER_PREFIX}{name}", rq_keys(connection)
    with contextlib.suppress(redis.ResponseError):
        for member in connection.smembers(f"{key}:executions"):
            _forget_execution(connection, keys, as_text(member))
    connection.srem(_ALL_WORKERS, key)
    connection.srem(keys.listeners, key)
    connection.delete(key, f"{key}:executions")


def tidy(connection: Connection, now_s: float) -> None:
    """Remove what dead workers left in rq's keys, and put back what they took of other applications.

    rq's own maintenance is never run: it calls functions that messages name, and fails jobs of other applications.
    """
    keys = rq_keys(connection)
    listeners = _listener_keys(connection)
    with connection.pipeline(transaction=False) as pipe:
        for key in listeners:
            pipe.exists(key)
        for key, exists in zip(listeners, pipe.execute(raise_on_error=False), strict=True):
            if exists == 0:
                connection.srem(keys.listeners, key)
                connection.srem(_ALL_WORKERS, key)
    for member in connection.zrangebyscore(keys.started, "-inf", now_s - _STUCK_S):
        if is_own_id(as_text(member).partition(":")[0]):
            _forget_execution(connection, keys, as_text(member))
    started = {as_text(member).partition(":")[0] for member in connection.zrange(keys.started, 0, -1)}
    for entry in connection.lrange(keys.intermediate, 0, -1):
        rq_job_id = as_text(entry)
        first_seen = keys.first_seen(rq_job_id)
        if rq_job_id in started:
            continue
        if connection.set(first_seen, f"{now_s}", nx=True, ex=24 * 3600):
            if entry not in connection.lrange(keys.intermediate, 0, -1):
                connection.delete(first_seen)  # its worker has ended it meanwhile, and does not remove this any more
            continue
        with contextlib.suppress(ValueError):
            if now_s - float(connection.get(first_seen) or now_s) > _STUCK_S:
                if is_own_id(rq_job_id) or not rq_job_id:
                    connection.lrem(keys.intermediate, 1, entry)
                    connection.delete(first_seen, f"{_MESSAGE_PREFIX}{rq_job_id}")
                else:
                    put_back(connection, rq_job_id)


def put_back(connection: Connection, rq_job_id: str) -> None:
    """Return a message of another application to the head of the queue."""
    keys = rq_keys(connection)
    with connection.pipeline() as pipe:
        pipe.lrem(keys.intermediate, 1, rq_job_id)
        pipe.lpush(keys.queue, rq_job_id)
        pipe.delete(keys.first_seen(rq_job_id))
        pipe.execute()


def clear(connection: Connection) -> None:
    """Remove what rq keeps of this package's messages and workers in the queue, after all workers have ended."""
    keys = rq_keys(connection)
    for name in read_workers(connection).own:
        remove_worker(connection, name)
    for key in _listener_keys(connection):
        if not connection.exists(key):
            connection.srem(keys.listeners, key)
            connection.srem(_ALL_WORKERS, key)
    for member in _zmembers(connection, keys.started):
        if is_own_id(as_text(member).partition(":")[0]):
            _forget_execution(connection, keys, as_text(member))
    for key in (keys.queue, keys.intermediate):
        with contextlib.suppress(redis.ResponseError):
            for entry in connection.lrange(key, 0, -1):
                if is_own_id(as_text(entry)):
                    connection.lrem(key, 1, entry)
                    connection.delete(keys.first_seen(as_text(entry)))
    for key in connection.scan_iter(f"{_MESSAGE_PREFIX}*", count=1000):
        rq_job_id = as_text(key).removeprefix(_MESSAGE_PREFIX)
        with contextlib.suppress(redis.ResponseError):
            origin, description = connection.hmget(key, "origin", "description")
            is_listed_here = as_text(origin or b"") == keys.name
            if is_listed_here and (
                is_own(rq_job_id, as_text(description or b""))
                # Of an earlier version, whose housekeeping messages have an id by rq.
                or as_text(description or b"").startswith("analytics_kit.backends.perform.")
            ):
                connection.delete(key)
                connection.lrem(keys.queue, 1, rq_job_id)
    if not connection.exists(keys.queue):
        connection.srem(_ALL_QUEUES, keys.queue)


def note_refusal(connection: Connection, text: str) -> None:
    """Remember for `doctor` what a worker refused; without a server that takes writes it is only logged."""
    key = queue_keys(connection).refused
    with contextlib.suppress(redis.RedisError), connection.pipeline() as pipe:
        pipe.zadd(key, {text: time.time()})
        pipe.zremrangebyrank(key, 0, -MAX_REFUSALS - 1)
        pipe.expire(key, REFUSALS_TTL_S)
        pipe.execute()


def read_refusals(connection: Connection) -> list[str]:
    """Return what workers refused within a day, the newest first."""
    return [text for text in map(as_text, reversed(_zmembers(connection, queue_keys(connection).refused))) if text]


def _signed(connection: Connection, rq_job_id: str, function: str, arguments: Sequence[Any]) -> dict[str, Any] | None:
    """Return the rq job's `meta`, which workers of earlier versions ignore; None without a secret."""
    signed_at = time.time()
    content = _content(connection, rq_job_id, function, arguments, signed_at)
    signature = signatures_of(connection).sign("message", content)
    return None if signature is None else {"signature": signature, "at": signed_at}


def _content(
    connection: Connection, rq_job_id: str, function: str, arguments: Sequence[Any], signed_at: float
) -> list[Any]:
    return [queue_of(connection), rq_job_id, wire_name(function), list(arguments), signed_at]


def _listener_keys(connection: Connection) -> list[str]:
    with contextlib.suppress(redis.ResponseError):
        members = map(as_text, connection.smembers(rq_keys(connection).listeners))
        return sorted(key for key in members if key.startswith(_WORKER_PREFIX))
    return []


def _zmembers(connection: Connection, key: str) -> list[bytes]:
    with contextlib.suppress(redis.ResponseError):
        members: list[bytes] = connection.zrange(key, 0, -1)
        return members
    return []


def _forget_execution(connection: Connection, keys: RqKeys, execution: str) -> None:
    """Remove an execution, which rq calls `rq job:id`, of a message that only a dead worker had."""
    rq_job_id = execution.partition(":")[0]
    connection.zrem(keys.started, execution)
    connection.delete(
        f"{RQ_KEY_PREFIX}:execution:{execution}", f"{RQ_KEY_PREFIX}:executions:{rq_job_id}",
        f"{_MESSAGE_PREFIX}{rq_job_id}",
    )  # fmt: skip
    forget_taken(connection, rq_job_id)
