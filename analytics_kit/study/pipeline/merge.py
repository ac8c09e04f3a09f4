"""Merge the results of all shards into the tables of the study: trials, issues, members, surveys and summary."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics_kit.errors import BadArchiveError
from analytics_kit.model import KINDS
from analytics_kit.study.archive.base import Archive, MemberUnreadableError, ShortFiles
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.formats.registry import NATIVE
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME
from analytics_kit.study.metrics.entropy import X_DIFFERENCES, sample_entropies
from analytics_kit.study.metrics.evaluate import SAMPLE_ENTROPY
from analytics_kit.study.pipeline.plan import MemberRow, Plan
from analytics_kit.study.pipeline.shard import ShardResult
from analytics_kit.study.schema.columns import PREVIEW_COLUMNS
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issue, Issues
from analytics_kit.study.store.manifests import EventFile
from analytics_kit.study.store.paths import table_path
from analytics_kit.study.store.store import Store

HALF_DAY_S = 12 * 3600.0
PREVIEW_TRIALS, PREVIEW_ISSUES, PREVIEW_CHARACTERS = 5, 3, 200
"""A preview has at most this many trials and issues, and texts of at most this many characters."""
MAX_ANSWERS = 1_000_000
"""Of all surveys of a study together: a survey of single letters takes a hundred times its size in memory."""


def merge(
    archive: Archive, plan: Plan, results: Sequence[ShardResult], planned: Issues, store: Store, prefix: str
) -> dict[str, Any]:  # fmt: skip
    """Write the tables of the study and return what the manifest says of them: summary, preview, tables and parts.

    The order of rows does not depend on how the study was cut into shards.
    """
    results = sorted(results, key=lambda result: result.first_trial)
    read = [row for result in results for row in result.members]
    read.sort(key=lambda row: (row.trial_index or 0, row.role))
    members = read + list(plan.others)
    order = {row.member: i for i, row in enumerate(read)}
    found = [issue for result in results for issue in result.issues]
    issues = planned.list + sorted(found, key=lambda issue: order[issue.member])
    _require_something_read(archive, results)
    with archive.expecting([archive.members[survey.member] for survey in plan.surveys]):
        surveys = _surveys(archive, plan, issues)
    trials = _trials(plan, results)
    tables = {
        "trials": trials,
        "issues": _rows(issues, _ISSUES),
        "members": _members(members, plan),
        "surveys": _rows(surveys, _SURVEYS),
    }
    paths = {name: table_path(prefix, name) for name in tables}
    for name, table in tables.items():
        with store.create(paths[name]) as file:
            pq.write_table(table, file)
    event_files = [events for result in results for events in result.event_files]
    summary = summarise(tables, event_files, plan.raw_bytes)
    return {"summary": summary, "preview": preview(trials, tables["issues"]), "tables": paths, "parts": event_files}


def summarise(tables: Mapping[str, pa.Table], event_files: Iterable[EventFile], raw_bytes: int) -> dict[str, Any]:
    """Return the counts of a result, from its tables and event files."""
    trials, issues, members = tables["trials"], tables["issues"], tables["members"]
    rows = Counter[str]()
    for events in event_files:
        rows[events["kind"]] += events["rows"]
    return {
        **{
            name + "s": len(set(trials[name].to_pylist()) - {None})
            for name in ("participant", "session", "task", "factor")
        },
        "trials": len(trials),
        "events": {kind: rows[kind] for kind in KINDS if rows[kind]},
        "rows_in": _sum(members["rows_in"]),
        "rows_kept": _sum(members["rows_kept"]),
        "rows_dropped": _sum(issues["rows_dropped"]),
        "issues": len(issues),
        "members": len(members),
        "raw_bytes": raw_bytes,
    }


def _sum(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0


def trial_order(sessions: Sequence[Hashable], clocks: Floats, dated: bool = False) -> list[int | None]:
    """Return the position of each trial in its session, from 1, by the wall clock of its first event; None for ties.

    Without dates, clocks are seconds since midnight: a session that seems to span more than half a day is taken to
    pass midnight in its longest pause. A NaN clock gives None.

    >>> trial_order(["1", "1", "1"], np.array([100.0, 86_300.0, 50.0]))
    [3, 1, 2]
    """
    order: list[int | None] = [None] * len(clocks)
    by_session = defaultdict(list)
    for i, session in enumerate(sessions):
        if not np.isnan(clocks[i]):
            by_session[session].append(i)
    for trials in by_session.values():
        times = np.sort(clocks[trials])
        start = times[0]
        if not dated and times[-1] - times[0] > HALF_DAY_S:
            start = times[int(np.argmax(np.diff(times))) + 1]
        since = {i: float(clocks[i] - start) % (math.inf if dated else 86_400) for i in trials}
        ties = Counter(since.values())
        for position, i in enumerate(sorted(trials, key=since.__getitem__), 1):
            order[i] = position if ties[since[i]] == 1 else None
    return order


def _trials(plan: Plan, results: Sequence[ShardResult]) -> pa.Table:
    clocks = np.concatenate([result.clocks for result in results])
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(trial, name) for trial in plan.trials], pa.string())
        for name in ("participant", "session", "task", "factor")
    }
    columns["trial"] = pa.array([trial.trial for trial in plan.trials], pa.int64())
    order = trial_order([(t.participant, t.session) for t in plan.trials], clocks, dated=plan.format.name != NATIVE)
    columns["trial_order"] = pa.array(order, pa.int64())
    for name, values in _values(results).items():
        if METRICS_BY_NAME[name].is_count:
            missing = np.isnan(values)
            columns[name] = pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def _values(results: Sequence[ShardResult]) -> dict[str, Floats]:
    """Return every metric of all trials, in the order of the catalogue, with those that need the whole study."""
    names = results[0].values
    one = results[0].values if len(results) == 1 else None  # nothing to copy
    values = {
        name: one[name] if one is not None else np.concatenate([result.values[name] for result in results])
        for name in names
    }
    if SAMPLE_ENTROPY in names:
        none = np.full((1, X_DIFFERENCES), np.nan)
        differences = [
            np.repeat(none, len(r.clocks), 0) if r.x_differences is None else r.x_differences for r in results
        ]
        values[SAMPLE_ENTROPY] = sample_entropies(
            differences[0] if len(differences) == 1 else np.concatenate(differences)
        )
    return values


def preview(trials: pa.Table, issues: pa.Table) -> dict[str, Any]:
    """Return some columns of the first trials, and the first issues, as JSON of a few kB."""
    columns = [name for name in PREVIEW_COLUMNS if name in trials.column_names]
    issue_columns = ["member", "line", "kind", "message"]
    return {
        "columns": columns,
        "trials": _preview_rows(trials.select(columns).slice(0, PREVIEW_TRIALS)),
        "issues": _preview_rows(issues.select(issue_columns).slice(0, PREVIEW_ISSUES)),
    }


def _preview_rows(table: pa.Table) -> list[list[Any]]:
    return [[_preview_value(value) for value in row.values()] for row in table.to_pylist()]


def _preview_value(value: Any) -> Any:
    if isinstance(value, str) and len(value) > PREVIEW_CHARACTERS:
        return value[: PREVIEW_CHARACTERS - 1] + "…"
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


_ISSUES = pa.schema([
    ("member", pa.string()), ("line", pa.int64()), ("kind", pa.string()), ("message", pa.string()),
    ("rows_dropped", pa.int64()),
])  # fmt: skip
_MEMBERS = pa.schema(
    [("member", pa.string()), ("role", pa.string())]
    + [(name, pa.int64()) for name in ("trial_row", "raw_bytes", "rows_in", "rows_kept")]
)


def _members(rows: Sequence[MemberRow], plan: Plan) -> pa.Table:
    """Return the table of members, with the participant whose data each one holds."""
    without_trial = [row.member for row in rows if row.trial_index is None]
    known = (
        _participants_of_paths(without_trial)
        if plan.format.name == NATIVE
        else _participants_of_logs(without_trial, plan)
    )
    participants = [
        known.get(row.member) if row.trial_index is None else plan.trials[row.trial_index].participant for row in rows
    ]
    return _rows(rows, _MEMBERS).append_column("participant", pa.array(participants, pa.string()))


def _participants_of_paths(members: Iterable[str]) -> dict[str, str | None]:
    """Return the participant of each file of a download of the platform."""
    of_folder = cache(fulcrum.participant_of)
    return {name: of_folder(name if name.lower().endswith(".zip") else name.rpartition("/")[0]) for name in members}


def _participants_of_logs(members: Iterable[str], plan: Plan) -> dict[str, str | None]:
    """Return the participant of each log of several trials; None where they are of several participants.

    The folder of a trial in such a log begins with the log's path.
    """
    wanted, found = set(members), defaultdict[str, set[str | None]](set)
    for trial in plan.trials:
        end = len(trial.folder)
        while end > 0:
            if (path := trial.folder[:end]) in wanted:
                found[path].add(trial.participant)
                break
            end = trial.folder.rfind("/", 0, end)
    return {path: names.pop() for path, names in found.items() if len(names) == 1}


_SURVEYS = pa.schema(
    [(name, pa.string()) for name in ("participant", "session", "survey", "member")]
    + [("row", pa.int64()), ("question", pa.string()), ("answer", pa.string())]
)


def _surveys(archive: Archive, plan: Plan, issues: list[Issue]) -> list[tuple[Any, ...]]:
    """Return a row for every answer in the CSV files of the surveys."""
    answers: list[tuple[Any, ...]] = []
    budget = ShortFiles("surveys")
    for survey in plan.surveys:
        member = archive.members[survey.member]
        if not member.name.lower().endswith(".csv"):
            continue
        columns = (survey.participant, survey.session, survey.survey, member.name)
        try:
            text = budget.read(archive, member).decode("utf-8-sig")
            for row, cells in enumerate(csv.DictReader(io.StringIO(text)), 1):
                answers += [
                    (*columns, row, question, answer)
                    for question, answer in cells.items()
                    if isinstance(question, str) and isinstance(answer, str)
                ]
                if len(answers) > MAX_ANSWERS:
                    del answers[MAX_ANSWERS:]
                    raise csv.Error(
                        f"the surveys of a study may have {MAX_ANSWERS:,} answers together; the others were left out"
                    )
        except (MemberUnreadableError, UnicodeDecodeError, csv.Error) as error:
            issues.append(Issue(member.name, None, "survey", f"the survey can't be read: {error}", 0))
    return answers


def _require_something_read(archive: Archive, results: Iterable[ShardResult]) -> None:
    """Raise BadArchiveError where no event file could be read: that is no empty result."""
    members = [row for result in results for row in result.members]
    found_issues = [issue for result in results for issue in result.issues]
    bad = {
        issue.member
        for issue in found_issues
        if issue.kind in ("crc_mismatch", "unreadable", "encrypted", "unsupported_method")
    }
    if members and all(row.member in bad for row in members):
        raise BadArchiveError(
            f"None of the {len(members)} event files of {archive.name} can be read: {found_issues[0].message}."
        )
