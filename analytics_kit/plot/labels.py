"""How are trials, kinds and metrics called in a figure, and in which unit?"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

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
"""The unit that a column's name ends in, the longest ending first."""
NAMES = {
    "speed_max": "top speed",
    "speed_max_time": "time of top speed",
    "acceleration_max_time": "time of largest acceleration",
    "maximum_absolute_deviation_time": "time of maximum absolute deviation",
    "inter_key_interval_cv": "coefficient of variation of inter key interval",
    "inter_key_interval_sd": "standard deviation of inter key interval",
    "words_per_minute_gross": "gross words per minute",
    "words_per_minute_net": "net words per minute",
}
STATISTICS = {"mean": "mean", "median": "median", "min": "smallest", "max": "largest"}
"""Endings that are said first: `click_hold_mean` is the mean click hold."""
LONGEST = 32
"""Characters of a name that are shown."""


class Label(NamedTuple):
    """What a metric is called and its unit, which is empty for counts, shares and ratios."""

    name: str
    unit: str

    @property
    def title(self) -> str:
        """`path length (px)`, as on an axis."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def suffix(self) -> str:
        """The unit as it follows a number, with a space before it."""
        return f" {self.unit}" if self.unit else ""


def label(metric: str) -> Label:
    """The label of a metric's column: `speed_mean_px_s` gives mean speed, px/s. It is plain text, not escaped."""
    ending = next((ending for ending in UNITS if metric.endswith(ending)), "")
    stem = metric.removesuffix(ending)
    first, _, last = stem.rpartition("_")
    name = NAMES.get(stem) or (f"{STATISTICS[last]} {first}" if first and last in STATISTICS else stem)
    return Label(name.replace("_", " "), UNITS.get(ending, ""))


def safe(name: object, longest: int = LONGEST) -> str:
    """A name as a figure may show it: shortened, and without what plotly would take for HTML or a formula.

    It is shortened in the middle, since names often differ at their ends only.
    """
    text = " ".join(str(name).split())
    if len(text) > longest:
        end = longest // 3
        text = f"{text[: longest - 1 - end]}…{text[-end:]}"
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("$", "&#36;")):
        text = text.replace(sign, instead)
    return text


def named(column: str, value: object, longest: int = LONGEST) -> str:
    """One name in its words: `participant 3`, `Fill_Form`, `trial 2`; NA is `unknown task`."""
    called = spaced(column)
    if pd.isna(value):  # type: ignore[call-overload]  # any scalar will do
        return f"unknown {called}"
    text = safe(word(value), longest)
    return text if column in ("task", "factor") else f"{called} {text}"


def spaced(column: str) -> str:
    """The name of a column, as a figure may show it."""
    return safe(column.replace("_", " "))


def word(value: object) -> str:
    """A name as text; a whole number has no decimals, whatever its type."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def together(trials: pd.DataFrame) -> str:
    """What a table of trials is of: names that all share, numbers of the others; empty without names.

    `participant 3, Fill_Form, 2 factors, 6 trials`.
    """
    parts = []
    for column in _telling(trials):
        values = trials[column].drop_duplicates()
        if len(values) == 1 and (column != "trial" or len(trials) == 1):
            parts.append(named(column, values.iloc[0]))
        elif column != "trial":
            parts.append(f"{len(values):,} {column}s")
    if len(trials) > 1:
        parts.append(f"{len(trials):,} trials")
    return ", ".join(parts)


def apart(trials: pd.DataFrame, longest: int = LONGEST) -> list[str]:
    """A label for each trial, of the names in which they differ; all names where there is one trial."""
    columns = _telling(trials)
    differing = [name for name in columns if trials[name].nunique(dropna=False) > 1]
    told = [_told(trials[name], longest) for name in differing or columns]
    return [", ".join(row) for row in zip(*told, strict=True)] if told else [""] * len(trials)


def _told(names: pd.Series, longest: int) -> list[str]:
    """Each name in its words, each distinct one put into words once."""
    codes, there = pd.factorize(names)  # NA has code -1, which is the last
    words = [named(str(names.name), value, longest) for value in (*there, pd.NA)]
    return [words[code] for code in codes]


def _telling(trials: pd.DataFrame) -> list[str]:
    """The columns that name a trial; the session only where it is not the participant's only one."""
    columns = [name for name in ("participant", "session", "task", "factor", "trial") if name in trials]
    if {"participant", "session"} <= set(columns):
        pairs = trials[["participant", "session"]].drop_duplicates()
        if not pairs["participant"].duplicated().any():
            columns.remove("session")
    return columns
