"""A job as its user holds it: state, progress, result, error. It means what `concurrent.futures.Future` means."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from analytics_kit.errors import AnalyticsKitError, JobCancelledError
from analytics_kit.model import Backend, JobInfo, JobStatus, Progress
from analytics_kit.notebook import record
from analytics_kit.study.result import StudyResult
from analytics_kit.study.store import Store

POLL_S = 1.0
"""Word of a change that was lost on the way costs a waiting reader at most this."""


class Job:
    """A job that was submitted here or anywhere. Reading an attribute asks the backend until the job has ended."""

    def __init__(self, backend: Backend, info: JobInfo) -> None:
        self._backend = backend
        self._info = info

    def info(self) -> JobInfo:
        """All that is known of the job now."""
        if not self._info.status.final:
            self._info = self._backend.get(self._info.job_id)
        return self._info

    @property
    def id(self) -> str:
        """The job's id, with which `get_job` finds it again."""
        return self._info.job_id

    @property
    def status(self) -> JobStatus:
        """queued, running, completed, failed or cancelled; the last three are final."""
        return self.info().status

    @property
    def progress(self) -> Progress:
        """How far the job is."""
        return self.info().progress

    @property
    def backend(self) -> str:
        """Where the job runs: "redis", "embedded" or "local"."""
        return self._backend.name

    def done(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.status.final

    def running(self) -> bool:
        """Whether a worker is at it."""
        return self.status is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.status is JobStatus.CANCELLED

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; whether the job has ended. Ctrl-C ends the waiting only."""
        return any(info.status.final for info in self.follow(timeout))

    def follow(self, timeout: float | None = None) -> Iterator[JobInfo]:
        """The job now and after each change, until it has ended or `timeout` seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        yield (info := self.info())
        if info.status.final:
            return
        with self._backend.changes() as changes:
            while True:
                yield (info := self.info())
                left = POLL_S if deadline is None else min(POLL_S, deadline - time.monotonic())
                if info.status.final or left <= 0:
                    return
                changes.wait(left)

    def exception(self, timeout: float | None = None) -> AnalyticsKitError | None:
        """Why the job failed, None if it completed. Raises TimeoutError; JobCancelledError if it was cancelled."""
        self._await_end(timeout)
        info = self.info()
        return None if info.error is None else info.error.error()

    def result(self, timeout: float | None = None) -> StudyResult:
        """The result. Raises what went wrong, TimeoutError when the job has not ended in time (it goes on)."""
        self._await_end(timeout)
        info = self.info()
        if info.error is not None:
            raise info.error.error()
        assert info.result is not None  # noqa: S101  a completed job has one
        return StudyResult.open(Store(info.result["store"]), info.result["prefix"])

    def _await_end(self, timeout: float | None) -> None:
        if not self.wait(timeout):
            raise TimeoutError(f"Job {self.id} is still {self.status} after {timeout} s; it goes on.")
        if self.cancelled():
            raise JobCancelledError(f"Job {self.id} was cancelled.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}: {record.text(self.info())}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """The job's state as text and HTML. Without a front end: once it has ended, and nothing random in it."""
        if record.is_static():
            self.wait(record.STATIC_WAIT_S)
            return record.settled(self.info())
        return {"text/plain": repr(self), "text/html": record.html(self.info())}
