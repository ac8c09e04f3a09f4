"""Do participants get faster with practice: a power law of the time of trial after trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analytics_kit.study.result.analysis.arguments import require_metrics
from analytics_kit.study.result.analysis.stats_libraries import linregress, t

METRIC = "completion_time_s"
_NUMBERS = ("a_s", "b", "b_ci_low", "b_ci_high", "r_squared")


def learning_curve(trials: pd.DataFrame) -> pd.DataFrame:
    """See `StudyResult.learning_curve`."""
    require_metrics(trials, METRIC)
    sessions = ["participant", "session"]
    known = trials[trials["trial_order"].notna() & (trials[METRIC] > 0)]
    points = pd.DataFrame({"x": np.log(known["trial_order"].astype("float64")), "y": np.log(known[METRIC])})
    whose = trials.groupby(sessions, dropna=False, sort=False).ngroup()[known.index]
    rows = [
        {"participant": participant, "session": session, **_fit(points[whose == number], 1)}
        for number, (participant, session) in enumerate(trials[sessions].drop_duplicates().to_numpy())
    ]
    level = points.groupby(whose).transform("mean")
    pooled = _fit(points - level + points.mean(), whose.nunique())
    rows.append({"participant": None, "session": None, **pooled})
    columns = ["participant", "session", "n", *_NUMBERS]
    return pd.DataFrame(rows, columns=columns).astype(
        {"participant": "str", "session": "str", "n": "Int64"} | dict.fromkeys(_NUMBERS, "float64")
    )


def _fit(points: pd.DataFrame, levels: int) -> dict[str, Any]:
    """The least-squares line of log time on log place, of data that had a level of its own for each of `levels`."""
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    df = len(x) - levels - 1
    if df < 1 or np.ptp(x) == 0:
        return {"n": len(x)}
    line = linregress(x, y)
    half = t.ppf(0.975, df) * line.stderr * np.sqrt((len(x) - 2) / df)
    return {
        "n": len(x), "a_s": np.exp(line.intercept), "b": -line.slope, "b_ci_low": -line.slope - half,
        "b_ci_high": -line.slope + half, "r_squared": line.rvalue**2,
    }  # fmt: skip
