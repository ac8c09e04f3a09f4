"""Display a live widget in a cell and keep a static record of its content in the saved notebook.

A cell gets two outputs: the widget, and below it a static record in plain HTML, which is updated with each change.
The record's style sheet hides the record while the widget's box is drawn and connected, and hides the box otherwise.
So the saved file, a report and a reopened notebook show the last known state and never a broken widget.
"""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.notebook import front_end
from analytics_kit.notebook.front_end import Cell
from analytics_kit.notebook.rate_limit import Channel, rate_limiter

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STATIC_WAIT_S = 60.0
"""Without a front end, a cell waits at most this long for jobs to end, so that a report holds their outcome."""
_OUTPUT, _BOX = ".jp-OutputArea-child", ":is(.lm-Panel,.jupyter-widgets)"
_RECORD_OF_LIVE_BOX = f"{_OUTPUT}:has(.ak-live:not(.jupyter-widgets-disconnected))+{_OUTPUT}:has(.ak-record)"
_UNDRAWN_BOX = f"{_OUTPUT}:has(>{_BOX}):not(:has(>{_BOX}>:not(script))):has(+{_OUTPUT} .ak-record)"
_BOX_WITHOUT_KERNEL = f"{_OUTPUT}:has(.ak-live.jupyter-widgets-disconnected):has(+{_OUTPUT} .ak-record)"
RECORD_STYLE = f"<style>{_RECORD_OF_LIVE_BOX},{_UNDRAWN_BOX},{_BOX_WITHOUT_KERNEL}{{display:none}}</style>"
"""Hides the record while the box is drawn and connected, otherwise the box. Saved notebooks hold these selectors, so
the class names ak-live and ak-record stay as they are."""


class CellDisplay(ABC):
    """An object that a cell displays as a live widget and a static record.

    Several cells share one widget. `close()` frees it; displaying the object again creates a new one.
    """

    kind: str
    renewed_by = "the cell is run again or something waits for the job"
    """Events that update the static record after the page was reloaded, as part of a note."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._widget: Any = None
        self._stop: Callable[[], None] = lambda: None
        self._page: str | None = None
        self._is_record_stale = False
        self._note = ""
        self._cell_ids: set[str] = set()
        self._run_ids: set[str] = set()
        self._display_id = uuid.uuid4().hex
        self._record: dict[str, str] = {}
        self._live_channel = Channel(self._send_live)
        self._record_channel = Channel(self._send_record, interval_s=1.0)

    @abstractmethod
    def _observe(self) -> Callable[[], None]:
        """Start observing changes; return a function that stops it."""

    @abstractmethod
    def _refresh(self) -> None:
        """Read the present state."""

    @abstractmethod
    def _await_settled(self) -> None:
        """Without a front end: wait, with a limit, for a state worth keeping."""

    @abstractmethod
    def _live_content(self) -> dict[str, str]:
        """Return `html` to draw, and `announcement`, which is read aloud when it changes."""

    @abstractmethod
    def _record_text(self) -> str:
        """Return the static record as text."""

    @abstractmethod
    def _record_html(self) -> str:
        """Return the static record as HTML."""

    @abstractmethod
    def _handle_action(self, action: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        """Do what was clicked or chosen and return a note to show, or "". Any thread of the kernel may call it."""

    def _ipython_display_(self) -> None:
        cell = front_end.running_cell()
        if cell is None:
            raise NotImplementedError  # makes IPython print the repr
        if not cell.is_live:
            self._await_settled()
        self.show(cell)

    def show(self, cell: Cell) -> None:
        """Display the object in the running cell: widget and record, or only the record in a report."""
        self._refresh()
        is_new = cell.is_live and self._open()
        if cell.is_live:
            _publish({WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}})
        with self._lock:
            self._is_record_stale = False
            self._cell_ids.add(cell.cell_id)
            self._run_ids.add(cell.run_id)
            self._record = self._render_record()
            _publish(self._record, {"display_id": self._display_id})
            if is_new and self._widget is not None:
                self._stop()  # a retry may have come first
                self._stop = self._observe()  # only now, so that the first change does not delay the display
        front_end.hide_on_rerun(cell, self)

    def settle(self) -> None:
        """Update the static record now. A report keeps only what is sent while a cell runs."""
        self._refresh()
        self._send_record()

    def hide(self, cell_id: str) -> None:
        """Forget the cell, which no longer displays the object; close the object when no cell is left."""
        self._cell_ids.discard(cell_id)
        if not self._cell_ids:
            self.close()

    def close(self) -> None:
        """Free the widget and stop observing. The static record stays, and jobs go on."""
        with self._lock:
            self._stop()
            self._stop = lambda: None
            self._run_ids.clear()
            self._cell_ids.clear()
            for channel in (self._live_channel, self._record_channel):
                rate_limiter.discard(channel)
            widget, self._widget = self._widget, None
        if widget is not None:
            widget.close()

    def _open(self) -> bool:
        """Create the widget unless there is one; return whether it was created."""
        with self._lock:
            if self._widget is not None:
                return False
            from analytics_kit.notebook.html_widget import HtmlWidget  # loads ipywidgets, only when displayed

            self._page = None
            self._widget = HtmlWidget(self.kind, self._on_message, **self._live_content())
            return True

    def _request_updates(self, urgent: bool) -> None:
        """Have widget and record sent soon; urgent updates, those of a status, are sent before others."""
        if self._widget is not None:
            rate_limiter.request(self._live_channel, urgent)
            rate_limiter.request(self._record_channel, urgent)

    def _send_live(self) -> None:
        with self._lock:
            if self._widget is not None:
                self._widget.content = self._live_content()

    def _render_record(self) -> dict[str, str]:
        html = f'<div class="ak-record">{self._record_html()}</div>{RECORD_STYLE}'
        return {"text/plain": self._record_text(), "text/html": html}

    def _send_record(self) -> None:
        with self._lock:
            record = self._render_record()
            if self._run_ids and record != self._record:
                self._record = record
                _publish(record, {"display_id": self._display_id}, update=True)

    def _notes(self) -> str:
        stale = (
            "This page was opened after the cell had run. The view is live, but the saved notebook keeps the earlier "
            f"record until {self.renewed_by}."
        )
        return " ".join(note for note in (self._note, stale if self._is_record_stale else "") if note)

    def _on_message(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        action = str(content.get("action"))
        if action == "open_page":
            self._on_page_opened(str(content.get("page")))
            return
        try:
            note = self._handle_action(action, content, buffers)
        except AnalyticsKitError as error:
            note = f"{action.capitalize()} did not work: {error}"
        with self._lock:
            self._note = note
        self._request_updates(urgent=True)

    def _on_page_opened(self, page: str) -> None:
        """Note that a page has the widget. A later page can't update the record: display ids are not in the file."""
        with self._lock:
            is_later_page = self._page not in (None, page)
            self._page = page
        if is_later_page:
            self._is_record_stale = True
            self._request_updates(urgent=True)


def _publish(data: Mapping[str, Any], transient: Mapping[str, str] | None = None, update: bool = False) -> None:
    from IPython.display import publish_display_data

    publish_display_data(dict(data), transient=dict(transient or {}), update=update)  # type: ignore[no-untyped-call]  # it has no types
