"""All jobs of a client in a notebook: list, find, open, cancel and retry them, and upload studies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from analytics_kit import job_text
from analytics_kit.backends.base import Backend
from analytics_kit.errors import AnalyticsKitError
from analytics_kit.job_pages import paginate
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.notebook import board_html
from analytics_kit.notebook.board_html import BoardView, QueueSummary
from analytics_kit.notebook.cell_display import STATIC_WAIT_S, CellDisplay
from analytics_kit.notebook.upload_receiver import UPLOAD_ACTIONS, UploadClient, UploadReceiver

QUEUE_STATUS_INTERVAL_S = 2.0
"""Least time between two counts of the workers."""


class BoardClient(UploadClient, Protocol):
    """What a board needs of a client; `Client` has it."""

    client_name: str
    """The name of the client in the user's code."""

    @property
    def backend(self) -> Backend:
        """The backend of the jobs."""

    def listen_all(self, on_jobs: Callable[[list[JobInfo] | Exception], None]) -> Callable[[], None]:
        """Call `on_jobs` with all jobs whenever one may have changed; return a function that stops it."""


class Board(CellDisplay):
    """All jobs of a client, live in each cell that displays the board.

    `Client.board()` and `ak.board()` make one. `close()` frees its widget and removes unfinished uploads.

    See Also
    --------
    Client.board, Job.panel

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from types import SimpleNamespace
    >>> job = JobInfo("0f0f", JobStatus.QUEUED, "/data/study.zip", "key", datetime(2026, 1, 1, tzinfo=UTC))
    >>> status = {"backend": "redis", "workers": 2, "workers_busy": 0}
    >>> backend = SimpleNamespace(list=lambda: [job], queue_status=lambda: status, notice="")
    >>> Board(SimpleNamespace(backend=backend, client_name="ak"))
    Jobs: 1 queued
    study.zip: queued
    """

    kind = "board"

    def __init__(self, client: BoardClient) -> None:
        super().__init__()
        self._client = client
        self._infos: dict[str, JobInfo] = {}
        self._queue = QueueSummary()
        self._queue_read_at = 0.0
        self._view = BoardView()
        self._announcement = ""
        self._uploads = UploadReceiver(client, self._open_job)

    def __repr__(self) -> str:
        self._refresh()
        return self._record_text()

    def close(self) -> None:
        """Free the widget, stop observing and remove unfinished uploads. Jobs go on."""
        super().close()
        self._uploads.close()

    def _observe(self) -> Callable[[], None]:
        return self._client.listen_all(self._on_jobs)

    def _refresh(self) -> None:
        try:
            self._on_jobs(self._client.backend.list())
        except AnalyticsKitError as error:
            self._on_jobs(error)

    def _await_settled(self) -> None:
        settled = threading.Event()

        def on_jobs(jobs: list[JobInfo] | Exception) -> None:
            if isinstance(jobs, Exception) or all(info.status.final for info in jobs):
                settled.set()

        stop = self._client.listen_all(on_jobs)
        try:
            settled.wait(STATIC_WAIT_S)
        finally:
            stop()

    def _on_jobs(self, jobs: list[JobInfo] | Exception) -> None:
        """Store all jobs, or the error of listing them. Called on the watcher's thread and on others."""
        if isinstance(jobs, Exception):
            message = getattr(jobs, "message", str(jobs))
            self._update(self._infos, replace(self._queue, error=f"Reconnecting …: {message}"))
        else:
            self._update({info.job_id: info for info in jobs}, self._read_queue())

    def _read_queue(self) -> QueueSummary:
        if time.monotonic() - self._queue_read_at < QUEUE_STATUS_INTERVAL_S and not self._queue.error:
            return self._queue
        with suppress(AnalyticsKitError):
            backend = self._client.backend
            self._queue_read_at = time.monotonic()
            return QueueSummary.of(backend.queue_status(), backend.notice, self._client.client_name)
        return self._queue

    def _update(self, infos: dict[str, JobInfo], queue: QueueSummary) -> None:
        with self._lock:
            before, queue_before = self._infos, self._queue
            if infos == before and queue == queue_before:
                return
            self._infos, self._queue = infos, queue
            changed = [info for job_id, info in infos.items() if _status(before.get(job_id)) != info.status]
            if changed and before:
                last = max(changed, key=lambda info: info.ended_at or info.started_at or info.created_at)
                self._announcement = f"{job_text.name(last)}: {last.status}"
            if any(info.job_id == self._view.open_job_id for info in changed):
                self._view = replace(self._view, log=None)
        self._request_updates(bool(changed) or queue.error != queue_before.error)

    def _live_content(self) -> dict[str, str]:
        infos = list(self._infos.values())
        html = board_html.render_live(infos, self._view, self._queue, datetime.now(UTC), self._notes())
        return {"html": html, "announcement": self._announcement}

    def _record_text(self) -> str:
        return board_html.render_text(list(self._infos.values()), self._view)

    def _record_html(self) -> str:
        return board_html.render_static(list(self._infos.values()), self._view)

    def _handle_action(self, action: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        backend, job_id, view = self._client.backend, str(content.get("job") or ""), self._view
        if action in UPLOAD_ACTIONS:
            reply = self._uploads.handle(action, content, buffers)
            if reply is not None and self._widget is not None:
                self._widget.send(reply)
        elif action == "find":
            self._view = replace(view, find=str(content["value"]), page=1)
        elif action == "status" and content["value"] in ("", *JobStatus):
            self._view = replace(view, status=str(content["value"]), page=1)
        elif action in ("newer", "older"):
            selected = board_html.select_jobs(self._infos.values(), view)
            page = paginate(selected, view.page + (1 if action == "older" else -1))
            self._view = replace(view, page=page.number)
        elif action == "open":
            self._view = replace(view, open_job_id="" if view.open_job_id == job_id else job_id, log=None)
        elif action == "log":
            self._view = replace(view, log="\n".join(backend.log(job_id)) if view.log is None else None)
        elif action == "cancel":
            return "" if backend.cancel(job_id) else job_text.TOO_LATE_TO_CANCEL
        elif action == "retry":
            self._view = replace(view, open_job_id=backend.retry(job_id).job_id, log=None, page=1)
        else:
            return self._note
        return ""

    def _open_job(self, job_id: str) -> None:
        self._view = BoardView(open_job_id=job_id)


def _status(info: JobInfo | None) -> JobStatus | None:
    return None if info is None else info.status
