"""Keep the records of jobs in Redis, as clients see them; each change is atomic and legal, and is published.

`keys.py` names the keys; `attempts.py` has what workers change.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import redis

from analytics_kit.backends.record import (
    BEGIN_STEP,
    LATEST_S,
    PREVIOUS_STATES,
    RECORD_TTL_S,
    Attempt,
    ChangeRefusedError,
    Record,
    RecordState,
    UnreadableRecord,
    amended,
    can_join,
    encode_fields,
    with_tags,
)
from analytics_kit.backends.redis.connection import (
    Connection,
    job_keys,
    queue_keys,
    server_time_s,
    signatures_of,
)
from analytics_kit.backends.redis.keys import as_text
from analytics_kit.backends.redis.repair import repair_index, repair_queue
from analytics_kit.backends.redis.rq_queue import StepQueue, is_queue
from analytics_kit.backends.redis.scripts import JobScripts, state_of
from analytics_kit.backends.redis.server_errors import is_wrong_type
from analytics_kit.backends.redis.signature import MAX_AGE_S
from analytics_kit.errors import JobNotFoundError, SettingsError

logger = logging.getLogger(__name__)
_logged: set[str] = set()
"""Jobs whose records can't be read, as the log of this process says once."""
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
        """Return the step from its text. Raises ValueError."""
        number, losses, location = value.decode().split(" ", 2)
        return cls(int(number), int(losses), location)

    def __str__(self) -> str:
        return f"{self.number} {self.losses} {self.location}"


class JobStore:
    """The records of one namespace. Exceptions of redis are passed on, see `connection.translate_errors`."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.keys, self._queue_keys = job_keys(connection, namespace), queue_keys(connection)
        self.queue = StepQueue(connection, namespace)
        self.scripts = JobScripts(connection, self.keys)

    def submit(self, record: Record, refresh: bool, rejoin: bool = False) -> Record:
        """Queue the record, or return that of an earlier job that serves the request, with the tags of both.

        Record and rq job are written in one MULTI, so that neither exists without the other. WATCH makes two clients
        that submit the same work at the same time get one job.
        """
        record = replace(record, signature=self.sign(record))
        try:
            return self._submit(record, refresh, rejoin)
        except redis.ResponseError as error:
            if not (is_wrong_type(error) or "not an integer" in str(error)) or not is_queue(self.connection):
                raise
        # A key that all jobs share holds something else. The same request, sent again, finds the job if it was made.
        repair_queue(self.connection)
        repair_index(self.connection, self.keys)
        return self._submit(record, refresh, rejoin)

    def _submit(self, record: Record, refresh: bool, rejoin: bool) -> Record:
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
                    pipe.sadd(self._queue_keys.active, keys.member(job_id))
                    pipe.incr(self._queue_keys.submissions)
                    self.queue.put([attempt], pipe)
                    pipe.publish(keys.channel, job_id)
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue

    def is_signed(self, record: Record, now_s: float) -> bool:
        """Return whether a client that knows the queue's secret submitted this very work, as late as records live."""
        signatures = signatures_of(self.connection)
        return not signatures.are_required or (
            now_s - record.created_at <= MAX_AGE_S
            and signatures.is_valid(record.signature, "record", self._signed_content(record))
        )

    def now_s(self) -> float:
        """Return the server's clock, so that the jobs of several hosts are in one order."""
        return server_time_s(self.connection)

    def get(self, job_id: str) -> Record:
        """Return the record, or an `UnreadableRecord`. Raises JobNotFoundError."""
        try:
            fields = self.connection.hgetall(self.keys.record(job_id))
        except redis.ResponseError as error:
            fields = error
        if not fields:
            raise _not_found(job_id)
        return self._read(job_id, fields)

    def get_many(self, job_ids: Sequence[str]) -> list[Record]:
        """Return the records of those jobs that exist; of one that can't be read, an `UnreadableRecord`."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(self.keys.record(job_id))
            hashes = pipe.execute(raise_on_error=False)
        return [self._read(job_id, fields) for job_id, fields in zip(job_ids, hashes, strict=True) if fields]

    def _read(self, job_id: str, fields: Mapping[bytes, bytes] | Exception) -> Record:
        """Return the record from what its key holds, or from the error of reading that as a hash."""
        if isinstance(fields, Exception) and not is_wrong_type(fields):
            raise fields
        record = Record.read(job_id, None if isinstance(fields, Exception) else fields)
        if isinstance(record, UnreadableRecord):
            if (member := self.keys.member(job_id)) not in _logged:
                _logged.add(member)
                logger.warning("The record of job %s can't be read: it is of another version, or damaged.", job_id)
            if not record.created_at:
                record = replace(record, created_at=self._submitted_at(job_id))
        return record

    def _submitted_at(self, job_id: str) -> float:
        """Return when a job was submitted, by the list of jobs."""
        with contextlib.suppress(redis.ResponseError):
            return min(float(self.connection.zscore(self.keys.index, job_id) or 0.0), LATEST_S)
        return 0.0

    def records(self) -> list[Record]:
        """Return all records, newest first; ids whose record has expired are removed from the index."""
        ids = self._index()
        records = self.get_many(ids)
        for job_id in set(ids) - {record.job_id for record in records}:
            self.connection.zrem(self.keys.index, job_id)
        return records

    def _index(self) -> list[str]:
        """Return the ids of all jobs, newest first."""
        try:
            entries = self.connection.zrevrange(self.keys.index, 0, -1)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            repair_index(self.connection, self.keys)
            entries = self.connection.zrevrange(self.keys.index, 0, -1)
        ids = []
        for entry in entries:
            if job_id := as_text(entry):
                ids.append(job_id)
            else:  # no job ever had such an id, so nothing is lost
                logger.warning("An entry of the list of jobs is no text; it was removed.")
                self.connection.zrem(self.keys.index, entry)
        return ids

    def amend(self, job_id: str, edit: Callable[[Record], Record], edit_line: Callable[[str], str]) -> bool:
        """Change what the record and the log of a job that has ended say; return whether anything changed.

        Both are watched, so that no change of another process is lost.
        """
        keys, now_s = self.keys, self.now_s()
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(keys.record(job_id), keys.log(job_id))
                    if not (fields := pipe.hgetall(keys.record(job_id))):
                        return False
                    record = Record.read(job_id, fields)
                    if isinstance(record, UnreadableRecord):
                        return False
                    lines = pipe.lrange(keys.log(job_id), 0, -1) if record.state.status.final else []
                    changes = amended(record, edit)
                    # Only what a client has signed is signed anew: the record may be a forged one.
                    if changes and record.signature is not None and self.is_signed(record, now_s):
                        changes["signature"] = self.sign(replace(record, **changes))
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
        return [state for state in self._states(self._index()) if state is not None]

    def cancel(self, job_id: str) -> bool:
        """Return whether the job is cancelled now; False when it has ended or is committing.

        Raises JobNotFoundError.
        """
        try:
            self.change_state(Attempt(job_id, "", 0), RecordState.CANCELLED, {})
        except ChangeRefusedError as refused:
            if refused.state is None:
                self.get(job_id)  # raises unless something is left of it
            return refused.state is RecordState.CANCELLED
        except redis.ResponseError:
            if isinstance(self.get(job_id), UnreadableRecord):
                return False  # it is listed as failed
            raise
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

    def ensure_active(self, job_ids: Sequence[str]) -> None:
        """Let recovery know jobs that have not ended; it does, unless its list was evicted or damaged."""
        self.connection.sadd(self._queue_keys.active, *map(self.keys.member, job_ids))

    def needs_cleanup(self, job_id: str) -> bool:
        """Return whether the job has ended and may still have files in the store that have to go."""
        return bool(self.connection.sismember(self._queue_keys.cleanup, self.keys.member(job_id)))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""
        if isinstance(record := self.get(job_id), UnreadableRecord) and not record.is_newer:
            self._delete_unreadable(job_id)
            return
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
        try:
            lines = self.connection.lrange(self.keys.log(job_id), 0, -1)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            return ["The log can't be read: its key holds something else."]
        return [_log_line(line.decode(errors="replace")) for line in lines]

    def _delete_unreadable(self, job_id: str) -> None:
        member = self.keys.member(job_id)
        with self.connection.pipeline(transaction=False) as pipe:
            pipe.delete(*self.keys.all_of(job_id))
            pipe.zrem(self.keys.index, job_id)
            pipe.srem(self._queue_keys.active, member)
            pipe.srem(self._queue_keys.cleanup, member)
            pipe.publish(self.keys.channel, job_id)
            pipe.execute(raise_on_error=False)

    def sign(self, record: Record) -> str | None:
        """Return the signature of the record; None without a secret."""
        return signatures_of(self.connection).sign("record", self._signed_content(record))

    def _signed_content(self, record: Record) -> list[Any]:
        return record.signed_content(self.keys.queue, self.keys.namespace)

    def _states(self, job_ids: Sequence[str]) -> list[RecordState | None]:
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hget(self.keys.record(job_id), "state")
            answers = pipe.execute(raise_on_error=False)
        # As `get_many` lists them: a record that is no hash has failed.
        return [
            RecordState.FAILED if isinstance(state, Exception) else state_of(state) if state else None
            for state in answers
        ]

    def _watched_record(self, pipe: Connection, newest: str) -> Record | None:
        """Return the newest record for a result, watched by the pipeline."""
        with contextlib.suppress(redis.ResponseError):  # one of the keys holds something else
            if not (job_id := as_text(pipe.get(newest) or b"")):
                return None
            key = self.keys.record(job_id)
            pipe.watch(key)  # else of two clients that add tags at once one would overwrite the other's
            record = Record.read(job_id, pipe.hgetall(key))
            return None if isinstance(record, UnreadableRecord) else record
        return None


def _log_line(line: str) -> str:
    at, _, text = line.partition(" ")
    try:
        return f"{datetime.fromtimestamp(float(at), UTC):%Y-%m-%d %H:%M:%S} {text}"
    except (ValueError, OverflowError, OSError):
        return line


def _not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"No job has the id {job_id!r} here.")
