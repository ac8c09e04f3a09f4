"""Compare the means of metrics between levels: choose the design and the test, and report the outcome.

The unit of analysis is the participant. Trials of one participant are not independent, so they are averaged per level
before anything is tested; a test over trials would treat each trial as another participant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, get_args

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.result.analysis.arguments import require_group_column, require_metrics
from analytics_kit.study.result.analysis.contrasts import paired_t, repeated_anova, welch_anova, welch_t
from analytics_kit.study.result.analysis.design import Design, comparable, design_of
from analytics_kit.study.result.analysis.stats_libraries import multipletests

Correction = Literal["holm", "fdr_bh", "none"]
MAX_LEVELS = 20
"""More levels make hundreds of pairs; a column of ages, say, was probably meant to be cut into groups."""
_COLUMN_TYPES = {
    "metric": "str", "between": "str", "level_a": "str", "level_b": "str", "design": "str",
    "n": "Int64", "n_a": "Int64", "n_b": "Int64", "left_out": "Int64",
    "mean_a": "float64", "mean_b": "float64", "difference": "float64", "ci_low": "float64", "ci_high": "float64",
    "effect_size": "float64", "effect_size_name": "str", "statistic": "float64", "df": "float64",
    "df_error": "float64", "p": "float64", "p_corrected": "float64", "correction": "str", "test": "str", "why": "str",
}  # fmt: skip


def compare(
    trials: pd.DataFrame, metric: str | Sequence[str], between: str, correction: Correction = "holm"
) -> pd.DataFrame:
    """Implement `StudyResult.compare`."""
    metrics = require_metrics(trials, metric)
    require_group_column(trials, between, ("factor", "task"))
    if correction not in get_args(Correction):
        raise SettingsError(
            f"There is no correction {correction!r}.{nearest(str(correction), get_args(Correction))}",
            hint=f"Corrections: {', '.join(get_args(Correction))}.",
        )
    named = trials[["participant", between, *metrics]].dropna(subset=["participant", between])
    levels = named[between].nunique()
    if levels < 2:
        only = f"only {str(named[between].iloc[0])!r}" if levels else "none"
        raise SettingsError(
            f"Comparing needs two levels of {between}, and participants with names; there is {only}.",
            hint="result.describe() summarises the trials.",
        )
    if levels > MAX_LEVELS:
        raise SettingsError(
            f"{between} has {levels} levels; up to {MAX_LEVELS} can be compared.",
            hint="Join a column with fewer groups, such as pandas.cut(ages, 3).",
        )
    groups = named.groupby(["participant", between], observed=True)
    present = groups.size().unstack().notna()
    means = groups[metrics].mean().astype("float64")
    design = design_of(present, between)
    participants = trials["participant"].nunique()
    unnamed = len(trials) - len(named)
    notes = ["Trials were averaged per participant and level.", design.why]
    if unnamed:
        notes.append(f"Trials left out because they have no participant or no {between}: {unnamed}.")
    overall_tests, pair_tests = [], []
    for name in metrics:
        tests = _tests(comparable(means[name].unstack(), present, design.kind), design)
        for row in tests:
            why = " ".join([*notes, row.pop("why", "")]).rstrip()
            row |= {"metric": name, "between": between, "left_out": participants - row["participants"], "why": why}
        overall_tests.append(tests[0])
        pair_tests += tests[1:]
    for family in (overall_tests, pair_tests):
        _correct(family, correction)
    order = {name: position for position, name in enumerate(metrics)}
    rows = sorted([*overall_tests, *pair_tests], key=lambda row: order[row["metric"]])  # stable: pairs come second
    return pd.DataFrame(rows, columns=list(_COLUMN_TYPES)).astype(_COLUMN_TYPES)


def _tests(means: pd.DataFrame, design: Design) -> list[dict[str, Any]]:
    """Return the test of all levels and, for three or more, the tests of all pairs.

    `means` has a row per participant and a column per level.
    """
    common = {"design": design.kind, "participants": len(means), "n": len(means)}
    if design.kind is None:
        return [common]
    if means.shape[1] < 2:
        return [common | {"why": f"Levels that have values: {', '.join(map(str, means.columns)) or 'none'}."}]
    if not len(means):
        return [common | {"why": "No participant has a value at every level."}]
    levels = {level: means[level].dropna().to_numpy() for level in means.columns}
    t_test = paired_t if design.kind == "within" else welch_t
    pairs = [
        common | {"level_a": str(a), "level_b": str(b), "mean_a": levels[a].mean(), "mean_b": levels[b].mean()}
        | {"n": len(means) if design.kind == "within" else len(levels[a]) + len(levels[b])}
        | t_test(levels[a], levels[b])
        for a, b in combinations(levels, 2)
    ]  # fmt: skip
    if len(levels) == 2:
        return pairs
    overall = (
        repeated_anova(means[list(levels)].to_numpy())
        if design.kind == "within"
        else welch_anova(list(levels.values()))
    )
    return [common | overall, *pairs]


def _correct(family: list[dict[str, Any]], correction: Correction) -> None:
    """Add the corrected p to each test of a family; tests that were impossible don't count."""
    tested = [row for row in family if "p" in row]
    is_corrected = correction != "none" and len(tested) > 1
    corrected = multipletests([row["p"] for row in tested], method=correction)[1] if is_corrected else None
    for position, row in enumerate(tested):
        row["p_corrected"] = row["p"] if corrected is None else corrected[position]
        row["correction"] = f"{correction} over {len(tested)} tests" if is_corrected else "none"
