"""What can be said of many trials or many keys together: sums, means, bimodality, latencies of pairs of keys."""

from __future__ import annotations

from typing import cast

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME

GROUPS = ("participant", "task", "factor")
MIN_VALUES = 4
"""With fewer values the coefficient's formula divides by 0."""


def aggregate(trials: pd.DataFrame, by: str) -> pd.DataFrame:
    """A row per value of `by`: trial_count, sums of counts, means of the other metrics; NA where none is known."""
    groups = trials.groupby(by, dropna=False, sort=False)
    columns = {"trial_count": groups.size().astype("Int64")}
    for name in trials.columns:
        if name in METRICS_BY_NAME:
            columns[name] = groups[name].sum(min_count=1) if METRICS_BY_NAME[name].is_count else groups[name].mean()
    return pd.DataFrame(columns).reset_index()


def bimodality(trials: pd.DataFrame, by: str) -> pd.DataFrame:
    """A row per value of `by`, a column per metric: its bimodality. Raises SettingsError for another `by`."""
    if by not in GROUPS:
        raise SettingsError(
            f"Trials can't be grouped by {by!r}.{nearest(by, GROUPS)}", hint=f"Group by {', '.join(GROUPS)}."
        )
    metrics = [name for name in trials.columns if name in METRICS_BY_NAME]
    groups = trials.groupby(by, dropna=False, sort=False)
    return groups[metrics].agg(bimodality_coefficient).astype("float64").reset_index()


def bimodality_coefficient(values: pd.Series) -> float:
    """(skewness² + 1) / (excess kurtosis + 3 (n - 1)² / ((n - 2) (n - 3))), both corrected for bias.

    Between 0 and 1; a uniform distribution has 5/9, and more hints at two modes (Pfister et al. 2013). NA values are
    left out; NaN for fewer than 4 values, and where all are equal.
    """
    known = values.dropna().astype("float64")
    n = len(known)
    if n < MIN_VALUES or known.min() == known.max():
        return float("nan")
    skewness, kurtosis = cast(float, known.skew()), cast(float, known.kurt())
    return float((skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


def digraph_latencies(keys: pd.DataFrame, trial: str) -> pd.DataFrame:
    """A row per trial, key and next key: `count`, `latency_mean_s`, `latency_median_s`, `latency_sd_s` (n - 1).

    `keys` has a row per press: the column `trial`, `t_s` ascending within trials, `key`. A latency is the time from
    press to press. Rows are in the order in which pairs first occur.
    """
    following = keys.shift(-1)
    pairs = pd.DataFrame(
        {
            trial: keys[trial],
            "key": keys["key"],
            "next_key": following["key"],
            "latency": following["t_s"] - keys["t_s"],
        }
    )[keys[trial] == following[trial]]
    groups = pairs.groupby([trial, "key", "next_key"], sort=False)["latency"]
    return groups.agg(
        count="count", latency_mean_s="mean", latency_median_s="median", latency_sd_s="std"
    ).reset_index()
