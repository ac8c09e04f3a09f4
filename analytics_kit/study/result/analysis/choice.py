"""Which metrics and which columns of names were asked for, and are they there?"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.study.metrics.catalogue import BY_NAME
from analytics_kit.study.schema.columns import TRIAL_COLUMNS


def metrics_of(trials: pd.DataFrame, asked: str | Iterable[str] | None) -> list[str]:
    """Names of metrics, each once; None for all that the trials have. Raises SettingsError for what they lack."""
    there = [name for name in trials.columns if name in BY_NAME]
    if asked is None:
        return there
    names = list(dict.fromkeys([asked] if isinstance(asked, str) else asked))
    if not names:
        raise SettingsError("No metric was named.", hint='For example "completion_time_s".')
    for name in names:
        if name not in BY_NAME:
            raise SettingsError(
                f"There is no metric {name!r}.{nearest(name, BY_NAME)}", hint="analytics_kit.metrics() lists them."
            )
        if name not in there:
            raise SettingsError(
                f"The metric {name} was not computed.", hint="Process the study with metrics=None, or name it there."
            )
    return names


def joined_columns(trials: pd.DataFrame) -> list[str]:
    """The columns that `join` has added."""
    return [name for name in trials.columns if name not in BY_NAME and name not in TRIAL_COLUMNS]


def require_column(trials: pd.DataFrame, name: str, own: Iterable[str]) -> None:
    """Raises SettingsError where a column is none of `own` and none that was joined."""
    known = [*own, *joined_columns(trials)]
    if name not in known:
        raise SettingsError(
            f"Trials can't be grouped by {name!r}.{nearest(str(name), known)}",
            hint=f"Group by {', '.join(known)}; result.join(table) adds columns.",
        )
