"""Split a list of jobs into pages, for the notebook's board and the web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics_kit.model import JobInfo

JOBS_PER_PAGE = 20


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
