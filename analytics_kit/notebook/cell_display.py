"""How does something live come into a cell, and leave a record in the file?

Two outputs follow each other: a widget, and a record in plain HTML that is brought up to date as things go on. The
record's style sheet hides it while the box before it is drawn and connected, and hides a box that is dead. So the
saved file, a report and a reopened notebook show the last known state, and never a broken widget.
"""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.notebook import front_end as cell
from analytics_kit.notebook.rate_limit import Outlet, pace

VIEW = "application/vnd.jupyter.widget-view+json"
_OUTPUT, _BOX = ".jp-OutputArea-child", ":is(.lm-Panel,.jupyter-widgets)"
_DRAWN = f"{_OUTPUT}:has(.ak-live:not(.jupyter-widgets-disconnected))+{_OUTPUT}:has(.ak-record)"
_NEVER_DRAWN = f"{_OUTPUT}:has(>{_BOX}):not(:has(>{_BOX}>:not(script))):has(+{_OUTPUT} .ak-record)"
_KERNEL_GONE = f"{_OUTPUT}:has(.ak-live.jupyter-widgets-disconnected):has(+{_OUTPUT} .ak-record)"
STYLE = f"<style>{_DRAWN},{_NEVER_DRAWN},{_KERNEL_GONE}{{display:none}}</style>"
"""Hides the record while the box is drawn, else the box."""


class Display(ABC):
    """Shown in each cell that displays it. `close()` frees its widget; displaying it again makes a new one."""

    kind: str
    renewed_by = "the cell is run again or something waits for the job"
    """What brings the record up to date when its page is another one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._live: Any = None
        self._stop: Callable[[], None] = lambda: None
        self._page: str | None = None
        self._stale = False
        self._note = ""
        self._cells: set[str] = set()
        self._runs: set[str] = set()
        self._record_id = uuid.uuid4().hex
        self._recorded: dict[str, str] = {}
        self._box = Outlet(self._draw)
        self._file = Outlet(self._keep, every_s=1.0)

    @abstractmethod
    def _listen(self) -> Callable[[], None]:
        """Begin to hear of changes; gives what stops that."""

    @abstractmethod
    def _refresh(self) -> None:
        """Take in how things are now."""

    @abstractmethod
    def _await_settled(self) -> None:
        """Without a front end: wait, with a limit, until there is something to be kept."""

    @abstractmethod
    def _shows(self) -> dict[str, str]:
        """`html` to draw now, and `said`, which is read aloud when it changes."""

    @abstractmethod
    def _text(self) -> str:
        """The record as text."""

    @abstractmethod
    def _html(self) -> str:
        """The record as HTML."""

    @abstractmethod
    def _do(self, what: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        """Do what was pressed or chosen, on whichever thread the kernel hears with; a line to be shown, or empty."""

    def _ipython_display_(self) -> None:
        here = cell.running()
        if here is None:
            raise NotImplementedError  # IPython then shows the text
        if not here.live:
            self._await_settled()
        self.show(here)

    def show(self, here: cell.Cell) -> None:
        """Show it in the cell that is running: live, or as the one record that a report holds."""
        self._refresh()
        is_new = here.live and self._open()
        if here.live:
            _publish({VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._live.model_id}})
        with self._lock:
            self._stale = False
            self._cells.add(here.name)
            self._runs.add(here.run)
            self._recorded = self._record()
            _publish(self._recorded, {"display_id": self._record_id})
            if is_new and self._live is not None:
                self._stop()  # a retry may have been quicker
                self._stop = self._listen()  # only now: the first that is heard must not delay what is shown
        cell.note(here, self)

    def settle(self) -> None:
        """Bring the record up to date now. A report keeps only what comes while a cell runs."""
        self._refresh()
        self._keep()

    def hide(self, cell_name: str) -> None:
        """The cell shows it no more; where it was the last one, close."""
        self._cells.discard(cell_name)
        if not self._cells:
            self.close()

    def close(self) -> None:
        """Free the widget and stop listening. The record stays, and jobs go on."""
        with self._lock:
            self._stop()
            self._stop = lambda: None
            self._runs.clear()
            self._cells.clear()
            for outlet in (self._box, self._file):
                pace.forget(outlet)
            live, self._live = self._live, None
        if live is not None:
            live.close()

    def _open(self) -> bool:
        """Have a widget; whether it had to be made."""
        with self._lock:
            if self._live is not None:
                return False
            from analytics_kit.notebook.html_widget import Live  # ipywidgets: only who looks pays for loading it

            self._page = None
            self._live = Live(self.kind, self._hear, **self._shows())
            return True

    def _changed(self, urgent: bool) -> None:
        """Have it drawn and kept soon, a change of state before others."""
        if self._live is not None:
            pace.ask(self._box, urgent)
            pace.ask(self._file, urgent)

    def _draw(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.shown = self._shows()

    def _record(self) -> dict[str, str]:
        return {"text/plain": self._text(), "text/html": f'<div class="ak-record">{self._html()}</div>{STYLE}'}

    def _keep(self) -> None:
        with self._lock:
            record = self._record()
            if self._runs and record != self._recorded:
                self._recorded = record
                _publish(record, {"display_id": self._record_id}, update=True)

    def _notes(self) -> str:
        stale = (
            "This page was opened after the cell had run. What you see is live; the file keeps what was known "
            f"before, until {self.renewed_by}."
        )
        return " ".join(note for note in (self._note, stale if self._stale else "") if note)

    def _hear(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        what = str(content.get("do"))
        if what == "draw":
            self._drawn(str(content.get("page")))
            return
        try:
            note = self._do(what, content, buffers)
        except AnalyticsKitError as error:
            note = f"{what.capitalize()} did not work: {error}"
        with self._lock:
            self._note = note
        self._changed(urgent=True)

    def _drawn(self, page: str) -> None:
        """A page has the widget. If it is not the first, it does not know the record: its id is not in the file."""
        with self._lock:
            stale = self._page not in (None, page)
            self._page = page
        if stale:
            self._stale = True
            self._changed(urgent=True)


def _publish(data: Mapping[str, Any], transient: Mapping[str, str] | None = None, update: bool = False) -> None:
    from IPython.display import publish_display_data

    publish_display_data(dict(data), transient=dict(transient or {}), update=update)  # type: ignore[no-untyped-call]  # it has no types
