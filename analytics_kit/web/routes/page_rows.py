"""What does the page say of a job?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from analytics_kit import job_text as words
from analytics_kit.model import KINDS, JobInfo, JobStatus
from analytics_kit.table_export import TableName
from analytics_kit.web.routes.jobs import described


@dataclass(frozen=True, slots=True)
class Row:
    """A job in words. No path or host is in them; nothing is escaped."""

    job_id: str
    name: str
    status: JobStatus
    sign: str
    created_at: datetime
    ago: str
    size: str
    phase: str
    percent: int | None
    """None for a job that does not run."""
    facts: tuple[str, ...]
    trouble: str
    """Why it failed, or what hinders it."""
    hint: str
    tables: tuple[str, ...]
    """Those that can be downloaded."""

    @classmethod
    def of(cls, info: JobInfo, now: datetime) -> Row:
        """The job as it is `now`."""
        told, error, running = described(info), "", info.status is JobStatus.RUNNING
        if told["error"] is not None:
            error = f"{told['error'].error}: {told['error'].message}"
        return cls(
            job_id=info.job_id,
            name=words.name(info),
            status=info.status,
            sign=words.SIGNS[info.status],
            created_at=info.created_at,
            ago=words.ago((now - info.created_at).total_seconds()),
            size="" if info.size_bytes is None else words.size(info.size_bytes),
            phase=words.phase(info) or "Progress",
            percent=words.floor_percent(info.progress) if running else None,
            facts=tuple(fact for fact in (*_work(info), words.outcome(info), _time(info, now)) if fact),
            trouble=error or told["notice"],
            hint="" if told["error"] is None else told["error"].hint,
            tables=_tables(info) if info.status is JobStatus.COMPLETED else (),
        )


def _work(info: JobInfo) -> list[str]:
    """How far a job is that has not ended."""
    progress = info.progress
    if info.status.final:
        return []
    facts = [words.position(info)]
    if progress.rows:
        facts.append(words.count(progress.rows, "row"))
    if progress.files:
        facts.append(words.count(progress.files, "file"))
    if progress.rate_per_s and progress.unit == "bytes":
        facts.append(f"{words.size(progress.rate_per_s)}/s")
    if progress.eta_s is not None and info.status is JobStatus.RUNNING:
        facts.append(f"about {words.duration(progress.eta_s)} left")
    return facts


def _time(info: JobInfo, now: datetime) -> str:
    if info.ended_at is not None:
        word = "in" if info.status is JobStatus.COMPLETED else "after"
        return "" if info.started_at is None else f"{word} {_between(info.started_at, info.ended_at)}"
    if info.started_at is not None:
        return f"{_between(info.started_at, now)} so far"
    return f"waiting for {_between(info.created_at, now)}"


def _between(begin: datetime, end: datetime) -> str:
    return words.duration((end - begin).total_seconds())


def _tables(info: JobInfo) -> tuple[str, ...]:
    summary: Mapping[str, Any] = (info.result or {}).get("summary") or {}
    events = summary.get("events") or {}
    return tuple(name for name in get_args(TableName) if name not in KINDS or events.get(name))
