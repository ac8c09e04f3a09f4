"""Which events and trials are meant: read from a result or a DataFrame, chosen by name, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.model import KINDS, Kind
from analytics_kit.plot.labels import named, word

TRIAL = ("participant", "session", "task", "factor", "trial", "trial_order")
"""The columns that tell one trial from another."""
Rows = npt.NDArray[np.int64]


class Results(Protocol):
    """What a figure needs of a result; `StudyResult` has it."""

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: its names, then its metrics."""

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of events there are."""

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
        """The events of one kind: the trial's names, then `t_s` and what the kind has."""


Source = Results | pd.DataFrame


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of trials: a value, a list of values, or None for all. NA chooses those whose name is not known."""

    participant: object = None
    task: object = None
    factor: object = None
    trial: object = None

    def asked(self) -> dict[str, list[Any]]:
        """The values asked for, by column."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _listed(value) for name, value in values.items() if value is not None}

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that are meant. Raises SettingsError where it lacks a column that chooses."""
        mask = np.ones(len(table), bool)
        for name, values in self.asked().items():
            require(table, [name])
            words = {word(value) for value in values if not pd.isna(value)}
            codes, there = pd.factorize(table[name])  # NA has code -1, which is the last of `meant`
            meant = [word(value) in words for value in there] + [len(words) < len(values)]
            mask &= np.array(meant)[codes]
        return table if mask.all() else table[mask]

    def __str__(self) -> str:
        """` of participant 3, task A`, made to end a message; empty where all are meant."""
        parts = [named(name, value) for name, values in self.asked().items() for value in values[:3]]
        return f" of {', '.join(parts)}" if parts else ""


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise SettingsError for the first of the columns that is missing."""
    for name in columns:
        if name not in table:
            known = [str(column) for column in table.columns]
            raise SettingsError(
                f"The table has no column {name!r}.{nearest(name, known)}",
                hint=f"Its columns: {', '.join(known[:12])}{', …' if known[12:] else ''}.",
            )


@dataclass(frozen=True, slots=True)
class Events:
    """Events of any kinds, sorted by trial and time. `trial` says for each row of `table` its row of `trials`."""

    table: pd.DataFrame
    trial: Rows
    trials: pd.DataFrame

    def of(self, kind: Kind) -> Events:
        """Those of one kind."""
        mask = (self.table["kind"] == kind).to_numpy(bool)
        return Events(self.table[mask], self.trial[mask], self.trials)


def read(source: Source, kinds: Sequence[Kind], choice: Choice, *, place: bool = True) -> Events:
    """The chosen events of these kinds: `kind`, `t_s`, what the kinds have, and the trial's names.

    A DataFrame is of the kind that its columns tell (`key_class`: keyboard; `action`: clicks; else movement), or has
    a column `kind`. Rows without time are left out; those without place too, where `place` is needed. Raises
    SettingsError where a column is missing.
    """
    if isinstance(source, pd.DataFrame):
        table = choice.of(_with_kind(source))
        table = table[table["kind"].isin(kinds)]
    else:
        tables = [_asked(source, kind, choice) for kind in kinds if kind in _results(source).kinds]
        filled = [table for table in tables if len(table)]
        table = pd.concat(filled, ignore_index=True) if filled else _nothing()
    needed = ["t_s", "x_px", "y_px"] if place else ["t_s"]
    require(table, needed)
    whole = np.isfinite(table[needed].to_numpy(float, na_value=np.nan)).all(axis=1)
    return _in_order(table if whole.all() else table[whole])


def _results(source: Results) -> Results:
    if not hasattr(source, "events") or not hasattr(source, "trials"):
        raise SettingsError(
            f"A figure can't be made of {type(source).__name__}.",
            hint="Give a StudyResult, such as job.result(), or a DataFrame of its events or trials.",
        )
    return source


def _asked(result: Results, kind: Kind, choice: Choice) -> pd.DataFrame:
    known = {name: values for name, values in choice.asked().items() if not any(map(pd.isna, values))}
    return choice.of(result.events(kind, **known)).assign(kind=kind)  # a result knows no way to ask for NA


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


def _nothing() -> pd.DataFrame:
    numbers = {name: np.empty(0) for name in ("t_s", "x_px", "y_px")}
    words = {name: pd.array([], dtype="str") for name in ("kind", "action", "key_class")}
    return pd.DataFrame(numbers | words)


def _in_order(table: pd.DataFrame) -> Events:
    """Sorted by trial, in the order of their first rows, then by time; equal times as they stood."""
    columns = [name for name in TRIAL if name in table]
    trial: Rows = np.zeros(len(table), np.int64)
    if columns and len(table):
        trial = np.asarray(table.groupby(columns, dropna=False, sort=False).ngroup(), np.int64)
    order = np.lexsort((table["t_s"].to_numpy(float), trial))
    _, first = np.unique(trial, return_index=True)
    trials = table[columns].iloc[first].reset_index(drop=True)
    if not (np.diff(order) == 1).all():
        table, trial = table.iloc[order], trial[order]
    return Events(table.reset_index(drop=True), trial, trials)


def in_session(trials: pd.DataFrame) -> list[int]:
    """Rows of the trials by participant as they come, then by their place in the session; unknown places last."""
    by = [name for name in ("participant", "session") if name in trials]
    people = trials.groupby(by, dropna=False, sort=False).ngroup() if by else pd.Series(0, trials.index)
    place = trials["trial_order"] if "trial_order" in trials else pd.Series(0, trials.index)
    keys = pd.DataFrame({"people": people, "place": place.astype("Float64")})
    return [int(row) for row in keys.sort_values(["people", "place"], kind="stable").index]


def trials_of(source: Source, choice: Choice, columns: Sequence[str]) -> pd.DataFrame:
    """The chosen rows of the trials table, which has to have these columns."""
    table = source if isinstance(source, pd.DataFrame) else _results(source).trials
    require(table, columns)
    return choice.of(table).reset_index(drop=True)


def require_metric(table: pd.DataFrame, metric: str) -> None:
    """Raise SettingsError, with the nearest name, unless the table has the metric as a column of numbers."""
    known = [str(name) for name in table.select_dtypes("number").columns if name not in TRIAL]
    if metric not in known:
        raise SettingsError(
            f"There is no metric {metric!r} in the trials.{nearest(metric, known)}",
            hint=f"Metrics: {', '.join(known[:12])}{', …' if known[12:] else ''}.",
        )
