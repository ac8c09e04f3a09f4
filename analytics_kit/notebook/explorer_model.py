"""Which trial of a result is looked at, what else could be chosen, and what is there to see of it; no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import pandas as pd
import plotly.graph_objects as go

from analytics_kit import plot
from analytics_kit.errors import SettingsError, nearest
from analytics_kit.plot import words
from analytics_kit.plot.tables import TRIAL, Choice, Results, in_session

FIGURES = ("trajectory", "heatmap", "speed_profile", "keystroke_timeline", "session_timeline")
NAMES = ("participant", "task", "factor", "trial")
UNKNOWN = "not known"


class Option(NamedTuple):
    """A name that can be chosen: `value` is what `choose` takes, `pd.NA` if it is not known.

    `words` is what people see, as plain text: it is not escaped.
    """

    value: Any
    words: str


class Measure(NamedTuple):
    """A metric of a trial as people read it; the unit is empty for counts, shares and ratios."""

    name: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True)
class _OneTrial:
    """A result of which only one trial is seen; none where `row` is None.

    Trials whose names all agree, the place in the session too, can't be told apart by events and are seen together.
    """

    result: Results
    row: int | None

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
        names = self.trials.iloc[0]
        known = {name: names[name] for name in NAMES if not pd.isna(names[name])}
        table = self.result.events(kind, **known)
        for name in TRIAL:
            column = table[name]
            table = table[column.isna() if pd.isna(names[name]) else (column == names[name]).fillna(False)]
        table = Choice(participant, task, factor, trial).of(table)
        return table if columns is None else table[list(columns)]


@dataclass(frozen=True, slots=True, eq=False)
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
        return getattr(plot, name)(_OneTrial(self.result, self.row), **settings)

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


def _by() -> str:
    return f"Choose by {', '.join(NAMES)}."


def _options(column: pd.Series) -> list[Option]:
    """The distinct names of a column as they come, what is not known last."""
    there = column.dropna().drop_duplicates()
    options = [Option(value, words.word(value)) for value in there]
    return [*options, Option(pd.NA, f"unknown {column.name}")] if column.isna().any() else options


def _number(value: object) -> str:
    """Whole numbers in full, others with four digits or to the whole."""
    if pd.isna(cast(float, value)):
        return UNKNOWN
    number = cast(float, value) + 0  # no -0
    return f"{number:,.0f}" if abs(number) >= 1_000 or number == int(number) else f"{number:.4g}"
