"""A job, a size, a time in words: what text and HTML both say."""

from __future__ import annotations

from pathlib import PurePath

from rich.filesize import decimal

from analytics_kit.model import JobInfo, JobStatus, Progress

SIGNS = {
    JobStatus.QUEUED: "◷",
    JobStatus.RUNNING: "▶",
    JobStatus.COMPLETED: "✔",
    JobStatus.FAILED: "✖",
    JobStatus.CANCELLED: "■",
}


def text(info: JobInfo) -> str:
    """One line: source, state, and what matters in that state. Nothing in it depends on when it is asked for."""
    line = f"{name(info)}: {info.status}"
    if not info.status.final and phase(info):
        line += f", {phase(info)}"
    if info.status is JobStatus.RUNNING:
        line += f" {percent(info)}"
    if counts := outcome(info):
        line += f", {counts}"
    if info.error is not None:
        line += f", {info.error.type}: {info.error.message}"
    return f"{line} ({info.notice})" if info.notice else line


def name(info: JobInfo) -> str:
    """The source without its folder."""
    return PurePath(info.source).name or info.source


def phase(info: JobInfo) -> str:
    """What is being done; of a queued job what its workers do before they take it. Empty where the state says it."""
    return "" if info.progress.phase in list(JobStatus) else info.progress.phase


def percent(info: JobInfo) -> str:
    """How far the job is."""
    return f"{floor_percent(info.progress)}%"


def floor_percent(progress: Progress) -> int:
    """Whole percents; 100 only when all is done."""
    return int(100 * progress.fraction + 1e-9)


def outcome(info: JobInfo) -> str:
    """What came out of a completed job; empty where that is not known."""
    summary = (info.result or {}).get("summary") or {}
    if not summary:
        return ""
    parts = (("trials", "trial"), ("rows_kept", "event"), ("issues", "issue"))
    return ", ".join(count(summary[key], word) for key, word in parts)


def position(info: JobInfo) -> str:
    """Its place in the queue; empty where that is not known."""
    return "" if info.queue_position is None else f"number {info.queue_position:,} in the queue"


def count(number: int, word: str) -> str:
    """ "1 trial", "96 trials"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def size(n_bytes: float) -> str:
    """Bytes as people read them."""
    return decimal(int(n_bytes))


def duration(seconds: float) -> str:
    """Seconds as people read them: "0.4 s", "7 s", "3 min 20 s", "2 h 5 min"."""
    if 0 < seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(seconds: float) -> str:
    """How long ago, coarsely: "just now", "5 min ago", "3 h ago", "2 days ago"."""
    for unit_s, word in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            number = int(seconds // unit_s)
            return f"{number} {word}{'s' if word == 'day' and number > 1 else ''} ago"
    return "just now"
