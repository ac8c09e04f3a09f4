"""The model of the explorer, without widgets: the chosen trial of a result, its names, figures and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import pandas as pd
import plotly.graph_objects as go

from analytics_kit import plot
from analytics_kit.errors import SettingsError, nearest
from analytics_kit.plot import labels
from analytics_kit.plot.selection import IDENTITY_COLUMNS, ResultLike, TrialFilter, session_order

FIGURES = ("trajectory", "heatmap", "speed_profile", "keystroke_timeline", "session_timeline")
NAME_COLUMNS = ("participant", "task", "factor", "trial")
"""The columns to choose a trial by."""
UNKNOWN_VALUE = "not known"
FIGURE_HEIGHT_PX = 280
"""Height of a figure in the grid."""


class NameOption(NamedTuple):
    """A name to choose: the `value` for `Explorer.choose`, `pd.NA` for an unknown name, and a plain-text label."""

    value: Any
    label: str


class RenderedFigure(NamedTuple):
    """A figure as JSON for plotly's script; title and notes are separate, escaped by plotly's rules."""

    title: str
    notes: str
    json: str


class FormattedMetric(NamedTuple):
    """A metric of a trial as text; the unit is empty for counts, fractions and ratios."""

    name: str
    value: str
    unit: str


@dataclass(frozen=True)
class _SingleTrialResult:
    """A view of a result with only one trial, or none where `row` is None. Each kind of events is read once.

    Events can't distinguish trials that agree in all names and in the position in the session; such trials are shown
    together.
    """

    result: ResultLike
    row: int | None
    _events_by_kind: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def trials(self) -> pd.DataFrame:
        table = self.result.trials
        return table.iloc[[] if self.row is None else [self.row]]

    @property
    def kinds(self) -> Sequence[str]:
        return self.result.kinds if self.row is not None else ()

    def events(self, kind: str, *, columns: Sequence[str] | None = None, **names: object) -> pd.DataFrame:
        if kind not in self._events_by_kind:
            self._events_by_kind[kind] = self._read_events(kind)
        table = TrialFilter(**names).apply(self._events_by_kind[kind])
        return table if columns is None else table[list(columns)]

    def _read_events(self, kind: str) -> pd.DataFrame:
        names = self.trials.iloc[0]
        known_names = {name: names[name] for name in NAME_COLUMNS if not pd.isna(names[name])}
        table = self.result.events(kind, **known_names)
        for name in IDENTITY_COLUMNS:
            column = table[name]
            table = table[column.isna() if pd.isna(names[name]) else (column == names[name]).fillna(False)]
        return table


@dataclass(frozen=True, eq=False)
class Explorer:
    """A selection of trials of a result, and the one that is shown. Immutable; methods return a new one.

    `row` is the row of the shown trial in `result.trials`, None where the result has no trials.
    """

    result: ResultLike
    selection: TrialFilter = field(default_factory=TrialFilter)
    row: int | None = None

    @classmethod
    def of(cls, result: ResultLike) -> Explorer:
        """Select all trials and show the first one."""
        return cls(result)._at_first()

    @property
    def rows(self) -> list[int]:
        """Rows of the selected trials, by participant and then by position in the session."""
        table = self.result.trials.reset_index(drop=True)
        selected = self.selection.apply(table)
        return [int(selected.index[index]) for index in session_order(selected.reset_index(drop=True))]

    @property
    def position(self) -> tuple[int, int]:
        """Position of the trial among those selected, from 1 on, and their number; (0, 0) for none."""
        rows = self.rows
        return (rows.index(self.row) + 1 if self.row in rows else 0), len(rows)

    @property
    def known_names(self) -> dict[str, Any]:
        """The trial's names without unknown ones, as arguments of a figure or of `result.events`."""
        if self.row is None:
            return {}
        names = self.result.trials[list(NAME_COLUMNS)].iloc[self.row].dropna()
        return {str(name): getattr(value, "item", lambda value=value: value)() for name, value in names.items()}

    @property
    def name(self) -> str:
        """`participant 1, Search, Baseline, trial 2` as plain text, without names that no trial has."""
        if self.row is None:
            return ""
        without_prefix = ("task", "factor")
        texts = {
            name: ("" if name in without_prefix else f"{name} ") + labels.value_text(value)
            for name, value in self.known_names.items()
        }
        used = [name for name in NAME_COLUMNS if self.result.trials[name].notna().any()]
        return ", ".join(texts.get(name, f"unknown {name}") for name in used)

    def selected_label(self, column: str) -> str:
        """Return the label of the name that a column is filtered by; empty for all."""
        value = getattr(self.selection, column)
        return "" if value is None else _option(column, value).label

    def choices(self) -> dict[str, list[NameOption]]:
        """Return, by column, the names that occur together with the names chosen in the other columns."""
        table = self.result.trials
        return {name: _options(replace(self.selection, **{name: None}).apply(table)[name]) for name in NAME_COLUMNS}

    def choose(self, **names: object) -> Explorer:
        """Select trials by `participant`, `task`, `factor`, `trial`: a value, `pd.NA` for unknown, None for all.

        Other columns keep their filter. The shown trial stays if it is selected; otherwise the first one is shown.

        Raises
        ------
        SettingsError
            Another column was given, or no trial has these names.
        """
        for name in names:
            if name not in NAME_COLUMNS:
                raise SettingsError(
                    f"Trials can't be chosen by {name!r}.{nearest(name, NAME_COLUMNS)}",
                    hint=f"Choose by {', '.join(NAME_COLUMNS)}.",
                )
        chosen = replace(self, selection=replace(self.selection, **names))
        rows = chosen.rows
        if not rows and len(self.result.trials):
            raise SettingsError(
                f"There is no trial{chosen.selection}.", hint="result.trials lists the names that occur together."
            )
        return chosen if self.row in rows else chosen._at_first()

    def next(self) -> Explorer:
        """Show the next selected trial; the last one stays."""
        return self._step(1)

    def previous(self) -> Explorer:
        """Show the previous selected trial; the first one stays."""
        return self._step(-1)

    def _step(self, by: int) -> Explorer:
        rows = self.rows
        if self.row not in rows:
            return self
        index = rows.index(self.row) + by
        return replace(self, row=rows[index]) if 0 <= index < len(rows) else self

    def _at_first(self) -> Explorer:
        return replace(self, row=next(iter(self.rows), None))

    def figure(self, name: str, **settings: Any) -> go.Figure:
        """Return one of FIGURES of the trial; `settings` are its other arguments. Raises SettingsError."""
        if name not in FIGURES:
            raise SettingsError(
                f"There is no figure {name!r} of a trial.{nearest(name, FIGURES)}",
                hint=f"Figures: {', '.join(FIGURES)}.",
            )
        return getattr(plot, name)(self._single_trial, **settings)

    def figures(self, theme: str) -> dict[str, RenderedFigure]:
        """Return all FIGURES of the trial by name, without the trial's name in their notes; empty without a trial."""
        if self.row is None:
            return {}
        trial_name = labels.selection_label(self._single_trial.trials)
        return {name: _render(self.figure(name, theme=theme), trial_name) for name in FIGURES}

    @cached_property
    def _single_trial(self) -> _SingleTrialResult:
        return _SingleTrialResult(self.result, self.row)

    def metrics(self) -> list[FormattedMetric]:
        """Return the trial's metrics in the order of the table; NA reads `not known`. Empty without a trial."""
        if self.row is None:
            return []
        table = self.result.trials
        row = table.iloc[self.row]
        columns = [str(name) for name in table.select_dtypes("number").columns if name not in IDENTITY_COLUMNS]
        metric_labels = [labels.metric_label(name) for name in columns]
        return [
            FormattedMetric(label.name, _format_number(row[name]), label.unit)
            for name, label in zip(columns, metric_labels, strict=True)
        ]


def _render(figure: go.Figure, trial_name: str) -> RenderedFigure:
    title = figure.layout.title.text
    notes = [note for note in figure.layout.meta["notes"] if note != trial_name]
    top_px = 30 if figure.layout.legend.orientation == "h" else 12
    figure.update_layout(title=None, height=FIGURE_HEIGHT_PX, margin={"t": top_px, "b": 45, "l": 60, "r": 10})
    return RenderedFigure(title, " · ".join(notes), str(figure.to_json()))


def _options(column: pd.Series) -> list[NameOption]:
    """Return the distinct names of a column in order of appearance, unknown last."""
    names = column.dropna().drop_duplicates()
    values = [*names, pd.NA] if column.isna().any() else [*names]
    return [_option(str(column.name), value) for value in values]


def _option(column: str, value: Any) -> NameOption:
    return NameOption(value, f"unknown {column}" if pd.isna(value) else labels.value_text(value))


def _format_number(value: object) -> str:
    """Return whole numbers in full, other numbers with four digits or rounded to whole ones."""
    if pd.isna(cast(float, value)):
        return UNKNOWN_VALUE
    number = cast(float, value) + 0  # no -0
    return f"{number:,.0f}" if abs(number) >= 1_000 or number == int(number) else f"{number:.4g}"
