"""Compare each of mousetrap's measures with mousetrap's own number, on 1,140 real trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import analytics_kit as ak
from analytics_kit.study.metrics.mousetrap import MEASURES
from benchmarks import kh2017
from benchmarks.jobs import Row

TRUTHS = {
    "as logged": ("truth_measures_native_rows.csv", {}),
    "resampled": ("truth_measures_resampled10_constint100.csv", {"resample_s": 0.01, "hold_gap_s": 0.1}),
}
GOAL = 1e-9


def difference(ours: pd.Series, theirs: pd.Series) -> float:
    """Return the largest relative difference; infinite where only one is 0 or missing."""
    a, b = ours.to_numpy(float, na_value=np.nan), theirs.to_numpy(float, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / np.abs(b))
    return float(np.nan_to_num(error, nan=np.inf).max())


def rows(folder: Path) -> Iterator[Row]:
    """Yield a row per measure, then the trials and the number of measures that are constant over them."""
    if not kh2017.is_available():
        yield "agreement with mousetrap", f"not measured: {kh2017.ABSENT}", f"≤ {GOAL:g}", None
        return
    events = kh2017.events(folder)
    joined = {
        how: ak.mousetrap_measures(events, **options).merge(
            kh2017.truth(name), on=kh2017.TRIAL, suffixes=("", "_theirs"), validate="one_to_one"
        )
        for how, (name, options) in TRUTHS.items()
    }
    constant = dict.fromkeys(TRUTHS, 0)
    for measure in MEASURES:
        texts, worst = [], 0.0
        for how, trials in joined.items():
            theirs = trials[f"{measure}_theirs"]
            error = difference(trials[measure], theirs)
            worst = max(worst, error)
            same = theirs.nunique(dropna=False) == 1
            constant[how] += same
            texts.append(
                f"{how} {f'{error:.1e}' if error else 'equal'}" + (f" (always {theirs.iloc[0]:g})" if same else "")
            )
        yield measure, ", ".join(texts), f"≤ {GOAL:g}", worst <= GOAL
    for how, trials in joined.items():
        compared = len(trials)
        yield (
            f"all {len(MEASURES)}, {how}",
            f"{compared:,} trials, {constant[how]} measures the same in all of them",
            "1,140 trials",
            compared == 1140,
        )
