"""Texts of a job's row on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from analytics_kit import job_text
from analytics_kit.model import KINDS, JobInfo, JobStatus
from analytics_kit.table_export import TableName
from analytics_kit.visible_text import visible
from analytics_kit.web.routes.jobs import job_fields


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as text for the template, which escapes it. No field contains a path or a host."""

    job_id: str
    name: str
    status: JobStatus
    sign: str
    created_at: datetime
    age: str
    size: str
    phase: str
    percent: int | None
    """None for a job that is not running."""
    facts: tuple[str, ...]
    problem: str
    """The reason why the job failed or does not start; empty if there is none."""
    hint: str
    tables: tuple[str, ...]
    """Names of the tables to download."""

    @classmethod
    def of(cls, info: JobInfo, now: datetime) -> JobRow:
        """Return the row of a job, with durations up to `now`."""
        fields, is_running = job_fields(info), info.status is JobStatus.RUNNING
        facts = (*job_text.progress_facts(info), job_text.outcome(info), _elapsed(info, now))
        failure = fields["error"]
        return cls(
            job_id=info.job_id,
            name=job_text.name(info),
            status=info.status,
            sign=job_text.SIGNS[info.status],
            created_at=info.created_at,
            age=job_text.ago((now - info.created_at).total_seconds()),
            size="" if info.size_bytes is None else job_text.size(info.size_bytes),
            phase=job_text.phase(info) or "Progress",
            percent=job_text.floor_percent(info.progress) if is_running else None,
            facts=tuple(fact for fact in facts if fact),
            problem=visible(fields["notice"] if failure is None else f"{failure.error}: {failure.message}"),
            hint="" if failure is None else failure.hint,
            tables=_tables(info) if info.status is JobStatus.COMPLETED else (),
        )


def _elapsed(info: JobInfo, now: datetime) -> str:
    if info.ended_at is not None:
        word = "in" if info.status is JobStatus.COMPLETED else "after"
        return "" if info.started_at is None else f"{word} {_between(info.started_at, info.ended_at)}"
    if info.started_at is not None:
        return f"{_between(info.started_at, now)} so far"
    return f"waiting for {_between(info.created_at, now)}"


def _between(start: datetime, end: datetime) -> str:
    return job_text.duration((end - start).total_seconds())


def _tables(info: JobInfo) -> tuple[str, ...]:
    """Return the tables of a completed job; events only of kinds that have rows."""
    summary: Mapping[str, Any] = (info.result or {}).get("summary") or {}
    events = summary.get("events") or {}
    return tuple(name for name in get_args(TableName) if name not in KINDS or events.get(name))
