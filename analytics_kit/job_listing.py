"""Show a list of jobs in pages, with what the notebook's board and the web page both say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics_kit import job_text
from analytics_kit.model import JobInfo

JOBS_PER_PAGE = 20
TOO_LATE_TO_CANCEL = "It is too late to cancel: the job has ended, or its result is being stored."


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a list of jobs.

    Attributes
    ----------
    jobs : sequence of JobInfo
        The jobs of this page.
    number : int
        The page, from 1 on.
    page_count : int
        Pages of the whole list; an empty list has one.
    job_count : int
        Jobs of the whole list.
    """

    jobs: Sequence[JobInfo]
    number: int
    page_count: int
    job_count: int


def paginate(infos: Sequence[JobInfo], number: int) -> JobPage:
    """Return a page of `infos`, or the nearest existing one.

    Examples
    --------
    >>> paginate([], 7)
    JobPage(jobs=[], number=1, page_count=1, job_count=0)
    """
    page_count = max(1, -(-len(infos) // JOBS_PER_PAGE))
    number = min(max(number, 1), page_count)
    start = (number - 1) * JOBS_PER_PAGE
    return JobPage(infos[start : start + JOBS_PER_PAGE], number, page_count, len(infos))


def queue_text(backend: str, workers: int, busy: int) -> str:
    """Return where jobs run, in one line.

    Examples
    --------
    >>> queue_text("redis", 2, 1)
    'redis queue, 2 workers, 1 busy'
    """
    where = {"local": "in this process", "http": "on the server"}.get(backend, f"{backend} queue")
    return f"{where}, {job_text.count(workers, 'worker')}, {busy:,} busy"
