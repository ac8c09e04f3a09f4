"""Join a table with a row per participant, such as a questionnaire, to the trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME
from analytics_kit.visible_text import visible

MAX_LISTED = 10
"""Participants that a warning lists."""


def align_to_participants(trials: pd.DataFrame, table: pd.DataFrame, on: str) -> pd.DataFrame:
    """Return the table's columns with a row per participant of the trials, indexed by participant.

    See `StudyResult.join`.
    """
    if on not in table.columns:
        columns = [str(name) for name in table.columns]
        raise SettingsError(
            f"The table has no column {on!r}.{nearest(on, columns)}", hint='Name it: result.join(table, on="ID").'
        )
    rows = table.drop(columns=on).rename(columns=str)
    _require_new(rows.columns, trials)
    rows.index = pd.Index(_ids(table[on]), name="participant")
    unnamed = int(table[on].isna().sum())
    rows = rows[rows.index.notna()]
    repeated = rows.index[rows.index.duplicated()].unique()
    if len(repeated):
        raise SettingsError(
            f"The table has more than one row for participant {_listed(repeated)}.",
            hint="Keep one row per participant, or average them with groupby.",
        )
    participants = pd.Index(trials["participant"].dropna().unique(), name="participant")
    without_row = participants.difference(rows.index, sort=False)
    without_trials = rows.index.difference(participants, sort=False)
    _warn_of_unmatched(without_row, without_trials, unnamed)
    return pd.DataFrame({name: _nullable(rows[name]) for name in rows.columns}).reindex(participants)


def add_columns(frame: pd.DataFrame, joined: pd.DataFrame) -> pd.DataFrame:
    """Return a table that has a column `participant`, extended by the joined columns."""
    return pd.concat([frame, joined.reindex(frame["participant"]).reset_index(drop=True)], axis=1)


def _ids(values: pd.Series) -> pd.Series:
    """Return ids as the result writes them. A column of integers with a gap has become floats: 1.0 means 1."""
    known = values.dropna()
    if is_float_dtype(values) and (known % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("str").str.strip()


def _require_new(names: Sequence[str] | pd.Index, trials: pd.DataFrame) -> None:
    if not len(names):
        raise SettingsError("The table has no column to join.", hint="Give a table with columns besides the ids.")
    for name in names:
        if name in trials.columns or name in METRICS_BY_NAME or name == "trial_count" or list(names).count(name) > 1:
            raise SettingsError(
                f"The name {name!r} is already used.",
                hint=f"Rename the column: table.rename(columns={{{name!r}: …}}).",
            )


def _nullable(values: pd.Series) -> pd.Series:
    """Convert to a type that has missing values and that Parquet can store."""
    if is_bool_dtype(values):
        return values.astype("boolean")
    if is_integer_dtype(values):
        return values.astype("Int64")
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.rename_categories(str)
    return values.astype("str") if values.dtype == object else values


def _warn_of_unmatched(without_row: pd.Index, without_trials: pd.Index, unnamed: int) -> None:
    notes = []
    if len(without_row):
        notes.append(f"not in the table, so NA: participant {_listed(without_row)}")
    if len(without_trials):
        notes.append(f"in the table without trials, so left out: {_listed(without_trials)}")
    if unnamed:
        notes.append(f"rows of the table without an id, so left out: {unnamed}")
    if notes:
        warnings.warn(f"Not all rows were joined; {'; '.join(notes)}.", stacklevel=4)


def _listed(ids: pd.Index) -> str:
    more = f" and {len(ids) - MAX_LISTED} more" if len(ids) > MAX_LISTED else ""
    return ", ".join(map(visible, ids[:MAX_LISTED])) + more
