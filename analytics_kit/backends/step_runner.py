"""How is one task carried out, and its outcome written down?"""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from analytics_kit.backends.progress import ProgressReporter
from analytics_kit.backends.record import (
    BEGIN,
    Attempt,
    Record,
    RecordState,
    StaleAttemptError,
    as_json,
    completed_progress,
)
from analytics_kit.errors import BrokerUnavailableError, JobFailedError, OutOfMemoryError
from analytics_kit.model import CannotRunHere, Failure, Progress, Split, StepContext

LOG_CHARACTERS = 8000
RETURN_DELAY_S = 1.0
"""A step that a worker can't do is offered again after this time."""


class StepStore(Protocol):
    """Where the record is kept. A change by an attempt that is not the newest raises StaleAttemptError."""

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state; raises StaleAttemptError when that is not legal."""

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Write progress; raises StaleAttemptError unless the job is running."""


@runtime_checkable
class ShardingStepStore(StepStore, Protocol):
    """A store whose jobs may be done in parts, and done again."""

    def split(self, attempt: Attempt, split: Split) -> None:
        """Queue the parts of the work."""

    def finish_shard(self, attempt: Attempt) -> None:
        """Note that a part is done."""

    def return_to_queue(self, attempt: Attempt, why: str, notice: str = "", delay_s: float = 0.0) -> None:
        """Give the step to another worker."""


class RunningStep:
    """What the code of a task sees of its job (the protocol `StepContext`)."""

    def __init__(
        self, store: StepStore, record: Record, attempt: Attempt, winners: Mapping[int, int] | None = None
    ) -> None:
        self._store, self._record, self._attempt = store, record, attempt
        self._state = record.state
        self.winning_attempts: Mapping[int, int] = winners or {}
        # What a part tells is its own part of the job's progress.
        self.reporter = ProgressReporter(self._tell, record.progress if attempt.shard is None else Progress())

    @property
    def job_id(self) -> str:
        """The job that the task works for."""
        return self._record.job_id

    @property
    def attempt(self) -> int:
        """Which attempt at the step this is."""
        return self._attempt.number

    @property
    def step(self) -> str:
        """What of the job is done here."""
        return self._attempt.step

    @property
    def shard(self) -> int | None:
        """Which part of a `Split` this is."""
        return self._attempt.shard

    @property
    def can_split(self) -> bool:
        """Whether the task may answer with a `Split`."""
        return isinstance(self._store, ShardingStepStore) and self._attempt.step == BEGIN

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The JSON arguments it was submitted with."""
        return self._record.arguments

    def report(self, progress: Progress) -> None:
        """Tell how far the work is. Raises JobCancelledError once the work is unwanted."""
        self.start()
        self.reporter.report(progress)

    def begin_commit(self) -> None:
        """From here on the job can't be cancelled. Raises JobCancelledError when it already was."""
        self.start()
        if self._state is RecordState.RUNNING:
            self.reporter.flush()
            self._move(RecordState.COMMITTING)

    def start(self) -> None:
        """The job is running from its task's first word on; until then a task may hand its work back."""
        if self._state is RecordState.QUEUED:
            self._move(RecordState.RUNNING)

    def _move(self, to: RecordState) -> None:
        try:
            self._store.change_state(self._attempt, to)
        except StaleAttemptError as refused:
            raise refused.told() from None
        self._state = to

    def _tell(self, progress: Progress) -> None:
        try:
            self._store.publish_progress(self._attempt, progress)
        except StaleAttemptError as refused:
            raise refused.told() from None


def resolve(dotted: str) -> Callable[..., Any]:
    """The function that a dotted name such as `"package.module.function"` stands for."""
    module, _, name = dotted.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{dotted} is a {type(found).__name__}, expected a function.")
    return found  # type: ignore[no-any-return]  # getattr knows no types


def run(
    store: StepStore,
    record: Record,
    attempt: Attempt,
    winners: Mapping[int, int] | None = None,
    act: Callable[[StepContext], object] | None = None,
) -> None:
    """Do one step of a job and write down what became of it. An attempt that is not wanted ends without a trace.

    `act` does it in place of the task that the record names.
    """
    task = RunningStep(store, record, attempt, winners)
    try:
        if not isinstance(store, ShardingStepStore):
            task.start()  # there is nobody to hand it back to
        answer = (act or resolve(record.task_of(attempt.step)))(task)
        task.start()
        task.reporter.flush()
        if isinstance(answer, Split) and isinstance(store, ShardingStepStore):
            store.split(attempt, answer)
        elif attempt.shard is not None and isinstance(store, ShardingStepStore):
            store.finish_shard(attempt)
        else:
            result = _checked(record.task, answer)
            task.begin_commit()
            store.change_state(
                attempt, RecordState.COMPLETED, result=result, progress=completed_progress(task.reporter.latest)
            )
    except StaleAttemptError:
        return
    except BrokerUnavailableError:
        raise  # nothing can be written down; whoever looks after this process sees that the step was not ended
    except BaseException as error:
        if isinstance(error, CannotRunHere) and isinstance(store, ShardingStepStore):
            store.return_to_queue(attempt, str(error), f"No worker can do it yet: {error}", RETURN_DELAY_S)
            return
        with contextlib.suppress(StaleAttemptError):
            store.change_state(attempt, RecordState.FAILED, error=failure_of(error))


def failure_of(error: BaseException) -> Failure:
    """The failure that tells of an exception, with the end of its traceback."""
    log = "".join(traceback.format_exception(error))
    return Failure.of(_named(error), log[-LOG_CHARACTERS:], traceback_of(error)[-LOG_CHARACTERS:])


def traceback_of(error: BaseException) -> str:
    """The traceback; of what lies behind the error only the types, since its words may quote what a file holds."""
    chain = [error]
    while (behind := _behind(chain[-1])) is not None and behind not in chain:
        chain.append(behind)
    lines: list[str] = []
    for each in reversed(chain[1:]):
        lines += ["Traceback (most recent call last):\n", *traceback.format_tb(each.__traceback__)]
        lines += [f"{type(each).__name__}\n\nwhich led to:\n\n"]
    return "".join([*lines, *traceback.format_exception(error, chain=False)])


def _behind(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _checked(task: str, result: object) -> Mapping[str, Any]:
    if not isinstance(result, Mapping):
        raise JobFailedError(f"Task {task} returned {type(result).__name__}, expected a dict that JSON can hold.")
    try:
        as_json(result)
    except (TypeError, ValueError) as error:
        raise JobFailedError(f"Task {task} returned a dict that JSON can't hold: {error}.") from error
    return result


def _named(error: BaseException) -> BaseException:
    if isinstance(error, CannotRunHere):  # where there is nobody else
        return JobFailedError(f"It can't be done here: {error}")
    if isinstance(error, MemoryError):
        return OutOfMemoryError("The work needed more memory than there is.")
    return error
