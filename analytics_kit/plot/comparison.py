"""How do trials differ: a metric by task and factor, and along the session."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from analytics_kit.plot import labels as words
from analytics_kit.plot import style, thinning
from analytics_kit.plot.selection import Choice, Source, require_metric, trials_of

GROUP_WIDTH = 0.8
"""Of the distance between two places on the axis, taken by the points of one."""
MOST_LABELS = 40
MOST_SYMBOLS_PX = 400
"""Room for the medians beside one another."""
MANY_POINTS = 500
"""More are drawn smaller."""
MOST_LINES = 200
LONGEST_METRIC = 60
"""Characters of a metric's name that are shown."""
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
QUARTILES = np.array([0.25, 0.5, 0.75])
GOLDEN = (5**0.5 - 1) / 2


def task_comparison(
    result: Source,
    metric: str,
    *,
    by: str = "task",
    factor: str | None = "factor",
    participant: object = None,
    task: object = None,
    theme: str = "light",
) -> go.Figure:
    """A metric of each trial, and median and quartiles, by task and factor.

    Parameters
    ----------
    result
        A StudyResult, or a DataFrame of trials.
    metric
        A column of numbers, such as `"path_length_px"`; the axis carries its unit.
    by, factor
        Columns of names: the places on the axis, and what has a colour and symbol of its own. `factor=None` splits no
        further. Names that are not known are shown as unknown.
    participant, task
        A value or a list of values to choose by.
    theme
        `"light"` or `"dark"`.

    Of more than 10,000 trials every nth is drawn, all count for medians and quartiles; trials where the metric is NA
    are left out. The figure says both. Raises SettingsError for unknown columns, metrics and themes, with the nearest
    name.
    """
    look = style.theme_of(theme)
    choice = Choice(participant=participant, task=task)
    trials = trials_of(result, choice, [by] if factor is None else [by, factor])
    require_metric(trials, metric)
    label = _shown(metric)
    title = f"{_capital(label.name)} by {words.spaced(by)}"
    known = trials[trials[metric].notna()]
    if not len(known):
        return style.empty(title, f"No trial{choice} has a {label.name}.", look)
    places, names = _groups(known[by])
    series, series_names = _groups(known[factor]) if factor else (np.zeros(len(known), np.int64), [""])
    width = GROUP_WIDTH / len(series_names)
    x = places + (series - (len(series_names) - 1) / 2) * width
    y = known[metric].to_numpy(float)
    drawn = thinning.every(len(known))
    trial_names = np.array(words.apart(known.iloc[drawn]))
    small_px = 5 if len(drawn) <= MANY_POINTS else 3
    large_px = float(np.clip(MOST_SYMBOLS_PX / (len(names) * len(series_names)), 6, 14))
    traces = []
    for number, name in enumerate(series_names):
        marks = style.looks(look, number)
        called = {"name": name, "legendgroup": str(number)}
        mine = series[drawn] == number
        points = drawn[mine]
        small = marks | {"size": small_px}
        traces.append(_points(x[points], y[points], trial_names[mine], width, small) | called)
        mine = series == number
        traces.append(_medians(x[mine], y[mine], marks | {"size": large_px}, look, label) | called)
    missing = len(trials) - len(known)
    notes = [
        words.together(known),
        "large symbol: median; bar: quartiles (the middle half of the trials)",
        thinning.note(len(known), "trials"),
        f"{words.counted(missing, 'trial')} without a value" if missing else "",
    ]
    for trace in traces:
        before, after = trace.pop("around")
        trace["hovertemplate"] = f"{before}%{{y:,.4~g}}{label.suffix}{after}<extra></extra>"
    shown = thinning.every(len(names), MOST_LABELS)
    axes = {
        "xaxis": {
            "title": words.spaced(by), "tickvals": shown, "ticktext": [names[place] for place in shown],
            "range": [-0.5, len(names) - 0.5], "showgrid": False,
        },
        "yaxis": {"title": label.title},
    }  # fmt: skip
    return style.figure(traces, title, notes, look, **axes, showlegend=factor is not None)


def _groups(names: pd.Series) -> tuple[Numbers, list[str]]:
    """For each row its place among the distinct names, and those, sorted, in words; NA comes last."""
    codes, there = pd.factorize(names, sort=True)
    told = [words.named(str(names.name), value) for value in there]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(told), codes)
        told.append(words.named(str(names.name), pd.NA))
    return codes.astype(np.int64), told


def _points(
    x: Floats, y: Floats, trial_names: npt.NDArray[np.str_], width: float, marks: dict[str, Any]
) -> dict[str, Any]:
    """A point per trial, spread over the width of its group; the same always, since nothing is drawn by lot."""
    spread = (0.5 + np.arange(len(x)) * GOLDEN) % 1 - 0.5
    return {
        "type": "scatter", "mode": "markers", "x": x + spread * width * 0.7, "y": y, "showlegend": False,
        "marker": {**marks, "symbol": f"{marks['symbol']}-open"},
        "text": trial_names, "around": ("%{text}<br>", ""),
    }  # fmt: skip


def _medians(x: Floats, y: Floats, marks: dict[str, Any], look: style.Theme, label: words.Label) -> dict[str, Any]:
    """The median at each place, with a bar from the lower to the upper quartile."""
    summary = pd.Series(y).groupby(x).quantile(QUARTILES).unstack()
    low, median, high = (summary[share].to_numpy(float) for share in QUARTILES)
    counts = pd.Series(y).groupby(x).size().to_numpy()
    return {
        "type": "scatter", "mode": "markers", "x": summary.index.to_numpy(float), "y": median,
        "marker": {**marks, "line": {"color": look.ink, "width": 1.5}},
        "error_y": {
            "array": high - median, "arrayminus": median - low, "color": look.ink, "thickness": 2, "width": 6,
        },
        "customdata": np.stack([low, high, counts], axis=1),
        "around": (
            "median of %{customdata[2]:,}<br>",
            f"<br>quartiles %{{customdata[0]:,.4~g}} and %{{customdata[1]:,.4~g}}{label.suffix}",
        ),
    }  # fmt: skip


def learning_curve(
    result: Source,
    metric: str,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    theme: str = "light",
) -> go.Figure:
    """A metric along the session: a thin line per participant and session by `trial_order`, the median bold.

    Of more than 200 sessions every nth is drawn, all count for the median; trials without a value or without a place
    in their session (`trial_order` is NA) are left out. The figure says both. See `task_comparison` for the
    parameters and errors.
    """
    look = style.theme_of(theme)
    choice = Choice(participant, task, factor)
    trials = trials_of(result, choice, ["participant", "trial_order"])
    require_metric(trials, metric)
    label = _shown(metric)
    title = f"{_capital(label.name)} along the session"
    known = trials[trials[[metric, "trial_order"]].notna().all(axis=1)]
    if not len(known):
        return style.empty(title, f"No trial{choice} has a {label.name} and a place in its session.", look)
    whose = [name for name in ("participant", "session") if name in known]
    line_of = np.asarray(known.groupby(whose, dropna=False, sort=False).ngroup(), np.int64)
    names = words.apart(known[whose].drop_duplicates())
    along = np.argsort(known["trial_order"].to_numpy(np.int64), kind="stable")
    order, y, line_of = (
        values[along] for values in (known["trial_order"].to_numpy(np.int64), known[metric].to_numpy(float), line_of)
    )
    value = f"%{{y:,.4~g}}{label.suffix}<extra></extra>"
    line = {"color": look.quiet, "width": 1}
    traces: list[dict[str, Any]] = []
    for number in thinning.every(len(names), MOST_LINES):
        mine = line_of == number
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": names[number], "x": order[mine], "y": y[mine],
                "line": line, "marker": {"color": look.quiet, "size": 3},
                "hovertemplate": f"%{{fullData.name}}<br>place %{{x}}<br>{value}",
            }
        )  # fmt: skip
    groups = pd.Series(y).groupby(order)
    traces.append(
        {
            "type": "scatter", "mode": "lines+markers", "name": "median", "x": groups.size().index.to_numpy(np.int64),
            "y": groups.median().to_numpy(float), "customdata": groups.size().to_numpy(np.int64),
            "line": {"color": look.categories[0], "width": 4}, "marker": {"size": 8},
            "hovertemplate": f"median of %{{customdata}}<br>place %{{x}}<br>{value}",
        }
    )  # fmt: skip
    missing = len(trials) - len(known)
    notes = [
        words.together(known),
        f"thin: {words.counted(len(names), 'session')}, bold: the median",
        thinning.note(len(names), "sessions", MOST_LINES),
        f"{words.counted(missing, 'trial')} without a value or a place" if missing else "",
    ]
    whole = {"dtick": 1} if np.ptp(order) < 10 else {}  # there is no half place
    axes = {"xaxis": {"title": "place of the trial in its session", **whole}, "yaxis": {"title": label.title}}
    return style.figure(traces, title, notes, look, **axes)


def _shown(metric: str) -> words.Label:
    """The label of a metric, as a figure may show it: it is the name of a column, which may be anything."""
    name, unit = words.label(metric)
    return words.Label(words.safe(name, LONGEST_METRIC), unit)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
