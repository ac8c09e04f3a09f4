"""Fit the power law of practice to the completion times of successive trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analytics_kit.study.result.analysis.arguments import require_metrics
from analytics_kit.study.result.analysis.stats_libraries import linregress, t

TIME_METRIC = "completion_time_s"
_FIT_COLUMNS = ("a_s", "b", "b_ci_low", "b_ci_high", "r_squared")


def learning_curve(trials: pd.DataFrame) -> pd.DataFrame:
    """Implement `StudyResult.learning_curve`."""
    require_metrics(trials, TIME_METRIC)
    sessions = ["participant", "session"]
    usable = trials[trials["trial_order"].notna() & (trials[TIME_METRIC] > 0)]
    points = pd.DataFrame({"x": np.log(usable["trial_order"].astype("float64")), "y": np.log(usable[TIME_METRIC])})
    session_number = trials.groupby(sessions, dropna=False, sort=False).ngroup()[usable.index]
    rows = [
        {"participant": participant, "session": session, **_fit(points[session_number == number], 1)}
        for number, (participant, session) in enumerate(trials[sessions].drop_duplicates().to_numpy())
    ]
    level = points.groupby(session_number).transform("mean")
    pooled = _fit(points - level + points.mean(), session_number.nunique())
    rows.append({"participant": None, "session": None, **pooled})
    columns = ["participant", "session", "n", *_FIT_COLUMNS]
    return pd.DataFrame(rows, columns=columns).astype(
        {"participant": "str", "session": "str", "n": "Int64"} | dict.fromkeys(_FIT_COLUMNS, "float64")
    )


def _fit(points: pd.DataFrame, levels: int) -> dict[str, Any]:
    """Fit a least-squares line to log time by log position, after `levels` separate levels were removed."""
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
