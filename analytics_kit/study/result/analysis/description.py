"""How large are metrics and how much do they vary, group by group, as a paper reports it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME
from analytics_kit.study.result.analysis.arguments import require_group_column, require_metrics

Over = Literal["trial", "participant"]
OWN = ("participant", "session", "task", "factor")


def describe(
    trials: pd.DataFrame, by: str | Sequence[str] | None, metrics: str | Sequence[str] | None, over: Over
) -> pd.DataFrame:
    """See `StudyResult.describe`."""
    names = require_metrics(trials, metrics)
    groups = list(dict.fromkeys([by] if isinstance(by, str) else by or []))
    for name in groups:
        require_group_column(trials, name, OWN)
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
    known = grouped.count()
    numbers = {
        "n": known,
        "n_missing": (-known).add(grouped.size(), axis=0),
        "mean": grouped.mean(),
        "sd": grouped.std(),
        "median": grouped.median(),
    }
    columns = {name: table.to_numpy().ravel() for name, table in numbers.items()}
    repeated = known.index.repeat(len(names)).to_frame(index=False)[groups]
    about = {"metric": names * len(known), "unit": [METRICS_BY_NAME[name].unit for name in names] * len(known)}
    return pd.concat([repeated, pd.DataFrame(about | columns)], axis=1).astype(
        {"metric": "str", "unit": "str", "n": "Int64", "n_missing": "Int64"}
    )
