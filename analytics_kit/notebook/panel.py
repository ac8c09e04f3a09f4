"""A job in a notebook: live while somebody looks, with a record of it that stays in the file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from analytics_kit import job_text as words
from analytics_kit.model import JobInfo
from analytics_kit.notebook import front_end as cell
from analytics_kit.notebook import job_html as card
from analytics_kit.notebook.cell_display import Display

STATIC_WAIT_S = 60.0
"""Without a front end, showing a job waits at most this long for its end, so that a report holds a settled record."""


class Shown(Protocol):
    """A job as a panel knows it."""

    @property
    def backend_notice(self) -> str:
        """Why it runs where it runs, where that needs saying."""

    @property
    def client_name(self) -> str:
        """What the user's code calls the client that finds it."""

    def snapshot(self) -> JobInfo:
        """The job now; what was known last where it can't be asked."""

    def on_change(self, act: Callable[[JobInfo], object]) -> Callable[[], None]:
        """Call `act` on another thread with each change, up to the end; gives what stops that."""

    def cancel(self) -> bool:
        """Whether the job is cancelled now."""

    def retry(self) -> Self:
        """A new job for the same work."""

    def log(self) -> str:
        """What happened to the job."""


class JobPanel(Display):
    """Shows a job in each cell that displays it. `close()` frees its widget; displaying it again makes a new one."""

    kind = "panel"

    def __init__(self, job: Shown) -> None:
        super().__init__()
        self.job = job
        """The job it follows: after a retry the new one."""
        self._info = job.snapshot()
        self._log: str | None = None

    def __repr__(self) -> str:
        return f"<JobPanel of {words.text(self.job.snapshot())}>"

    def is_missing(self, here: cell.Cell) -> bool:
        """Whether who waits in this cell would not see the job's end anywhere."""
        if not self._runs or self._stale:
            return True
        return here.live and here.run not in self._runs and not self.job.snapshot().status.final

    def _listen(self) -> Callable[[], None]:
        return self.job.on_change(self._change)

    def _refresh(self) -> None:
        self._change(self.job.snapshot())

    def _await_settled(self) -> None:
        ended = threading.Event()

        def hear(info: JobInfo) -> None:
            if info.status.final:
                ended.set()

        stop = self.job.on_change(hear)
        try:
            if not self.job.snapshot().status.final:
                ended.wait(STATIC_WAIT_S)
        finally:
            stop()

    def _change(self, info: JobInfo) -> None:
        """Take in what is known of the job; on the watcher's thread, or on whichever asked."""
        with self._lock:
            if self._info.status.final and info.job_id == self._info.job_id and not info.status.final:
                return  # asked for before the end, told after it
            before, self._info = self._info, info
            urgent = (before.job_id, before.status) != (info.job_id, info.status)
            if urgent:
                self._log = None
        if info != before:
            self._changed(urgent)

    def _shows(self) -> dict[str, str]:
        html = card.live(
            self._info, datetime.now(UTC), self.job.backend_notice, self._log, self._notes(), self.job.client_name
        )
        return {"html": html, "said": f"{words.name(self._info)}: {self._info.status}"}

    def _text(self) -> str:
        return words.text(self._info)

    def _html(self) -> str:
        return card.record(self._info, self.job.backend_notice)

    def _do(self, what: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        if what == "cancel":
            done = self.job.cancel()
            self._refresh()
            return "" if done else card.TOO_LATE
        if what == "retry":
            return self._retry()
        if what == "log":
            self._log = self.job.log() if self._log is None else None
        return self._note

    def _retry(self) -> str:
        job = self.job.retry()  # takes its time where the broker is slow, and the watcher wants the lock
        with self._lock:
            self._stop()
            self.job = job
            self._stop = self._listen()
        self._refresh()
        return f'This is the new job: job = {job.client_name}.get_job("{self._info.job_id}")'


@contextmanager
def shown_while_waiting(panel: Callable[[], JobPanel]) -> Iterator[None]:
    """Leave the job's end in the cell whose code waits inside, unless it is seen already."""
    here = cell.running()
    if here is None:
        yield
        return
    missing = panel().is_missing(here)
    if missing and here.live:
        panel().show(here)
    try:
        yield
    finally:
        if missing and not here.live:
            panel().show(here)
        else:
            panel().settle()
