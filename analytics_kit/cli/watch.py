"""How does the command line wait for jobs: what does it show meanwhile, and say when it is interrupted?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from analytics_kit.cli.output import err
from analytics_kit.job import Job
from analytics_kit.model import JobInfo
from analytics_kit.progress_bar import Bar

EXIT_INTERRUPTED = 130


def watch(job: Job, timeout: float | None) -> None:
    """Show a live bar, and what has to be said of the job, until it ends. Raises TimeoutError."""
    said = ""
    with interruptible([job]), Bar(name_of(job.last_known), err) as bar:
        for info in job.follow(timeout):
            if info.notice not in ("", said):
                bar.say(said := info.notice)
            bar.show(info.progress, _doing(info))
    if not job.last_known.status.final:
        raise TimeoutError(left_behind([job]))


def _doing(info: JobInfo) -> str:
    if info.queue_position is not None:
        return f"{info.progress.phase}, number {info.queue_position} in line"
    return str(info.status) if info.status.final else info.progress.phase


@contextmanager
def interruptible(jobs: Sequence[Job]) -> Iterator[None]:
    """Ctrl-C ends the waiting, not the jobs, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        waiting = [job for job in jobs if not job.last_known.status.final]
        err.print(f"Interrupted. {left_behind(waiting) if waiting else ''}", markup=False, highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def left_behind(jobs: Sequence[Job]) -> str:
    """What becomes of jobs that nobody waits for any more."""
    local = any(job.backend == "local" for job in jobs)
    if len(jobs) == 1:
        job = jobs[0]
        if local:
            return f"Job {job.id} ends with this process; nothing of it is kept."
        return f"Job {job.id} goes on; `analytics-kit jobs {job.id}` shows it."
    if local:
        return f"{len(jobs)} jobs end with this process; nothing of them is kept."
    return f"{len(jobs)} jobs go on; `analytics-kit jobs` shows them."


def name_of(info: JobInfo) -> str:
    """What people call the study."""
    return Path(info.source).name
