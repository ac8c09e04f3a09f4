"""A job as its user holds it: state, progress, result, error. It means what `concurrent.futures.Future` means."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

from analytics_kit import job_text as words
from analytics_kit.backends.base import RemoteBackend
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, JobCancelledError, JobNotFoundError
from analytics_kit.model import Failure, JobInfo, JobStatus, Progress
from analytics_kit.notebook import front_end
from analytics_kit.notebook.panel import JobPanel, show_while_waiting
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store import uploads
from analytics_kit.study.store.store import Store
from analytics_kit.watcher import Heard, Watcher, ends, logger

SILENCE_S = 2.0
"""Who waits and hears nothing for so long asks itself: a callback may hold up the watcher."""
LOG_LINES = 20
"""So much of the worker's log is shown below a job's error."""


class Job:
    """A job that was submitted here or anywhere. Reading an attribute asks the backend until the job has ended.

    While the broker is away, what was known last is told, with a notice, and waiting goes on; `cancel`, `retry`,
    `log` and `delete` raise BrokerUnavailableError then. A job that somebody deleted raises JobNotFoundError.
    """

    def __init__(self, watcher: Watcher, info: JobInfo) -> None:
        self.watcher = watcher
        """Who tells of its changes."""
        self.known = info
        """What was heard of it last, without asking."""
        self._lock = threading.Lock()
        self._panel: JobPanel | None = None

    def info(self) -> JobInfo:
        """All that is known of the job now."""
        if self.known.status.final:
            return self.known
        try:
            return self.learn(self.watcher.backend.get(self.id))
        except BrokerUnavailableError as error:
            return self.learn(error)

    @property
    def id(self) -> str:
        """The job's id, with which `get_job` finds it again."""
        return self.known.job_id

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
        """Where the job runs: "redis", "embedded", "local" or "http"."""
        return self.watcher.backend.name

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
        """Wait for the end, at most `timeout` seconds; whether the job has ended. Ctrl-C ends the waiting only.

        In a notebook the cell shows the job, unless its end is seen already.
        """
        with show_while_waiting(self._own_panel):
            return self._wait(timeout)

    def follow(self, timeout: float | None = None) -> Iterator[JobInfo]:
        """The job now and after each change, until it has ended or `timeout` seconds have passed."""
        deadline = deadline_of(timeout)
        if self.known.status.final or left_until(deadline) == 0:
            yield self.info()
            return
        inbox: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        stop = self.watcher.listen(self.id, inbox.put)
        try:
            yield (info := self.info())
            while not info.status.final:
                try:
                    latest = self.learn(inbox.get(timeout=left_until(deadline, SILENCE_S)))
                except queue.Empty:
                    if left_until(deadline) == 0:
                        return
                    latest = self.info()
                if latest != info:
                    yield (info := latest)
        finally:
            stop()

    def result(self, timeout: float | None = None) -> StudyResult:
        """The result. While it waits in a notebook, the cell shows the job.

        Raises
        ------
        TimeoutError
            The job has not ended after `timeout` seconds; it goes on.
        JobCancelledError, JobFailedError and others
            What went wrong; a traceback shows the end of the worker's log below it.
        ResultExpiredError
            The job is known, its tables are gone.
        """
        with show_while_waiting(self._own_panel):
            return self.fetch(timeout)

    def fetch(self, timeout: float | None = None) -> StudyResult:
        """What `result` gives, without showing the job."""
        info = self._ended(timeout)
        if info.error is not None:
            raise _error(info.error)
        assert info.result is not None  # noqa: S101  a completed job has one
        backend = self.watcher.backend
        if isinstance(backend, RemoteBackend):
            return StudyResult.open(backend.files(self.id), "")
        return StudyResult.open(Store(info.result["store"]), info.result["prefix"])

    def exception(self, timeout: float | None = None) -> AnalyticsKitError | None:
        """Why the job failed, None if it completed. Raises TimeoutError; JobCancelledError if it was cancelled."""
        info = self._ended(timeout)
        return None if info.error is None else _error(info.error)

    def __await__(self) -> Generator[Any, Any, StudyResult]:
        """The result, or raises what went wrong; the event loop goes on meanwhile.

        Cancelling the await does not cancel the job.
        """
        return self._result_in_time().__await__()

    def add_done_callback(self, fn: Callable[[Job], object]) -> None:
        """Call `fn` with this job once it has ended: on the watcher's thread, or now if it has ended already.

        What it raises is logged. It should be quick: other waiting hangs on the same thread.
        """
        if not self.done():
            self.on_end(lambda: fn(self))
            return
        try:
            fn(self)
        except Exception:
            logger.exception("A callback of job %s raised.", self.id)

    def cancel(self) -> bool:
        """Whether the job is cancelled now; False when it has ended otherwise or its result is being committed.

        Work that is running stops soon; nothing of it is kept.
        """
        if self.known.status.final:
            return self.known.status is JobStatus.CANCELLED
        return self.watcher.backend.cancel(self.id)

    def retry(self) -> Job:
        """A new job for the work of one that failed or was cancelled; this one stays as it is.

        Raises SettingsError for other jobs: completed work is done again by `submit(..., refresh=True)`.
        """
        return Job(self.watcher, self.watcher.backend.retry(self.id))

    def delete(self) -> None:
        """Remove the job, its result and an uploaded copy of its study. What has not ended is cancelled first."""
        backend = self.watcher.backend
        if not self.known.status.final:
            backend.cancel(self.id)
            self._wait()  # in vain only when it was committing
        found = self.info().result
        if found is not None and not isinstance(backend, RemoteBackend):
            Store(found["store"]).delete(found.get("folder") or found["prefix"])
        uploads.discard(self.known.source)
        backend.delete(self.id)

    def log(self) -> str:
        """What happened to the job, a line each with its time (UTC), and the end of the worker's output."""
        return "\n".join(self.watcher.backend.log(self.id))

    def panel(self) -> JobPanel:
        """A panel of its own for this job: display it where you like; `close()` frees it.

        It shows state, progress, what came out or why not, and has buttons to cancel, to retry and for the log.
        """
        return JobPanel(self)

    def _wait(self, timeout: float | None = None) -> bool:
        return any(info.status.final for info in self.follow(timeout))

    def _ended(self, timeout: float | None) -> JobInfo:
        info = self.known
        for info in self.follow(timeout):  # noqa: B007  the last one counts
            pass
        if not info.status.final:
            why = f" ({info.notice})" if info.notice else ""
            raise TimeoutError(f"Job {self.id} is still {info.status}{why}; it goes on.")
        if info.status is JobStatus.CANCELLED:
            raise JobCancelledError(f"Job {self.id} was cancelled.")
        return info

    async def _result_in_time(self) -> StudyResult:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        stop = self.on_end(wake)
        try:
            if not (await asyncio.to_thread(self.info)).status.final:
                await ended.wait()
        finally:
            stop()
        return await asyncio.to_thread(self.fetch)

    def on_end(self, act: Callable[[], object]) -> Callable[[], None]:
        """Call `act` on the watcher's thread when nothing more is to be heard of the job; gives what stops that."""

        def hear(heard: Heard) -> None:
            if ends(heard):
                if isinstance(heard, JobInfo):
                    self.learn(heard)
                act()

        return self.watcher.listen(self.id, hear)

    def learn(self, heard: Heard) -> JobInfo:
        """The job as it is known with what was heard, which may be older than what was known."""
        if isinstance(heard, JobInfo):
            with self._lock:
                if _age(heard) >= _age(self.known):
                    self.known = heard
                return self.known
        if isinstance(heard, BrokerUnavailableError):
            return replace(self.known, notice=f"Reconnecting …: {heard.message}")
        raise heard

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def shown(self) -> JobInfo:
        """The job for who only shows it: of one that is gone, what was known last, with a notice."""
        try:
            return self.info()
        except JobNotFoundError as error:
            return replace(self.known, notice=error.message)

    @property
    def reason(self) -> str:
        """Why the job runs where it runs, where that needs saying."""
        return self.watcher.backend.notice

    @property
    def client(self) -> str:
        """What the user's code calls the client that finds the job: `ak`, or else probably `client`."""
        return self.watcher.called

    def on_change(self, act: Callable[[JobInfo], object]) -> Callable[[], None]:
        """Call `act` on the watcher's thread with each change, up to the end; gives what stops that."""

        def hear(heard: Heard) -> None:
            try:
                info = self.learn(heard)
            except AnalyticsKitError as error:
                info = replace(self.known, notice=error.message)
            act(info)

        return self.watcher.listen(self.id, hear)

    def __repr__(self) -> str:
        return f"<Job {self.id}: {words.text(self.shown())}>"

    def _own_panel(self) -> JobPanel:
        if self._panel is None:
            self._panel = JobPanel(self)
        return self._panel

    def _ipython_display_(self) -> None:
        if front_end.running_cell() is None:
            raise NotImplementedError  # IPython then shows the repr
        self._own_panel()._ipython_display_()


def _error(failure: Failure) -> AnalyticsKitError:
    """The exception for it, with the end of the worker's log for a traceback to show."""
    error = failure.error()
    if lines := failure.log.rstrip().splitlines()[-LOG_LINES:]:
        error.add_note("The worker's log ends with:\n" + "\n".join(f"  {line}" for line in lines))
    return error


def _age(info: JobInfo) -> tuple[bool, bool, float]:
    """Grows as a job goes on."""
    return info.status.final, info.status is not JobStatus.QUEUED, info.progress.fraction


def deadline_of(timeout: float | None) -> float | None:
    """When `timeout` seconds will have passed, on the monotonic clock."""
    return None if timeout is None else time.monotonic() + timeout


def left_until(deadline: float | None, at_most: float | None = None) -> float | None:
    """Seconds until the deadline, never below 0."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    return at_most if left is None else left if at_most is None else min(left, at_most)
