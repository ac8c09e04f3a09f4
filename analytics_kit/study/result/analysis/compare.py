"""Do a metric's means differ between levels, and by how much: which design, which test, what came out.

The unit is the participant. Trials of one participant are alike, so they are averaged, per level, before anything is
tested; tests over trials would take each of them for a person of its own.
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
MOST_LEVELS = 20
"""More make hundreds of pairs; a column of ages was probably meant to be cut into groups."""
_TYPES = {
    "metric": "str", "between": "str", "level_a": "str", "level_b": "str", "design": "str",
    "n": "Int64", "n_a": "Int64", "n_b": "Int64", "left_out": "Int64",
    "mean_a": "float64", "mean_b": "float64", "difference": "float64", "ci_low": "float64", "ci_high": "float64",
    "effect_size": "float64", "effect_size_name": "str", "statistic": "float64", "df": "float64",
    "df_error": "float64", "p": "float64", "p_corrected": "float64", "correction": "str", "test": "str", "why": "str",
}  # fmt: skip


def compare(
    trials: pd.DataFrame, metric: str | Sequence[str], between: str, correction: Correction = "holm"
) -> pd.DataFrame:
    """See `StudyResult.compare`."""
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
            hint="result.describe() sums it up.",
        )
    if levels > MOST_LEVELS:
        raise SettingsError(
            f"{between} has {levels} levels; up to {MOST_LEVELS} can be compared.",
            hint="Join a column with fewer groups, such as pandas.cut(ages, 3).",
        )
    groups = named.groupby(["participant", between], observed=True)
    present = groups.size().unstack().notna()
    means = groups[metrics].mean().astype("float64")
    design = design_of(present, between)
    people = trials["participant"].nunique()
    nameless = len(trials) - len(named)
    notes = ["Trials were averaged per participant and level.", design.why]
    if nameless:
        notes.append(f"Trials left out for want of a participant or {between}: {nameless}.")
    main, pairs = [], []
    for name in metrics:
        found = _rows(comparable(means[name].unstack(), present, design.kind), design)
        for row in found:
            why = " ".join([*notes, row.pop("why", "")]).rstrip()
            row |= {"metric": name, "between": between, "left_out": people - row["people"], "why": why}
        main.append(found[0])
        pairs += found[1:]
    for family in (main, pairs):
        _correct(family, correction)
    places = {name: place for place, name in enumerate(metrics)}
    rows = sorted([*main, *pairs], key=lambda row: places[row["metric"]])  # stable: a metric's pairs follow it
    return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)


def _rows(means: pd.DataFrame, design: Design) -> list[dict[str, Any]]:
    """The test of all levels and, where they are three or more, of each pair, by a row per participant."""
    about = {"design": design.kind, "people": len(means), "n": len(means)}
    if design.kind is None:
        return [about]
    if means.shape[1] < 2:
        return [about | {"why": f"Levels that have values: {', '.join(map(str, means.columns)) or 'none'}."}]
    if not len(means):
        return [about | {"why": "Nobody has a value at every level."}]
    levels = {level: means[level].dropna().to_numpy() for level in means.columns}
    two = paired_t if design.kind == "within" else welch_t
    pairs = [
        about | {"level_a": str(a), "level_b": str(b), "mean_a": levels[a].mean(), "mean_b": levels[b].mean()}
        | {"n": len(means) if design.kind == "within" else len(levels[a]) + len(levels[b])}
        | two(levels[a], levels[b])
        for a, b in combinations(levels, 2)
    ]  # fmt: skip
    if len(levels) == 2:
        return pairs
    together = (
        repeated_anova(means[list(levels)].to_numpy())
        if design.kind == "within"
        else welch_anova(list(levels.values()))
    )
    return [about | together, *pairs]


def _correct(family: list[dict[str, Any]], correction: Correction) -> None:
    """Give each test its p corrected for all tests of the family; those that could not be done don't count."""
    tested = [row for row in family if "p" in row]
    wanted = correction != "none" and len(tested) > 1
    corrected = multipletests([row["p"] for row in tested], method=correction)[1] if wanted else None
    for place, row in enumerate(tested):
        row["p_corrected"] = row["p"] if corrected is None else corrected[place]
        row["correction"] = f"{correction} over {len(tested)} tests" if wanted else "none"
