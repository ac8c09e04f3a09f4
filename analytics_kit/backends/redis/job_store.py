"""How are job records kept in Redis, so that every change is atomic, legal and heard of?

Of a namespace: `ak:{namespace}:job:{id}` a hash per job, beside it `…:flight` (its steps that are not done), `…:told`
(what parts have done), `…:winners` (attempts that count) and `…:log`; `ak:{namespace}:jobs` ids by creation time;
`…:result:{key}` the newest job of a result; `…:changes` the channel. Of the whole broker: `ak:active` has the jobs
that have not ended, `ak:leaving` those that have but left something, `ak:later` the steps that wait for their next
try, `ak:submitted` counts submissions, `ak:pool` tells what an embedded pool is doing before it takes work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import (
    BEGIN,
    PREVIOUS_STATES,
    RECORD_TTL_S,
    Attempt,
    Record,
    RecordState,
    StaleAttemptError,
    can_join,
    encode_fields,
    with_tags,
)
from analytics_kit.backends.redis import scripts
from analytics_kit.errors import JobNotFoundError, SettingsError

Connection = Any
"""A redis.Redis or a pipeline of it; its own types allow for str where ours always has bytes."""

logger = logging.getLogger(__name__)
QUEUE_NAME = "analytics"
STEP_FUNCTION = "analytics_kit.backends.worker.entry.perform"
ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY, SUBMISSIONS_KEY = "ak:active", "ak:leaving", "ak:later", "ak:submitted"


class JobStore:
    """The records of one namespace, as clients see them. Redis' own exceptions pass through."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self.queue = Queue(QUEUE_NAME, connection=connection, serializer=JSONSerializer)
        self._prefix = f"ak:{namespace}"
        self._pointers = f"{self._prefix}:result:"
        self.channel = f"{self._prefix}:changes"
        self.index = f"{self._prefix}:jobs"
        names = ("MOVE", "CLAIM", "TELL", "SPLIT", "FINISH", "AGAIN", "DUE", "LEAVE", "DELETE")
        self._scripts = {name: connection.register_script(getattr(scripts, name)) for name in names}

    def submit(self, record: Record, refresh: bool, rejoin: bool = False) -> Record:
        """The job that serves the request: an earlier one, or this record, queued.

        Record and rq task are written in one MULTI, so neither is ever without the other; WATCH makes two clients
        that submit the same at once agree.
        """
        pointer = f"{self._pointers}{record.result_key}"
        attempt = Attempt(record.job_id)
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(pointer)
                    earlier = self._earlier(pipe, pointer)
                    if earlier and (
                        # Our own: an attempt to submit whose answer was lost.
                        earlier.job_id == record.job_id or (not refresh and can_join(earlier, record, rejoin))
                    ):
                        joined = with_tags(earlier, record.tags)
                        if joined != earlier:
                            pipe.multi()
                            pipe.hset(self._key(earlier.job_id), mapping=encode_fields({"tags": joined.tags}))
                            pipe.execute()
                        return joined
                    pipe.multi()
                    pipe.hset(self._key(record.job_id), mapping=record.to_fields())
                    pipe.hset(f"{self._key(record.job_id)}:flight", BEGIN, f"{attempt.number} 0 queued")
                    pipe.rpush(f"{self._key(record.job_id)}:log", f"{record.created_at} queued")
                    pipe.set(pointer, record.job_id)
                    pipe.zadd(self.index, {record.job_id: record.created_at})
                    pipe.sadd(ACTIVE_KEY, self._member(record.job_id))
                    pipe.incr(SUBMISSIONS_KEY)
                    self._enqueue(pipe, [attempt])
                    pipe.publish(self.channel, record.job_id)
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue

    def now_s(self) -> float:
        """The server's clock, so that jobs of several hosts are in one order."""
        seconds, micros = self.connection.time()
        return float(seconds + micros / 1e6)

    def get(self, job_id: str) -> Record:
        """The record. Raises JobNotFoundError."""
        fields = self.connection.hgetall(self._key(job_id))
        if not fields:
            raise JobNotFoundError(f"No job has the id {job_id!r} here.")
        return Record.from_fields(fields)

    def get_many(self, job_ids: Sequence[str]) -> list[Record]:
        """The records of those jobs that are known."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(self._key(job_id))
            found = pipe.execute()
        records = []
        for job_id, fields in zip(job_ids, found, strict=True):
            try:
                records += [Record.from_fields(fields)] if fields else []
            except (ValueError, KeyError, TypeError):  # one that can't be read hides no others
                logger.warning("The record of job %s can't be read: it is of another version, or damaged.", job_id)
        return records

    def records(self) -> list[Record]:
        """All records, newest first; ids whose record has expired are forgotten."""
        ids = [job_id.decode() for job_id in self.connection.zrevrange(self.index, 0, -1)]
        found = self.get_many(ids)
        for job_id in set(ids) - {record.job_id for record in found}:
            if not self.connection.exists(self._key(job_id)):
                self.connection.zrem(self.index, job_id)
        return found

    def queue_positions(self) -> dict[str, int]:
        """Of each queued job its place, from 1 on, in the order of the queue; other namespaces' jobs count too."""
        queued: dict[str, str] = {}
        for task in self.connection.lrange(self.queue.key, 0, -1):
            job_id, _, step_attempt = task.decode().partition(f"-{BEGIN}-")
            if step_attempt:
                queued.setdefault(job_id, step_attempt)
        again = [job_id for job_id, number in queued.items() if number != "1"]
        for job_id, state in zip(again, self._states(again), strict=True):
            if state not in (RecordState.QUEUED, None):  # it runs, and is begun once more; None: of another namespace
                del queued[job_id]
        return {job_id: place for place, job_id in enumerate(queued, 1)}

    def states(self) -> list[RecordState]:
        """The state of each record."""
        ids = [job_id.decode() for job_id in self.connection.zrange(self.index, 0, -1)]
        return [state for state in self._states(ids) if state is not None]

    def _states(self, job_ids: Sequence[str]) -> list[RecordState | None]:
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hget(self._key(job_id), "state")
            return [RecordState(state.decode()) if state else None for state in pipe.execute()]

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled now; False when it has ended or is committing. Raises JobNotFoundError."""
        try:
            self._to(Attempt(job_id, "", 0), RecordState.CANCELLED, {})
        except StaleAttemptError as refused:
            if refused.state is None:
                raise JobNotFoundError(f"No job has the id {job_id!r} here.") from None
            return refused.state is RecordState.CANCELLED
        return True

    def needs_cleanup(self, job_id: str) -> bool:
        """Whether the job has ended and somebody has yet to tidy up after it."""
        return bool(self.connection.sismember(CLEANUP_KEY, self._member(job_id)))

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended. Raises JobNotFoundError, SettingsError."""
        answer = self._run("DELETE", Attempt(job_id, "", 0), self._pointers, self.index)
        if not answer[0]:
            state = answer[1].decode()
            if not state:
                raise JobNotFoundError(f"No job has the id {job_id!r} here.")
            raise SettingsError(
                f"Job {job_id} is {RecordState(state).status}.", hint="Cancel it before you delete it."
            )

    def log(self, job_id: str) -> list[str]:
        """What happened to the job, a line each, with the time in UTC."""
        lines = [line.decode(errors="replace") for line in self.connection.lrange(f"{self._key(job_id)}:log", 0, -1)]
        parts = [line.partition(" ") for line in lines]
        return [f"{datetime.fromtimestamp(float(at), UTC):%Y-%m-%d %H:%M:%S} {said}" for at, _, said in parts]

    def _to(self, attempt: Attempt, to: RecordState, changes: Mapping[str, Any]) -> None:
        sources = sorted(PREVIOUS_STATES[to])
        fields = [part for pair in encode_fields(changes).items() for part in pair]
        answer = self._checked(
            self._run("MOVE", attempt, to, self._pointers, RECORD_TTL_S, len(sources), *sources, *fields)
        )
        for task in answer[1:]:
            if self.connection.lrem(self.queue.key, 1, task):  # else a worker is just taking it, and will be refused
                self.connection.delete(b"rq:job:" + task)

    def _enqueue(self, pipe: Connection, attempts: Iterable[Attempt], front: bool = False) -> None:
        for attempt in attempts:
            self.queue.enqueue_call(
                STEP_FUNCTION,
                args=(self.namespace, *attempt),
                job_id=attempt.rq_job_id,
                timeout=-1,
                result_ttl=0,  # the record is the truth
                failure_ttl=1,
                description=attempt.job_id,
                at_front=front,
                pipeline=pipe,
            )

    def _earlier(self, pipe: Connection, pointer: str) -> Record | None:
        job_id = pipe.get(pointer)
        if not job_id:
            return None
        key = self._key(job_id.decode())
        pipe.watch(key)  # else of two who add tags at once one would be forgotten
        fields = pipe.hgetall(key)
        return Record.from_fields(fields) if fields else None

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}:job:{job_id}"

    def _member(self, job_id: str) -> str:
        return f"{self.namespace}:{job_id}"

    def _run(self, script: str, attempt: Attempt, *own: Any) -> list[Any]:
        """Run a script; attempt 0 asks as one who holds no step."""
        key = self._key(attempt.job_id)
        keys = [
            key,
            *(f"{key}:{name}" for name in ("flight", "told", "winners", "log")),
            ACTIVE_KEY,
            CLEANUP_KEY,
            DELAYED_KEY,
        ]
        who = [attempt.job_id, self._member(attempt.job_id), self.channel, attempt.step, str(attempt.number or "")]
        answer: list[Any] = self._scripts[script](keys, [*who, *own])
        return answer

    @staticmethod
    def _checked(answer: list[Any]) -> list[Any]:
        if not answer[0]:
            raise StaleAttemptError(RecordState(answer[1].decode()) if answer[1] else None)
        return answer
