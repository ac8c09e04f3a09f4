"""Select events and trials by name, from a result or a DataFrame, and sort them by trial and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.model import KINDS, Kind
from analytics_kit.plot.arrays import BoolArray, IntArray
from analytics_kit.plot.labels import name_text, value_text
from analytics_kit.visible_text import visible

IDENTITY_COLUMNS = ("participant", "session", "task", "factor", "trial", "trial_order")
"""The columns that identify a trial."""


class ResultLike(Protocol):
    """What a figure needs of a result; `StudyResult` has it."""

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: its names, then its metrics."""

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of events in the result."""

    def events(
        self,
        kind: str,
        *,
        participant: object = None,
        task: object = None,
        factor: object = None,
        trial: object = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the events of one kind: the trial's names, then `t_s` and the columns of the kind."""


FigureSource = ResultLike | pd.DataFrame


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """Selects trials by name: a value, a list of values, or None for all. NA selects unknown names."""

    participant: object = None
    task: object = None
    factor: object = None
    trial: object = None

    def values_by_column(self) -> dict[str, list[Any]]:
        """Return the selected values of each column that is filtered."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _as_list(value) for name, value in values.items() if value is not None}

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the selected rows of a table. Raises SettingsError where it lacks a column of the filter."""
        mask = np.ones(len(table), bool)
        for name, values in self.values_by_column().items():
            require_columns(table, [name])
            texts = {value_text(value) for value in values if not pd.isna(value)}
            codes, distinct = pd.factorize(table[name])  # NA has code -1, which indexes the last of `is_selected`
            is_selected = [value_text(value) in texts for value in distinct] + [len(texts) < len(values)]
            mask &= np.array(is_selected)[codes]
        return table if mask.all() else table[mask]

    def __str__(self) -> str:
        """` of participant 3, task A`, to end a message with; empty for all trials."""
        names = [name_text(name, value) for name, values in self.values_by_column().items() for value in values[:3]]
        return visible(f" of {', '.join(names)}") if names else ""


def _as_list(value: object) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def require_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise SettingsError for the first of the columns that is missing."""
    for name in columns:
        if name not in table:
            existing = [str(column) for column in table.columns]
            raise SettingsError(
                f"The table has no column {name!r}.{nearest(name, existing)}",
                hint=f"Its columns: {', '.join(existing[:12])}{', …' if existing[12:] else ''}.",
            )


@dataclass(frozen=True, slots=True)
class SelectedEvents:
    """Events of any kinds, sorted by trial and time. `trial` is the row of `trials` for each row of `table`."""

    table: pd.DataFrame
    trial: IntArray
    trials: pd.DataFrame

    def of_kind(self, kind: Kind) -> SelectedEvents:
        """Return the events of one kind."""
        return self.where((self.table["kind"] == kind).to_numpy(bool))

    def where(self, mask: BoolArray) -> SelectedEvents:
        """Return the events at which the mask is true; all trials stay."""
        return SelectedEvents(self.table[mask], self.trial[mask], self.trials)


def read_events(
    source: FigureSource, kinds: Sequence[Kind], trial_filter: TrialFilter, *, needs_position: bool = True
) -> SelectedEvents:
    """Return the selected events of these kinds: `kind`, `t_s`, the columns of the kinds, and the trial's names.

    A DataFrame has a column `kind`, or its columns give the kind: `key_class` means keyboard, `action` clicks, others
    movement. Rows without a time are left out, and those without a position where `needs_position`. Raises
    SettingsError where a column is missing.
    """
    if isinstance(source, pd.DataFrame):
        table = trial_filter.apply(_with_kind(source))
        table = table[table["kind"].isin(kinds)]
    else:
        tables = [_query(source, kind, trial_filter) for kind in kinds if kind in _require_result(source).kinds]
        filled = [table for table in tables if len(table)]
        table = pd.concat(filled, ignore_index=True) if filled else _no_events()
    needed = ["t_s", "x_px", "y_px"] if needs_position else ["t_s"]
    require_columns(table, needed)
    is_complete = np.isfinite(table[needed].to_numpy(float, na_value=np.nan)).all(axis=1)
    return _sorted_by_trial(table if is_complete.all() else table[is_complete])


def _require_result(source: ResultLike) -> ResultLike:
    if not hasattr(source, "events") or not hasattr(source, "trials"):
        raise SettingsError(
            f"A figure can't be made of {type(source).__name__}.",
            hint="Give a StudyResult, such as job.result(), or a DataFrame of its events or trials.",
        )
    return source


def _query(result: ResultLike, kind: Kind, trial_filter: TrialFilter) -> pd.DataFrame:
    filters = trial_filter.values_by_column().items()
    without_na = {name: values for name, values in filters if not any(map(pd.isna, values))}
    return trial_filter.apply(result.events(kind, **without_na)).assign(kind=kind)  # events() takes no NA


def _with_kind(table: pd.DataFrame) -> pd.DataFrame:
    if "kind" in table:
        unknown = set(table["kind"].dropna().unique()) - set(KINDS)
        if unknown:
            name = str(min(unknown, key=str))
            raise SettingsError(
                f"There is no kind {name!r}.{nearest(name, KINDS)}", hint=f"Kinds: {', '.join(KINDS)}."
            )
        return table
    kind: Kind = "mouse_movement"
    if "key_class" in table:
        kind = "keyboard"
    elif "action" in table:
        kind = "mouse_clicks"
    return table.assign(kind=kind)


def _no_events() -> pd.DataFrame:
    numbers = {name: np.empty(0) for name in ("t_s", "x_px", "y_px")}
    texts = {name: pd.array([], dtype="str") for name in ("kind", "action", "key_class")}
    return pd.DataFrame(numbers | texts)


def _sorted_by_trial(table: pd.DataFrame) -> SelectedEvents:
    """Sort by trial, in the order of their first rows, then by time; rows of equal times keep their order."""
    columns = [name for name in IDENTITY_COLUMNS if name in table]
    trial: IntArray = np.zeros(len(table), np.int64)
    if columns and len(table):
        trial = np.asarray(table.groupby(columns, dropna=False, sort=False).ngroup(), np.int64)
    order = np.lexsort((table["t_s"].to_numpy(float), trial))
    _, first = np.unique(trial, return_index=True)
    trials = table[columns].iloc[first].reset_index(drop=True)
    if not (np.diff(order) == 1).all():
        table, trial = table.iloc[order], trial[order]
    return SelectedEvents(table.reset_index(drop=True), trial, trials)


def session_order(trials: pd.DataFrame) -> list[int]:
    """Return the rows of the trials by participant in order of appearance, then by position in the session.

    Trials of unknown position come last.
    """
    by = [name for name in ("participant", "session") if name in trials]
    session = trials.groupby(by, dropna=False, sort=False).ngroup() if by else pd.Series(0, trials.index)
    position = trials["trial_order"] if "trial_order" in trials else pd.Series(0, trials.index)
    sort_keys = pd.DataFrame({"session": session, "position": position.astype("Float64")})
    return [int(row) for row in sort_keys.sort_values(["session", "position"], kind="stable").index]


def select_trials(source: FigureSource, trial_filter: TrialFilter, columns: Sequence[str]) -> pd.DataFrame:
    """Return the selected rows of the trials table. Raises SettingsError where it lacks one of the columns."""
    table = source if isinstance(source, pd.DataFrame) else _require_result(source).trials
    require_columns(table, columns)
    return trial_filter.apply(table).reset_index(drop=True)


def require_metric(table: pd.DataFrame, metric: str) -> None:
    """Raise SettingsError, with the nearest name, unless the table has the metric as a column of numbers."""
    metrics = [str(name) for name in table.select_dtypes("number").columns if name not in IDENTITY_COLUMNS]
    if metric not in metrics:
        raise SettingsError(
            f"There is no metric {metric!r} in the trials.{nearest(metric, metrics)}",
            hint=f"Metrics: {', '.join(metrics[:12])}{', …' if metrics[12:] else ''}.",
        )
