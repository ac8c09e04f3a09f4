"""Figures that compare trials: a metric by task and factor, and along the session."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from analytics_kit import job_text
from analytics_kit.plot import labels, style, thinning
from analytics_kit.plot.arrays import FloatArray, IntArray
from analytics_kit.plot.labels import MetricLabel
from analytics_kit.plot.selection import FigureSource, TrialFilter, require_metric, select_trials

GROUP_WIDTH = 0.8
"""Width of the points of one group, as a fraction of the distance between two groups on the axis."""
MAX_TICK_LABELS = 40
MEDIANS_WIDTH_PX = 400
"""Room for all medians beside one another."""
MANY_POINTS = 500
"""More points are drawn smaller."""
MAX_SESSION_LINES = 200
MAX_METRIC_LENGTH = 60
"""Characters of a metric's name that are shown."""
QUARTILES = np.array([0.25, 0.5, 0.75])
GOLDEN_RATIO = (5**0.5 - 1) / 2


def task_comparison(
    result: FigureSource,
    metric: str,
    *,
    by: str = "task",
    factor: str | None = "factor",
    participant: object = None,
    task: object = None,
    theme: str = "light",
) -> go.Figure:
    """Draw a metric of each trial, with median and quartiles, by task and factor.

    Of more than 10,000 trials every nth is drawn, but all count for medians and quartiles. Trials where the metric is
    NA are left out. Notes in the figure state both.

    Parameters
    ----------
    result : StudyResult or DataFrame
        A result, or a table of trials.
    metric : str
        A column of numbers, such as `"path_length_px"`; the axis carries its unit.
    by : str
        The column whose names are the groups on the axis.
    factor : str, optional
        The column whose names have colours and symbols of their own; None splits no further. Unknown names are shown
        as unknown.
    participant, task
        A value or a list of values to select by.
    theme : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        A column, the metric or the theme is unknown; the message has the nearest name.

    See Also
    --------
    learning_curve

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"task": ["A", "A", "B"], "path_length_px": [10.0, 30.0, 50.0]})
    >>> points, medians = task_comparison(trials, "path_length_px", factor=None).data
    >>> medians.y.tolist()
    [20.0, 50.0]
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant=participant, task=task)
    trials = select_trials(result, trial_filter, [by] if factor is None else [by, factor])
    require_metric(trials, metric)
    label = _metric_label(metric)
    title = f"{_capitalized(label.name)} by {labels.column_text(by)}"
    with_value = trials[trials[metric].notna()]
    if not len(with_value):
        return style.empty_figure(title, f"No trial{trial_filter} has a {label.name}.", palette)
    group, group_names = _number_names(with_value[by])
    series, series_names = (
        _number_names(with_value[factor]) if factor else (np.zeros(len(with_value), np.int64), [""])
    )
    width = GROUP_WIDTH / len(series_names)
    x = group + (series - (len(series_names) - 1) / 2) * width
    y = with_value[metric].to_numpy(float)
    drawn = thinning.every_nth(len(with_value))
    trial_names = np.array(labels.trial_labels(with_value.iloc[drawn]))
    point_px = 5 if len(drawn) <= MANY_POINTS else 3
    median_px = float(np.clip(MEDIANS_WIDTH_PX / (len(group_names) * len(series_names)), 6, 14))
    traces = []
    for number, name in enumerate(series_names):
        marker = style.category_marker(palette, number)
        legend = {"name": name, "legendgroup": str(number)}
        in_series = series[drawn] == number
        points = drawn[in_series]
        trace = _points(x[points], y[points], trial_names[in_series], width, marker | {"size": point_px}, label)
        traces.append(trace | legend)
        in_series = series == number
        trace = _medians(x[in_series], y[in_series], marker | {"size": median_px}, palette, label)
        traces.append(trace | legend)
    missing = len(trials) - len(with_value)
    notes = [
        labels.selection_label(with_value),
        "large symbol: median; bar: quartiles (the middle half of the trials)",
        thinning.note(len(with_value), "trials"),
        f"{job_text.count(missing, 'trial')} without a value" if missing else "",
    ]
    labelled = thinning.every_nth(len(group_names), MAX_TICK_LABELS)
    axes = {
        "xaxis": {
            "title": labels.column_text(by), "tickvals": labelled,
            "ticktext": [group_names[index] for index in labelled],
            "range": [-0.5, len(group_names) - 0.5], "showgrid": False,
        },
        "yaxis": {"title": label.title},
    }  # fmt: skip
    return style.figure(traces, title, notes, palette, **axes, showlegend=factor is not None)


def _number_names(names: pd.Series) -> tuple[IntArray, list[str]]:
    """Return the number of each row's name among the sorted distinct names, and their texts; NA comes last."""
    codes, distinct = pd.factorize(names, sort=True)
    texts = [labels.name_text(str(names.name), value) for value in distinct]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(texts), codes)
        texts.append(labels.name_text(str(names.name), pd.NA))
    return codes.astype(np.int64), texts


def _points(
    x: FloatArray,
    y: FloatArray,
    trial_names: npt.NDArray[np.str_],
    width: float,
    marker: dict[str, Any],
    label: MetricLabel,
) -> dict[str, Any]:
    """Return a point per trial, spread over the width of its group by a fixed sequence rather than at random."""
    spread = (0.5 + np.arange(len(x)) * GOLDEN_RATIO) % 1 - 0.5
    return {
        "type": "scatter", "mode": "markers", "x": x + spread * width * 0.7, "y": y, "showlegend": False,
        "marker": {**marker, "symbol": f"{marker['symbol']}-open"},
        "text": trial_names, "hovertemplate": f"%{{text}}<br>%{{y:,.4~g}}{label.suffix}<extra></extra>",
    }  # fmt: skip


def _medians(
    x: FloatArray, y: FloatArray, marker: dict[str, Any], palette: style.Palette, label: MetricLabel
) -> dict[str, Any]:
    """Return the median at each x, with a bar from the lower to the upper quartile."""
    summary = pd.Series(y).groupby(x).quantile(QUARTILES).unstack()
    low, median, high = (summary[quantile].to_numpy(float) for quantile in QUARTILES)
    counts = pd.Series(y).groupby(x).size().to_numpy()
    return {
        "type": "scatter", "mode": "markers", "x": summary.index.to_numpy(float), "y": median,
        "marker": {**marker, "line": {"color": palette.ink, "width": 1.5}},
        "error_y": {
            "array": high - median, "arrayminus": median - low, "color": palette.ink, "thickness": 2, "width": 6,
        },
        "customdata": np.stack([low, high, counts], axis=1),
        "hovertemplate": (
            f"median of %{{customdata[2]:,}}<br>%{{y:,.4~g}}{label.suffix}"
            f"<br>quartiles %{{customdata[0]:,.4~g}} and %{{customdata[1]:,.4~g}}{label.suffix}<extra></extra>"
        ),
    }  # fmt: skip


def learning_curve(
    result: FigureSource,
    metric: str,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    theme: str = "light",
) -> go.Figure:
    """Draw a metric along the session: a thin line per participant and session, and the median in bold.

    Lines follow `trial_order`. Of more than 200 sessions every nth is drawn, but all count for the median. Trials
    without a value, or without a position in their session (`trial_order` is NA), are left out. Notes in the
    figure state both.

    Parameters
    ----------
    result : StudyResult or DataFrame
        A result, or a table of trials with `participant` and `trial_order`.
    metric : str
        A column of numbers, such as `"path_length_px"`; the axis carries its unit.
    participant, task, factor
        A value or a list of values to select by.
    theme : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        A column, the metric or the theme is unknown; the message has the nearest name.

    See Also
    --------
    task_comparison

    Examples
    --------
    >>> import pandas as pd
    >>> order = {"participant": ["1", "1", "2"], "trial_order": [1, 2, 1]}
    >>> trials = pd.DataFrame(order | {"duration_s": [9.0, 7.0, 5.0]})
    >>> [(trace.name, trace.y.tolist()) for trace in learning_curve(trials, "duration_s").data]
    [('participant 1', [9.0, 7.0]), ('participant 2', [5.0]), ('median', [7.0, 7.0])]
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant, task, factor)
    trials = select_trials(result, trial_filter, ["participant", "trial_order"])
    require_metric(trials, metric)
    label = _metric_label(metric)
    title = f"{_capitalized(label.name)} along the session"
    complete = trials[trials[[metric, "trial_order"]].notna().all(axis=1)]
    if not len(complete):
        message = f"No trial{trial_filter} has a {label.name} and a position in its session."
        return style.empty_figure(title, message, palette)
    session_columns = [name for name in ("participant", "session") if name in complete]
    session = np.asarray(complete.groupby(session_columns, dropna=False, sort=False).ngroup(), np.int64)
    names = labels.trial_labels(complete[session_columns].drop_duplicates())
    order = complete["trial_order"].to_numpy(np.int64)
    along = np.argsort(order, kind="stable")
    order, y, session = order[along], complete[metric].to_numpy(float)[along], session[along]
    value = f"%{{y:,.4~g}}{label.suffix}<extra></extra>"
    line = {"color": palette.muted, "width": 1}
    traces: list[dict[str, Any]] = []
    for number in thinning.every_nth(len(names), MAX_SESSION_LINES):
        in_session = session == number
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": names[number],
                "x": order[in_session], "y": y[in_session],
                "line": line, "marker": {"color": palette.muted, "size": 3},
                "hovertemplate": f"%{{fullData.name}}<br>position %{{x}}<br>{value}",
            }
        )  # fmt: skip
    groups = pd.Series(y).groupby(order)
    traces.append(
        {
            "type": "scatter", "mode": "lines+markers", "name": "median", "x": groups.size().index.to_numpy(np.int64),
            "y": groups.median().to_numpy(float), "customdata": groups.size().to_numpy(np.int64),
            "line": {"color": palette.categories[0], "width": 4}, "marker": {"size": 8},
            "hovertemplate": f"median of %{{customdata}}<br>position %{{x}}<br>{value}",
        }
    )  # fmt: skip
    missing = len(trials) - len(complete)
    notes = [
        labels.selection_label(complete),
        f"thin: {job_text.count(len(names), 'session')}, bold: the median",
        thinning.note(len(names), "sessions", MAX_SESSION_LINES),
        f"{job_text.count(missing, 'trial')} without a value or a position" if missing else "",
    ]
    whole_ticks = {"dtick": 1} if np.ptp(order) < 10 else {}  # positions are whole numbers
    axes = {
        "xaxis": {"title": "position of the trial in its session", **whole_ticks},
        "yaxis": {"title": label.title},
    }
    return style.figure(traces, title, notes, palette, **axes)


def _metric_label(metric: str) -> MetricLabel:
    """Return the label of a metric, escaped: the name of a column may be any text."""
    name, unit = labels.metric_label(metric)
    return MetricLabel(labels.safe_text(name, MAX_METRIC_LENGTH), unit)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
