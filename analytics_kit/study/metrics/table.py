"""Which metrics are there? The catalogue as a DataFrame."""

from __future__ import annotations

import pandas as pd

from analytics_kit.study.metrics.catalogue import CATALOGUE

COLUMNS = (
    "metric", "unit", "definition", "formula", "kinds", "edge", "thresholds", "native", "against_full", "source",
)  # fmt: skip


def metrics() -> pd.DataFrame:
    """A row per metric, in the order of the columns of `StudyResult.trials`.

    Returns
    -------
    metric, unit (`count` is a whole number), definition, formula (docs/metrics.md has its letters and an example),
    kinds (of events without which it is NA; `any`: those that there are), edge (what else makes it NA, or 0),
    thresholds (options that it depends on), native (what the platform's own log, a row each 10 px and 10 ms, gives:
    `exact` on the rows as logged, `estimate`, `unavailable`), against_full (how it compares with a log of full
    resolution, where that was measured and differs; docs/logger.md), source (`-`: none in the literature).

    >>> table = metrics().set_index("metric")
    >>> table.loc["idle_time_s", ["unit", "kinds", "thresholds", "native"]].tolist()
    ['s', 'mouse_movement', 'idle_gap_s', 'estimate']
    """
    rows = [
        (
            metric.name, metric.unit, metric.definition, metric.formula, ", ".join(metric.needs) or "any",
            metric.edge, ", ".join(metric.thresholds), metric.native, metric.against_full, metric.source,
        )
        for metric in CATALOGUE
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")
