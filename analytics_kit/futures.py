"""Wait for several jobs: one after the other as they end, or for all results."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Iterator
from functools import partial

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.job import FALLBACK_POLL_S, Job, deadline_of, left_until
from analytics_kit.study.result.result import StudyResult
from analytics_kit.watcher import Watcher


def as_completed(jobs: Iterable[Job], timeout: float | None = None) -> Iterator[Job]:
    """Yield jobs as they end, whether completed, failed or cancelled.

    Jobs that have ended already come first, in the order given; a job that is given twice comes once. The jobs may
    belong to several clients.

    Parameters
    ----------
    jobs
        The jobs to wait for.
    timeout
        Seconds from this call after which to stop waiting; None waits as long as it takes.

    Yields
    ------
    Job
        Each job once it has ended.

    Raises
    ------
    TimeoutError
        When some jobs have not ended in time. The jobs go on.

    See Also
    --------
    gather : Wait for all results, in order.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> study = ak.sample_study("study.zip", participants=1, trials=1)
    >>> jobs = [ak.submit(study), ak.submit(study, idle_gap_s=0.2)]
    >>> [str(job.status) for job in ak.as_completed(jobs, timeout=60)]
    ['completed', 'completed']
    """
    return _as_completed(dict.fromkeys(jobs), deadline_of(timeout))


def gather(*jobs: Job, timeout: float | None = None) -> list[StudyResult]:
    """Wait for jobs and return their results in the order of the jobs.

    Parameters
    ----------
    *jobs
        The jobs, as separate arguments.
    timeout
        Seconds for all of them together; None waits as long as it takes.

    Returns
    -------
    list of StudyResult
        One for each job; empty without jobs.

    Raises
    ------
    TimeoutError
        When the results are not there in time.
    AnalyticsKitError
        The error of the first job in this order that has no result. The other jobs go on.

    See Also
    --------
    as_completed : Take each job as it ends.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> study = ak.sample_study("study.zip", participants=1, trials=1)
    >>> first, second = ak.gather(ak.submit(study), ak.submit(study, idle_gap_s=0.2), timeout=60)
    >>> len(first.trials) == len(second.trials)
    True
    """
    if not all(isinstance(job, Job) for job in jobs):
        raise TypeError("gather() takes jobs one by one: gather(*jobs).")
    deadline = deadline_of(timeout)
    return [job.fetch(left_until(deadline)) for job in jobs]


def _as_completed(waiting: dict[Job, None], deadline: float | None) -> Iterator[Job]:
    inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
    count = len(waiting)
    stops = [job.on_end(partial(inbox.put, job)) for job in waiting if not job.last_known.status.final]
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
                ended = [inbox.get(timeout=left_until(deadline, FALLBACK_POLL_S))]
            except queue.Empty:
                if left_until(deadline) == 0:
                    raise TimeoutError(f"{len(waiting)} of {count} jobs have not ended; they go on.") from None
                ended = _ended_of(waiting)
    finally:
        for stop in stops:
            stop()


def _ended_of(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs that have ended, by one request to each backend; a broker that is away adds none."""
    jobs = list(jobs)
    unfinished: dict[Watcher, list[Job]] = {}
    for job in jobs:
        if not job.last_known.status.final:
            unfinished.setdefault(job.watcher, []).append(job)
    for watcher, its_jobs in unfinished.items():
        with contextlib.suppress(BrokerUnavailableError):
            infos = watcher.backend.get_many([job.id for job in its_jobs])
            for job in its_jobs:
                if job.id in infos:
                    job.update(infos[job.id])
    return [job for job in jobs if job.last_known.status.final]
