"""A job in a notebook: a live box while somebody looks, and a record of it that stays in the file.

Two outputs follow each other: a widget, and a record in plain HTML that is brought up to date as the job goes on.
The record's style sheet hides it while the box before it is drawn and connected, and hides a box that is dead. So the
saved file, a report and a reopened notebook show the last known state, and never a broken widget.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.model import JobInfo
from analytics_kit.notebook import card, cell, words
from analytics_kit.notebook.pace import Outlet, pace

STATIC_WAIT_S = 60.0
"""Without a front end, showing a job waits at most this long for its end, so that a report holds a settled record."""
VIEW = "application/vnd.jupyter.widget-view+json"
_OUTPUT, _BOX = ".jp-OutputArea-child", ":is(.lm-Panel,.jupyter-widgets)"
_DRAWN = f"{_OUTPUT}:has(.ak-live:not(.jupyter-widgets-disconnected))+{_OUTPUT}:has(.ak-record)"
_NEVER_DRAWN = f"{_OUTPUT}:has(>{_BOX}):not(:has(>{_BOX}>:not(script))):has(+{_OUTPUT} .ak-record)"
_KERNEL_GONE = f"{_OUTPUT}:has(.ak-live.jupyter-widgets-disconnected):has(+{_OUTPUT} .ak-record)"
STYLE = f"<style>{_DRAWN},{_NEVER_DRAWN},{_KERNEL_GONE}{{display:none}}</style>"
"""Hides the record while the box is drawn, else the box."""
STALE = (
    "This page was opened after the cell had run. The panel is live; the file keeps what was known before, "
    "until the cell is run again or job.wait() is called."
)


class Shown(Protocol):
    """A job as a panel knows it."""

    @property
    def reason(self) -> str:
        """Why it runs where it runs, where that needs saying."""

    def shown(self) -> JobInfo:
        """The job now; what was known last where it can't be asked."""

    def on_change(self, act: Callable[[JobInfo], object]) -> Callable[[], None]:
        """Call `act` on another thread with each change, up to the end; gives what stops that."""

    def cancel(self) -> bool:
        """Whether the job is cancelled now."""

    def retry(self) -> Self:
        """A new job for the same work."""

    def log(self) -> str:
        """What happened to the job."""


class JobPanel:
    """Shows a job in each cell that displays it. `close()` frees its widget; showing it again makes a new one."""

    def __init__(self, job: Shown) -> None:
        self.job = job
        """The job it follows: after a retry the new one."""
        self._lock = threading.RLock()
        self._info = job.shown()
        self._log: str | None = None
        self._note = ""
        self._live: Any = None
        self._stop: Callable[[], None] = lambda: None
        self._page: str | None = None
        self._stale = False
        self._cells: set[str] = set()
        self._runs: set[str] = set()
        self._record_id = uuid.uuid4().hex
        self._recorded: dict[str, str] = {}
        self._box = Outlet(self._draw)
        self._file = Outlet(self._keep, every_s=1.0)

    def __repr__(self) -> str:
        return f"<JobPanel of {words.text(self.job.shown())}>"

    def _ipython_display_(self) -> None:
        here = cell.running()
        if here is None:
            raise NotImplementedError  # IPython then shows the text
        if not here.live:
            self._await_end()
        self.show(here)

    def show(self, here: cell.Cell) -> None:
        """Show it in the cell that is running: live, or as the one record that a report holds."""
        self._change(self.job.shown())
        if here.live:
            self._open()
            _publish(
                {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._live.model_id}, "text/plain": ""}
            )
        with self._lock:
            self._stale = False
            self._cells.add(here.name)
            self._runs.add(here.run)
            self._recorded = self._record()
            _publish(self._recorded, {"display_id": self._record_id})
        cell.note(here, self)

    def is_missing(self, here: cell.Cell) -> bool:
        """Whether who waits in this cell would not see the job's end anywhere."""
        if not self._runs or self._stale:
            return True
        return here.live and here.run not in self._runs and not self.job.shown().status.final

    def settle(self) -> None:
        """Bring the record up to date now. A report keeps only what comes while a cell runs."""
        self._change(self.job.shown())
        self._keep()

    def hide(self, cell_name: str) -> None:
        """The cell shows it no more; where it was the last one, close."""
        self._cells.discard(cell_name)
        if not self._cells:
            self.close()

    def close(self) -> None:
        """Free the widget and stop listening. The record stays, and the job goes on."""
        with self._lock:
            self._stop()
            self._runs.clear()
            self._cells.clear()
            for outlet in (self._box, self._file):
                pace.forget(outlet)
            live, self._live = self._live, None
        if live is not None:
            live.close()

    def _open(self) -> None:
        with self._lock:
            if self._live is None:
                from analytics_kit.notebook.live import Live  # ipywidgets: only who looks pays for loading it

                self._page = None
                self._live = Live("panel", self._hear, **self._box_shows())
                self._listen()

    def _listen(self) -> None:
        self._stop()
        self._stop = self.job.on_change(self._change)

    def _await_end(self) -> None:
        ended = threading.Event()

        def hear(info: JobInfo) -> None:
            if info.status.final:
                ended.set()

        stop = self.job.on_change(hear)
        try:
            if not self.job.shown().status.final:
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
            if self._live is None or info == before:
                return
            if urgent and self._log is not None:
                self._log = None
        self._ask(urgent)

    def _ask(self, urgent: bool) -> None:
        pace.ask(self._box, urgent)
        pace.ask(self._file, urgent)

    def _draw(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.shown = self._box_shows()

    def _box_shows(self) -> dict[str, str]:
        notes = " ".join(note for note in (self._note, STALE if self._stale else "") if note)
        html = card.live(self._info, datetime.now(UTC), self.job.reason, self._log, notes)
        return {"html": html, "said": f"{words.name(self._info)}: {self._info.status}"}

    def _record(self) -> dict[str, str]:
        html = f'<div class="ak-record">{card.record(self._info, self.job.reason)}</div>{STYLE}'
        return {"text/plain": words.text(self._info), "text/html": html}

    def _keep(self) -> None:
        with self._lock:
            record = self._record()
            if self._runs and record != self._recorded:
                self._recorded = record
                _publish(record, {"display_id": self._record_id}, update=True)

    def _hear(self, content: Mapping[str, Any]) -> None:
        """Do what was pressed; on whichever thread the kernel hears with."""
        act = {"cancel": self._cancel, "retry": self._retry, "log": self._toggle_log, "draw": self._drawn}
        do = act.get(str(content.get("do")))
        if do is None:
            return
        try:
            note = do(content)
        except AnalyticsKitError as error:
            note = f"{content['do']} did not work: {error}"
        with self._lock:
            self._note = note or ""
        self._ask(urgent=True)

    def _cancel(self, _: Mapping[str, Any]) -> str:
        if self.job.cancel():
            self._change(self.job.shown())
            return ""
        return "It is too late to cancel: the job has ended, or its result is being kept."

    def _retry(self, _: Mapping[str, Any]) -> str:
        self.job = self.job.retry()
        self._listen()
        self._change(self.job.shown())
        return f'This is the new job: job = ak.get_job("{self._info.job_id}")'

    def _toggle_log(self, _: Mapping[str, Any]) -> str:
        self._log = self.job.log() if self._log is None else None
        return self._note

    def _drawn(self, content: Mapping[str, Any]) -> str:
        """A page has the widget. If it is not the first, it does not know the record: its id is not in the file."""
        page = str(content.get("page"))
        self._stale = self._stale or (self._page or page) != page
        self._page = page
        return self._note


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


def _publish(data: Mapping[str, Any], transient: Mapping[str, str] | None = None, update: bool = False) -> None:
    from IPython.display import publish_display_data

    publish_display_data(dict(data), transient=dict(transient or {}), update=update)  # type: ignore[no-untyped-call]  # it has no types
