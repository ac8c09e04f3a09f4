"""Test means between two or more levels, on one value per participant, within or between participants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analytics_kit.study.result.analysis.stats_libraries import AnovaRM, CompareMeans, DescrStatsW, anova_oneway, f

if TYPE_CHECKING:
    from analytics_kit.study.schema.compiling import Floats
MIN_RELATIVE_SPREAD = 1e-9
"""Values that vary by less, relative to their size, are taken to be equal up to rounding."""


def _is_constant(deviations: Floats, values: Floats) -> bool:
    return bool(np.ptp(deviations) <= MIN_RELATIVE_SPREAD * np.abs(values).max())


def paired_t(a: Floats, b: Floats) -> dict[str, Any]:
    """Return the paired t test of two samples of the same participants; `why` gives the reason if impossible."""
    difference = a - b
    row: dict[str, Any] = {"n_a": len(a), "n_b": len(b), "difference": difference.mean()}
    if len(a) < 2:
        return row | {"why": "A test needs 2 participants."}
    if _is_constant(difference, np.concatenate([a, b])):
        return row | {
            "why": "The difference is the same for all participants, so there is no variance to test it against."
        }
    sample = DescrStatsW(difference)
    statistic, p, df = sample.ttest_mean()
    spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    effect = difference.mean() / spread * _small_sample(len(a) + len(b)) if spread else np.nan
    return row | _t_row("paired t", sample.tconfint_mean(), statistic, df, p, effect, "Hedges g_av")


def welch_t(a: Floats, b: Floats) -> dict[str, Any]:
    """Return Welch's t test of two samples of different participants; if it is impossible, `why` gives the reason."""
    row: dict[str, Any] = {"n_a": len(a), "n_b": len(b), "difference": a.mean() - b.mean()}
    if min(len(a), len(b)) < 2:
        return row | {"why": "A test needs 2 participants at each level."}
    if _is_constant(a, a) and _is_constant(b, b):
        return row | {"why": "All values of a level are equal, so there is no variance to test against."}
    samples = CompareMeans.from_data(a, b)
    statistic, p, df = samples.ttest_ind(usevar="unequal")
    interval = samples.tconfint_diff(usevar="unequal")
    both = len(a) + len(b)
    spread = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (both - 2))
    effect = row["difference"] / spread * _small_sample(both)
    return row | _t_row("Welch t", interval, statistic, df, p, effect, "Hedges g")


def _small_sample(n: int) -> float:
    """Return Hedges' small-sample correction of a standardised difference (Hedges 1981, usual approximation)."""
    return 1 - 3 / (4 * n - 9)


def _t_row(
    test: str, interval: tuple[float, float], statistic: float, df: float, p: float, effect: float, name: str
) -> dict[str, Any]:
    return {
        "test": test, "ci_low": interval[0], "ci_high": interval[1], "statistic": statistic, "df": df, "p": p,
        "effect_size": effect, "effect_size_name": name,
    }  # fmt: skip


def repeated_anova(values: Floats) -> dict[str, Any]:
    """Return the repeated-measures ANOVA with Greenhouse-Geisser correction; `why` gives the reason if impossible.

    `values` has a row per participant and a column per level.
    """
    n, k = values.shape
    if n < 2:
        return {"why": "A test needs 2 participants."}
    if _is_constant(values - values.mean(axis=1, keepdims=True) - values.mean(axis=0), values):
        return {"why": "The levels differ equally for all participants, so there is no variance to test against."}
    long = pd.DataFrame(
        {"value": values.ravel(), "participant": np.repeat(np.arange(n), k), "level": np.tile(np.arange(k), n)}
    )
    table = AnovaRM(long, "value", "participant", within=["level"]).fit().anova_table
    statistic, df, df_error = (float(table[name].iloc[0]) for name in ("F Value", "Num DF", "Den DF"))
    epsilon = sphericity(values)
    p = f.sf(statistic, epsilon * df, epsilon * df_error)
    return {
        "test": "repeated-measures ANOVA, Greenhouse-Geisser", "statistic": statistic, "df": epsilon * df,
        "df_error": epsilon * df_error, "p": p, "effect_size": statistic * df / (statistic * df + df_error),
        "effect_size_name": "partial eta squared",
    }  # fmt: skip


def sphericity(values: Floats) -> float:
    """Return the epsilon of Greenhouse and Geisser (1959).

    It is 1 if all differences between levels have the same variance, and at least 1 / (k - 1). `values` has a row per
    participant and a column for each of k levels.
    """
    covariance = np.cov(values, rowvar=False)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1, keepdims=True) + covariance.mean()
    return float(np.trace(centred) ** 2 / ((values.shape[1] - 1) * (centred**2).sum()))


def welch_anova(groups: Sequence[Floats]) -> dict[str, Any]:
    """Return Welch's ANOVA of samples of different participants; if it is impossible, `why` gives the reason."""
    if min(map(len, groups)) < 2:
        return {"why": "A test needs 2 participants at each level."}
    if any(_is_constant(group, group) for group in groups):
        return {"why": "All values of a level are equal, so there is no variance to test against."}
    anova = anova_oneway(groups, use_var="unequal", welch_correction=True)
    values = np.concatenate(groups)
    explained = sum(len(group) * (group.mean() - values.mean()) ** 2 for group in groups)
    return {
        "test": "Welch ANOVA", "statistic": anova.statistic, "df": anova.df_num, "df_error": anova.df_denom,
        "p": anova.pvalue, "effect_size": explained / ((values - values.mean()) ** 2).sum(),
        "effect_size_name": "eta squared",
    }  # fmt: skip
