"""Render all jobs as HTML: counts, workers, a filter, one page of the table, and the details of one job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics_kit import job_text
from analytics_kit.job_pages import JOBS_PER_PAGE, JobPage, paginate
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.notebook import job_html
from analytics_kit.visible_text import visible_html as escape

ALIGN_LEFT = "text-align:left"
"""Notebooks align table cells to the right."""
VISUALLY_HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"


@dataclass(frozen=True, slots=True)
class BoardView:
    """Filter, page and open job of a board."""

    find: str = ""
    """Keep jobs whose name, path, tags, id or error contain this text, in either case."""
    status: str = ""
    """Keep jobs of this status; empty for all."""
    page: int = 1
    open_job_id: str = ""
    """Id of the job that is shown with all details; empty for none."""
    log: str | None = None
    """The log of the open job, None while it is closed."""


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """The backend of the jobs and its workers."""

    backend: str = ""
    reason: str = ""
    """Why this backend was chosen, where that needs explaining."""
    workers: int = 0
    busy: int = 0
    client: str = "ak"
    """The name of the client in the user's code."""
    error: str = ""
    """Why the jobs can't be listed now."""

    @classmethod
    def of(cls, status: Mapping[str, Any], reason: str, client: str = "ak") -> QueueSummary:
        """Return the summary of what `queue_status` returned."""
        return cls(status["backend"], reason, status["workers"], status["workers_busy"], client)

    @property
    def text(self) -> str:
        """The summary in one line."""
        return job_text.queue_text(self.backend, self.workers, self.busy) if self.backend else ""


def select_jobs(infos: Iterable[JobInfo], view: BoardView) -> list[JobInfo]:
    """Return the jobs that the filter keeps, newest first."""
    find = view.find.casefold()
    selected = [
        info
        for info in infos
        if (not view.status or info.status == view.status) and (not find or find in _searched_text(info))
    ]
    return sorted(selected, key=lambda info: (info.created_at, info.job_id), reverse=True)


def count_by_status(infos: Iterable[JobInfo]) -> dict[JobStatus, int]:
    """Return the number of jobs of each status."""
    statuses = [info.status for info in infos]
    return {status: statuses.count(status) for status in JobStatus}


def render_live(infos: Sequence[JobInfo], view: BoardView, queue: QueueSummary, now: datetime, note: str = "") -> str:
    """Return the board with filter, buttons and times relative to `now`."""
    page = paginate(select_jobs(infos, view), view.page)
    parts = [_head(infos, queue), _controls(view)]
    parts += [f'<div class="ak-note">{escape(text)}</div>' for text in (queue.error, note) if text]
    rows = "".join(_live_row(info, view, now, queue) for info in page.jobs)
    parts += [_table(rows, f'<span style="{VISUALLY_HIDDEN}">Buttons</span>') if rows else _no_jobs(infos)]
    parts += [_pager(page)] if page.page_count > 1 else []
    return f'<div class="ak-card ak-list">{"".join(parts)}</div>'


def render_static(infos: Sequence[JobInfo], view: BoardView) -> str:
    """Return the board for the static record, without ids and times."""
    selected = select_jobs(infos, view)
    rows = "".join(f"<tr>{_status_cell(info)}{_study_cell(info)}</tr>" for info in selected[:JOBS_PER_PAGE])
    more = len(selected) - JOBS_PER_PAGE
    rest = f'<div class="ak-facts">and {more:,} more</div>' if more > 0 else ""
    return f'<div class="ak-card">{_head(selected)}{_table(rows) if rows else _no_jobs(infos)}{rest}</div>'


def render_text(infos: Sequence[JobInfo], view: BoardView) -> str:
    """Return the static record as text, a line per job."""
    selected = select_jobs(infos, view)
    more = [f"and {len(selected) - JOBS_PER_PAGE:,} more"] if len(selected) > JOBS_PER_PAGE else []
    lines = [job_text.text(info) for info in selected[:JOBS_PER_PAGE]]
    return "\n".join([_counts_text(selected), *lines, *more])


def _searched_text(info: JobInfo) -> str:
    error = "" if info.error is None else f"{info.error.type} {info.error.message}"
    return " ".join((info.source, info.job_id, *info.tags, error)).casefold()


def _counts_text(infos: Iterable[JobInfo]) -> str:
    counts = [f"{number:,} {status}" for status, number in count_by_status(infos).items() if number]
    return f"Jobs: {', '.join(counts)}" if counts else "Jobs: none"


def _head(infos: Iterable[JobInfo], queue: QueueSummary | None = None) -> str:
    chips = [
        f'<span class="ak-count" style="{job_html.CHIP_STYLE};background:{job_html.STATUS_COLOURS[status]}">'
        f"{job_text.SIGNS[status]} {number:,} {status}</span>"
        for status, number in count_by_status(infos).items()
        if number
    ]
    backend = f'<span class="ak-backend" title="{escape(queue.reason)}">{escape(queue.text)}</span>' if queue else ""
    return f'<div class="ak-head"><b>Jobs</b> {" ".join(chips)} {backend}</div>'


def _controls(view: BoardView) -> str:
    options = "".join(
        f'<option value="{value}"{" selected" if value == view.status else ""}>{value or "all"}</option>'
        for value in ("", *JobStatus)
    )
    return (
        '<div class="ak-controls">'
        f'<label>Find <input type="search" data-field="find" data-key="find" value="{escape(view.find)}"></label> '
        f'<label>Status <select data-field="status" data-key="status">{options}</select></label> '
        '<label class="ak-drop ak-button" data-key="file">Upload a ZIP, or drop it here'
        f'<input type="file" accept=".zip,.csv" multiple style="{VISUALLY_HIDDEN}"></label></div>'
    )


def _table(rows: str, *more_headings: str) -> str:
    """Return the table of the rows, below the headings of all tables and `more_headings`."""
    headings = ("Status", "Study", *more_headings)
    head = "".join(f'<th scope="col" style="{ALIGN_LEFT}">{heading}</th>' for heading in headings)
    return f'<table class="ak-jobs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _no_jobs(infos: Sequence[JobInfo]) -> str:
    return f'<div class="ak-facts">{"No job matches." if infos else "No jobs yet."}</div>'


def _status_cell(info: JobInfo) -> str:
    return f'<td style="{ALIGN_LEFT}">{job_html.chip(info.status)}</td>'


def _study_cell(info: JobInfo, now: datetime | None = None) -> str:
    """Return the study's name and size, and progress or outcome of the job; `now` adds path and age."""
    folder = "" if now is None else f' title="{escape(info.source)}"'
    name = f'<b class="ak-name"{folder}>{escape(job_text.name(info))}</b>'
    facts = [] if info.size_bytes is None else [job_text.size(info.size_bytes)]
    if now is not None:
        facts.append(job_text.ago((now - info.created_at).total_seconds()))
    if info.status is JobStatus.RUNNING:
        detail = job_html.bar(info, f'<span style="{VISUALLY_HIDDEN}">{escape(job_text.name(info))}</span>')
    elif info.status is JobStatus.QUEUED:
        detail = escape(info.notice or job_text.position(info))
    else:
        detail = escape(job_text.outcome(info) or ("" if info.error is None else info.error.message))
    size = f'<span class="ak-size">{" · ".join(facts)}</span>'
    return f'<td class="ak-study" style="{ALIGN_LEFT}">{name} {size}<div class="ak-facts">{detail}</div></td>'


def _live_row(info: JobInfo, view: BoardView, now: datetime, queue: QueueSummary) -> str:
    is_open = info.job_id == view.open_job_id
    actions = [action for action in job_html.ACTIONS[info.status] if action != "log"]
    buttons = [job_html.button(action, info, action.capitalize()) for action in actions]
    label = "Close" if is_open else "Open"
    buttons.append(job_html.button("open", info, label, aria_expanded=str(is_open).lower()))
    row = (
        f'<tr data-key="{escape(info.job_id)}" data-job="{escape(info.job_id)}">'
        f'{_status_cell(info)}{_study_cell(info, now)}<td class="ak-buttons">{" ".join(buttons)}</td></tr>'
    )
    if not is_open:
        return row
    card = job_html.render_live(info, now, queue.reason, view.log, client=queue.client)
    return f'{row}<tr data-key="open {escape(info.job_id)}"><td colspan="3">{card}</td></tr>'


def _pager(page: JobPage) -> str:
    first = (page.number - 1) * JOBS_PER_PAGE + 1
    off = ' aria-disabled="true"'
    newer_off, older_off = "" if page.number > 1 else off, "" if page.number < page.page_count else off
    newer = f'<button type="button" class="ak-button" data-action="newer"{newer_off}>Newer</button>'
    older = f'<button type="button" class="ak-button" data-action="older"{older_off}>Older</button>'
    rows = f"{first:,} to {first + len(page.jobs) - 1:,} of {page.job_count:,}"
    return f'<div class="ak-pager">{newer} <span>{rows}</span> {older}</div>'
