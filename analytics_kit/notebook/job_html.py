"""Render a job as HTML, for the live panel and for the static record in the saved notebook.

Text, `<label>`, `<progress>`, tables and plain colours carry the meaning, because an untrusted notebook loses roles,
style sheets and variables. Chips have their own background colour, so they are readable on any page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from analytics_kit import job_text
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.visible_text import LINES
from analytics_kit.visible_text import visible_html as escape

STATUS_COLOURS = {
    JobStatus.QUEUED: "#5b5f66",
    JobStatus.RUNNING: "#1a5fb4",
    JobStatus.COMPLETED: "#1e6b2b",
    JobStatus.FAILED: "#b3261e",
    JobStatus.CANCELLED: "#70490a",
}
"""White text has a contrast above 5.5 on each."""
LOG_TAIL_LINES = 5
CHIP_STYLE = "color:#fff;border-radius:4px;padding:1px 7px;white-space:nowrap"
BLOCK_STYLE = "margin:4px 0"
ACTIONS = {
    JobStatus.QUEUED: ("cancel", "log"),
    JobStatus.RUNNING: ("cancel", "log"),
    JobStatus.COMPLETED: ("log",),
    JobStatus.FAILED: ("retry", "log"),
    JobStatus.CANCELLED: ("retry", "log"),
}
"""The actions that a job's status allows, in the order of their buttons."""


def render_static(info: JobInfo, reason: str = "") -> str:
    """Return the job for the static record: without id, folder, clock time and duration, so equal runs are equal."""
    return _card(
        info, [_head(info, reason), *_progress(info, None), *_outcome(info, "job"), *_failure(info), *_notice(info)]
    )


def render_live(
    info: JobInfo, now: datetime, reason: str = "", log: str | None = None, note: str = "", client: str = "ak"
) -> str:
    """Return the job with rate, time left, duration, log, traceback and buttons as well.

    Parameters
    ----------
    reason
        Why the job runs in this process.
    log
        The log to show; None while it is closed.
    note
        The outcome of the last click; empty for none.
    client
        The name of the client in the user's code.
    """
    get_job = f'{client}.get_job("{info.job_id}")'
    parts = [_head(info, reason, live=True), *_progress(info, now), *_outcome(info, get_job), *_failure(info)]
    parts += [
        *_error_details(info),
        *_notice(info),
        _block("ak-note", escape(note)) if note else "",
        buttons(info, log is not None),
    ]
    if log is not None:
        label = f"Log of {escape(job_text.name(info))}"
        parts.append(f'<pre class="ak-log" tabindex="0" aria-label="{label}">{escape(log, keep=LINES)}</pre>')
    return _card(info, parts)


def chip(status: JobStatus) -> str:
    """Return the status as sign, word and colour."""
    style = f"{CHIP_STYLE};background:{STATUS_COLOURS[status]}"
    return f'<span class="ak-state" style="{style}">{job_text.SIGNS[status]} {status}</span>'


def bar(info: JobInfo, label: str = "") -> str:
    """Return a progress element between its label, which is HTML, and its percentage."""
    percent = job_text.floor_percent(info.progress)
    element = f'<progress value="{percent}" max="100" style="width:16em">{percent}%</progress>'
    return f'<label class="ak-progress">{label} {element} <span class="ak-percent">{percent}%</span></label>'


def button(action: str, info: JobInfo, label: str, **state: str) -> str:
    """Return a button; on a click `html_widget.js` sends the action and the job's id."""
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in state.items())
    return (
        f'<button type="button" class="ak-button" data-action="{action}" data-job="{escape(info.job_id)}" '
        f'aria-label="{label} {escape(job_text.name(info))}"{extra}>{label}</button>'
    )


def buttons(info: JobInfo, log_is_open: bool) -> str:
    """Return the buttons that the job's status allows."""
    elements = [
        button(
            action,
            info,
            action.capitalize(),
            **({"aria_expanded": str(log_is_open).lower()} if action == "log" else {}),
        )
        for action in ACTIONS[info.status]
    ]
    return f'<div class="ak-buttons">{" ".join(elements)}</div>'


def _card(info: JobInfo, parts: Sequence[str]) -> str:
    return f'<div class="ak-card" data-status="{info.status}">{"".join(parts)}</div>'


def _block(css_class: str, inner: str) -> str:
    return f'<div class="{css_class}" style="{BLOCK_STYLE}">{inner}</div>'


def _head(info: JobInfo, reason: str, live: bool = False) -> str:
    folder = f' title="{escape(info.source)}"' if live else ""
    parts = [f'<b class="ak-name"{folder}>{escape(job_text.name(info))}</b>']
    if info.size_bytes is not None:
        parts.append(f'<span class="ak-size">{job_text.size(info.size_bytes)}</span>')
    parts.append(chip(info.status))
    if live and info.started_at and info.ended_at:
        duration_s = (info.ended_at - info.started_at).total_seconds()
        parts.append(f'<span class="ak-duration">in {job_text.duration(duration_s)}</span>')
    if info.backend == "local":
        parts.append(f'<span class="ak-badge" style="{CHIP_STYLE};background:#6a1b9a">in this process</span>')
    head = _block("ak-head", " ".join(parts))
    return head + _block("ak-reason", escape(reason)) if info.backend == "local" and reason else head


def _progress(info: JobInfo, now: datetime | None) -> list[str]:
    """Return the bar of an unfinished job and its facts; `now` adds rate and times."""
    if info.status.final:
        return []
    facts = job_text.progress_facts(info, with_rate=now is not None)
    if now is not None:
        elapsed_s = (now - (info.started_at or info.created_at)).total_seconds()
        suffix = "waiting" if info.started_at is None else "so far"
        elapsed = f'<span class="ak-elapsed" data-seconds="{elapsed_s:.1f}">{job_text.duration(elapsed_s)}</span>'
        facts.append(f"{elapsed} {suffix}")
    phase = f'<span class="ak-phase">{escape(job_text.phase(info) or "Progress")}</span>'
    blocks = [_block("ak-bar", bar(info, phase))]
    return [*blocks, _block("ak-facts", " · ".join(facts))] if facts else blocks


def _outcome(info: JobInfo, job_code: str) -> list[str]:
    """Return counts, first trials and issues of a completed job, and the code that loads its result.

    `job_code` is the code for the job.
    """
    summary: Mapping[str, Any] = (info.result or {}).get("summary") or {}
    if info.status is not JobStatus.COMPLETED or not summary:
        return []
    events = [
        job_text.count(rows, kind.replace("_", " ").removesuffix("s") + " row")
        for kind, rows in summary["events"].items()
    ]
    trials = job_text.count(summary["trials"], "trial")
    counts = [trials, job_text.count(summary["participants"], "participant"), *events]
    preview: Mapping[str, Any] = (info.result or {}).get("preview") or {}
    return [
        _block("ak-facts", escape(" · ".join(counts))),
        *_trials_table(preview, summary["trials"]),
        *_issues(preview, summary["issues"]),
        _block("ak-load", f"<code>result = {escape(job_code)}.result()</code>"),
    ]


def _trials_table(preview: Mapping[str, Any], trial_count: int) -> list[str]:
    rows = preview.get("trials") or []
    if not rows:
        return []
    columns = [escape(str(column)).replace("_", "_<wbr>", 1) for column in preview["columns"]]
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(_table_cell(value) for value in row)}</tr>" for row in rows)
    caption = f"<caption>The first {len(rows)} of {job_text.count(trial_count, 'trial')}</caption>"
    return [f'<table class="ak-trials">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>']


def _table_cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td>{value:,.1f}</td>"
    return f"<td>{'NA' if value is None else escape(str(value))}</td>"


def _issues(preview: Mapping[str, Any], issue_count: int) -> list[str]:
    if not issue_count:
        return [_block("ak-issues", "no issues")]
    issues = preview.get("issues") or []
    items = "".join(
        f"<li>{escape(str(member))}{f', line {line:,}' if line else ''}: {escape(str(message))}</li>"
        for member, line, _, message in issues
    )
    rest = f"… and {issue_count - len(issues):,} more: " if issues else ""
    more = f"<li>{rest}see <code>result.issues</code></li>" if issue_count > len(issues) else ""
    return [_block("ak-issues", f"<b>{job_text.count(issue_count, 'issue')}</b><ul>{items}{more}</ul>")]


def _failure(info: JobInfo) -> list[str]:
    if info.error is None:
        return []
    blocks = [_block("ak-error", f"<b>{escape(info.error.type)}</b>: {escape(info.error.message)}")]
    return [*blocks, _block("ak-hint", escape(info.error.hint))] if info.error.hint else blocks


def _error_details(info: JobInfo) -> list[str]:
    """Return the end of the worker's log and the traceback of a failed job."""
    if info.error is None:
        return []
    parts = []
    if lines := info.error.log.rstrip().splitlines()[-LOG_TAIL_LINES:]:
        text = escape("\n".join(lines), keep=LINES)
        parts.append(f'<pre class="ak-log-tail" aria-label="Last lines of the worker\'s log">{text}</pre>')
    if info.error.traceback:
        traceback = escape(info.error.traceback, keep=LINES)
        parts.append(f"<details><summary>Traceback</summary><pre>{traceback}</pre></details>")
    return parts


def _notice(info: JobInfo) -> list[str]:
    """Return the notice; a command in it is marked as code, so that it can be copied."""
    notice = re.sub(r"\banalytics-kit [a-z]+", r"<code>\g<0></code>", escape(info.notice))
    return [_block("ak-notice", f"⚠ {notice}")] if notice else []
