"""All jobs as HTML: counts, workers, a filter, a page of the table, and the one that is open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from analytics_kit import job_text as words
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.notebook import job_html as card

PAGE_ROWS = 20
LEFT = "text-align:left"
"""Notebooks set what is in tables to the right."""
HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"


@dataclass(frozen=True, slots=True)
class Choice:
    """What of all jobs is looked at."""

    find: str = ""
    """Only jobs in whose name, path, tags, id or error this stands."""
    status: str = ""
    """Only jobs in this state; empty for all."""
    page: int = 0
    open: str = ""
    """The job that is shown whole."""
    log: str | None = None
    """Its log, where that is shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the jobs are worked on."""

    backend: str = ""
    reason: str = ""
    workers: int = 0
    busy: int = 0
    client: str = "ak"
    """What the user's code calls who has them."""
    trouble: str = ""
    """Why nothing can be told now."""

    @classmethod
    def of(cls, status: Mapping[str, Any], reason: str, client: str = "ak") -> Place:
        """The place that `queue_status` tells of."""
        return cls(status["backend"], reason, status["workers"], status["workers_busy"], client)

    @property
    def words(self) -> str:
        """One line."""
        if not self.backend:
            return ""
        where = {"local": "in this process", "http": "on the server"}.get(self.backend, f"{self.backend} queue")
        return f"{where}, {words.count(self.workers, 'worker')}, {self.busy:,} busy"


def chosen(infos: Iterable[JobInfo], choice: Choice) -> list[JobInfo]:
    """The jobs that the filter lets through, newest first."""
    find = choice.find.casefold()
    found = [
        info
        for info in infos
        if (not choice.status or info.status == choice.status) and (not find or find in _searched(info))
    ]
    return sorted(found, key=lambda info: (info.created_at, info.job_id), reverse=True)


def counts(infos: Iterable[JobInfo]) -> dict[JobStatus, int]:
    """How many jobs are in each state."""
    states = [info.status for info in infos]
    return {status: states.count(status) for status in JobStatus}


def live(infos: Sequence[JobInfo], choice: Choice, place: Place, now: datetime, note: str = "") -> str:
    """The board for who looks at it now."""
    found = chosen(infos, choice)
    page = min(choice.page, max(0, (len(found) - 1) // PAGE_ROWS))
    rows = found[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]
    parts = [_line(infos, place), _controls(choice)]
    parts += [f'<div class="ak-note">{escape(text)}</div>' for text in (place.trouble, note) if text]
    drawn = "".join(_row(info, choice, now, place) for info in rows)
    parts += [_table(drawn, f'<span style="{HIDDEN}">Buttons</span>') if rows else _nothing(infos)]
    parts += [_pager(page, len(found))] if len(found) > PAGE_ROWS else []
    return f'<div class="ak-card ak-list">{"".join(parts)}</div>'


def record(infos: Sequence[JobInfo], choice: Choice, place: Place) -> str:
    """The board for a file: no id, no time."""
    found = chosen(infos, choice)
    rows = "".join(f"<tr>{_state(info)}{_told(info)}</tr>" for info in found[:PAGE_ROWS])
    more = len(found) - PAGE_ROWS
    rest = f'<div class="ak-facts">and {more:,} more</div>' if more > 0 else ""
    return f'<div class="ak-card">{_line(found)}{_table(rows) if rows else _nothing(infos)}{rest}</div>'


def text(infos: Sequence[JobInfo], choice: Choice) -> str:
    """The same as text, a line each."""
    found = chosen(infos, choice)
    more = [f"and {len(found) - PAGE_ROWS:,} more"] if len(found) > PAGE_ROWS else []
    return "\n".join([_counted(found), *(words.text(info) for info in found[:PAGE_ROWS]), *more])


def _searched(info: JobInfo) -> str:
    error = "" if info.error is None else f"{info.error.type} {info.error.message}"
    return " ".join((info.source, info.job_id, *info.tags, error)).casefold()


def _counted(infos: Iterable[JobInfo]) -> str:
    told = [f"{number:,} {status}" for status, number in counts(infos).items() if number]
    return f"Jobs: {', '.join(told)}" if told else "Jobs: none"


def _line(infos: Iterable[JobInfo], place: Place | None = None) -> str:
    chips = [
        f'<span class="ak-count" style="{card.CHIP};background:{card.COLOURS[status]}">'
        f"{words.SIGNS[status]} {number:,} {status}</span>"
        for status, number in counts(infos).items()
        if number
    ]
    where = f'<span class="ak-place" title="{escape(place.reason)}">{escape(place.words)}</span>' if place else ""
    return f'<div class="ak-head"><b>Jobs</b> {" ".join(chips)} {where}</div>'


def _controls(choice: Choice) -> str:
    options = "".join(
        f'<option value="{value}"{" selected" if value == choice.status else ""}>{value or "all"}</option>'
        for value in ("", *JobStatus)
    )
    return (
        '<div class="ak-controls">'
        f'<label>Find <input type="search" data-ask="find" data-key="find" value="{escape(choice.find)}"></label> '
        f'<label>State <select data-ask="status" data-key="status">{options}</select></label> '
        '<label class="ak-drop ak-button" data-key="file">Upload a ZIP, or drop it here'
        f'<input type="file" accept=".zip,.csv" multiple style="{HIDDEN}"></label></div>'
    )


def _table(rows: str, *more: str) -> str:
    """The rows below their heads; `more` heads than the two that each has."""
    head = "".join(f'<th scope="col" style="{LEFT}">{word}</th>' for word in ("State", "Study", *more))
    return f'<table class="ak-jobs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _nothing(infos: Sequence[JobInfo]) -> str:
    return f'<div class="ak-facts">{"No job is like that." if infos else "No jobs yet."}</div>'


def _state(info: JobInfo) -> str:
    return f'<td style="{LEFT}">{card.chip(info.status)}</td>'


def _told(info: JobInfo, now: datetime | None = None) -> str:
    """What the study is and how it fares."""
    folder = "" if now is None else f' title="{escape(info.source)}"'
    name = f'<b class="ak-name"{folder}>{escape(words.name(info))}</b>'
    facts = [] if info.size_bytes is None else [words.size(info.size_bytes)]
    if now is not None:
        facts.append(words.ago((now - info.created_at).total_seconds()))
    if info.status is JobStatus.RUNNING:
        fares = card.bar(info, f'<span style="{HIDDEN}">{escape(words.name(info))}</span>')
    elif info.status is JobStatus.QUEUED:
        fares = escape(info.notice or words.position(info))
    else:
        fares = escape(words.outcome(info) or ("" if info.error is None else info.error.message))
    size = f'<span class="ak-size">{" · ".join(facts)}</span>'
    return f'<td class="ak-what" style="{LEFT}">{name} {size}<div class="ak-facts">{fares}</div></td>'


def _row(info: JobInfo, choice: Choice, now: datetime, place: Place) -> str:
    is_open = info.job_id == choice.open
    dos = [do for do in card.BUTTONS[info.status] if do != "log"]
    buttons = [card.button(do, info, do.capitalize()) for do in dos]
    buttons.append(card.button("open", info, "Close" if is_open else "Open", aria_expanded=str(is_open).lower()))
    row = (
        f'<tr data-key="{escape(info.job_id)}" data-job="{escape(info.job_id)}">{_state(info)}{_told(info, now)}'
        f'<td class="ak-buttons">{" ".join(buttons)}</td></tr>'
    )
    if not is_open:
        return row
    whole = card.live(info, now, place.reason, choice.log, called=place.client)
    return f'{row}<tr data-key="open {escape(info.job_id)}"><td colspan="3">{whole}</td></tr>'


def _pager(page: int, of: int) -> str:
    first, last = page * PAGE_ROWS + 1, min(of, (page + 1) * PAGE_ROWS)
    off = ' aria-disabled="true"'
    newer = f'<button type="button" class="ak-button" data-do="newer"{"" if page else off}>Newer</button>'
    older = f'<button type="button" class="ak-button" data-do="older"{"" if last < of else off}>Older</button>'
    return f'<div class="ak-pager">{newer} <span>{first:,} to {last:,} of {of:,}</span> {older}</div>'
