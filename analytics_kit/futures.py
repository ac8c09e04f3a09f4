"""Several jobs at once: which end first, and what are all their results?"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Iterator
from functools import partial

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.job import SILENCE_S, Job, deadline_of, left_until
from analytics_kit.study.result.result import StudyResult
from analytics_kit.watcher import Watcher


def as_completed(jobs: Iterable[Job], timeout: float | None = None) -> Iterator[Job]:
    """The jobs as they end, in whatever way, each once; first those that have ended, in the order given.

    They may be of several clients. Raises TimeoutError when some have not ended `timeout` seconds after this call.
    """
    return _as_completed(dict.fromkeys(jobs), deadline_of(timeout))


def gather(*jobs: Job, timeout: float | None = None) -> list[StudyResult]:
    """The results in the order of the jobs; waits for them. The jobs go on whatever is raised.

    Raises what the first job in this order raises that has no result; TimeoutError when that takes longer than
    `timeout` seconds in all.
    """
    if not all(isinstance(job, Job) for job in jobs):
        raise TypeError("gather() takes jobs one by one: gather(*jobs).")
    deadline = deadline_of(timeout)
    return [job.fetch(left_until(deadline)) for job in jobs]


def _as_completed(waiting: dict[Job, None], deadline: float | None) -> Iterator[Job]:
    inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
    count = len(waiting)
    stops = [job.on_end(partial(inbox.put, job)) for job in waiting if not job.known.status.final]
    try:
        ended = _ended_of(waiting)
        while True:
            for job in ended:
                if job in waiting:
                    del waiting[job]
                    yield job
            if not waiting:
                return
            try:
                ended = [inbox.get(timeout=left_until(deadline, SILENCE_S))]
            except queue.Empty:
                if left_until(deadline) == 0:
                    raise TimeoutError(f"{len(waiting)} of {count} jobs have not ended; they go on.") from None
                ended = _ended_of(waiting)
    finally:
        for stop in stops:
            stop()


def _ended_of(jobs: Iterable[Job]) -> list[Job]:
    """Those that have ended, by one question to each backend; none of a broker that is away."""
    jobs = list(jobs)
    asked: dict[Watcher, list[Job]] = {}
    for job in jobs:
        if not job.known.status.final:
            asked.setdefault(job.watcher, []).append(job)
    for watcher, some in asked.items():
        with contextlib.suppress(BrokerUnavailableError):
            found = watcher.backend.get_many([job.id for job in some])
            for job in some:
                if job.id in found:
                    job.learn(found[job.id])
    return [job for job in jobs if job.known.status.final]
