"""All jobs in a notebook: see, find, open, cancel and retry them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from analytics_kit import job_text as words
from analytics_kit.backends.base import Backend
from analytics_kit.errors import AnalyticsKitError
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.notebook import board_html as listing
from analytics_kit.notebook import job_html as card
from analytics_kit.notebook import upload_receiver as intake
from analytics_kit.notebook.board_html import Choice, Place
from analytics_kit.notebook.cell_display import Display
from analytics_kit.notebook.panel import STATIC_WAIT_S
from analytics_kit.notebook.upload_receiver import Desk, Intake

PLACE_S = 2.0
"""Workers are counted this often at most."""


class Jobs(Desk, Protocol):
    """All jobs as a board knows them."""

    client_name: str
    """What the user's code calls it."""

    @property
    def backend(self) -> Backend:
        """Where they are."""

    def listen_all(self, hear: Callable[[list[JobInfo] | Exception], None]) -> Callable[[], None]:
        """Call `hear` with all jobs whenever one may have changed; gives what stops that."""


class Board(Display):
    """Shows all jobs of a client in each cell that displays it. `close()` frees its widget and ends uploads."""

    kind = "board"

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._infos: dict[str, JobInfo] = {}
        self._place = Place()
        self._placed_at = 0.0
        self._choice = Choice()
        self._said = ""
        self._intake = Intake(jobs, self._open_job)

    def __repr__(self) -> str:
        self._refresh()
        return self._text()

    def close(self) -> None:
        """Free the widget, stop listening, leave nothing of uploads that have not ended. Jobs go on."""
        super().close()
        self._intake.close()

    def _listen(self) -> Callable[[], None]:
        return self._jobs.listen_all(self._heard)

    def _refresh(self) -> None:
        try:
            self._heard(self._jobs.backend.list())
        except AnalyticsKitError as error:
            self._heard(error)

    def _await_settled(self) -> None:
        settled = threading.Event()

        def hear(told: list[JobInfo] | Exception) -> None:
            if isinstance(told, Exception) or all(info.status.final for info in told):
                settled.set()

        stop = self._jobs.listen_all(hear)
        try:
            settled.wait(STATIC_WAIT_S)
        finally:
            stop()

    def _heard(self, told: list[JobInfo] | Exception) -> None:
        """Take in all jobs; on the watcher's thread, or on whichever asked."""
        if isinstance(told, Exception):
            trouble = getattr(told, "message", str(told))
            self._take(self._infos, replace(self._place, trouble=f"Reconnecting …: {trouble}"))
        else:
            self._take({info.job_id: info for info in told}, self._counted())

    def _counted(self) -> Place:
        if time.monotonic() - self._placed_at < PLACE_S and not self._place.trouble:
            return self._place
        with suppress(AnalyticsKitError):
            backend = self._jobs.backend
            self._placed_at = time.monotonic()
            return Place.of(backend.queue_status(), backend.notice, self._jobs.client_name)
        return self._place

    def _take(self, infos: dict[str, JobInfo], place: Place) -> None:
        with self._lock:
            before, before_place = self._infos, self._place
            if infos == before and place == before_place:
                return
            self._infos, self._place = infos, place
            moved = [info for job_id, info in infos.items() if _status(before.get(job_id)) != info.status]
            if moved and before:
                last = max(moved, key=lambda info: info.ended_at or info.started_at or info.created_at)
                self._said = f"{words.name(last)}: {last.status}"
            if any(info.job_id == self._choice.open for info in moved):
                self._choice = replace(self._choice, log=None)
        self._changed(bool(moved) or place.trouble != before_place.trouble)

    def _shows(self) -> dict[str, str]:
        infos = list(self._infos.values())
        html = listing.live(infos, self._choice, self._place, datetime.now(UTC), self._notes())
        return {"html": html, "said": self._said}

    def _text(self) -> str:
        return listing.text(list(self._infos.values()), self._choice)

    def _html(self) -> str:
        return listing.record(list(self._infos.values()), self._choice, self._place)

    def _do(self, what: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        backend, job_id, choice = self._jobs.backend, str(content.get("job") or ""), self._choice
        if what in intake.DOS:
            told = self._intake.take(what, content, buffers)
            if told is not None and self._live is not None:
                self._live.send(told)
        elif what == "find":
            self._choice = replace(choice, find=str(content["value"]), page=0)
        elif what == "status" and content["value"] in ("", *JobStatus):
            self._choice = replace(choice, status=str(content["value"]), page=0)
        elif what in ("newer", "older"):
            last = (len(listing.chosen(self._infos.values(), choice)) - 1) // listing.PAGE_ROWS
            page = choice.page + (1 if what == "older" else -1)
            self._choice = replace(choice, page=min(max(page, 0), max(last, 0)))
        elif what == "open":
            self._choice = replace(choice, open="" if choice.open == job_id else job_id, log=None)
        elif what == "log":
            self._choice = replace(choice, log="\n".join(backend.log(job_id)) if choice.log is None else None)
        elif what == "cancel":
            return "" if backend.cancel(job_id) else card.TOO_LATE
        elif what == "retry":
            self._choice = replace(choice, open=backend.retry(job_id).job_id, log=None, page=0)
        else:
            return self._note
        return ""

    def _open_job(self, job_id: str) -> None:
        self._choice = Choice(open=job_id)


def _status(info: JobInfo | None) -> JobStatus | None:
    return None if info is None else info.status
