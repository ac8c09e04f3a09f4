"""What do workers, and who looks after them, write in the ledger?

Every change is made by who holds the newest attempt at a step. A broker that is away for a moment is waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from analytics_kit.backends.record import (
    MERGE,
    Attempt,
    Record,
    RecordState,
    StaleAttemptError,
    encode_fields,
    split_fields,
)
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY, QUEUE_NAME, JobStore
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import SCHEMA_VERSION, CannotRunHere, Failure, Progress, Split

T = TypeVar("T")
BACK_OFF_S = (1.0, 4.0, 16.0)
"""A step that was lost waits so long for its first, second, … new try."""
AWAY = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError)
"""What passes: nobody answers, or the server takes no writes for a while."""
PATIENCE = Retry(ExponentialBackoff(cap=1.0, base=0.05), 60, AWAY)
"""A broker that restarts is waited for, about a minute, by who has something to write that must not be lost."""


def newer_version(version: int) -> CannotRunHere:
    """Why a worker of this version leaves a record of that version alone."""
    return CannotRunHere(
        f"the job was submitted by a newer analytics_kit: its record has version {version}, the workers here "
        f"understand up to version {SCHEMA_VERSION}. Upgrade analytics_kit where the workers run and restart them."
    )


class AttemptStore(JobStore):
    """The records of one namespace, and the steps that are in flight."""

    def claim(self, attempt: Attempt, worker: str) -> tuple[Record, dict[int, int]]:
        """Take a step on; the record and, for a merge, which attempts count. Raises StaleAttemptError, CannotRunHere."""
        _, flat, winners = self._change("CLAIM", attempt, worker)
        fields = _pairs(flat)
        if (version := int(fields[b"version"])) > SCHEMA_VERSION:
            raise newer_version(version)
        return Record.from_fields(fields), {int(k): int(v) for k, v in _pairs(winners).items()}

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state; raises StaleAttemptError when that is not legal or the attempt is not the newest."""
        retry_until_available(lambda: self._to(attempt, to, changes), to)

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Write progress; raises StaleAttemptError unless the job is running. Without a broker nobody is told."""
        counts = [] if attempt.shard is None else [progress.done, progress.rows, progress.files]
        done = ",".join("" if count is None else str(count) for count in counts)
        try:
            self._checked(self._run("TELL", attempt, encode_fields({"p": progress})["p"], done))
        except redis.RedisError:
            return

    def split(self, attempt: Attempt, split: Split) -> None:
        """Queue the first parts of the work. Raises StaleAttemptError."""
        self._queue_steps(attempt, self._change("SPLIT", attempt, json.dumps(split_fields(split)), self._width()))

    def finish_shard(self, attempt: Attempt) -> None:
        """A part is done: queue what comes next. Raises StaleAttemptError."""
        self._queue_steps(attempt, self._change("FINISH", attempt, str(attempt.shard), self._width()))

    def retry_or_fail(self, attempt: Attempt, failure: Failure, retries: int) -> None:
        """An attempt ended for a cause that can pass: do it again soon, or fail the job. No effect if out of date."""
        try:
            losses = self._losses(attempt)
            delay_s = BACK_OFF_S[min(losses, len(BACK_OFF_S) - 1)]
            answer = self._change("AGAIN", attempt, str(retries), str(delay_s), failure.message, "")
            if answer[0] == 2:
                self.change_state(attempt, RecordState.FAILED, error=failure)
        except StaleAttemptError:
            return

    def return_to_queue(self, attempt: Attempt, why: str, notice: str = "", delay_s: float = 0.0) -> None:
        """Give the step to another attempt through no fault of its own. No effect if out of date."""
        try:
            answer = self._change("AGAIN", attempt, "", str(delay_s), why, notice)
        except StaleAttemptError:
            return
        if not delay_s:
            self._queue(attempt._replace(number=int(answer[1])), front=True)

    def append_log(self, job_id: str, lines: Iterable[str]) -> None:
        """Add lines to a job's log."""
        texts = [f"{time.time()} {line}" for line in lines]
        if texts and self.connection.exists(self._key(job_id)):
            self.connection.rpushx(f"{self._key(job_id)}:log", *texts)

    def release(self, attempt: Attempt, wrote_late: bool = False) -> bool:
        """Let go of a step; whether the job has ended and nobody is left but the caller to see that it is tidied up.

        `wrote_late`: the attempt may have written to the store after others had tidied up.
        """
        answer = self._run("LEAVE", attempt._replace(number=0), str(attempt.number), int(wrote_late))
        return bool(answer[0] and answer[1])

    def is_held_by(self, attempt: Attempt, worker: str) -> bool:
        """Whether the step is in this worker's hand."""
        value = self.connection.hget(f"{self._key(attempt.job_id)}:flight", attempt.step)
        return bool(value) and value.decode().split(" ", 2)[::2] == [str(attempt.number), worker]

    def mark_cleaned_up(self, job_id: str) -> None:
        """Nothing is left of a job that ended but its record and its result."""
        self.connection.srem(CLEANUP_KEY, self._member(job_id))
        self.connection.delete(f"{self._key(job_id)}:flight", f"ak:discard:{self._member(job_id)}")

    def is_wanted(self, attempt: Attempt) -> bool:
        """Whether the job goes on and this is the newest attempt at the step."""
        with self.connection.pipeline(transaction=False) as pipe:
            pipe.hget(self._key(attempt.job_id), "state")
            pipe.hget(f"{self._key(attempt.job_id)}:flight", attempt.step)
            state, flight = pipe.execute()
        if state is None or RecordState(state.decode()).status.final:
            return False
        return flight is None or int(flight.split()[0]) == attempt.number  # None: it is done, and queues what is next

    def pending_steps(self, job_ids: Sequence[str]) -> list[dict[Attempt, str]]:
        """Of each job the steps in flight, and where they are: `queued`, `later` or the worker's name."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(f"{self._key(job_id)}:flight")
            found = pipe.execute()
        return [
            {
                Attempt(job_id, step.decode(), int(number)): where.decode()
                for step, (number, _, where) in ((step, value.split(b" ", 2)) for step, value in flights.items())
            }
            for job_id, flights in zip(job_ids, found, strict=True)
        ]

    def time_limits(self, job_ids: Sequence[str]) -> list[tuple[float, float] | None]:
        """Of each job when it was started and for how long it may run, 0 for what is not known; None: it is gone."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(self._key(job_id), "state", "started_at", "time_limit_s")
            return [
                (float(begun or 0), float(limit or 0)) if state else None for state, begun, limit in pipe.execute()
            ]

    def queue_due(self, attempt: Attempt) -> None:
        """Queue a step that has waited for its next try."""
        if self._run("DUE", attempt)[0]:
            self._queue(attempt)
        else:
            self.connection.zrem(DELAYED_KEY, f"{self._member(attempt.job_id)}:{attempt.step}:{attempt.number}")

    def requeue(self, attempt: Attempt) -> None:
        """Give rq the task of a step that is queued; what it had of it is gone."""
        self._queue(attempt)

    def forget_job(self, job_id: str) -> None:
        """Drop what is left of a job whose record has gone."""
        self.connection.srem(ACTIVE_KEY, self._member(job_id))
        self.connection.srem(CLEANUP_KEY, self._member(job_id))
        self.connection.delete(*(f"{self._key(job_id)}:{name}" for name in ("flight", "told", "winners", "log")))

    def _queue_steps(self, attempt: Attempt, answer: list[Any]) -> None:
        attempts = [Attempt(attempt.job_id, step.decode()) for step in answer[1:]]
        for new in attempts:
            self._queue(new, front=new.step == MERGE)

    def _queue(self, attempt: Attempt, front: bool = False) -> None:
        """What is lost between a script and this, the reconciler finds."""

        def act() -> None:
            with self.connection.pipeline() as pipe:
                self._enqueue(pipe, [attempt], front)
                pipe.publish(self.channel, attempt.job_id)
                pipe.execute()

        retry_until_available(act)

    def _width(self) -> int:
        """How many parts of a job are in flight: with one per worker none of them waits behind another of its job."""
        return max(1, int(retry_until_available(lambda: self.connection.scard(f"rq:workers:{QUEUE_NAME}"))))

    def _losses(self, attempt: Attempt) -> int:
        value = retry_until_available(
            lambda: self.connection.hget(f"{self._key(attempt.job_id)}:flight", attempt.step)
        )
        return int(value.split()[1]) if value else 0

    def _change(self, script: str, attempt: Attempt, *own: Any) -> list[Any]:
        return retry_until_available(lambda: self._checked(self._run(script, attempt, *own)))


def retry_until_available(act: Callable[[], T], to: RecordState | None = None) -> T:
    """Do it, again and again while the broker is away; what an attempt did whose answer was lost is no refusal."""
    tries = 0

    def count_and_act() -> T:
        nonlocal tries
        tries += 1
        return act()

    try:
        return PATIENCE.call_with_retry(count_and_act, lambda error: None)
    except AWAY as error:
        raise BrokerUnavailableError(f"Redis was away for too long: {error}") from error
    except StaleAttemptError as refused:
        if tries > 1 and to is not None and refused.state is to:
            return None  # type: ignore[return-value]  # a change of state has no answer
        raise


def _pairs(flat: Sequence[bytes] | Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What HGETALL gives inside a script, as a dict."""
    return dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))


def split_members(members: Iterable[bytes]) -> list[tuple[str, str]]:
    """Namespace and id of each member of `ak:active` or `ak:leaving`."""
    return [(namespace, job_id) for namespace, _, job_id in (member.decode().rpartition(":") for member in members)]
