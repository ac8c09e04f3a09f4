"""Check the names of metrics and columns that are given to an analysis."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import METRICS_BY_NAME
from analytics_kit.study.schema.columns import TRIAL_COLUMNS


def require_metrics(trials: pd.DataFrame, requested: str | Iterable[str] | None) -> list[str]:
    """Return the names of metrics, each once; all that the trials have for None.

    Raises SettingsError for an unknown metric and for one that was not computed.
    """
    available = [name for name in trials.columns if name in METRICS_BY_NAME]
    if requested is None:
        return available
    names = list(dict.fromkeys([requested] if isinstance(requested, str) else requested))
    if not names:
        raise SettingsError("No metric was named.", hint='For example "completion_time_s".')
    for name in names:
        if name not in METRICS_BY_NAME:
            raise SettingsError(
                f"There is no metric {name!r}.{nearest(name, METRICS_BY_NAME)}",
                hint="analytics_kit.metrics() lists them.",
            )
        if name not in available:
            raise SettingsError(
                f"The metric {name} was not computed.", hint="Process the study with metrics=None, or name it there."
            )
    return names


def joined_columns(trials: pd.DataFrame) -> list[str]:
    """Return the columns that `StudyResult.join` has added."""
    return [name for name in trials.columns if name not in METRICS_BY_NAME and name not in TRIAL_COLUMNS]


def require_group_column(trials: pd.DataFrame, name: str, allowed: Iterable[str]) -> None:
    """Raise SettingsError unless a column is `allowed` or was joined."""
    known = [*allowed, *joined_columns(trials)]
    if name not in known:
        raise SettingsError(
            f"Trials can't be grouped by {name!r}.{nearest(str(name), known)}",
            hint=f"Group by {', '.join(known)}; result.join(table) adds columns.",
        )
