"""How do jobs wait and run in this very process, when there is no broker?"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from analytics_kit.backends.record import (
    Attempt,
    Record,
    RecordState,
    StaleAttemptError,
    can_join,
    transition,
    with_tags,
)
from analytics_kit.backends.step_runner import run
from analytics_kit.errors import JobNotFoundError, JobTimeoutError, SettingsError
from analytics_kit.model import ANY_JOB, Failure, JobInfo, JobRequest, JobStatus, Progress, StepContext
from analytics_kit.settings import Settings

LOG_LINES = 500
TRACEBACK_LINES = 20


@dataclass(slots=True)
class _Work:
    """What is remembered of a job besides its record."""

    request: JobRequest
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    ends_at: float | None = None
    """On the monotonic clock: when its time is up."""

    def note(self, words: str) -> None:
        self.log.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {words}")

    def start(self) -> None:
        self.note("started")
        if self.request.time_limit_s is not None:
            self.ends_at = time.monotonic() + self.request.time_limit_s

    def end(self, state: RecordState, error: Failure | None) -> None:
        if error is None:
            self.note(str(state))
        else:
            self.note(f"{state}: {error.type}: {error.message}")
            self.log.extend(error.log.rstrip().splitlines()[-TRACEBACK_LINES:])

    def require_in_time(self) -> None:
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            raise JobTimeoutError(f"The job ran longer than its time limit of {self.request.time_limit_s:g} s.")


class LocalBackend:
    """The same jobs on one thread of this process, one after the other; they end with it.

    Parameters
    ----------
    settings : only to be made like the other backends.
    notice : why this backend was chosen, where that needs saying.
    act : does the work of all jobs, in place of the tasks that they name.
    """

    name = "local"
    survives_process = False
    kills_running = False

    def __init__(
        self, settings: Settings, notice: str = "", act: Callable[[StepContext], object] | None = None
    ) -> None:
        self.notice = notice
        self._act = act
        self._records: dict[str, Record] = {}
        self._work: dict[str, _Work] = {}
        self._newest: dict[str, str] = {}
        self._busy = False
        self._changed = threading.Condition()
        self._changes = 0
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open = False

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it. Raises SettingsError for a memory limit."""
        if request.memory_limit_mb is not None:
            raise SettingsError(
                "memory_limit_mb can't be held on the local backend: work inside this process can't be killed.",
                hint="Leave it out, or use the queue: name a Redis that runs, or unset REDIS_URL and REDIS_HOST.",
            )
        now = time.time()
        with self._changed:
            earlier = self._records.get(self._newest.get(request.result_key, ""))
            record = Record.of(request, request.job_id or secrets.token_hex(8), now)
            if earlier and not request.refresh and can_join(earlier, record, request.rejoin):
                earlier = with_tags(earlier, request.tags)
                self._put(earlier)
                return earlier.info(self.name)
            self._newest[request.result_key] = record.job_id
            self._work[record.job_id] = work = _Work(request)
            work.note("queued")
            self._put(record)
            if not self._open:
                self._open, before = True, self._thread
                self._thread = threading.Thread(
                    target=self._run, args=(before,), daemon=True, name="analytics_kit jobs"
                )
                self._thread.start()
            self._waiting.put(record.job_id)
        return record.info(self.name)

    def get(self, job_id: str) -> JobInfo:
        """The job. Raises JobNotFoundError."""
        with self._changed:
            return self._infos([self._record(job_id)])[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Those of the jobs that are known."""
        with self._changed:
            return self._infos([self._records[job_id] for job_id in job_ids if job_id in self._records])

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """All jobs of this process, newest first."""
        with self._changed:
            infos = self._infos(reversed(self._records.values()))
        return [info for info in infos.values() if status is None or info.status is status]

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled now; a task that runs is stopped at its next report."""
        with self._changed:
            self._record(job_id)
            try:
                self.change_state(Attempt(job_id), RecordState.CANCELLED)
            except StaleAttemptError as refused:
                return refused.state is RecordState.CANCELLED
        return True

    def retry(self, job_id: str) -> JobInfo:
        """A new job for the work of one that failed or was cancelled. Raises JobNotFoundError, SettingsError."""
        with self._changed:
            return self.submit(self._record(job_id).request_again())

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""
        with self._changed:
            record = self._record(job_id)
            if not record.state.status.final:
                raise SettingsError(
                    f"Job {job_id} is {record.state.status}; only a job that has ended can be deleted.",
                    hint="Cancel it first.",
                )
            del self._records[job_id], self._work[job_id]
            if self._newest[record.result_key] == job_id:
                del self._newest[record.result_key]
            self._say_changed()

    def log(self, job_id: str) -> Sequence[str]:
        """What happened to the job, a line each (times are UTC). Raises JobNotFoundError."""
        with self._changed:
            self._record(job_id)
            return list(self._work[job_id].log)

    def changes(self) -> LocalChanges:
        """Listen for changed jobs."""
        return LocalChanges(self._changed, lambda: self._changes)

    def queue_status(self) -> dict[str, Any]:
        """Counts of jobs by state; the one thread counts as one worker."""
        with self._changed:
            shown = [record.state.status for record in self._records.values()]
        counts = {status.value: shown.count(status) for status in JobStatus}
        busy = int(self._busy)
        return {"backend": self.name, "queue": "this process", **counts, "workers": 1, "workers_busy": busy}

    def health(self) -> dict[str, Any]:
        """Work can always be done here; without the broker that was named, it is degraded."""
        status = "degraded" if self.notice else "ok"
        told = {"live": True, "ready": True, "backend": self.name, "broker": None, "workers": 1}
        return {"status": status, **told, "reason": self.notice}

    def close(self) -> None:
        """Let the thread end after the jobs that wait; jobs are not touched."""
        with self._changed:
            if self._open:
                self._waiting.put(None)
                self._open = False

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state; raises StaleAttemptError when that is not legal, JobTimeoutError at a commit out of time."""
        with self._changed:
            record, work = self._held(attempt.job_id)
            record = transition(record, to, time.time(), **changes)
            if to is RecordState.COMMITTING:
                work.require_in_time()
            elif to is RecordState.RUNNING:
                work.start()
            else:
                work.end(to, record.error)
            self._put(record)

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Write progress; raises StaleAttemptError unless the job is running, JobTimeoutError when its time is up."""
        with self._changed:
            record, work = self._held(attempt.job_id)
            if record.state not in (RecordState.RUNNING, RecordState.COMMITTING):
                raise StaleAttemptError(record.state)
            if record.state is RecordState.RUNNING:
                work.require_in_time()
            if progress.phase != record.progress.phase:
                work.note(progress.phase)
            self._put(replace(record, progress=progress))

    def _held(self, job_id: str) -> tuple[Record, _Work]:
        """A job for its task, which learns of a job that was deleted as of one that is in other hands."""
        try:
            return self._records[job_id], self._work[job_id]
        except KeyError:
            raise StaleAttemptError(None) from None

    def _infos(self, records: Iterable[Record]) -> dict[str, JobInfo]:
        queued = (record.job_id for record in self._records.values() if record.state is RecordState.QUEUED)
        places = {job_id: place for place, job_id in enumerate(queued, 1)}
        return {record.job_id: record.info(self.name, places.get(record.job_id)) for record in records}

    def _record(self, job_id: str) -> Record:
        try:
            return self._records[job_id]
        except KeyError:
            raise JobNotFoundError(
                f"No job has the id {job_id!r} here.", hint="Jobs of the local backend end with their process."
            ) from None

    def _put(self, record: Record) -> None:
        self._records[record.job_id] = record
        self._say_changed()

    def _say_changed(self) -> None:
        self._changes += 1
        self._changed.notify_all()

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:  # closed and used again while jobs waited
            before.join()
        while (job_id := self._waiting.get()) is not None:
            record = self._records.get(job_id)
            if record is not None and not record.state.status.final:
                self._busy = True
                run(self, record, Attempt(job_id), act=self._act)
                self._busy = False


class LocalChanges:
    """Word of changed jobs within this process."""

    def __init__(self, changed: threading.Condition, count: Callable[[], int]) -> None:
        self._changed, self._count = changed, count
        self._seen = count()

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Whether any job changed."""
        with self._changed:
            changed = self._changed.wait_for(lambda: self._count() != self._seen, timeout_s)
            self._seen = self._count()
        return ANY_JOB if changed else frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
