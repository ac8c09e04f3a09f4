"""How is one task carried out, and its outcome written down?"""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from analytics_kit.backends.record import Record, RefusedError, State, as_json, finished
from analytics_kit.backends.reporting import Reporter
from analytics_kit.errors import JobFailedError, OutOfMemoryError
from analytics_kit.model import SCHEMA_VERSION, Failure, Progress, Task

LOG_CHARACTERS = 8000


class Book(Protocol):
    """Where the record is kept. A change under a fence that is not the record's raises RefusedError."""

    def move(self, job_id: str, fence: int, to: State, **changes: Any) -> None:
        """Change the state; raises RefusedError when that is not legal."""

    def tell(self, job_id: str, fence: int, progress: Progress) -> None:
        """Write progress; raises RefusedError unless the job is running."""


class RunningTask:
    """What the code of a task sees of its job (the protocol `Task`)."""

    def __init__(self, book: Book, record: Record) -> None:
        self._book, self._record = book, record
        self._committing = record.state is State.COMMITTING
        self.reporter = Reporter(self._tell, record.progress)

    @property
    def job_id(self) -> str:
        """The job that the task works for."""
        return self._record.job_id

    @property
    def attempt(self) -> int:
        """Which attempt at the job this is."""
        return self._record.fence

    @property
    def step(self) -> str:
        """All work is done in one step."""
        return "begin"

    @property
    def part(self) -> int | None:
        """There are no parts."""
        return None

    @property
    def winners(self) -> Mapping[int, int]:
        """There are no parts."""
        return {}

    @property
    def can_split(self) -> bool:
        """There are no parts."""
        return False

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The JSON arguments it was submitted with."""
        return self._record.arguments

    def report(self, progress: Progress) -> None:
        """Tell how far the work is. Raises JobCancelledError once the work is unwanted."""
        self.reporter.report(progress)

    def begin_commit(self) -> None:
        """From here on the job can't be cancelled. Raises JobCancelledError when it already was."""
        if self._committing:
            return
        self.reporter.flush()
        try:
            self._book.move(self.job_id, self._record.fence, State.COMMITTING)
        except RefusedError as refused:
            raise refused.told() from None
        self._committing = True

    def _tell(self, progress: Progress) -> None:
        try:
            self._book.tell(self.job_id, self._record.fence, progress)
        except RefusedError as refused:
            raise refused.told() from None


def resolve(dotted: str) -> Callable[..., Any]:
    """The function that a dotted name such as `"package.module.function"` stands for."""
    module, _, name = dotted.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{dotted} is a {type(found).__name__}, expected a function.")
    return found  # type: ignore[no-any-return]  # getattr knows no types


def run(book: Book, record: Record) -> None:
    """Do the record's task and complete or fail it. An attempt that is not wanted any more ends without a trace."""
    fence = record.fence
    try:
        if record.state is State.QUEUED:
            book.move(record.job_id, fence, State.RUNNING)
        task = RunningTask(book, record)
        result = _checked(record.task, _called(record, task))
        task.reporter.flush()
        task.begin_commit()
        book.move(record.job_id, fence, State.COMPLETED, result=result, progress=finished(task.reporter.latest))
    except RefusedError:
        return
    except BaseException as error:
        log = "".join(traceback.format_exception(error))[-LOG_CHARACTERS:]
        with contextlib.suppress(RefusedError):
            book.move(record.job_id, fence, State.FAILED, error=Failure.of(_named(error), log))


def newer_version(version: int) -> JobFailedError:
    """Why a worker of this version leaves a record of that version alone."""
    return JobFailedError(
        f"The job was submitted by a newer analytics_kit: its record has version {version}, "
        f"this worker understands up to version {SCHEMA_VERSION}.",
        hint="Upgrade analytics_kit where the workers run, restart them and submit again.",
    )


def _called(record: Record, task: Task) -> object:
    if record.version > SCHEMA_VERSION:
        raise newer_version(record.version)
    return resolve(record.task)(task)


def _checked(task: str, result: object) -> Mapping[str, Any]:
    if not isinstance(result, Mapping):
        raise JobFailedError(f"Task {task} returned {type(result).__name__}, expected a dict that JSON can hold.")
    try:
        as_json(result)
    except (TypeError, ValueError) as error:
        raise JobFailedError(f"Task {task} returned a dict that JSON can't hold: {error}.") from error
    return result


def _named(error: BaseException) -> BaseException:
    if isinstance(error, MemoryError):
        return OutOfMemoryError("The work needed more memory than there is.")
    return error
