"""Notify listeners of changed jobs: one thread per backend polls for all of them while there are any."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analytics_kit.backends.base import ANY_JOB, Backend, Changes
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError
from analytics_kit.handle import Handle
from analytics_kit.model import JobInfo
from analytics_kit.process_fork import renew_after_fork

POLL_ALL_S = 1.0
"""A change whose message was lost reaches listeners at most this much later."""
SHORTEST_POLL_PAUSE_S, LONGEST_POLL_PAUSE_S = 0.02, 0.2
"""Between two polls: as long as the last one took, within these bounds."""

LISTING_SHARE = 0.05
"""Listing all jobs, in case a message was lost, takes at most this fraction of the time; otherwise only changed jobs
are read."""

JobUpdate = JobInfo | Exception
"""A job as it is now, or the error that kept it from being read."""
OnUpdate = Callable[[JobUpdate], None]
OnJobs = Callable[[list[JobInfo] | Exception], None]
"""Called with all jobs, in no order, or with the error that kept them from being listed."""
logger = logging.getLogger(__name__)


def is_last(update: JobUpdate) -> bool:
    """Return whether no update can follow. A broker that is away ends nothing: it may come back."""
    if isinstance(update, JobInfo):
        return update.status.final
    return not isinstance(update, BrokerUnavailableError)


@dataclass(eq=False, slots=True)
class _Listener:
    job_id: str
    on_update: OnUpdate
    last: JobInfo | str | None = None
    """The last update it was called with."""


class Watcher(Handle):
    """Notifies listeners of each change of their jobs, on a daemon thread that lives as long as there are listeners.

    A job whose record is missing twice in a row is gone: JobNotFoundError is its last update. What a listener raises
    is logged and does not affect the others; a listener that blocks delays them.
    """

    def __init__(self, backend: Backend, client_name: str = "client") -> None:
        self.backend = backend
        self.client_name = client_name
        """What the user's code calls the client of these jobs."""
        self._reset()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        """Begin anew, as in a forked process, where the thread and the listeners are the parent's."""
        self._lock = threading.Lock()
        self._listeners: dict[_Listener, None] = {}
        self._jobs_listeners: dict[OnJobs, None] = {}
        self._jobs: dict[str, JobInfo] | None = None
        self._next_listing_at = 0.0
        self._missing: set[str] = set()
        self._polled_all_at = 0.0
        self._thread: threading.Thread | None = None

    def listen(self, job_id: str, on_update: OnUpdate) -> Callable[[], None]:
        """Call `on_update` with each change up to the last; return a function that stops this earlier.

        The first call comes within `POLL_ALL_S`: to know sooner, read the job from the backend after this call.
        """
        listener = _Listener(job_id, on_update)
        return self._add(lambda: self._listeners, listener)

    def listen_all(self, on_jobs: OnJobs) -> Callable[[], None]:
        """Call `on_jobs` soon, and whenever a job may have changed; return a function that stops this."""
        return self._add(lambda: self._jobs_listeners, on_jobs)

    def _add(self, listeners: Callable[[], dict[Any, None]], listener: Any) -> Callable[[], None]:
        with self._lock:
            listeners()[listener] = None
            if self._thread is None:
                thread = threading.Thread(target=self._run, daemon=True, name="analytics_kit watcher")
                thread.start()
                self._thread = thread

        def stop() -> None:
            with self._lock:
                listeners().pop(listener, None)

        return stop

    def _run(self) -> None:
        changed: frozenset[str] | None = ANY_JOB
        while changed is not None:
            try:
                with self.backend.changes() as changes:
                    while changed is not None:
                        changed = self._round(changed, changes)
            except Exception as error:
                if not isinstance(error, BrokerUnavailableError):
                    logger.exception("Waiting for changes of jobs failed; polling goes on.")
                changed = self._round(ANY_JOB, None)

    def _round(self, changed: frozenset[str], changes: Changes | None) -> frozenset[str] | None:
        """Read the changed jobs, notify, wait for the next changes and return them; None without listeners."""
        started = time.monotonic()
        if started - self._polled_all_at > POLL_ALL_S:
            changed = changed | ANY_JOB  # also when changes are known: another message may have been lost
        if not self._poll(changed):
            return None
        time.sleep(min(max(time.monotonic() - started, SHORTEST_POLL_PAUSE_S), LONGEST_POLL_PAUSE_S))
        if changes is None:
            time.sleep(POLL_ALL_S)
            return ANY_JOB
        return changes.wait(POLL_ALL_S)

    def _poll(self, changed: frozenset[str]) -> bool:
        """Read the changed jobs and notify their listeners; return whether there are any listeners."""
        with self._lock:
            listeners, jobs_listeners = list(self._listeners), list(self._jobs_listeners)
            if not listeners and not jobs_listeners:
                self._thread = self._jobs = None
                return False
            if not jobs_listeners:
                self._jobs = None  # it is not kept up to date
        if changed >= ANY_JOB:
            self._polled_all_at = time.monotonic()
        else:
            listeners = [each for each in listeners if each.job_id in changed or each.last is None]
        if jobs_listeners and (changed or self._jobs is None):
            self._notify_of_jobs(jobs_listeners, changed)
        updates = self._read(list({listener.job_id for listener in listeners}))
        for listener in listeners:
            if (update := updates.get(listener.job_id)) is not None:
                self._notify(listener, update)
        return True

    def _notify_of_jobs(self, jobs_listeners: list[OnJobs], changed: frozenset[str]) -> None:
        jobs: list[JobInfo] | Exception
        try:
            self._jobs = self._read_jobs(self._jobs, changed)
            jobs = list(self._jobs.values())
        except Exception as error:
            jobs, self._jobs = error, None
        for on_jobs in jobs_listeners:
            try:
                on_jobs(jobs)
            except BaseException:  # also SystemExit: others wait for this thread
                logger.exception("A listener to all jobs raised.")

    def _read_jobs(self, before: dict[str, JobInfo] | None, changed: frozenset[str]) -> dict[str, JobInfo]:
        """Return all jobs as they are now."""
        started = time.monotonic()
        if before is None or (changed >= ANY_JOB and started > self._next_listing_at):
            listed = {info.job_id: info for info in self.backend.list()}
            self._next_listing_at = time.monotonic() + (time.monotonic() - started) / LISTING_SHARE
            return listed
        job_ids = changed - ANY_JOB
        if changed >= ANY_JOB:
            job_ids |= {job_id for job_id, info in before.items() if not info.status.final}
        read = self.backend.get_many(list(job_ids))
        return {job_id: info for job_id, info in (before | read).items() if job_id in read or job_id not in job_ids}

    def _read(self, job_ids: list[str]) -> dict[str, JobUpdate]:
        try:
            updates: dict[str, JobUpdate] = dict(self.backend.get_many(job_ids))
        except Exception as error:
            return dict.fromkeys(job_ids, error)
        missing = set(job_ids) - updates.keys()
        for job_id in missing & self._missing:
            updates[job_id] = JobNotFoundError(f"Job {job_id} is not known any more; somebody may have deleted it.")
        self._missing = missing
        return updates

    def _notify(self, listener: _Listener, update: JobUpdate) -> None:
        comparable = update if isinstance(update, JobInfo) else f"{type(update).__name__}: {update}"
        with self._lock:
            if listener not in self._listeners or listener.last == comparable:
                return
            listener.last = comparable
            if is_last(update):
                del self._listeners[listener]
        try:
            listener.on_update(update)
        except BaseException:  # also SystemExit: others wait for this thread
            logger.exception("A callback of job %s raised.", listener.job_id)
