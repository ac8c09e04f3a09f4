"""Labels of trials, kinds of events and metrics in figures, with units."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from analytics_kit.visible_text import visible

UNITS = {
    "_px_s2": "px/s²",
    "_px_s": "px/s",
    "_rad_px": "rad/px",
    "_px2": "px²",
    "_px": "px",
    "_per_min": "1/min",
    "_per_s": "1/s",
    "_rad": "rad",
    "_s": "s",
}
"""Units by the ending of a column's name, the longest ending first."""
METRIC_LABELS = {
    "speed_max": "top speed",
    "speed_max_time": "time of top speed",
    "acceleration_max_time": "time of largest acceleration",
    "maximum_absolute_deviation_time": "time of maximum absolute deviation",
    "inter_key_interval_cv": "coefficient of variation of inter key interval",
    "inter_key_interval_sd": "standard deviation of inter key interval",
    "words_per_minute_gross": "gross words per minute",
    "words_per_minute_net": "net words per minute",
}
"""Names of metrics that the column's name does not give."""
STATISTICS = {"mean": "mean", "median": "median", "min": "smallest", "max": "largest"}
"""Endings that come first in a label: `click_hold_mean` is the mean click hold."""
MAX_NAME_LENGTH = 32
"""Characters of a name that are shown."""


class MetricLabel(NamedTuple):
    """Name and unit of a metric; the unit is empty for counts, fractions and ratios."""

    name: str
    unit: str

    @property
    def title(self) -> str:
        """Name and unit as on an axis: `path length (px)`."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def suffix(self) -> str:
        """The unit to append to a number, with a space before it."""
        return f" {self.unit}" if self.unit else ""


def metric_label(column: str) -> MetricLabel:
    """Return the label of a metric's column as plain text, not escaped.

    Examples
    --------
    >>> metric_label("speed_mean_px_s")
    MetricLabel(name='mean speed', unit='px/s')
    """
    ending = next((ending for ending in UNITS if column.endswith(ending)), "")
    stem = column.removesuffix(ending)
    quantity, _, statistic = stem.rpartition("_")
    has_statistic = bool(quantity) and statistic in STATISTICS
    name = METRIC_LABELS.get(stem) or (f"{STATISTICS[statistic]} {quantity}" if has_statistic else stem)
    return MetricLabel(name.replace("_", " "), UNITS.get(ending, ""))


def safe_text(value: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """Return a text that is shortened and escaped, because plotly reads some characters as HTML or a formula.

    It is shortened in the middle, since names often differ only at their ends.

    Examples
    --------
    >>> safe_text("<b>$x$</b>")
    '&lt;b&gt;&#36;x&#36;&lt;/b&gt;'
    >>> safe_text("Search for an article, long list", 20)
    'Search for an…g list'
    """
    text = visible(" ".join(str(value).split()))
    if len(text) > max_length:
        end = max_length // 3
        text = f"{text[: max_length - 1 - end]}…{text[-end:]}"
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("$", "&#36;")):
        text = text.replace(sign, entity)
    return text


def name_text(column: str, value: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """Return a name as text: `participant 3`, `Fill_Form`, `trial 2`; NA gives `unknown task`."""
    prefix = column_text(column)
    if pd.isna(value):  # type: ignore[call-overload]  # any scalar will do
        return f"unknown {prefix}"
    text = safe_text(value_text(value), max_length)
    return text if column in ("task", "factor") else f"{prefix} {text}"


def column_text(column: str) -> str:
    """Return the name of a column as text."""
    return safe_text(column.replace("_", " "))


def value_text(value: object) -> str:
    """Return a value as text; a whole number has no decimals, whatever its type."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def selection_label(trials: pd.DataFrame) -> str:
    """Return what a selection of trials has in common, and counts of what differs; empty without name columns.

    Examples
    --------
    >>> selection_label(pd.DataFrame({"participant": ["3", "3"], "task": ["Search", "Form"], "trial": [1, 2]}))
    'participant 3, 2 tasks, 2 trials'
    """
    parts = []
    for column in _name_columns(trials):
        values = trials[column].drop_duplicates()
        if len(values) == 1 and (column != "trial" or len(trials) == 1):
            parts.append(name_text(column, values.iloc[0]))
        elif column != "trial":
            parts.append(f"{len(values):,} {column}s")
    if len(trials) > 1:
        parts.append(f"{len(trials):,} trials")
    return ", ".join(parts)


def trial_labels(trials: pd.DataFrame, max_length: int = MAX_NAME_LENGTH) -> list[str]:
    """Return a label for each trial: the names in which the trials differ; all names where there is one trial.

    Examples
    --------
    >>> trial_labels(pd.DataFrame({"participant": ["3", "3"], "task": ["Search", None], "trial": [1, 2]}))
    ['Search, trial 1', 'unknown task, trial 2']
    """
    columns = _name_columns(trials)
    differing = [name for name in columns if trials[name].nunique(dropna=False) > 1]
    texts = [_name_texts(trials[name], max_length) for name in differing or columns]
    return [", ".join(row) for row in zip(*texts, strict=True)] if texts else [""] * len(trials)


def _name_texts(names: pd.Series, max_length: int) -> list[str]:
    """Return each name as text; each distinct name is formatted once."""
    codes, distinct = pd.factorize(names)  # NA has code -1, which indexes the last text
    texts = [name_text(str(names.name), value, max_length) for value in (*distinct, pd.NA)]
    return [texts[code] for code in codes]


def _name_columns(trials: pd.DataFrame) -> list[str]:
    """Return the columns that name a trial, with the session only where a participant has several."""
    columns = [name for name in ("participant", "session", "task", "factor", "trial") if name in trials]
    if {"participant", "session"} <= set(columns):
        pairs = trials[["participant", "session"]].drop_duplicates()
        if not pairs["participant"].duplicated().any():
            columns.remove("session")
    return columns
