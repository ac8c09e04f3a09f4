"""How a table with a row per participant, such as a questionnaire, comes beside the trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME

MOST_NAMED = 10
"""Participants that a warning names."""


def by_participant(trials: pd.DataFrame, table: pd.DataFrame, on: str) -> pd.DataFrame:
    """The table's columns, a row per participant of the trials, with the ids as index; see `StudyResult.join`."""
    if on not in table.columns:
        known = [str(name) for name in table.columns]
        raise SettingsError(
            f"The table has no column {on!r}.{nearest(on, known)}", hint='Name it: result.join(table, on="ID").'
        )
    rows = table.drop(columns=on).rename(columns=str)
    _require_new(rows.columns, trials)
    rows.index = pd.Index(_ids(table[on]), name="participant")
    unnamed = int(table[on].isna().sum())
    rows = rows[rows.index.notna()]
    twice = rows.index[rows.index.duplicated()].unique()
    if len(twice):
        raise SettingsError(
            f"The table has more than one row for participant {_named(twice)}.",
            hint="One row each: choose one, or average them with groupby.",
        )
    there = pd.Index(trials["participant"].dropna().unique(), name="participant")
    _tell(there.difference(rows.index, sort=False), rows.index.difference(there, sort=False), unnamed)
    return pd.DataFrame({name: _with_gaps(rows[name]) for name in rows.columns}).reindex(there)


def beside(frame: pd.DataFrame, joined: pd.DataFrame) -> pd.DataFrame:
    """A table that has a column `participant`, with the joined columns after its own."""
    return pd.concat([frame, joined.reindex(frame["participant"]).reset_index(drop=True)], axis=1)


def _ids(values: pd.Series) -> pd.Series:
    """Ids as the result writes them: 1.0 is what a column of whole numbers with a gap has become."""
    known = values.dropna()
    if is_float_dtype(values) and (known % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("str").str.strip()


def _require_new(names: Sequence[str] | pd.Index, trials: pd.DataFrame) -> None:
    if not len(names):
        raise SettingsError("The table has no column to join.", hint="Give a table with more columns than the ids.")
    for name in names:
        if name in trials.columns or name in METRICS_BY_NAME or name == "trial_count" or list(names).count(name) > 1:
            raise SettingsError(
                f"The name {name!r} is taken.", hint=f"Rename the column: table.rename(columns={{{name!r}: …}})."
            )


def _with_gaps(values: pd.Series) -> pd.Series:
    """The same in a type that can lack values without becoming another, and that Parquet can keep."""
    if is_bool_dtype(values):
        return values.astype("boolean")
    if is_integer_dtype(values):
        return values.astype("Int64")
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.rename_categories(str)
    return values.astype("str") if values.dtype == object else values


def _tell(without_row: pd.Index, without_trials: pd.Index, unnamed: int) -> None:
    said = []
    if len(without_row):
        said.append(f"not in the table, so NA: participant {_named(without_row)}")
    if len(without_trials):
        said.append(f"in the table without trials, so left out: {_named(without_trials)}")
    if unnamed:
        said.append(f"rows of the table without an id, so left out: {unnamed}")
    if said:
        warnings.warn(f"Not all was joined; {'; '.join(said)}.", stacklevel=4)


def _named(ids: pd.Index) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(map(str, ids[:MOST_NAMED])) + more
