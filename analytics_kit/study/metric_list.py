"""Which metrics are there? The catalogue as a DataFrame."""

from __future__ import annotations

import pandas as pd

from analytics_kit.study.catalogue import CATALOGUE


def metrics() -> pd.DataFrame:
    """A row per metric, in the order of the columns of `StudyResult.trials`.

    Returns
    -------
    metric, unit (`count` is a whole number), definition, source (`-`: none in the literature), kinds (of events
    without which it is NA; `any`: those that there are), thresholds (options that it depends on), native (what the
    platform's own log, a row each 10 px and 10 ms, gives: `exact` on the rows as logged, `estimate`, `unavailable`),
    against_full (how it compares with a log of full resolution, where that was measured).

    >>> table = metrics().set_index("metric")
    >>> table.loc["idle_time_s", ["unit", "kinds", "thresholds", "native"]].tolist()
    ['s', 'mouse_movement', 'idle_gap_s', 'estimate']
    """
    rows = [
        (
            metric.name, metric.unit, metric.definition, metric.source, ", ".join(metric.needs) or "any",
            ", ".join(metric.thresholds), metric.native, metric.against_full,
        )
        for metric in CATALOGUE
    ]  # fmt: skip
    columns = ["metric", "unit", "definition", "source", "kinds", "thresholds", "native", "against_full"]
    return pd.DataFrame(rows, columns=columns, dtype="str")
