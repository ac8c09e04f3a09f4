"""Print results, jobs and tables in a terminal, or as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from analytics_kit.job import Job
from analytics_kit.study.result.result import StudyResult
from analytics_kit.visible_text import visible, visible_json

HEAD_COLUMNS = ("participant", "task", "factor", "trial", "movement_count", "path_length_px")
"""The columns of trials that are printed."""
MAX_WIDTH = 200
ISSUES_PRINTED = 5


class VisibleConsole(Console):
    """A console that escapes control characters in what is printed, but for ends of lines."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console.print` does."""
        super().print(*(visible(each, keep="\n") if isinstance(each, str) else each for each in objects), **options)


out = VisibleConsole(soft_wrap=True, width=MAX_WIDTH)  # the terminal wraps long lines; they are never cut
err = VisibleConsole(stderr=True, soft_wrap=True)


def job_json(job: Job) -> dict[str, Any]:
    """Return all fields of a job as a JSON object."""
    info = job.snapshot()
    error = info.error
    return {
        "job_id": info.job_id,
        "status": str(info.status),
        "phase": info.progress.phase,
        "fraction": info.progress.fraction,
        "rows": info.progress.rows,
        "files": info.progress.files,
        "queue_position": info.queue_position,
        "source": info.source,
        "size_bytes": info.size_bytes,
        "backend": info.backend,
        "created_at": info.created_at.isoformat(),
        "started_at": info.started_at and info.started_at.isoformat(),
        "ended_at": info.ended_at and info.ended_at.isoformat(),
        "tags": list(info.tags),
        "result_key": info.result_key,
        "summary": None if info.result is None else info.result["summary"],
        "error": None if error is None else {"type": error.type, "message": error.message, "hint": error.hint},
        "retry_of": info.retry_of,
        "notice": info.notice,
    }  # fmt: skip


def job_pairs(job: Job) -> dict[str, str]:
    """Return the values of `job_json` as texts for a terminal, by name, without empty ones."""
    pairs = job_json(job)
    error, summary = pairs.pop("error"), pairs["summary"]
    pairs |= {
        "fraction": f"{pairs['fraction']:.0%}",
        **{name: "" if pairs[name] is None else f"{pairs[name]:,}" for name in ("rows", "files", "size_bytes")},
        "tags": ", ".join(pairs["tags"]),
        "summary": ", ".join(f"{name} {_summary_text(value)}" for name, value in (summary or {}).items()),
    }
    if error is not None:
        pairs |= {"error": f"{error['type']}: {error['message']}", "hint": error["hint"]}
    return {name: str(value) for name, value in pairs.items() if value not in (None, "")}


def _summary_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name} {_summary_text(one)}' for name, one in value.items())})"
    if isinstance(value, list):
        return ", ".join(map(_summary_text, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_result(result: StudyResult, as_json: bool) -> None:
    """Print counts, first issues and first trials of a result, or its summary as JSON."""
    if as_json:
        print_json(result.summary)
        return
    out.print(repr(result), markup=False)
    for issue in result.issues.head(ISSUES_PRINTED).to_dict("records"):
        location = issue["member"] if pd.isna(issue["line"]) else f"{issue['member']}, line {issue['line']}"
        out.print(visible(f"  {location}: {issue['message']} ({issue['kind']})"), markup=False, highlight=False)
    columns = [name for name in HEAD_COLUMNS if name in result.trials.columns]
    print_frame(result.trials[columns].head())


def print_frame(frame: pd.DataFrame) -> None:
    """Print a table, a line per row."""
    table = RichTable(box=None, header_style="bold", pad_edge=False)
    for name in frame.columns:
        table.add_column(
            escape(visible(name)), no_wrap=True, justify="right" if is_numeric_dtype(frame[name]) else "left"
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell_text(value) for value in row))
    out.print(table)


def _cell_text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.1f}" if isinstance(value, float) else escape(visible(value))


def print_pairs(pairs: Mapping[str, str]) -> None:
    """Print names and texts, a line per pair."""
    for name, value in pairs.items():
        out.print(visible(f"{name:14} {value}"), markup=False)


def print_json(value: Any) -> None:
    """Print a value as JSON, with control characters as JSON escapes them."""
    print(visible_json(json.dumps(value, ensure_ascii=False, indent=1)))
