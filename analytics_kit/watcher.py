"""Who is told of changed jobs? One thread per backend asks for all, for as long as anybody listens."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analytics_kit.backends.base import ANY_JOB, Backend, Changes
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError
from analytics_kit.model import JobInfo

POLL_S = 1.0
"""Word of a change that was lost on the way costs whoever listens at most this."""
PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.2
"""Between two questions: as long as the last one took, within these bounds."""

LISTING_SHARE = 0.05
"""Listing all jobs, in case word of one was lost, takes at most this share of the time; else only changed ones are
asked for."""

Heard = JobInfo | Exception
"""A job as it is now, or why that can't be said."""
logger = logging.getLogger(__name__)


def ends(heard: Heard) -> bool:
    """Whether nothing can come after it. A broker that is away ends nothing: it may come back."""
    if isinstance(heard, JobInfo):
        return heard.status.final
    return not isinstance(heard, BrokerUnavailableError)


@dataclass(eq=False, slots=True)
class _Listener:
    job_id: str
    hear: Callable[[Heard], None]
    told: JobInfo | str | None = None


HearAll = Callable[[list[JobInfo] | Exception], None]
"""Told all jobs, in no order, or why they can't be told."""


class Watcher:
    """Tells listeners of each change of their jobs, on a daemon thread that is there only while there are listeners.

    A job whose record is missing twice in a row is gone: JobNotFoundError ends the listening. What a listener raises
    is logged and harms nobody else; a listener that blocks delays the others.
    """

    def __init__(self, backend: Backend, called: str = "client") -> None:
        self.backend = backend
        self.called = called
        """What the user's code calls the client whose jobs these are."""
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[_Listener, None] = {}
        self._board: dict[HearAll, None] = {}
        self._all: dict[str, JobInfo] | None = None
        self._list_at = 0.0
        self._missing: set[str] = set()
        self._asked_at = 0.0
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def listen(self, job_id: str, hear: Callable[[Heard], None]) -> Callable[[], None]:
        """Call `hear` with each change, lastly with the end; gives a function that stops it earlier.

        The first word comes within `POLL_S`: whoever is in a hurry asks the backend once, after this call.
        """
        listener = _Listener(job_id, hear)
        return self._add(lambda: self._listeners, listener)

    def listen_all(self, hear: HearAll) -> Callable[[], None]:
        """Call `hear` with all jobs soon, and whenever one of them may have changed; gives what stops it."""
        return self._add(lambda: self._board, hear)

    def _add(self, to: Callable[[], dict[Any, None]], who: Any) -> Callable[[], None]:
        if self._pid != os.getpid():
            self._forget()  # in a forked process: the thread and the listeners are the parent's
        with self._lock:
            to()[who] = None
            if self._thread is None:
                thread = threading.Thread(target=self._run, daemon=True, name="analytics_kit watcher")
                thread.start()
                self._thread = thread

        def stop() -> None:
            with self._lock:
                to().pop(who, None)

        return stop

    def _run(self) -> None:
        heard: frozenset[str] | None = ANY_JOB
        while heard is not None:
            try:
                with self.backend.changes() as changes:
                    while heard is not None:
                        heard = self._round(heard, changes)
            except Exception as error:
                if not isinstance(error, BrokerUnavailableError):
                    logger.exception("Listening for changed jobs failed; asking goes on.")
                heard = self._round(ANY_JOB, None)

    def _round(self, heard: frozenset[str], changes: Changes | None) -> frozenset[str] | None:
        """Ask for the jobs heard of, tell, wait for word of changes, and give that; None when nobody listens."""
        begun = time.monotonic()
        if begun - self._asked_at > POLL_S:
            heard = heard | ANY_JOB  # whatever else is heard of, no word that was lost is missed for longer
        if not self._ask(heard):
            return None
        time.sleep(min(max(time.monotonic() - begun, PAUSE_S), LONGEST_PAUSE_S))
        if changes is None:
            time.sleep(POLL_S)
            return ANY_JOB
        return changes.wait(POLL_S)

    def _ask(self, heard: frozenset[str]) -> bool:
        with self._lock:
            listeners, board = list(self._listeners), list(self._board)
            if not listeners and not board:
                self._thread = self._all = None
                return False
            if not board:
                self._all = None  # it is not kept up to date
        if heard >= ANY_JOB:
            self._asked_at = time.monotonic()
        else:
            listeners = [each for each in listeners if each.job_id in heard or each.told is None]
        if board and (heard or self._all is None):
            self._tell_all(board, heard)
        answers = self._answers(list({listener.job_id for listener in listeners}))
        for listener in listeners:
            if (answer := answers.get(listener.job_id)) is not None:
                self._tell(listener, answer)
        return True

    def _tell_all(self, board: list[HearAll], heard: frozenset[str]) -> None:
        told: list[JobInfo] | Exception
        try:
            self._all = self._looked(self._all, heard)
            told = list(self._all.values())
        except Exception as error:
            told, self._all = error, None
        for hear in board:
            try:
                hear(told)
            except BaseException:  # also SystemExit: others wait for this thread
                logger.exception("Who is told of all jobs raised.")

    def _looked(self, known: dict[str, JobInfo] | None, heard: frozenset[str]) -> dict[str, JobInfo]:
        """All jobs as they are now."""
        begun = time.monotonic()
        if known is None or (heard >= ANY_JOB and begun > self._list_at):
            listed = {info.job_id: info for info in self.backend.list()}
            self._list_at = time.monotonic() + (time.monotonic() - begun) / LISTING_SHARE
            return listed
        asked = heard - ANY_JOB
        if heard >= ANY_JOB:
            asked |= {job_id for job_id, info in known.items() if not info.status.final}
        found = self.backend.get_many(list(asked))
        return {job_id: info for job_id, info in (known | found).items() if job_id in found or job_id not in asked}

    def _answers(self, job_ids: list[str]) -> dict[str, Heard]:
        try:
            answers: dict[str, Heard] = dict(self.backend.get_many(job_ids))
        except Exception as error:
            return dict.fromkeys(job_ids, error)
        missing = set(job_ids) - answers.keys()
        for job_id in missing & self._missing:
            answers[job_id] = JobNotFoundError(f"Job {job_id} is not known any more; somebody may have deleted it.")
        self._missing = missing
        return answers

    def _tell(self, listener: _Listener, heard: Heard) -> None:
        told = heard if isinstance(heard, JobInfo) else f"{type(heard).__name__}: {heard}"
        with self._lock:
            if listener not in self._listeners or listener.told == told:
                return
            listener.told = told
            if ends(heard):
                del self._listeners[listener]
        try:
            listener.hear(heard)
        except BaseException:  # also SystemExit: others wait for this thread
            logger.exception("A callback of job %s raised.", listener.job_id)
