"""Keep the records of jobs in Redis, as clients see them; each change is atomic and legal, and is published.

`keys.py` names the keys; `attempts.py` has what workers change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import redis

from analytics_kit.backends.record import (
    BEGIN_STEP,
    PREVIOUS_STATES,
    RECORD_TTL_S,
    Attempt,
    ChangeRefusedError,
    Record,
    RecordState,
    amended,
    can_join,
    encode_fields,
    with_tags,
)
from analytics_kit.backends.redis.connection import Connection, server_time_s
from analytics_kit.backends.redis.keys import ACTIVE_KEY, CLEANUP_KEY, SUBMISSIONS_KEY, JobKeys
from analytics_kit.backends.redis.rq_queue import StepQueue
from analytics_kit.backends.redis.scripts import JobScripts
from analytics_kit.errors import JobNotFoundError, SettingsError

logger = logging.getLogger(__name__)
QUEUED, DELAYED = "queued", "later"
"""Locations of a pending step that no worker has claimed; any other location is the name of the worker."""


class PendingStep(NamedTuple):
    """A step that is not done, as `JobKeys.pending` stores it; `lua/prelude.lua` reads and writes the same text.

    >>> str(PendingStep())
    '1 0 queued'
    >>> PendingStep.parse(b"2 1 worker-7")
    PendingStep(number=2, losses=1, location='worker-7')
    """

    number: int = 1
    """Number of the newest attempt."""
    losses: int = 0
    """How many attempts were lost."""
    location: str = QUEUED

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Return the step from its text."""
        number, losses, location = value.decode().split(" ", 2)
        return cls(int(number), int(losses), location)

    def __str__(self) -> str:
        return f"{self.number} {self.losses} {self.location}"


class JobStore:
    """The records of one namespace. Exceptions of redis are passed on, see `connection.translate_errors`."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.keys = JobKeys(namespace)
        self.queue = StepQueue(connection, namespace)
        self.scripts = JobScripts(connection, self.keys)

    def submit(self, record: Record, refresh: bool, rejoin: bool = False) -> Record:
        """Queue the record, or return that of an earlier job that serves the request, with the tags of both.

        Record and rq job are written in one MULTI, so that neither exists without the other. WATCH makes two clients
        that submit the same work at the same time get one job.
        """
        keys, job_id = self.keys, record.job_id
        newest = f"{keys.newest_prefix}{record.result_key}"
        attempt = Attempt(job_id)
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(newest)
                    earlier = self._watched_record(pipe, newest)
                    if earlier and (
                        # The same id: this request itself, submitted before, whose answer was lost.
                        earlier.job_id == job_id or (not refresh and can_join(earlier, record, rejoin))
                    ):
                        joined = with_tags(earlier, record.tags)
                        if joined != earlier:
                            pipe.multi()
                            pipe.hset(keys.record(earlier.job_id), mapping=encode_fields({"tags": joined.tags}))
                            pipe.execute()
                        return joined
                    pipe.multi()
                    pipe.hset(keys.record(job_id), mapping=record.to_fields())
                    pipe.hset(keys.pending(job_id), BEGIN_STEP, str(PendingStep(attempt.number)))
                    pipe.rpush(keys.log(job_id), f"{record.created_at} queued")
                    pipe.set(newest, job_id)
                    pipe.zadd(keys.index, {job_id: record.created_at})
                    pipe.sadd(ACTIVE_KEY, keys.member(job_id))
                    pipe.incr(SUBMISSIONS_KEY)
                    self.queue.put([attempt], pipe)
                    pipe.publish(keys.channel, job_id)
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue

    def now_s(self) -> float:
        """Return the server's clock, so that the jobs of several hosts are in one order."""
        return server_time_s(self.connection)

    def get(self, job_id: str) -> Record:
        """Return the record. Raises JobNotFoundError."""
        fields = self.connection.hgetall(self.keys.record(job_id))
        if not fields:
            raise _not_found(job_id)
        return Record.from_fields(fields)

    def get_many(self, job_ids: Sequence[str]) -> list[Record]:
        """Return the records of those jobs that exist and can be read."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(self.keys.record(job_id))
            hashes = pipe.execute()
        records = []
        for job_id, fields in zip(job_ids, hashes, strict=True):
            try:
                records += [Record.from_fields(fields)] if fields else []
            except (ValueError, KeyError, TypeError):  # one that can't be read hides no others
                logger.warning("The record of job %s can't be read: it is of another version, or damaged.", job_id)
        return records

    def records(self) -> list[Record]:
        """Return all records, newest first; ids whose record has expired are removed from the index."""
        ids = [job_id.decode() for job_id in self.connection.zrevrange(self.keys.index, 0, -1)]
        records = self.get_many(ids)
        for job_id in set(ids) - {record.job_id for record in records}:
            if not self.connection.exists(self.keys.record(job_id)):
                self.connection.zrem(self.keys.index, job_id)
        return records

    def amend(self, job_id: str, edit: Callable[[Record], Record], edit_line: Callable[[str], str]) -> bool:
        """Change what the record and the log of a job that has ended say; return whether anything changed.

        Both are watched, so that no change of another process is lost.
        """
        keys = self.keys
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(keys.record(job_id), keys.log(job_id))
                    if not (fields := pipe.hgetall(keys.record(job_id))):
                        return False
                    record = Record.from_fields(fields)
                    lines = pipe.lrange(keys.log(job_id), 0, -1) if record.state.status.final else []
                    changes = amended(record, edit)
                    pipe.multi()
                    if changes:
                        pipe.hset(keys.record(job_id), mapping=encode_fields(changes))
                    has_changed = bool(changes)
                    for position, line in enumerate(lines):
                        at, _, text = line.decode(errors="replace").partition(" ")
                        if (new := edit_line(text)) != text:
                            pipe.lset(keys.log(job_id), position, f"{at} {new}")
                            has_changed = True
                    if has_changed:
                        pipe.publish(keys.channel, job_id)
                        pipe.execute()
                    return has_changed
                except redis.WatchError:
                    continue

    def queue_positions(self) -> dict[str, int]:
        """Return the position, from 1 on, of each queued job in the queue; jobs of other namespaces count too."""
        begins = self.queue.queued_begins()
        retried = [job_id for job_id, number in begins.items() if number != 1]
        for job_id, state in zip(retried, self._states(retried), strict=True):
            if state not in (RecordState.QUEUED, None):  # it runs, and its first step is retried; None: not ours
                del begins[job_id]
        return {job_id: position for position, job_id in enumerate(begins, 1)}

    def states(self) -> list[RecordState]:
        """Return the state of each record."""
        ids = [job_id.decode() for job_id in self.connection.zrange(self.keys.index, 0, -1)]
        return [state for state in self._states(ids) if state is not None]

    def cancel(self, job_id: str) -> bool:
        """Return whether the job is cancelled now; False when it has ended or is committing.

        Raises JobNotFoundError.
        """
        try:
            self.change_state(Attempt(job_id, "", 0), RecordState.CANCELLED, {})
        except ChangeRefusedError as refused:
            if refused.state is None:
                raise _not_found(job_id) from None
            return refused.state is RecordState.CANCELLED
        return True

    def change_state(self, attempt: Attempt, to: RecordState, changes: Mapping[str, Any]) -> None:
        """Change state and fields of a record; an attempt of number 0 stands for a client, which holds no step.

        Raises ChangeRefusedError when the change is not legal or the attempt is not the newest one.
        """
        previous_states = sorted(PREVIOUS_STATES[to])
        fields = [part for pair in encode_fields(changes).items() for part in pair]
        _, *still_queued = self.scripts.change(
            "change_state",
            attempt,
            to,
            self.keys.newest_prefix,
            RECORD_TTL_S,
            len(previous_states),
            *previous_states,
            *fields,
        )
        for rq_job_id in still_queued:
            self.queue.remove(rq_job_id)

    def needs_cleanup(self, job_id: str) -> bool:
        """Return whether the job has ended and may still have files in the store that have to go."""
        return bool(self.connection.sismember(CLEANUP_KEY, self.keys.member(job_id)))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""
        try:
            self.scripts.change("delete", Attempt(job_id, "", 0), self.keys.newest_prefix, self.keys.index)
        except ChangeRefusedError as refused:
            if refused.state is None:
                raise _not_found(job_id) from None
            raise SettingsError(
                f"Job {job_id} is {refused.state.status}.", hint="Cancel it before you delete it."
            ) from None

    def log(self, job_id: str) -> list[str]:
        """Return what happened to the job, a line each, with the time in UTC."""
        lines = [line.decode(errors="replace") for line in self.connection.lrange(self.keys.log(job_id), 0, -1)]
        parts = [line.partition(" ") for line in lines]
        return [f"{datetime.fromtimestamp(float(at), UTC):%Y-%m-%d %H:%M:%S} {text}" for at, _, text in parts]

    def _states(self, job_ids: Sequence[str]) -> list[RecordState | None]:
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hget(self.keys.record(job_id), "state")
            return [RecordState(state.decode()) if state else None for state in pipe.execute()]

    def _watched_record(self, pipe: Connection, newest: str) -> Record | None:
        """Return the newest record for a result, watched by the pipeline."""
        job_id = pipe.get(newest)
        if not job_id:
            return None
        key = self.keys.record(job_id.decode())
        pipe.watch(key)  # else of two clients that add tags at once one would overwrite the other's
        fields = pipe.hgetall(key)
        return Record.from_fields(fields) if fields else None


def _not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"No job has the id {job_id!r} here.")
