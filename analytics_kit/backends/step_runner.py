"""Run one step of a job and record its outcome, whatever the backend."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.progress import ProgressReporter
from analytics_kit.backends.record import (
    BEGIN_STEP,
    Attempt,
    ChangeRefusedError,
    Record,
    RecordState,
    completed_progress,
    encode_json,
)
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, JobFailedError, OutOfMemoryError
from analytics_kit.model import CannotRunHere, Failure, Progress, Split, StepContext

LOG_CHARACTERS = 8000
"""A failure holds this much from the end of a traceback."""
OFFER_DELAY_S = 1.0
"""Delay after which a step that one worker can't run is queued again for others."""


class StepStore(Protocol):
    """A store of records. A change by an attempt that is not the newest raises ChangeRefusedError."""

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state; raises ChangeRefusedError when that is not legal."""

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Store progress; raises ChangeRefusedError unless the job is running."""


@runtime_checkable
class ShardingStepStore(StepStore, Protocol):
    """A store whose jobs can be split into shards, and whose steps can go to another worker."""

    def split(self, attempt: Attempt, split: Split) -> None:
        """Queue the shards of the work."""

    def finish_shard(self, attempt: Attempt) -> None:
        """Mark a shard as done."""

    def return_to_queue(self, attempt: Attempt, reason: str, notice: str = "", delay_s: float = 0.0) -> None:
        """Queue the step again, for another worker."""

    def is_refused_by_all(self, attempt: Attempt, patience_s: float) -> bool:
        """Note that the worker with this attempt refuses its step; return whether all have for `patience_s`."""


class RunningStep:
    """The `StepContext` of one attempt."""

    def __init__(
        self,
        store: StepStore,
        record: Record,
        attempt: Attempt,
        winning_attempts: Mapping[int, int] | None = None,
    ) -> None:
        self._store, self._record, self._attempt = store, record, attempt
        self._state = record.state
        self.winning_attempts: Mapping[int, int] = winning_attempts or {}
        # A shard reports its own progress, from which the store composes that of the job.
        self.reporter = ProgressReporter(self._publish, record.progress if attempt.shard is None else Progress())

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self._record.job_id

    @property
    def attempt(self) -> int:
        """Number of the attempt."""
        return self._attempt.number

    @property
    def step(self) -> str:
        """Name of the step."""
        return self._attempt.step

    @property
    def shard(self) -> int | None:
        """Number of the shard; None when the step is not a shard."""
        return self._attempt.shard

    @property
    def can_split(self) -> bool:
        """Whether the step may return a `Split`."""
        return isinstance(self._store, ShardingStepStore) and self._attempt.step == BEGIN_STEP

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The JSON arguments of the job."""
        return self._record.arguments

    def report(self, progress: Progress) -> None:
        """Report progress. Raises JobCancelledError once the attempt is no longer wanted."""
        self.start()
        self.reporter.report(progress)

    def begin_commit(self) -> None:
        """Make the job impossible to cancel. Raises JobCancelledError when it was cancelled before."""
        self.start()
        if self._state is RecordState.RUNNING:
            self.reporter.flush()
            self._change_state(RecordState.COMMITTING)

    def start(self) -> None:
        """Set the job running, which happens at the first report."""
        if self._state is RecordState.QUEUED:
            self._change_state(RecordState.RUNNING)

    def _change_state(self, to: RecordState) -> None:
        try:
            self._store.change_state(self._attempt, to)
        except ChangeRefusedError as refused:
            raise refused.as_cancellation() from None
        self._state = to

    def _publish(self, progress: Progress) -> None:
        try:
            self._store.publish_progress(self._attempt, progress)
        except ChangeRefusedError as refused:
            raise refused.as_cancellation() from None


def run_step(
    store: StepStore,
    record: Record,
    attempt: Attempt,
    winning_attempts: Mapping[int, int] | None = None,
    task: Callable[[StepContext], object] | None = None,
) -> None:
    """Run one attempt at a step and record its outcome; an attempt that is stale ends without a trace.

    Parameters
    ----------
    winning_attempts : for a merge, the number of the attempt that finished each shard.
    task : function to call instead of the one that the record names.

    Raises
    ------
    BrokerUnavailableError
        The outcome can't be recorded; recovery then treats the step as lost.
    """
    context = RunningStep(store, record, attempt, winning_attempts)
    try:
        if not isinstance(store, ShardingStepStore):
            context.start()  # no other worker could run it
        answer = (task or resolve(record.task_of(attempt.step)))(context)
        context.start()
        context.reporter.flush()
        if isinstance(answer, Split) and isinstance(store, ShardingStepStore):
            store.split(attempt, answer)
        elif attempt.shard is not None and isinstance(store, ShardingStepStore):
            store.finish_shard(attempt)
        else:
            result = _checked_result(record.task, answer)
            context.begin_commit()
            progress = completed_progress(context.reporter.latest)
            store.change_state(attempt, RecordState.COMPLETED, result=result, progress=progress)
    except ChangeRefusedError:
        return
    except BrokerUnavailableError:
        raise
    except BaseException as error:
        if isinstance(error, CannotRunHere) and isinstance(store, ShardingStepStore):
            offer_to_others(store, attempt, error)
            return
        with contextlib.suppress(ChangeRefusedError):
            store.change_state(attempt, RecordState.FAILED, error=failure_of(error))


def offer_to_others(store: ShardingStepStore, attempt: Attempt, reason: CannotRunHere) -> None:
    """Queue a step that this worker can't run for other workers, with the reason as the notice of its job.

    When all of them have refused it for long enough, the job fails with the reason.
    """
    if store.is_refused_by_all(attempt, reason.patience_s):
        with contextlib.suppress(ChangeRefusedError):
            store.change_state(attempt, RecordState.FAILED, error=failure_of(reason))
    else:
        store.return_to_queue(attempt, str(reason), f"No worker can do it yet: {reason}", OFFER_DELAY_S)


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an exception is recorded as, with the end of its traceback."""
    log = "".join(traceback.format_exception(error))
    return Failure.of(_public_error(error), log[-LOG_CHARACTERS:], traceback_of(error)[-LOG_CHARACTERS:])


def traceback_of(error: BaseException) -> str:
    """Return the traceback; of causes and contexts only the types, since their messages may quote typed text."""
    chain = [error]
    while (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    lines: list[str] = []
    for each in reversed(chain[1:]):
        lines += ["Traceback (most recent call last):\n", *traceback.format_tb(each.__traceback__)]
        lines += [f"{type(each).__name__}\n\nwhich led to:\n\n"]
    return "".join([*lines, *traceback.format_exception(error, chain=False)])


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _checked_result(task: str, result: object) -> Mapping[str, Any]:
    if not isinstance(result, Mapping):
        raise JobFailedError(f"Task {task} returned {type(result).__name__}, expected a dict that JSON can hold.")
    try:
        encode_json(result)
    except (TypeError, ValueError) as error:
        raise JobFailedError(f"Task {task} returned a dict that JSON can't hold: {error}.") from error
    return result


def _public_error(error: BaseException) -> BaseException:
    if isinstance(error, CannotRunHere):  # and there is no other worker
        cause = error.__cause__
        return cause if isinstance(cause, AnalyticsKitError) else JobFailedError(f"The job can't run here: {error}")
    if isinstance(error, MemoryError):
        return OutOfMemoryError("The work needed more memory than there is.")
    return error
