"""Run jobs one after the other on a thread of this process, without a broker."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from analytics_kit.backends.base import ANY_JOB
from analytics_kit.backends.record import (
    Attempt,
    ChangeRefusedError,
    Record,
    RecordState,
    amended,
    can_join,
    transition,
    with_tags,
)
from analytics_kit.backends.step_runner import run_step
from analytics_kit.code_version import versions_report
from analytics_kit.errors import JobNotFoundError, JobTimeoutError, SettingsError
from analytics_kit.handle import Handle
from analytics_kit.model import Failure, JobInfo, JobRequest, JobStatus, Progress, StepContext
from analytics_kit.process_fork import renew_after_fork, require_polars_threads
from analytics_kit.settings import Settings

LOCAL_LOG_LINES = 500
TRACEBACK_LINES = 20


@dataclass(slots=True)
class _LocalJob:
    """What is kept of a job besides its record."""

    request: JobRequest
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOCAL_LOG_LINES))
    ends_at: float | None = None
    """When its time limit is reached, on the monotonic clock."""

    def append_log(self, text: str) -> None:
        self.log.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}")

    def start(self) -> None:
        self.append_log("started")
        if self.request.time_limit_s is not None:
            self.ends_at = time.monotonic() + self.request.time_limit_s

    def end(self, state: RecordState, error: Failure | None) -> None:
        if error is None:
            self.append_log(str(state))
        else:
            self.append_log(f"{state}: {error.type}: {error.message}")
            self.log.extend(error.log.rstrip().splitlines()[-TRACEBACK_LINES:])

    def require_in_time(self) -> None:
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            raise JobTimeoutError(f"The job ran longer than its time limit of {self.request.time_limit_s:g} s.")


class LocalBackend(Handle):
    """Jobs on one thread of this process; they end with it.

    Parameters
    ----------
    settings : not used; every backend is constructed with them.
    notice : why this backend was chosen instead of another; empty when the settings name it.
    task : function that runs all jobs, instead of the one that each names.
    """

    name = "local"
    survives_process = False
    kills_running = False

    def __init__(
        self, settings: Settings, notice: str = "", task: Callable[[StepContext], object] | None = None
    ) -> None:
        self.notice = notice
        self._task = task
        self._records: dict[str, Record] = {}
        self._jobs: dict[str, _LocalJob] = {}
        self._newest: dict[str, str] = {}
        self._inherited: set[str] = set()
        """Ids of jobs that had not ended when this process was forked."""
        self._change_count = 0
        self._open()
        renew_after_fork(self._renew)

    def _open(self) -> None:
        self._is_busy = False
        self._changed = threading.Condition()
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_open = False
        self._forgetting = threading.Lock()

    def _renew(self) -> None:
        """Begin anew in a forked process: the thread, and so the jobs that have not ended, are the parent's."""
        self._open()
        for job_id in [job_id for job_id, record in self._records.items() if not record.state.status.final]:
            self._inherited.add(job_id)
            record = self._records.pop(job_id)
            self._jobs.pop(job_id, None)
            if self._newest.get(record.result_key) == job_id:
                del self._newest[record.result_key]

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it.

        Raises SettingsError for a memory limit, and in a forked process where the work would hang.
        """
        if request.memory_limit_mb is not None:
            raise SettingsError(
                "memory_limit_mb can't be held on the local backend: work inside this process can't be killed.",
                hint="Leave it out, or use the queue: name a Redis that runs, or unset REDIS_URL and REDIS_HOST.",
            )
        if self._task is None:
            require_polars_threads()
        now = time.time()
        with self._changed:
            earlier = self._records.get(self._newest.get(request.result_key, ""))
            record = Record.of(request, request.job_id or secrets.token_hex(8), now)
            if earlier and not request.refresh and can_join(earlier, record, request.rejoin):
                earlier = with_tags(earlier, request.tags)
                self._put(earlier)
                return earlier.info(self.name)
            self._newest[request.result_key] = record.job_id
            self._jobs[record.job_id] = job = _LocalJob(request)
            job.append_log("queued")
            self._put(record)
            if not self._is_open:
                self._is_open, previous = True, self._thread
                self._thread = threading.Thread(
                    target=self._run, args=(previous,), daemon=True, name="analytics_kit jobs"
                )
                self._thread.start()
            self._waiting.put(record.job_id)
        return record.info(self.name)

    def get(self, job_id: str) -> JobInfo:
        """Return the job. Raises JobNotFoundError."""
        with self._changed:
            return self._infos([self._record(job_id)])[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return those of the jobs that exist, by id."""
        with self._changed:
            return self._infos([self._records[job_id] for job_id in job_ids if job_id in self._records])

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """Return all jobs of this process, newest first."""
        with self._changed:
            infos = self._infos(reversed(self._records.values()))
        return [info for info in infos.values() if status is None or info.status is status]

    def cancel(self, job_id: str) -> bool:
        """Return whether the job is cancelled now; a step that runs is stopped at its next report."""
        with self._changed:
            self._record(job_id)
            try:
                self.change_state(Attempt(job_id), RecordState.CANCELLED)
            except ChangeRefusedError as refused:
                return refused.state is RecordState.CANCELLED
        return True

    def retry(self, job_id: str) -> JobInfo:
        """Submit the work of a failed or cancelled job as a new job."""
        with self._changed:
            return self.submit(self._record(job_id).retry_request())

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""
        with self._changed:
            record = self._record(job_id)
            if not record.state.status.final:
                raise SettingsError(
                    f"Job {job_id} is {record.state.status}; only a job that has ended can be deleted.",
                    hint="Cancel it first.",
                )
            del self._records[job_id], self._jobs[job_id]
            if self._newest.get(record.result_key) == job_id:
                del self._newest[record.result_key]
            self._notify()

    def study_location(self, job_id: str) -> str | None:
        """Return the path or URL from which the job's study is read. Raises JobNotFoundError."""
        with self._changed:
            return self._record(job_id).arguments.get("source")

    def log(self, job_id: str) -> Sequence[str]:
        """Return what happened to the job, a line each, with the time in UTC. Raises JobNotFoundError."""
        with self._changed:
            self._record(job_id)
            return list(self._jobs[job_id].log)

    def records(self) -> Sequence[Record]:
        """Return all records of this process, newest first."""
        with self._changed:
            return [*reversed(self._records.values())]

    def amend(self, job_id: str, edit: Callable[[Record], Record], edit_line: Callable[[str], str]) -> bool:
        """Change what the record and the log of a job that has ended say; return whether anything changed."""
        with self._changed:
            if (record := self._records.get(job_id)) is None or not record.state.status.final:
                return False
            job, changes = self._jobs[job_id], amended(record, edit)
            lines = [edit_line(line) for line in job.log]
            if not changes and lines == [*job.log]:
                return False
            record = replace(record, **changes)
            job.log = deque(lines, maxlen=LOCAL_LOG_LINES)
            job.request = replace(job.request, arguments=record.arguments, source=record.source, tags=record.tags)
            self._put(record)
            return True

    def forgetting(self) -> AbstractContextManager[Any]:
        """Return a context that one thread at a time can enter."""
        return self._forgetting

    def changes(self) -> LocalChanges:
        """Return a context in which to wait for changes of jobs."""
        return LocalChanges(self._changed, lambda: self._change_count)

    def queue_status(self) -> dict[str, Any]:
        """Return the counts of jobs by status; the one thread counts as one worker."""
        with self._changed:
            statuses = [record.state.status for record in self._records.values()]
        counts = {status.value: statuses.count(status) for status in JobStatus}
        busy = int(self._is_busy)
        return {"backend": self.name, "queue": "this process", **counts, "workers": 1, "workers_busy": busy}

    def health(self) -> dict[str, Any]:
        """Return whether jobs can run: always, but degraded when this backend stands in for another."""
        status = "degraded" if self.notice else "ok"
        health = {"live": True, "ready": True, "backend": self.name, "broker": None, "workers": 1}
        return {"status": status, **health, "reason": self.notice, "versions": versions_report()}

    def warnings(self) -> Sequence[tuple[str, str]]:
        """Return nothing: there is no broker here."""
        return ()

    def close(self) -> None:
        """Let the thread end after the jobs that are queued; jobs are not affected."""
        with self._changed:
            if self._is_open:
                self._waiting.put(None)
                self._is_open = False

    def shutdown(self, only_unused: bool = False) -> None:
        """Do what `close` does: jobs that have begun end by themselves, or with this process."""
        self.close()

    def change_state(self, attempt: Attempt, to: RecordState, **changes: Any) -> None:
        """Change the state (see `StepStore`).

        Raises ChangeRefusedError when that is not legal, JobTimeoutError when a commit begins after the time limit.
        """
        with self._changed:
            record, job = self._running_job(attempt.job_id)
            record = transition(record, to, time.time(), **changes)
            if to is RecordState.COMMITTING:
                job.require_in_time()
            elif to is RecordState.RUNNING:
                job.start()
            else:
                job.end(to, record.error)
            self._put(record)

    def publish_progress(self, attempt: Attempt, progress: Progress) -> None:
        """Store progress (see `StepStore`).

        Raises ChangeRefusedError unless the job is running, and JobTimeoutError after its time limit.
        """
        with self._changed:
            record, job = self._running_job(attempt.job_id)
            if record.state not in (RecordState.RUNNING, RecordState.COMMITTING):
                raise ChangeRefusedError(record.state)
            if record.state is RecordState.RUNNING:
                job.require_in_time()
            if progress.phase != record.progress.phase:
                job.append_log(progress.phase)
            self._put(replace(record, progress=progress))

    def _running_job(self, job_id: str) -> tuple[Record, _LocalJob]:
        """Return the job of a step; raises ChangeRefusedError when it was deleted."""
        try:
            return self._records[job_id], self._jobs[job_id]
        except KeyError:
            raise ChangeRefusedError(None) from None

    def _infos(self, records: Iterable[Record]) -> dict[str, JobInfo]:
        queued = (record.job_id for record in self._records.values() if record.state is RecordState.QUEUED)
        positions = {job_id: position for position, job_id in enumerate(queued, 1)}
        return {record.job_id: record.info(self.name, positions.get(record.job_id)) for record in records}

    def _record(self, job_id: str) -> Record:
        try:
            return self._records[job_id]
        except KeyError:
            if job_id in self._inherited:
                raise JobNotFoundError(
                    f"Job {job_id} runs in the process that this one was forked from.",
                    hint="Ask for it there, or use the queue, whose jobs all processes see.",
                ) from None
            raise JobNotFoundError(
                f"No job has the id {job_id!r} here.", hint="Jobs of the local backend end with their process."
            ) from None

    def _put(self, record: Record) -> None:
        self._records[record.job_id] = record
        self._notify()

    def _notify(self) -> None:
        self._change_count += 1
        self._changed.notify_all()

    def _run(self, previous: threading.Thread | None) -> None:
        if previous is not None:  # the backend was closed and used again while jobs were queued
            previous.join()
        while (job_id := self._waiting.get()) is not None:
            record = self._records.get(job_id)
            if record is not None and not record.state.status.final:
                self._is_busy = True
                run_step(self, record, Attempt(job_id), task=self._task)
                self._is_busy = False


class LocalChanges:
    """Changed jobs of this process."""

    def __init__(self, changed: threading.Condition, count: Callable[[], int]) -> None:
        self._changed, self._count = changed, count
        self._last_count = count()

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Return `ANY_JOB` when any job has changed, else the empty set."""
        with self._changed:
            has_changed = self._changed.wait_for(lambda: self._count() != self._last_count, timeout_s)
            self._last_count = self._count()
        return ANY_JOB if has_changed else frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
