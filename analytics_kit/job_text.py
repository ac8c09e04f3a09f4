"""Describe jobs, queues, sizes and times as text, for panels, figures, the command line and the web page."""

from __future__ import annotations

from pathlib import PurePath

from rich.filesize import decimal

from analytics_kit.model import JobInfo, JobStatus, Progress
from analytics_kit.visible_text import visible

SIGNS = {
    JobStatus.QUEUED: "◷",
    JobStatus.RUNNING: "▶",
    JobStatus.COMPLETED: "✔",
    JobStatus.FAILED: "✖",
    JobStatus.CANCELLED: "■",
}
TOO_LATE_TO_CANCEL = "It is too late to cancel: the job has ended, or its result is being stored."


def text(info: JobInfo) -> str:
    """Return one line: study, status, and the details of that status. It does not depend on the present time."""
    line = f"{name(info)}: {info.status}"
    if not info.status.final and phase(info):
        line += f", {phase(info)}"
    if info.status is JobStatus.RUNNING:
        line += f" {percent(info)}"
    if counts := outcome(info):
        line += f", {counts}"
    if info.error is not None:
        line += f", {info.error.type}: {info.error.message}"
    return visible(f"{line} ({info.notice})" if info.notice else line)


def name(info: JobInfo) -> str:
    """Return the name of the study without its folder."""
    return visible(PurePath(info.source).name or info.source)


def phase(info: JobInfo) -> str:
    """Return the phase of the work or, of a queued job, of its workers; empty if it repeats the status."""
    return "" if info.progress.phase in list(JobStatus) else visible(info.progress.phase)


def percent(info: JobInfo) -> str:
    """Return the progress, as in `42%`."""
    return f"{floor_percent(info.progress)}%"


def floor_percent(progress: Progress) -> int:
    """Return the fraction in whole percent, rounded down, so that only finished work gives 100.

    Examples
    --------
    >>> [floor_percent(Progress(fraction=fraction)) for fraction in (0.257, 0.9999, 1.0)]
    [25, 99, 100]
    """
    return int(100 * progress.fraction + 1e-9)


def outcome(info: JobInfo) -> str:
    """Return the counts of a completed job's result; empty where they are unknown."""
    summary = (info.result or {}).get("summary") or {}
    if not summary:
        return ""
    nouns = (("trials", "trial"), ("rows_kept", "event"), ("issues", "issue"))
    return ", ".join(count(summary[key], noun) for key, noun in nouns)


def position(info: JobInfo) -> str:
    """Return the job's position in the queue; empty where it is unknown."""
    return "" if info.queue_position is None else f"number {info.queue_position:,} in the queue"


def progress_facts(info: JobInfo, *, with_rate: bool = True) -> list[str]:
    """Return position in the queue, rows, files, rate and time left of an unfinished job, as far as they are known.

    `with_rate=False` leaves out rate and time left, which differ between runs.
    """
    progress = info.progress
    if info.status.final:
        return []
    facts = [] if info.queue_position is None else [position(info)]
    if progress.rows:
        facts.append(count(progress.rows, "row"))
    if progress.files:
        facts.append(count(progress.files, "file"))
    if with_rate and progress.rate_per_s and progress.unit == "bytes":
        facts.append(f"{size(progress.rate_per_s)}/s")
    if with_rate and progress.eta_s is not None and info.status is JobStatus.RUNNING:
        facts.append(f"about {duration(progress.eta_s)} left")
    return facts


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "trial"), count(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def queue_text(backend: str, workers: int, busy: int) -> str:
    """Return where jobs run, in one line.

    Examples
    --------
    >>> queue_text("redis", 2, 1)
    'redis queue, 2 workers, 1 busy'
    """
    where = {"local": "in this process", "http": "on the server"}.get(backend, f"{backend} queue")
    return f"{where}, {count(workers, 'worker')}, {busy:,} busy"


def size(n_bytes: float) -> str:
    """Return a number of bytes in decimal units.

    Examples
    --------
    >>> size(2_500_000)
    '2.5 MB'
    """
    return decimal(int(n_bytes))


def duration(seconds: float) -> str:
    """Return a duration in at most two units.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.44, 7, 200, 7500)]
    ['0.4 s', '7 s', '3 min 20 s', '2 h 5 min']
    """
    if 0 < seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(seconds: float) -> str:
    """Return the age of something in its largest unit.

    Examples
    --------
    >>> [ago(seconds) for seconds in (5, 300, 200_000)]
    ['just now', '5 min ago', '2 days ago']
    """
    for unit_s, unit in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            number = int(seconds // unit_s)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"
