"""A job as text and as HTML: the one rendering of a JobInfo."""

from __future__ import annotations

import html as escape
import os
from pathlib import PurePath

from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.settings import Settings

STATIC_WAIT_S = 60.0
"""Without a front end, showing a job waits at most this long for its end, so that a report holds a settled record."""
_SIGNS = {
    JobStatus.QUEUED: "◷",
    JobStatus.RUNNING: "▶",
    JobStatus.COMPLETED: "✔",
    JobStatus.FAILED: "✖",
    JobStatus.CANCELLED: "■",
}


def is_static() -> bool:
    """Whether there is no front end that could show a job live, so that one settled record has to do."""
    asked = Settings.of().static
    if asked is not None:
        return asked
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
        return False  # Voila runs cells as nbclient does, and yet draws what comes later
    from IPython import get_ipython  # only there when a shell shows us

    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and not kernel.get_parent().get("content", {}).get("allow_stdin")


def text(info: JobInfo) -> str:
    """One line: source, state, and what matters in that state."""
    line = f"{PurePath(info.source).name}: {info.status}"
    if info.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        line += _doing(info)
    if info.status is JobStatus.RUNNING:
        line += f" {info.progress.fraction:.0%}"
    if info.status is JobStatus.COMPLETED:
        line += _counts(info)
    if info.error is not None:
        line += f", {info.error.type}: {info.error.message}"
    return f"{line} ({info.notice})" if info.notice else line


def html(info: JobInfo) -> str:
    """The same with a labelled progress element; user text is escaped."""
    name = escape.escape(PurePath(info.source).name)
    percent = round(100 * info.progress.fraction)
    rows = [f"<b>{name}</b>: {_SIGNS[info.status]} {info.status}"]
    if info.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        bar = f"<progress value='{percent}' max='100' style='width:16em'>{percent}%</progress>"
        rows[0] = f"<label>{rows[0]}{escape.escape(_doing(info))} {bar} {percent}%</label>"
    if info.status is JobStatus.COMPLETED:
        rows[0] += _counts(info)
    if info.error is not None:
        rows.append(f"{escape.escape(info.error.type)}: {escape.escape(info.error.message)}")
        rows.append(escape.escape(info.error.hint))
    if info.notice:
        rows.append(escape.escape(info.notice))
    return f"<div class='ak-record'>{'<br>'.join(row for row in rows if row)}</div>"


def settled(info: JobInfo) -> dict[str, str]:
    """Text and HTML of a job for a report: equal whenever the study is."""
    return {"text/plain": text(info), "text/html": html(info)}


def _doing(info: JobInfo) -> str:
    """The phase, which of a queued job is what its workers do before they take it."""
    return "" if info.progress.phase == info.status else f", {info.progress.phase}"


def _counts(info: JobInfo) -> str:
    summary = (info.result or {}).get("summary", {})
    if not summary:
        return ""
    return f", {summary['trials']:,} trials, {summary['rows_kept']:,} events, {summary['issues']:,} issues"
