"""Which trial of a result is looked at, what else could be chosen, and what is there to see of it; no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import pandas as pd
import plotly.graph_objects as go

from analytics_kit import plot
from analytics_kit.errors import SettingsError, nearest
from analytics_kit.plot import labels as words
from analytics_kit.plot.selection import TRIAL, Choice, Results, in_session

FIGURES = ("trajectory", "heatmap", "speed_profile", "keystroke_timeline", "session_timeline")
NAMES = ("participant", "task", "factor", "trial")
UNKNOWN = "not known"
HEIGHT_PX = 280
"""Of a figure beside others."""


class Option(NamedTuple):
    """A name that can be chosen: `value` is what `choose` takes, `pd.NA` if it is not known.

    `words` is what people see, as plain text: it is not escaped.
    """

    value: Any
    words: str


class Drawing(NamedTuple):
    """A figure with its words beside it: `notes` as plotly has them, escaped. `json` is for plotly's script."""

    title: str
    notes: str
    json: str


class Measure(NamedTuple):
    """A metric of a trial as people read it; the unit is empty for counts, shares and ratios."""

    name: str
    value: str
    unit: str


@dataclass(frozen=True)
class _OneTrial:
    """A result of which only one trial is seen; none where `row` is None. Each kind is read once.

    Trials whose names all agree, the place in the session too, can't be told apart by events and are seen together.
    """

    result: Results
    row: int | None
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def trials(self) -> pd.DataFrame:
        table = self.result.trials
        return table.iloc[[] if self.row is None else [self.row]]

    @property
    def kinds(self) -> Sequence[str]:
        return self.result.kinds if self.row is not None else ()

    def events(
        self,
        kind: str,
        *,
        participant: object = None,
        task: object = None,
        factor: object = None,
        trial: object = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        if kind not in self._read:
            self._read[kind] = self._events(kind)
        table = Choice(participant, task, factor, trial).of(self._read[kind])
        return table if columns is None else table[list(columns)]

    def _events(self, kind: str) -> pd.DataFrame:
        names = self.trials.iloc[0]
        known = {name: names[name] for name in NAMES if not pd.isna(names[name])}
        table = self.result.events(kind, **known)
        for name in TRIAL:
            column = table[name]
            table = table[column.isna() if pd.isna(names[name]) else (column == names[name]).fillna(False)]
        return table


@dataclass(frozen=True, eq=False)
class Explorer:
    """A choice of trials of a result, and the one of them that is looked at. It never changes; verbs give a new one.

    `row` is the row of `result.trials`, None where the result has no trial.
    """

    result: Results
    choice: Choice = field(default_factory=Choice)
    row: int | None = None

    @classmethod
    def of(cls, result: Results) -> Explorer:
        """All trials, the first one looked at."""
        return cls(result)._at_first()

    @property
    def rows(self) -> list[int]:
        """Rows of the trials chosen, by participant and then by their place in the session."""
        table = self.result.trials.reset_index(drop=True)
        chosen = self.choice.of(table)
        return [int(chosen.index[place]) for place in in_session(chosen.reset_index(drop=True))]

    @property
    def place(self) -> tuple[int, int]:
        """The place of the trial among those chosen, from 1 on, and how many these are; (0, 0) for none."""
        rows = self.rows
        return (rows.index(self.row) + 1 if self.row in rows else 0), len(rows)

    @property
    def known(self) -> dict[str, Any]:
        """The trial's names as far as they are known; what chooses it in a figure or in `result.events`."""
        if self.row is None:
            return {}
        names = self.result.trials[list(NAMES)].iloc[self.row].dropna()
        return {str(name): getattr(value, "item", lambda value=value: value)() for name, value in names.items()}

    @property
    def name(self) -> str:
        """`participant 1, Search, Baseline, trial 2` as plain text, without names that no trial has."""
        if self.row is None:
            return ""
        known, bare = self.known, ("task", "factor")
        told = {name: ("" if name in bare else f"{name} ") + words.word(value) for name, value in known.items()}
        named = [name for name in NAMES if self.result.trials[name].notna().any()]
        return ", ".join(told.get(name, f"unknown {name}") for name in named)

    def chosen(self, column: str) -> str:
        """The name that is chosen in a column, in the words of its option; empty for all."""
        value = getattr(self.choice, column)
        return "" if value is None else _option(column, value).words

    def choices(self) -> dict[str, list[Option]]:
        """What can be chosen, by column: the names that occur together with what is chosen in the other columns."""
        table = self.result.trials
        return {name: _options(replace(self.choice, **{name: None}).of(table)[name]) for name in NAMES}

    def choose(self, **names: object) -> Explorer:
        """Choose by `participant`, `task`, `factor`, `trial`: a value, `pd.NA` for what is not known, None for all.

        What is not given stays as it is, and so does the trial if it is among those chosen; else it is the first.
        Raises SettingsError for other columns, and where no trial would be left.
        """
        for name in names:
            if name not in NAMES:
                raise SettingsError(f"Trials can't be chosen by {name!r}.{nearest(name, NAMES)}", hint=_by())
        chosen = replace(self, choice=replace(self.choice, **names))
        rows = chosen.rows
        if not rows and len(self.result.trials):
            raise SettingsError(f"There is no trial{chosen.choice}.", hint="choices() lists what goes together.")
        return chosen if self.row in rows else chosen._at_first()

    def next(self) -> Explorer:
        """The trial after this one among those chosen; the last stays."""
        return self._step(1)

    def previous(self) -> Explorer:
        """The trial before this one among those chosen; the first stays."""
        return self._step(-1)

    def _step(self, by: int) -> Explorer:
        rows = self.rows
        if self.row not in rows:
            return self
        place = rows.index(self.row) + by
        return replace(self, row=rows[place]) if 0 <= place < len(rows) else self

    def _at_first(self) -> Explorer:
        return replace(self, row=next(iter(self.rows), None))

    def figure(self, name: str, **settings: Any) -> go.Figure:
        """One of FIGURES of the trial, with that figure's other arguments, such as `theme`. Raises SettingsError."""
        if name not in FIGURES:
            raise SettingsError(
                f"There is no figure {name!r} of a trial.{nearest(name, FIGURES)}",
                hint=f"Figures: {', '.join(FIGURES)}.",
            )
        return getattr(plot, name)(self._trial, **settings)

    def drawings(self, theme: str) -> dict[str, Drawing]:
        """All FIGURES of the trial by name; none without a trial. Notes leave out the trial's name."""
        if self.row is None:
            return {}
        name = words.together(self._trial.trials)
        return {figure: _drawing(self.figure(figure, theme=theme), name) for figure in FIGURES}

    @cached_property
    def _trial(self) -> _OneTrial:
        return _OneTrial(self.result, self.row)

    def metrics(self) -> list[Measure]:
        """The metrics of the trial, in the order of the table; NA reads `not known`. Empty without a trial."""
        if self.row is None:
            return []
        table = self.result.trials
        row = table.iloc[self.row]
        numbers = [str(name) for name in table.select_dtypes("number").columns if name not in TRIAL]
        labels = [words.label(name) for name in numbers]
        return [
            Measure(label.name, _number(row[name]), label.unit) for name, label in zip(numbers, labels, strict=True)
        ]


def _drawing(figure: go.Figure, name: str) -> Drawing:
    title = figure.layout.title.text
    notes = [note for note in figure.layout.meta["notes"] if note != name]
    legend = 30 if figure.layout.legend.orientation == "h" else 12
    figure.update_layout(title=None, height=HEIGHT_PX, margin={"t": legend, "b": 45, "l": 60, "r": 10})
    return Drawing(title, " · ".join(notes), str(figure.to_json()))


def _by() -> str:
    return f"Choose by {', '.join(NAMES)}."


def _options(column: pd.Series) -> list[Option]:
    """The distinct names of a column as they come, what is not known last."""
    there = column.dropna().drop_duplicates()
    values = [*there, pd.NA] if column.isna().any() else [*there]
    return [_option(str(column.name), value) for value in values]


def _option(column: str, value: Any) -> Option:
    return Option(value, f"unknown {column}" if pd.isna(value) else words.word(value))


def _number(value: object) -> str:
    """Whole numbers in full, others with four digits or to the whole."""
    if pd.isna(cast(float, value)):
        return UNKNOWN
    number = cast(float, value) + 0  # no -0
    return f"{number:,.0f}" if abs(number) >= 1_000 or number == int(number) else f"{number:.4g}"
