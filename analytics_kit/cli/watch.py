"""Wait for jobs on the command line, with a progress bar and a note on what becomes of interrupted jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from analytics_kit import job_text
from analytics_kit.cli.exit_codes import ExitCode
from analytics_kit.cli.output import err
from analytics_kit.job import Job
from analytics_kit.model import JobInfo
from analytics_kit.progress_bar import ProgressBar


def watch(job: Job, timeout: float | None) -> None:
    """Show a progress bar and the job's notices until it ends. Raises TimeoutError."""
    shown_notice = ""
    with interruptible([job]), ProgressBar(job_text.name(job.last_known), err) as bar:
        for info in job.follow(timeout):
            if info.notice not in ("", shown_notice):
                shown_notice = info.notice
                bar.print_above(shown_notice)
            bar.show(info.progress, _phase(info))
    if not job.last_known.status.final:
        raise TimeoutError(unfinished_note([job]))


def _phase(info: JobInfo) -> str:
    if info.queue_position is not None:
        return f"{info.progress.phase}, number {info.queue_position} in line"
    return str(info.status) if info.status.final else info.progress.phase


@contextmanager
def interruptible(jobs: Sequence[Job]) -> Iterator[None]:
    """On Ctrl-C, stop waiting but not the jobs, and print what becomes of them."""
    try:
        yield
    except KeyboardInterrupt:
        unfinished = [job for job in jobs if not job.last_known.status.final]
        err.print(f"Interrupted. {unfinished_note(unfinished) if unfinished else ''}", markup=False, highlight=False)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def unfinished_note(jobs: Sequence[Job]) -> str:
    """Return the note on unfinished jobs that are no longer waited for."""
    local = any(job.backend == "local" for job in jobs)
    if len(jobs) == 1:
        job = jobs[0]
        if local:
            return f"Job {job.id} ends with this process; nothing of it is kept."
        return f"Job {job.id} goes on; `analytics-kit jobs {job.id}` shows it."
    if local:
        return f"{len(jobs)} jobs end with this process; nothing of them is kept."
    return f"{len(jobs)} jobs go on; `analytics-kit jobs` shows them."
