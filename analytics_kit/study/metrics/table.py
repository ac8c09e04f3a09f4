"""Show the catalogue of metrics as a DataFrame."""

from __future__ import annotations

import pandas as pd

from analytics_kit.study.metrics.catalogue import CATALOGUE

CATALOGUE_COLUMNS = (
    "metric", "unit", "definition", "formula", "kinds", "edge", "thresholds", "native", "against_full", "source",
)  # fmt: skip


def metrics() -> pd.DataFrame:
    """Return the catalogue of metrics, in the order of the columns of `StudyResult.trials`.

    docs/metrics.md shows the same with a worked example and drawings.

    Returns
    -------
    pandas.DataFrame
        A row per metric, all columns text:

        - metric: its name.
        - unit: `count` marks a whole number (Int64); all other metrics are float64.
        - definition, formula: in words, and in symbols that docs/metrics.md explains.
        - kinds: the kinds of events without which the metric is NA; `any` if it uses whatever kinds there are.
        - edge: what else makes it NA, or 0.
        - thresholds: the options that it depends on.
        - native: how well the platform's own log (a row per 10 px and 10 ms) determines it: `exact` for the rows as
          logged, `estimate`, or `unavailable`.
        - against_full: how it compares with a log of full resolution, where that was measured and differs
          (docs/logger.md).
        - source: where the definition comes from, `-` if not from the literature.

    See Also
    --------
    StudyResult.trials : the metrics of each trial.
    mousetrap_measures : the measures of the R package mousetrap under its own names.

    Examples
    --------
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
    return pd.DataFrame(rows, columns=list(CATALOGUE_COLUMNS), dtype="str")
