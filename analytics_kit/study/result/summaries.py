"""Summarise trials by group, and keys by pairs: sums, means, bimodality, digraph latencies."""

from __future__ import annotations

from typing import cast

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME

GROUP_COLUMNS = ("participant", "task", "factor")
MIN_VALUES = 4
"""With fewer values the formula of the bimodality coefficient divides by 0."""


def aggregate(trials: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return a row per value of `by`: trial_count, sums of counts, means of other metrics; NA without any value."""
    groups = trials.groupby(by, dropna=False, sort=False)
    columns = {"trial_count": groups.size().astype("Int64")}
    for name in trials.columns:
        if name in METRICS_BY_NAME:
            columns[name] = groups[name].sum(min_count=1) if METRICS_BY_NAME[name].is_count else groups[name].mean()
    return pd.DataFrame(columns).reset_index()


def bimodality(trials: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return a row per value of `by`, a column per metric. Raises SettingsError if `by` is not in GROUP_COLUMNS."""
    if by not in GROUP_COLUMNS:
        raise SettingsError(
            f"Trials can't be grouped by {by!r}.{nearest(by, GROUP_COLUMNS)}",
            hint=f"Group by {', '.join(GROUP_COLUMNS)}.",
        )
    metrics = [name for name in trials.columns if name in METRICS_BY_NAME]
    groups = trials.groupby(by, dropna=False, sort=False)
    return groups[metrics].agg(bimodality_coefficient).astype("float64").reset_index()


def bimodality_coefficient(values: pd.Series) -> float:
    """Return (skewness² + 1) / (excess kurtosis + 3 (n - 1)² / ((n - 2) (n - 3))), both corrected for bias.

    It lies between 0 and 1; a uniform distribution has 5/9, and larger values hint at two modes (Pfister et al.
    2013). NA values are left out. NaN for fewer than 4 values, and if all are equal.

    >>> round(bimodality_coefficient(pd.Series([0.0, 1.0] * 500)), 2)
    1.0
    """
    known = values.dropna().astype("float64")
    n = len(known)
    if n < MIN_VALUES or known.min() == known.max():
        return float("nan")
    skewness, kurtosis = cast(float, known.skew()), cast(float, known.kurt())
    return float((skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


def digraph_latencies(keys: pd.DataFrame, trial: str) -> pd.DataFrame:
    """Return a row per trial, key and next key, with the count and the mean, median and SD (n - 1) of the latencies.

    `keys` has a row per press with the columns `trial` (by the name given), `t_s`, ascending within trials, and
    `key`. A latency is the time from press to press. Rows are in the order in which pairs first occur.
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
