"""Record what workers, and recovery on their behalf, do with the steps of jobs.

Only the newest attempt at a step may change a record. A change that must not be lost is repeated while the broker is
away for a moment.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from analytics_kit.backends.record import (
    MERGE_STEP,
    RECORD_TTL_S,
    Attempt,
    ChangeRefusedError,
    Record,
    RecordState,
    UnreadableRecord,
    encode_fields,
    split_fields,
)
from analytics_kit.backends.redis.connection import Connection, queue_keys, queue_of, server_time_s
from analytics_kit.backends.redis.job_store import QUEUED, JobStore, PendingStep
from analytics_kit.backends.redis.keys import DEFAULT_QUEUE, as_float, as_text
from analytics_kit.backends.redis.rq_queue import count_registered, live_workers, pool_of
from analytics_kit.backends.redis.scripts import state_of
from analytics_kit.backends.redis.server_errors import cause_of, is_wrong_type, passes
from analytics_kit.code_version import UNKNOWN_CODE, CodeVersion
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, JobFailedError
from analytics_kit.model import RECORD_VERSION, CannotRunHere, Failure, Progress, Split

T = TypeVar("T")
RETRY_DELAYS_S = (1.0, 4.0, 16.0)
"""Delays before the first, second, … retry of a step that was lost."""
REFUSED_PREFIX = "refused "
"""Begins the fields of a record that hold when the workers of a pool first refused a step."""
OTHER_VERSION_PATIENCE_S = 3600.0
"""A job waits this long for a worker that understands its record or has its code."""
SIGNED_OTHERWISE = (
    "A client or worker of this queue has no ANALYTICS_KIT_SECRET, or another one: what it queues is refused, and "
    "queued again. Give all of them the same."
)


class _PassingError(Exception):
    """A refusal of the server that may pass, such as that it is full."""


TRANSIENT_ERRORS = (redis.ConnectionError, redis.TimeoutError, _PassingError)
"""Errors that pass: no server answers, or it takes no writes for a while."""
BROKER_RETRY = Retry(ExponentialBackoff(cap=1.0, base=0.05), 60, TRANSIENT_ERRORS)
"""Repeats a command for about a minute, so that nothing is lost while a broker restarts."""


class TimeLimit(NamedTuple):
    """When a job was started and how many seconds it may run (0 where that is not set), and whether it has ended."""

    started_at: float
    limit_s: float
    has_ended: bool = False


UNREADABLE = TimeLimit(math.nan, math.nan)
"""Stands for a record that can't be read."""


class AttemptStore:
    """The pending steps of the jobs in one namespace, and the changes that attempts at them make to the records."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.jobs = JobStore(connection, namespace)
        self._connection, self._keys, self._scripts = connection, self.jobs.keys, self.jobs.scripts
        self._queue_keys = queue_keys(connection)

    def claim(self, attempt: Attempt, worker: str) -> tuple[Record, dict[int, int]]:
        """Take a queued step for a worker.

        Returns
        -------
        record, winning_attempts
            The second is filled for a merge: number of the attempt that finished each shard.

        Raises
        ------
        ChangeRefusedError
            The attempt is not the newest one, another worker has claimed it, or the job has ended.
        CannotRunHere
            A newer version of the package submitted the job.
        JobFailedError
            The record can't be read, or it is not signed as the queue requires.
        """
        try:
            _, flat_fields, flat_winners = self._change("claim", attempt, worker)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            raise unreadable(attempt.job_id) from None
        fields = _pairs(flat_fields)
        record = Record.read(attempt.job_id, fields)
        if record.version > RECORD_VERSION:
            raise newer_version(record.version)
        if isinstance(record, UnreadableRecord):
            raise unreadable(attempt.job_id)
        if not self.jobs.is_signed(record, self.jobs.now_s()):
            raise not_signed()
        try:
            winners = {int(shard): int(number) for shard, number in _pairs(flat_winners).items()}
        except ValueError:
            raise unreadable(attempt.job_id) from None
        return record, winners

    def take_over(self, record: Record, attempt: Attempt, by: CodeVersion, result_key: str) -> None:
        """Have the whole job done by other code than its client's, under the key of that code's result.

        A step other than the first one ends here, and the job begins anew: no result is made by two codes. Raises
        ChangeRefusedError when the attempt is not the newest one.
        """
        text = f"taken over by {by}; submitted by {record.required_code or UNKNOWN_CODE}"
        present = replace(record, version=RECORD_VERSION, result_key=result_key or record.result_key)
        answer = self._change(
            "take_over", attempt, encode_fields({"p": list(by)})["p"], self.jobs.keys.newest_prefix, result_key,
            RECORD_VERSION, text, encode_fields({"signature": self.jobs.sign(present)}).get("signature", ""),
        )  # fmt: skip
        _, begin_number, *still_queued = answer
        for rq_job_id in still_queued:
            self.jobs.queue.remove(rq_job_id)
        if begin_number:
            self._put(Attempt(attempt.job_id, number=int(begin_number)), front=True)

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state; raises ChangeRefusedError when that is not legal or the attempt is not the newest."""
        retry_until_available(lambda: self.jobs.change_state(attempt, to, changes), to)

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Store progress; it is dropped without a broker. Raises ChangeRefusedError unless the job is running."""
        counts = [] if attempt.shard is None else [progress.done, progress.rows, progress.files]
        shard_counts = ",".join("" if count is None else str(count) for count in counts)
        try:
            self._scripts.change("publish_progress", attempt, encode_fields({"p": progress})["p"], shard_counts)
        except redis.RedisError:
            return

    def split(self, attempt: Attempt, split: Split) -> None:
        """Queue the first shards of the work. Raises ChangeRefusedError."""
        fields = json.dumps(split_fields(split))
        self._put_steps(attempt, self._change("split", attempt, fields, self._pending_limit()))

    def finish_shard(self, attempt: Attempt) -> None:
        """Mark a shard as done and queue what comes next. Raises ChangeRefusedError."""
        answer = self._change("finish_shard", attempt, str(attempt.shard), self._pending_limit())
        self._put_steps(attempt, answer)

    def retry_or_fail(self, attempt: Attempt, failure: Failure) -> None:
        """Retry a lost step after a delay, as often as its record allows; then fail the job.

        No effect unless the attempt is the newest and the record can be read.

        Parameters
        ----------
        failure : why the attempt ended, a cause that may not occur again.
        """
        for record in self.jobs.get_many([attempt.job_id]):
            if isinstance(record, UnreadableRecord):
                self.give_up(attempt.job_id)
                continue
            with contextlib.suppress(ChangeRefusedError):
                delay_s = RETRY_DELAYS_S[min(self._losses(attempt), len(RETRY_DELAYS_S) - 1)]
                answer = self._change("retry", attempt, str(record.retries), str(delay_s), failure.message, "")
                if answer[0] == 2:
                    self.change_state(attempt, RecordState.FAILED, error=failure)

    def return_to_queue(self, attempt: Attempt, reason: str, notice: str = "", delay_s: float = 0.0) -> None:
        """Queue the step as a new attempt, which does not count as a retry. No effect unless this is the newest."""
        try:
            answer = self._change("retry", attempt, "", str(delay_s), reason, notice)
        except ChangeRefusedError:
            return
        if not delay_s:
            self._put(attempt._replace(number=int(answer[1])), front=True)

    def is_refused_by_all(self, attempt: Attempt, patience_s: float) -> bool:
        """Note that the worker with this attempt refuses its step.

        Returns
        -------
        bool
            Whether the workers of all live pools have refused the step, the last one `patience_s` ago. The workers of
            one pool see the same files and have the same credentials.
        """
        record, pending = self._keys.record(attempt.job_id), self._keys.pending(attempt.job_id)

        def note() -> bool:
            if not (value := self._connection.hget(pending, attempt.step)):
                return False
            now_s, prefix = server_time_s(self._connection), f"{REFUSED_PREFIX}{attempt.step} "
            if self._connection.exists(record):
                self._connection.hsetnx(record, prefix + pool_of(PendingStep.parse(value).location), now_s)
            fields = {as_text(name): at for name, at in self._connection.hgetall(record).items()}
            since = {
                name.removeprefix(prefix): as_float(at) for name, at in fields.items() if name.startswith(prefix)
            }
            live = {pool_of(worker) for worker in live_workers(self._connection)}
            return live <= since.keys() and now_s - max(since.values(), default=now_s) >= patience_s

        return retry_until_available(note)

    def append_log(self, job_id: str, lines: Iterable[str]) -> None:
        """Add lines to a job's log."""
        texts = [f"{time.time()} {line}" for line in lines]
        if texts and self._connection.exists(self._keys.record(job_id)):
            self._connection.rpushx(self._keys.log(job_id), *texts)

    def release(self, attempt: Attempt, wrote_late: bool = False) -> bool:
        """Give up the step of a job that has ended.

        Parameters
        ----------
        wrote_late : whether the attempt may have written to the store after the job was cleaned up.

        Returns
        -------
        bool
            Whether the caller was the last one to work on the job and has to queue its clean-up.
        """
        answer = self._scripts.run("release", attempt._replace(number=0), str(attempt.number), int(wrote_late))
        return bool(answer[0] and answer[1])

    def is_held_by(self, attempt: Attempt, worker: str) -> bool:
        """Return whether the worker has claimed this attempt and not ended it."""
        try:
            value = self._connection.hget(self._keys.pending(attempt.job_id), attempt.step)
            step = PendingStep.parse(value or b"")
        except (ValueError, redis.ResponseError):
            return False
        return (step.number, step.location) == (attempt.number, worker)

    def mark_cleaned_up(self, job_id: str) -> None:
        """Note that nothing is left of a job that has ended but its record and its result."""
        self._connection.srem(self._queue_keys.cleanup, self._keys.member(job_id))
        self._connection.delete(self._keys.pending(job_id), self._keys.cleanup_queued(job_id))

    def is_wanted(self, attempt: Attempt) -> bool:
        """Return whether the job goes on and this is the newest attempt at the step."""
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.hget(self._keys.record(attempt.job_id), "state")
            pipe.hget(self._keys.pending(attempt.job_id), attempt.step)
            state, pending = pipe.execute()
        if state is None or state_of(state).status.final:
            return False
        # A step that is no longer pending is done; its worker is queueing what comes next.
        try:
            return pending is None or PendingStep.parse(pending).number == attempt.number
        except ValueError:
            return False

    def pending_steps(self, job_ids: Sequence[str]) -> list[dict[Attempt, str] | None]:
        """Return of each job the steps that are not done, with their location: `QUEUED`, `DELAYED` or a worker.

        None stands for a job whose steps can't be read.
        """
        with self._connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(self._keys.pending(job_id))
            hashes = pipe.execute(raise_on_error=False)
        return [_parsed_steps(job_id, steps) for job_id, steps in zip(job_ids, hashes, strict=True)]

    def time_limits(self, job_ids: Sequence[str]) -> list[TimeLimit | None]:
        """Return of each job when it was started and how long it may run; None stands for a job without a record."""
        with self._connection.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(self._keys.record(job_id), "state", "started_at", "time_limit_s")
            return [_parsed_limit(answer) for answer in pipe.execute(raise_on_error=False)]

    def queue_due(self, attempt: Attempt) -> None:
        """Queue a step whose delay is over."""
        if self._scripts.run("queue_due", attempt)[0]:
            self._put(attempt)
        else:
            member = self._keys.member(attempt.job_id)
            self._connection.zrem(self._queue_keys.delayed, f"{member}:{attempt.step}:{attempt.number}")

    def requeue(self, attempt: Attempt) -> None:
        """Queue an attempt again that rq has lost."""
        self._put(attempt)

    def give_up(self, job_id: str, error: AnalyticsKitError | None = None) -> None:
        """Fail a job that no worker can do, such as one whose keys can't be read.

        Keys that hold something else are removed. No effect on a job of a newer version of the package, whose workers
        can read it.
        """
        for found in self.jobs.get_many([job_id]):
            if isinstance(found, UnreadableRecord) and found.is_newer:
                return
        _, *others = self._keys.all_of(job_id)
        with self._connection.pipeline(transaction=False) as pipe:
            for key in others:
                pipe.type(key)
            types = pipe.execute()
        expected = [*[b"hash"] * (len(others) - 1), b"list"]
        for key, found, right in zip(others, types, expected, strict=True):
            if found not in (right, b"none"):
                self._connection.delete(key)
        try:
            failure = Failure.of(error or unreadable(job_id))
            self.change_state(Attempt(job_id, "", 0), RecordState.FAILED, error=failure)
        except (ChangeRefusedError, redis.ResponseError):  # not even its state can be read
            self.forget_job(job_id)

    def refuse_unsigned(self, attempt: Attempt) -> None:
        """Fail the job of an unsigned message if it is not signed with the queue's secret either.

        One that is was queued again by a process without the secret: its step is queued by this process.
        """
        for record in self.jobs.get_many([attempt.job_id]):
            if record.state.status.final:
                continue
            if not self.jobs.is_signed(record, self.jobs.now_s()):
                self.give_up(attempt.job_id, not_signed())
                continue
            (steps,) = self.pending_steps([attempt.job_id])
            if (steps or {}).get(attempt) == QUEUED:
                self.return_to_queue(attempt, "what was queued was not signed", SIGNED_OTHERWISE)

    def forget_active(self, job_id: str) -> None:
        """Take a job that has ended off the list of those that have not."""
        self._connection.srem(self._queue_keys.active, self._keys.member(job_id))

    def forget_job(self, job_id: str) -> None:
        """Remove what is left of a job whose record has expired or was removed."""
        keys = self._keys
        self._connection.srem(self._queue_keys.active, keys.member(job_id))
        self._connection.srem(self._queue_keys.cleanup, keys.member(job_id))
        self._connection.delete(*keys.all_of(job_id)[1:])
        self._connection.expire(keys.record(job_id), RECORD_TTL_S)  # if something is left that can't be read

    def _put_steps(self, attempt: Attempt, answer: list[Any]) -> None:
        for text in answer[1:]:
            step, _, number = text.decode().rpartition(" ")
            self._put(Attempt(attempt.job_id, step, int(number)), front=step == MERGE_STEP)

    def _put(self, attempt: Attempt, front: bool = False) -> None:
        """Queue an attempt in rq; if this process dies between the script and this, recovery queues it."""

        def put() -> None:
            with self._connection.pipeline() as pipe:
                self.jobs.queue.put([attempt], pipe, front)
                pipe.publish(self._keys.channel, attempt.job_id)
                pipe.execute()

        retry_until_available(put)

    def _pending_limit(self) -> int:
        """Return how many shards of a job may be pending: one per worker, so that other jobs get their turn."""
        return max(1, retry_until_available(lambda: count_registered(self._connection)))

    def _losses(self, attempt: Attempt) -> int:
        key = self._keys.pending(attempt.job_id)
        try:
            value = retry_until_available(lambda: self._connection.hget(key, attempt.step))
            return PendingStep.parse(value).losses if value else 0
        except (ValueError, redis.ResponseError):
            return 0

    def _change(self, script: str, attempt: Attempt, *arguments: Any) -> list[Any]:
        return retry_until_available(
            lambda: self._scripts.change(script, attempt, *arguments), queue=queue_of(self._connection)
        )


def unreadable(job_id: str) -> AnalyticsKitError:
    """Return the error for a job of whose keys one can't be read."""
    return JobFailedError(
        f"What Redis keeps of job {job_id} can't be read: it is damaged, or something else uses its keys.",
        hint="Submit the study again.",
    )


def not_signed() -> AnalyticsKitError:
    """Return the error for a job that is not signed with the queue's secret."""
    return JobFailedError(
        "The job is refused, because it is not signed with this queue's secret: it was submitted without it, or "
        "someone has changed it since.",
        hint="Give clients, server and workers the same ANALYTICS_KIT_SECRET, and submit the study again.",
    )


def newer_version(version: int) -> CannotRunHere:
    """Return the exception for a record that a newer version of the package wrote."""
    return CannotRunHere(
        f"the job was submitted by a newer analytics_kit: its record has version {version}, the workers here "
        f"understand up to version {RECORD_VERSION}. Upgrade analytics_kit where the workers run and restart them.",
        patience_s=OTHER_VERSION_PATIENCE_S,
    )


def retry_until_available(action: Callable[[], T], to: RecordState | None = None, queue: str = DEFAULT_QUEUE) -> T:
    """Call `action`, again and again for about a minute while the broker is away or takes no writes.

    Parameters
    ----------
    to : the state that `action` changes a record to. When a repeated call finds the record in it, an earlier call
        made the change and its answer was lost; ChangeRefusedError is not raised then.

    Raises
    ------
    BrokerUnavailableError
        The broker did not come back.
    """
    calls = 0

    def count_and_call() -> T:
        nonlocal calls
        calls += 1
        try:
            return action()
        except redis.ResponseError as error:
            if passes(error):
                raise _PassingError(str(error)) from error
            raise

    try:
        return BROKER_RETRY.call_with_retry(count_and_call, lambda error: None)
    except TRANSIENT_ERRORS as error:
        cause = cause_of(error.__cause__ or error, queue)
        if cause is None:
            raise BrokerUnavailableError(f"Redis was away for too long: {error}") from error
        raise BrokerUnavailableError(f"Redis {cause.text}, and has been so for too long.", hint=cause.hint) from error
    except ChangeRefusedError as refused:
        if calls > 1 and to is not None and refused.state is to:
            return None  # type: ignore[return-value]  # a change of state has no answer
        raise


def _parsed_steps(job_id: str, steps: Any) -> dict[Attempt, str] | None:
    if isinstance(steps, Exception):
        return None
    try:
        parsed = {name.decode(): PendingStep.parse(value) for name, value in steps.items()}
        return {Attempt(job_id, name, step.number): step.location for name, step in parsed.items()}
    except ValueError:
        return None


def _parsed_limit(answer: Any) -> TimeLimit | None:
    if isinstance(answer, Exception):
        return UNREADABLE
    state, started, limit = answer
    if state is None:
        # The fields of a hash that has others, but no state, are damaged.
        return None
    try:
        has_ended = RecordState(state.decode()).status.final
        return TimeLimit(float(started or 0), float(limit or 0), has_ended)
    except ValueError:
        return UNREADABLE


def _pairs(flat: Sequence[bytes] | Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return what HGETALL gives inside a script as a dict."""
    return dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))
