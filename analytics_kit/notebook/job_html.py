"""A job as HTML: the one rendering, for the live panel and for the record in the saved notebook.

What carries the meaning are words, `<label>`, `<progress>`, tables and plain colours, because a notebook that is not
trusted loses roles, style sheets and variables. Chips bring their own background, so that they can be read on any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from analytics_kit import job_text as words
from analytics_kit.model import JobInfo, JobStatus

COLOURS = {
    JobStatus.QUEUED: "#5b5f66",
    JobStatus.RUNNING: "#1a5fb4",
    JobStatus.COMPLETED: "#1e6b2b",
    JobStatus.FAILED: "#b3261e",
    JobStatus.CANCELLED: "#70490a",
}
"""White on each has a contrast above 5.5."""
LOG_LINES = 5
TOO_LATE = "It is too late to cancel: the job has ended, or its result is being kept."
CHIP = "color:#fff;border-radius:4px;padding:1px 7px;white-space:nowrap"
LINE = "margin:4px 0"
BUTTONS = {
    JobStatus.QUEUED: ("cancel", "log"),
    JobStatus.RUNNING: ("cancel", "log"),
    JobStatus.COMPLETED: ("log",),
    JobStatus.FAILED: ("retry", "log"),
    JobStatus.CANCELLED: ("retry", "log"),
}


def record(info: JobInfo, why: str = "") -> str:
    """The job for a file: no id, folder, clock time or duration, so that it is equal whenever job and study are."""
    return _card(
        info, [_head(info, why), *_progress(info, None), *_outcome(info, "job"), *_failure(info), *_notice(info)]
    )


def live(
    info: JobInfo, now: datetime, why: str = "", log: str | None = None, note: str = "", called: str = "ak"
) -> str:
    """The job for who looks at it now: also rate, time left, time taken, log, traceback and buttons.

    `why` is the reason for working in this process; `log` is shown where it is not None, `note` where not empty;
    `called` is what the user's code calls the client that finds the job.
    """
    found = f'{called}.get_job("{info.job_id}")'
    parts = [_head(info, why, live=True), *_progress(info, now), *_outcome(info, found), *_failure(info)]
    parts += [
        *_causes(info),
        *_notice(info),
        _line("ak-note", escape(note)) if note else "",
        buttons(info, log is not None),
    ]
    if log is not None:
        parts.append(
            f'<pre class="ak-log" tabindex="0" aria-label="Log of {escape(words.name(info))}">{escape(log)}</pre>'
        )
    return _card(info, parts)


def chip(status: JobStatus) -> str:
    """The state with sign, word and colour."""
    return f'<span class="ak-state" style="{CHIP};background:{COLOURS[status]}">{words.SIGNS[status]} {status}</span>'


def bar(info: JobInfo, before: str = "") -> str:
    """A labelled progress element with its percent."""
    value = words.floor_percent(info.progress)
    drawn = f'<progress value="{value}" max="100" style="width:16em">{value}%</progress>'
    return f'<label class="ak-progress">{before} {drawn} <span class="ak-percent">{value}%</span></label>'


def button(do: str, info: JobInfo, word: str, **state: str) -> str:
    """A button; `html_widget.js` tells of a click what to `do` with which job."""
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in state.items())
    return (
        f'<button type="button" class="ak-button" data-do="{do}" data-job="{escape(info.job_id)}" '
        f'aria-label="{word} {escape(words.name(info))}"{extra}>{word}</button>'
    )


def buttons(info: JobInfo, log_is_open: bool) -> str:
    """What can be done with the job in its state."""
    made = [
        button(do, info, do.capitalize(), **({"aria_expanded": str(log_is_open).lower()} if do == "log" else {}))
        for do in BUTTONS[info.status]
    ]
    return f'<div class="ak-buttons">{" ".join(made)}</div>'


def _card(info: JobInfo, parts: Sequence[str]) -> str:
    return f'<div class="ak-card" data-status="{info.status}">{"".join(parts)}</div>'


def _line(kind: str, inner: str) -> str:
    return f'<div class="{kind}" style="{LINE}">{inner}</div>'


def _head(info: JobInfo, why: str, live: bool = False) -> str:
    folder = f' title="{escape(info.source)}"' if live else ""
    parts = [f'<b class="ak-name"{folder}>{escape(words.name(info))}</b>']
    if info.size_bytes is not None:
        parts.append(f'<span class="ak-size">{words.size(info.size_bytes)}</span>')
    parts.append(chip(info.status))
    if live and info.started_at and info.ended_at:
        took = (info.ended_at - info.started_at).total_seconds()
        parts.append(f'<span class="ak-took">in {words.duration(took)}</span>')
    if info.backend == "local":
        parts.append(f'<span class="ak-badge" style="{CHIP};background:#6a1b9a">in this process</span>')
    head = _line("ak-head", " ".join(parts))
    return head + _line("ak-why", escape(why)) if info.backend == "local" and why else head


def _progress(info: JobInfo, now: datetime | None) -> list[str]:
    """The bar of a job that has not ended and, for who looks `now`, how fast it goes."""
    if info.status.final:
        return []
    progress = info.progress
    facts = [told] if (told := words.position(info)) else []
    if progress.rows:
        facts.append(words.count(progress.rows, "row"))
    if progress.files:
        facts.append(words.count(progress.files, "file"))
    if now is not None:
        if progress.rate_per_s and progress.unit == "bytes":
            facts.append(f"{words.size(progress.rate_per_s)}/s")
        if progress.eta_s is not None and info.status is JobStatus.RUNNING:
            facts.append(f"about {words.duration(progress.eta_s)} left")
        since = (now - (info.started_at or info.created_at)).total_seconds()
        word = "waiting" if info.started_at is None else "so far"
        facts.append(f'<span class="ak-elapsed" data-s="{since:.1f}">{words.duration(since)}</span> {word}')
    lines = [_line("ak-bar", bar(info, f'<span class="ak-phase">{escape(words.phase(info) or "Progress")}</span>'))]
    return [*lines, _line("ak-facts", " · ".join(facts))] if facts else lines


def _outcome(info: JobInfo, job: str) -> list[str]:
    """What came out of a completed job, and how to load it."""
    summary: Mapping[str, Any] = (info.result or {}).get("summary") or {}
    if info.status is not JobStatus.COMPLETED or not summary:
        return []
    kinds = [
        words.count(rows, kind.replace("_", " ").removesuffix("s") + " row")
        for kind, rows in summary["events"].items()
    ]
    counts = [words.count(summary["trials"], "trial"), words.count(summary["participants"], "participant"), *kinds]
    preview: Mapping[str, Any] = (info.result or {}).get("preview") or {}
    return [
        _line("ak-facts", escape(" · ".join(counts))),
        *_table(preview, summary["trials"]),
        *_issues(preview, summary["issues"]),
        _line("ak-load", f"<code>result = {escape(job)}.result()</code>"),
    ]


def _table(preview: Mapping[str, Any], of: int) -> list[str]:
    rows = preview.get("trials") or []
    if not rows:
        return []
    columns = [escape(str(column)).replace("_", "_<wbr>", 1) for column in preview["columns"]]
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(_data(value) for value in row)}</tr>" for row in rows)
    caption = f"<caption>The first {len(rows)} of {words.count(of, 'trial')}</caption>"
    return [f'<table class="ak-trials">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>']


def _data(value: object) -> str:
    if isinstance(value, float):
        return f"<td>{value:,.1f}</td>"
    return f"<td>{'NA' if value is None else escape(str(value))}</td>"


def _issues(preview: Mapping[str, Any], of: int) -> list[str]:
    if not of:
        return [_line("ak-issues", "no issues")]
    found = preview.get("issues") or []
    items = "".join(
        f"<li>{escape(str(member))}{f', line {line:,}' if line else ''}: {escape(str(message))}</li>"
        for member, line, _, message in found
    )
    rest = f"… and {of - len(found):,} more: " if found else ""
    more = f"<li>{rest}see <code>result.issues</code></li>" if of > len(found) else ""
    return [_line("ak-issues", f"<b>{words.count(of, 'issue')}</b><ul>{items}{more}</ul>")]


def _failure(info: JobInfo) -> list[str]:
    if info.error is None:
        return []
    lines = [_line("ak-error", f"<b>{escape(info.error.type)}</b>: {escape(info.error.message)}")]
    return [*lines, _line("ak-hint", escape(info.error.hint))] if info.error.hint else lines


def _causes(info: JobInfo) -> list[str]:
    """Where a failure came from, for who can do something with that."""
    if info.error is None:
        return []
    parts = []
    if lines := info.error.log.rstrip().splitlines()[-LOG_LINES:]:
        parts.append(
            f'<pre class="ak-last" aria-label="Last lines of the worker\'s log">{escape(chr(10).join(lines))}</pre>'
        )
    if info.error.traceback:
        parts.append(f"<details><summary>Traceback</summary><pre>{escape(info.error.traceback)}</pre></details>")
    return parts


def _notice(info: JobInfo) -> list[str]:
    """What hinders the job; a command in it stands out, so that it can be copied."""
    told = re.sub(r"\banalytics-kit [a-z]+", r"<code>\g<0></code>", escape(info.notice))
    return [_line("ak-notice", f"⚠ {told}")] if told else []
