"""How are job records kept in Redis, so that every change is atomic, legal and heard of?

Of a namespace: `ak:{namespace}:job:{id}` a hash per job; `…:jobs` ids by creation time; `…:result:{key}` the newest
job of a result; `…:changes` the channel. Of the whole broker: `ak:active` has the jobs that have not ended,
`ak:submitted` counts submissions, `ak:pool` tells what an embedded pool is doing before it takes work.
"""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import (
    RECORD_TTL_S,
    SOURCES,
    Record,
    RefusedError,
    State,
    encoded,
    joinable,
    tagged,
)
from analytics_kit.errors import JobNotFoundError
from analytics_kit.model import Progress

Connection = Any
"""A redis.Redis or a pipeline of it; its own types allow for str where ours always has bytes."""

QUEUE = "analytics"
TASK = "analytics_kit.backends.perform.perform"
TASK_TTL_S = 60
"""rq's own memory of a task that ended; the record is the truth."""
ACTIVE, SUBMITTED, POOL = "ak:active", "ak:submitted", "ak:pool"

# Scripts answer {1} or {0, state}. KEYS: record, active. ARGV: job id, active id, channel, fence, then their own.
_GUARD = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state or redis.call('HGET', KEYS[1], 'fence') ~= ARGV[4] then return {0, ''} end
"""
_MOVE = (
    _GUARD
    + """
local to, prefix, ttl, legal = ARGV[5], ARGV[6], ARGV[7], false
local first = 9 + tonumber(ARGV[8])
for i = 9, first - 1 do legal = legal or state == ARGV[i] end
if not legal then return {0, state} end
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('HSET', KEYS[1], 'state', to, unpack(ARGV, first))
if to == 'running' then redis.call('HSETNX', KEYS[1], 'started_at', now) end
if to == 'completed' or to == 'failed' or to == 'cancelled' then
  redis.call('HSET', KEYS[1], 'ended_at', now)
  redis.call('EXPIRE', KEYS[1], ttl)
  redis.call('SREM', KEYS[2], ARGV[2])
  local pointer = prefix .. redis.call('HGET', KEYS[1], 'result_key')
  if redis.call('GET', pointer) == ARGV[1] then redis.call('EXPIRE', pointer, ttl) end
end
redis.call('PUBLISH', ARGV[3], ARGV[1])
return {1}
"""
)
_TELL = (
    _GUARD
    + """
if state ~= 'running' and state ~= 'committing' then return {0, state} end
redis.call('HSET', KEYS[1], 'progress', ARGV[5])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return {1}
"""
)


class Ledger:
    """The records of one namespace. Redis' own exceptions pass through."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self.queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
        self._prefix = f"ak:{namespace}"
        self.channel = f"{self._prefix}:changes"
        self.index = f"{self._prefix}:jobs"
        self._move = connection.register_script(_MOVE)
        self._tell = connection.register_script(_TELL)

    def submit(self, record: Record, refresh: bool) -> Record:
        """The job that serves the request: an earlier one, or this record, queued.

        Record and rq task are written in one MULTI, so neither is ever without the other; WATCH makes two clients
        that submit the same at once agree.
        """
        pointer = f"{self._prefix}:result:{record.result_key}"
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(pointer)
                    earlier = self._earlier(pipe, pointer)
                    if earlier and (
                        # Our own: an attempt to submit whose answer was lost.
                        earlier.job_id == record.job_id
                        or (not refresh and joinable(earlier.state, earlier.ended_at, record.created_at))
                    ):
                        joined = tagged(earlier, record.tags)
                        if joined != earlier:
                            pipe.multi()
                            pipe.hset(self._key(earlier.job_id), mapping=encoded({"tags": joined.tags}))
                            pipe.execute()
                        return joined
                    pipe.multi()
                    pipe.hset(self._key(record.job_id), mapping=record.to_fields())
                    pipe.set(pointer, record.job_id)
                    pipe.zadd(self.index, {record.job_id: record.created_at})
                    pipe.sadd(ACTIVE, self._active(record.job_id))
                    pipe.incr(SUBMITTED)
                    self._enqueue(pipe, record.job_id, record.fence)
                    pipe.publish(self.channel, record.job_id)
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue

    def now_s(self) -> float:
        """The server's clock, so that jobs of several hosts are in one order."""
        seconds, micros = self.connection.time()
        return float(seconds + micros / 1e6)

    def move(self, job_id: str, fence: int, to: State, **changes: Any) -> None:
        """Change the state; raises RefusedError when that is not legal or the fence is not the record's."""
        sources = sorted(SOURCES[to])
        fields = [part for pair in encoded(changes).items() for part in pair]
        own = [to, f"{self._prefix}:result:", RECORD_TTL_S, len(sources), *sources, *fields]
        self._answer(self._move(self._keys(job_id), [*self._who(job_id, fence), *own]))

    def tell(self, job_id: str, fence: int, progress: Progress) -> None:
        """Write progress; raises RefusedError unless the job is running."""
        self._answer(self._tell(self._keys(job_id), [*self._who(job_id, fence), encoded({"p": progress})["p"]]))

    def get(self, job_id: str) -> Record:
        """The record. Raises JobNotFoundError."""
        fields = self.connection.hgetall(self._key(job_id))
        if not fields:
            raise JobNotFoundError(f"No job has the id {job_id!r} here.")
        return Record.from_fields(fields)

    def records(self) -> list[Record]:
        """All records, newest first; ids whose record has expired are forgotten."""
        ids = [job_id.decode() for job_id in self.connection.zrevrange(self.index, 0, -1)]
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self._key(job_id))
            found = dict(zip(ids, pipe.execute(), strict=True))
        gone = [job_id for job_id, fields in found.items() if not fields]
        if gone:
            self.connection.zrem(self.index, *gone)
        return [Record.from_fields(fields) for fields in found.values() if fields]

    def states(self) -> list[State]:
        """The state of each record."""
        ids = self.connection.zrange(self.index, 0, -1)
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hget(self._key(job_id.decode()), "state")
            return [State(state.decode()) for state in pipe.execute() if state]

    def requeue(self, job_id: str) -> None:
        """Give the job to a new attempt: what an earlier one still writes is refused. The state stays."""
        fence = int(self.connection.hincrby(self._key(job_id), "fence", 1))
        with self.connection.pipeline() as pipe:
            self._enqueue(pipe, job_id, fence)
            pipe.publish(self.channel, job_id)
            pipe.execute()

    def _enqueue(self, pipe: Connection, job_id: str, fence: int) -> None:
        self.queue.enqueue_call(
            TASK,
            args=(self.namespace, job_id, fence),
            job_id=f"{job_id}-{fence}",
            timeout=-1,
            result_ttl=TASK_TTL_S,
            failure_ttl=TASK_TTL_S,
            description=job_id,
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

    def _active(self, job_id: str) -> str:
        return f"{self.namespace}:{job_id}"

    def _keys(self, job_id: str) -> list[str]:
        return [self._key(job_id), ACTIVE]

    def _who(self, job_id: str, fence: int) -> list[str]:
        return [job_id, self._active(job_id), self.channel, str(fence)]

    @staticmethod
    def _answer(answer: list[Any]) -> None:
        if not answer[0]:
            raise RefusedError(State(answer[1].decode()) if answer[1] else None)


def active(connection: Connection) -> list[tuple[str, str]]:
    """Namespace and id of every job of this broker that has not ended."""
    members = [member.decode() for member in connection.smembers(ACTIVE)]
    return [(namespace, job_id) for namespace, _, job_id in (member.rpartition(":") for member in members)]


def workers(connection: Connection) -> tuple[int, int]:
    """How many workers live, and how many of them are busy. A worker's key goes seconds after its last heartbeat."""
    names = connection.smembers(f"rq:workers:{QUEUE}")
    with connection.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hget(name, "state")
        found = [state for state in pipe.execute() if state]
    return len(found), found.count(b"busy")


def pool(connection: Connection) -> tuple[str, str]:
    """What the embedded pool is doing before it takes work (a phase), and what is wrong with it; mostly empty."""
    phase, notice = connection.hmget(POOL, "phase", "notice")
    return (phase or b"").decode(), (notice or b"").decode()


def tell_pool(connection: Connection, phase: str = "", notice: str = "") -> None:
    """Say it, for `pool` to read; nothing ends it."""
    with connection.pipeline() as pipe:
        pipe.delete(POOL)
        if phase or notice:
            pipe.hset(POOL, mapping={"phase": phase, "notice": notice})
        pipe.execute()
