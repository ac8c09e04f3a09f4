"""A submitted job as its user holds it: a future with status, progress, result and error.

Methods that `concurrent.futures.Future` has too mean the same here.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analytics_kit import job_text, notebook_hook
from analytics_kit.backends.base import RemoteBackend
from analytics_kit.backends.time_budget import time_budget
from analytics_kit.deprecation import RenamedAttribute
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, JobCancelledError, JobNotFoundError
from analytics_kit.handle import Handle
from analytics_kit.model import Failure, JobInfo, JobStatus, Progress
from analytics_kit.process_fork import renew_after_fork
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store import uploads
from analytics_kit.study.store.paths import is_plain
from analytics_kit.study.store.store import Store
from analytics_kit.visible_text import visible
from analytics_kit.watcher import JobUpdate, Watcher, is_last, logger

if TYPE_CHECKING:
    from analytics_kit.notebook.panel import JobPanel

FALLBACK_POLL_S = 2.0
"""After this long without an update, a waiter reads the job itself: a callback may hold up the watcher."""
ERROR_LOG_LINES = 20
"""Lines of the worker's log that are shown below a job's error."""


class Job(Handle):
    """A job that was submitted here or anywhere else: its status, progress, result and error.

    `submit` and `get_job` return one; it is not made by hand. Each attribute is read from the backend until the job
    has ended; a final status never changes. As the last expression of a notebook cell a job is a live panel.

    While the broker is away, attributes give what was known last and waiting goes on; `cancel`, `retry`, `log` and
    `delete` raise BrokerUnavailableError. A job that was deleted elsewhere raises JobNotFoundError.

    See Also
    --------
    submit : Start a job.
    as_completed, gather : Wait for several jobs.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> job = ak.submit(ak.sample_study("study.zip", participants=1, trials=1))
    >>> job.wait(timeout=60)
    True
    >>> str(job.status), job.progress.fraction, job.exception()
    ('completed', 1.0, None)
    >>> len(job.result().trials)
    4
    """

    _other_processes = "Send its id, and find the job there with analytics_kit.get_job(id)."

    def __init__(self, watcher: Watcher, info: JobInfo) -> None:
        self.watcher = watcher
        """The watcher that notifies of its changes, with the backend that has the job."""
        self.last_known = info
        """The job as it was read last, without asking the backend."""
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def info(self) -> JobInfo:
        """Return all that is known of the job now."""
        if self.last_known.status.final:
            return self.last_known
        try:
            return self.update(self.watcher.backend.get(self.id))
        except BrokerUnavailableError as error:
            return self.update(error)

    @property
    def id(self) -> str:
        """The job's id, by which `get_job` finds it again."""
        return self.last_known.job_id

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
        """Return whether the job has ended: completed, failed or cancelled."""
        return self.status.final

    def running(self) -> bool:
        """Return whether a worker is processing the job."""
        return self.status is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Return whether the job was cancelled."""
        return self.status is JobStatus.CANCELLED

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended, at most `timeout` seconds; return whether it has ended.

        Ctrl-C ends the waiting, not the job. In a notebook the cell shows the job meanwhile, unless its end is
        displayed already.
        """
        with notebook_hook.show_while_waiting(self):
            return self._wait(timeout)

    def follow(self, timeout: float | None = None) -> Iterator[JobInfo]:
        """Yield the job now and after each change, until it has ended or `timeout` seconds have passed."""
        deadline = deadline_of(timeout)
        if self.last_known.status.final or left_until(deadline) == 0:
            yield self.info()
            return
        inbox: queue.SimpleQueue[JobUpdate] = queue.SimpleQueue()
        stop = self.watcher.listen(self.id, inbox.put)
        try:
            yield (info := self._info_until(deadline))
            while not info.status.final:
                try:
                    latest = self.update(inbox.get(timeout=left_until(deadline, FALLBACK_POLL_S)))
                except queue.Empty:
                    if left_until(deadline) == 0:
                        return
                    latest = self._info_until(deadline)
                if latest != info:
                    yield (info := latest)
        finally:
            stop()

    def _info_until(self, deadline: float | None) -> JobInfo:
        """Return the job, or what is known of it when the deadline comes before the broker's answer."""
        if deadline is None:
            return self.info()
        answer: Future[JobInfo] = Future()

        def read() -> None:
            try:
                with time_budget(left_until(deadline)):
                    answer.set_result(self.info())
            except BaseException as error:
                answer.set_exception(error)

        # A broker that hangs may hold the reader for a minute, and nothing else can.
        threading.Thread(target=read, daemon=True, name="analytics_kit read").start()
        try:
            return answer.result(left_until(deadline))
        except TimeoutError:
            if answer.done():
                raise
            return replace(self.last_known, notice="The broker does not answer.")

    def result(self, timeout: float | None = None) -> StudyResult:
        """Wait for the job and return its result. In a notebook the cell shows the job meanwhile.

        Parameters
        ----------
        timeout
            Seconds after which to stop waiting; None waits as long as it takes.

        Raises
        ------
        TimeoutError
            The job has not ended in time; it goes on.
        JobCancelledError
            The job was cancelled.
        JobFailedError
            The job failed; the error is of the subclass that names the cause, and its traceback is followed by the
            end of the worker's log.
        ResultExpiredError
            The job is known, its tables are gone.
        """
        with notebook_hook.show_while_waiting(self):
            return self.fetch(timeout)

    def fetch(self, timeout: float | None = None) -> StudyResult:
        """Return what `result` returns, without showing the job."""
        info = self._ended(timeout)
        if info.error is not None:
            raise _error(info.error)
        assert info.result is not None  # noqa: S101  a completed job has one
        backend = self.watcher.backend
        if isinstance(backend, RemoteBackend):
            return StudyResult.open(backend.files(self.id), "")
        return StudyResult.open(Store(info.result["store"]), info.result["prefix"])

    def exception(self, timeout: float | None = None) -> AnalyticsKitError | None:
        """Wait for the job and return the error it failed with, None if it completed.

        Raises TimeoutError when it has not ended in time, and JobCancelledError when it was cancelled.
        """
        info = self._ended(timeout)
        return None if info.error is None else _error(info.error)

    def __await__(self) -> Generator[Any, Any, StudyResult]:
        """Return the result or raise what `result` raises; the event loop goes on meanwhile.

        Cancelling the await does not cancel the job.
        """
        return self._await_result().__await__()

    def add_done_callback(self, fn: Callable[[Job], object]) -> None:
        """Call `fn` with this job once it has ended: on the watcher's thread, or now if it has ended already.

        What `fn` raises is logged. It should be quick: the callbacks of other jobs run on the same thread.
        """
        if not self.done():
            self.on_end(lambda: fn(self))
            return
        try:
            fn(self)
        except Exception:
            logger.exception("A callback of job %s raised.", self.id)

    def cancel(self) -> bool:
        """Cancel the job; return whether it is cancelled now, False when it has ended or is committing its result.

        Work that is running stops soon; nothing of it is kept.
        """
        if self.last_known.status.final:
            return self.last_known.status is JobStatus.CANCELLED
        return self.watcher.backend.cancel(self.id)

    def retry(self) -> Job:
        """Start a new job for the work of one that failed or was cancelled; this job stays as it is.

        Raises SettingsError for other jobs: completed work is done again by `submit(..., refresh=True)`.
        """
        return Job(self.watcher, self.watcher.backend.retry(self.id))

    def delete(self) -> None:
        """Remove the job, its result and an uploaded copy of its study; cancel it first if it has not ended."""
        backend = self.watcher.backend
        if not self.last_known.status.final:
            backend.cancel(self.id)
            self._wait()  # takes long only when the job was committing
        result = self.info().result
        if result is not None and not isinstance(backend, RemoteBackend):
            store, folder = Store(result["store"]), result.get("folder") or result["prefix"]
            if is_plain(folder) and store.id() is not None:  # where they come from, others may write, too
                store.delete(folder)
        if location := backend.study_location(self.id):  # `JobInfo.source` is a text for people, without secrets
            uploads.discard(location)
        backend.delete(self.id)

    def log(self) -> str:
        """Return the job's history, a line per event with its time (UTC), then the end of the worker's output."""
        return "\n".join(visible(line, keep="\t") for line in self.watcher.backend.log(self.id))

    def panel(self) -> JobPanel:
        """Return a new panel of this job, to display anywhere; `close()` frees it.

        It shows status, progress and outcome, and has buttons to cancel, to retry and to read the log.
        """
        return notebook_hook.new_panel(self)

    def _wait(self, timeout: float | None = None) -> bool:
        return any(info.status.final for info in self.follow(timeout))

    def _ended(self, timeout: float | None) -> JobInfo:
        info = self.last_known
        for info in self.follow(timeout):  # noqa: B007  the last one counts
            pass
        if not info.status.final:
            notice = f" ({info.notice})" if info.notice else ""
            raise TimeoutError(f"Job {self.id} is still {info.status}{notice}; it goes on.")
        if info.status is JobStatus.CANCELLED:
            raise JobCancelledError(f"Job {self.id} was cancelled.")
        return info

    async def _await_result(self) -> StudyResult:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing awaits the job any more
                loop.call_soon_threadsafe(ended.set)

        stop = self.on_end(wake)
        try:
            if not (await asyncio.to_thread(self.info)).status.final:
                await ended.wait()
        finally:
            stop()
        return await asyncio.to_thread(self.fetch)

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` on the watcher's thread after the job's last update; return a function that stops this."""

        def on_update(update: JobUpdate) -> None:
            if is_last(update):
                if isinstance(update, JobInfo):
                    self.update(update)
                callback()

        return self.watcher.listen(self.id, on_update)

    def on_change(self, callback: Callable[[JobInfo], object]) -> Callable[[], None]:
        """Call `callback` on the watcher's thread with each change; return a function that stops this."""

        def on_update(update: JobUpdate) -> None:
            try:
                info = self.update(update)
            except AnalyticsKitError as error:
                info = replace(self.last_known, notice=error.message)
            callback(info)

        return self.watcher.listen(self.id, on_update)

    def update(self, update: JobUpdate) -> JobInfo:
        """Take in an update, which may be older than what is known; return the job as it is known then."""
        if isinstance(update, JobInfo):
            with self._lock:
                if _age(update) >= _age(self.last_known):
                    self.last_known = update
                return self.last_known
        if isinstance(update, BrokerUnavailableError):
            return replace(self.last_known, notice=f"Reconnecting …: {update.message}")
        raise update

    def snapshot(self) -> JobInfo:
        """Return the job for display: of a job that is gone, what was known last, with a notice."""
        try:
            return self.info()
        except JobNotFoundError as error:
            return replace(self.last_known, notice=error.message)

    @property
    def backend_notice(self) -> str:
        """Why the job runs where it runs, where that needs an explanation; else empty."""
        return self.watcher.backend.notice

    @property
    def client_name(self) -> str:
        """What the user's code calls the client that finds the job: `ak`, or else probably `client`."""
        return self.watcher.client_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}: {job_text.text(self.snapshot())}>"

    def _ipython_display_(self) -> None:
        notebook_hook.display(self)

    known = RenamedAttribute("last_known")
    learn = RenamedAttribute("update")
    shown = RenamedAttribute("snapshot")
    reason = RenamedAttribute("backend_notice")
    client = RenamedAttribute("client_name")


def _error(failure: Failure) -> AnalyticsKitError:
    """Return the exception to raise, with the end of the worker's log as a note below its traceback."""
    error = failure.error()
    if lines := failure.log.rstrip().splitlines()[-ERROR_LOG_LINES:]:
        error.add_note("The worker's log ends with:\n" + "\n".join(f"  {visible(line)}" for line in lines))
    return error


def _age(info: JobInfo) -> tuple[bool, bool, float]:
    """Return a key that grows as a job goes on."""
    return info.status.final, info.status is not JobStatus.QUEUED, info.progress.fraction


def deadline_of(timeout: float | None) -> float | None:
    """Return when `timeout` seconds will have passed, on the monotonic clock; None without a timeout."""
    return None if timeout is None else time.monotonic() + timeout


def left_until(deadline: float | None, at_most: float | None = None) -> float | None:
    """Return the seconds left until the deadline, never below 0 and at most `at_most`; None without either."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    return at_most if left is None else left if at_most is None else min(left, at_most)
