"""How do jobs wait and run in this very process, when there is no broker?"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from analytics_kit.backends.record import Record, RefusedError, State, Ticket, joinable, moved, tagged
from analytics_kit.backends.running import run
from analytics_kit.errors import JobNotFoundError
from analytics_kit.model import JobInfo, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings


class LocalBackend:
    """The same jobs on one thread of this process, one after the other; they end with it.

    Parameters
    ----------
    settings : only to be made like the other backends.
    notice : why this backend was chosen, where that needs saying.
    """

    name = "local"
    survives_process = False
    kills_running = False

    def __init__(self, settings: Settings, notice: str = "") -> None:
        self.notice = notice
        self._records: dict[str, Record] = {}
        self._newest: dict[str, str] = {}
        self._changed = threading.Condition()
        self._changes = 0
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open = False

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it."""
        now = time.time()
        with self._changed:
            earlier = self._records.get(self._newest.get(request.result_key, ""))
            if earlier and not request.refresh and joinable(earlier.state, earlier.ended_at, now):
                earlier = tagged(earlier, request.tags)
                self._put(earlier)
                return earlier.info(self.name)
            record = Record.of(request, secrets.token_hex(8), now)
            self._newest[request.result_key] = record.job_id
            self._put(record)
            if not self._open:
                self._open, before = True, self._thread
                self._thread = threading.Thread(
                    target=self._work, args=(before,), daemon=True, name="analytics_kit jobs"
                )
                self._thread.start()
            self._waiting.put(record.job_id)
        return record.info(self.name)

    def get(self, job_id: str) -> JobInfo:
        """The job. Raises JobNotFoundError."""
        return self._record(job_id).info(self.name)

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """All jobs of this process, newest first."""
        with self._changed:
            infos = [record.info(self.name) for record in reversed(self._records.values())]
        return [info for info in infos if status is None or info.status is status]

    def changes(self) -> LocalChanges:
        """Listen for changed jobs."""
        return LocalChanges(self._changed, lambda: self._changes)

    def queue_status(self) -> dict[str, Any]:
        """Counts of jobs by state; the one thread counts as one worker."""
        with self._changed:
            shown = [record.state.shown for record in self._records.values()]
        counts = {status.value: shown.count(status) for status in JobStatus}
        busy = min(1, counts["running"])
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

    def move(self, ticket: Ticket, to: State, **changes: Any) -> None:
        """Change the state; raises RefusedError when that is not legal."""
        with self._changed:
            self._put(moved(self._record(ticket.job_id), to, time.time(), **changes))

    def tell(self, ticket: Ticket, progress: Progress) -> None:
        """Write progress; raises RefusedError unless the job is running."""
        with self._changed:
            record = self._record(ticket.job_id)
            if record.state not in (State.RUNNING, State.COMMITTING):
                raise RefusedError(record.state)
            self._put(replace(record, progress=progress))

    def _record(self, job_id: str) -> Record:
        try:
            return self._records[job_id]
        except KeyError:
            raise JobNotFoundError(
                f"No job has the id {job_id!r} here.", hint="Jobs of the local backend end with their process."
            ) from None

    def _put(self, record: Record) -> None:
        self._records[record.job_id] = record
        self._changes += 1
        self._changed.notify_all()

    def _work(self, before: threading.Thread | None) -> None:
        if before is not None:  # closed and used again while jobs waited
            before.join()
        while (job_id := self._waiting.get()) is not None:
            record = self._records[job_id]
            if not record.state.shown.final:
                run(self, record, Ticket(job_id))


class LocalChanges:
    """Word of changed jobs within this process."""

    def __init__(self, changed: threading.Condition, count: Callable[[], int]) -> None:
        self._changed, self._count = changed, count
        self._seen = count()

    def wait(self, timeout_s: float) -> bool:
        """Whether any job changed."""
        with self._changed:
            changed = self._changed.wait_for(lambda: self._count() != self._seen, timeout_s)
            self._seen = self._count()
        return changed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
