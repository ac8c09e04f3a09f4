"""A job in a notebook: a live panel, and a static record that stays in the file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from analytics_kit import job_text
from analytics_kit.model import JobInfo
from analytics_kit.notebook import front_end, job_html
from analytics_kit.notebook.cell_display import STATIC_WAIT_S, CellDisplay
from analytics_kit.notebook.front_end import Cell


class ObservedJob(Protocol):
    """What a panel needs of a job; `Job` has it."""

    @property
    def backend_notice(self) -> str:
        """Why the job runs on its backend, where that needs explaining."""

    @property
    def client_name(self) -> str:
        """The name, in the user's code, of the client that finds the job."""

    def snapshot(self) -> JobInfo:
        """Return the present state of the job; the last known one where it can't be read."""

    def on_change(self, act: Callable[[JobInfo], object]) -> Callable[[], None]:
        """Call `act` on another thread with each change up to the end; return a function that stops it."""

    def cancel(self) -> bool:
        """Cancel the job; return whether it is cancelled."""

    def retry(self) -> Self:
        """Submit the same work as a new job."""

    def log(self) -> str:
        """Return the job's log."""


class JobPanel(CellDisplay):
    """A job's status, progress, outcome and buttons, live in each cell that displays the panel.

    `Job.panel()` makes one. Displaying it again after `close()` makes a new widget.

    Attributes
    ----------
    job : Job
        The job that the panel follows; after a retry from the panel, the new job.

    See Also
    --------
    Job.panel, Client.board

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from types import SimpleNamespace
    >>> from analytics_kit.model import JobStatus
    >>> info = JobInfo("0f0f", JobStatus.QUEUED, "/data/study.zip", "key", datetime(2026, 1, 1, tzinfo=UTC))
    >>> JobPanel(SimpleNamespace(snapshot=lambda: info))
    <JobPanel of study.zip: queued>
    """

    kind = "panel"

    def __init__(self, job: ObservedJob) -> None:
        super().__init__()
        self.job = job
        self._info = job.snapshot()
        self._log: str | None = None

    def __repr__(self) -> str:
        return f"<JobPanel of {job_text.text(self.job.snapshot())}>"

    def is_missing(self, cell: Cell) -> bool:
        """Return whether no cell would show the end of the job to a user who waits in this cell."""
        if not self._run_ids or self._is_record_stale:
            return True
        return cell.is_live and cell.run_id not in self._run_ids and not self.job.snapshot().status.final

    def _observe(self) -> Callable[[], None]:
        return self.job.on_change(self._on_change)

    def _refresh(self) -> None:
        self._on_change(self.job.snapshot())

    def _await_settled(self) -> None:
        ended = threading.Event()

        def on_change(info: JobInfo) -> None:
            if info.status.final:
                ended.set()

        stop = self.job.on_change(on_change)
        try:
            if not self.job.snapshot().status.final:
                ended.wait(STATIC_WAIT_S)
        finally:
            stop()

    def _on_change(self, info: JobInfo) -> None:
        """Store the job's new state. Called on the watcher's thread and on others."""
        with self._lock:
            if self._info.status.final and info.job_id == self._info.job_id and not info.status.final:
                return  # read before the end, delivered after it
            before, self._info = self._info, info
            urgent = (before.job_id, before.status) != (info.job_id, info.status)
            if urgent:
                self._log = None
        if info != before:
            self._request_updates(urgent)

    def _live_content(self) -> dict[str, str]:
        html = job_html.render_live(
            self._info, datetime.now(UTC), self.job.backend_notice, self._log, self._notes(), self.job.client_name
        )
        return {"html": html, "announcement": f"{job_text.name(self._info)}: {self._info.status}"}

    def _record_text(self) -> str:
        return job_text.text(self._info)

    def _record_html(self) -> str:
        return job_html.render_static(self._info, self.job.backend_notice)

    def _handle_action(self, action: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        if action == "cancel":
            is_cancelled = self.job.cancel()
            self._refresh()
            return "" if is_cancelled else job_text.TOO_LATE_TO_CANCEL
        if action == "retry":
            return self._retry()
        if action == "log":
            self._log = self.job.log() if self._log is None else None
        return self._note

    def _retry(self) -> str:
        job = self.job.retry()  # outside the lock: a slow broker must not hold up the watcher
        with self._lock:
            self._stop()
            self.job = job
            self._stop = self._observe()
        self._refresh()
        return f'This is the new job: job = {job.client_name}.get_job("{self._info.job_id}")'


@contextmanager
def show_while_waiting(panel: Callable[[], JobPanel]) -> Iterator[None]:
    """Show the job's end in the cell whose code waits inside the block, unless another cell shows it already."""
    cell = front_end.running_cell()
    if cell is None:
        yield
        return
    missing = panel().is_missing(cell)
    if missing and cell.is_live:
        panel().show(cell)
    try:
        yield
    finally:
        if missing and not cell.is_live:
            panel().show(cell)
        else:
            panel().settle()
