"""Describe metrics by group, as a paper reports them: n, mean, standard deviation, median."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME
from analytics_kit.study.result.analysis.arguments import require_group_column, require_metrics

Over = Literal["trial", "participant"]
GROUPING_COLUMNS = ("participant", "session", "task", "factor")


def describe(
    trials: pd.DataFrame, by: str | Sequence[str] | None, metrics: str | Sequence[str] | None, over: Over
) -> pd.DataFrame:
    """Implement `StudyResult.describe`."""
    names = require_metrics(trials, metrics)
    groups = list(dict.fromkeys([by] if isinstance(by, str) else by or []))
    for name in groups:
        require_group_column(trials, name, GROUPING_COLUMNS)
    if over not in get_args(Over):
        raise SettingsError(
            f"over can't be {over!r}.{nearest(str(over), get_args(Over))}", hint='"trial" or "participant".'
        )
    values = trials[list(dict.fromkeys([*groups, "participant"]))].join(trials[names].astype("float64"))
    if over == "participant":
        each = list(dict.fromkeys([*groups, "participant"]))
        values = values.dropna(subset="participant")
        values = values.groupby(each, dropna=False, sort=False, observed=True)[names].mean().reset_index()
    keys = [values[name] for name in groups] or [pd.Series(0, values.index, name="all")]
    grouped = values[names].groupby(keys, dropna=False, sort=False, observed=True)
    counts = grouped.count()
    numbers = {
        "n": counts,
        "n_missing": (-counts).add(grouped.size(), axis=0),
        "mean": grouped.mean(),
        "sd": grouped.std(),
        "median": grouped.median(),
    }
    columns = {name: table.to_numpy().ravel() for name, table in numbers.items()}
    repeated = counts.index.repeat(len(names)).to_frame(index=False)[groups]
    labels = {"metric": names * len(counts), "unit": [METRICS_BY_NAME[name].unit for name in names] * len(counts)}
    return pd.concat([repeated, pd.DataFrame(labels | columns)], axis=1).astype(
        {"metric": "str", "unit": "str", "n": "Int64", "n_missing": "Int64"}
    )
