"""Figures of pointer movement: path, heatmap and speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analytics_kit import job_text
from analytics_kit.errors import SettingsError
from analytics_kit.plot import labels, style, thinning
from analytics_kit.plot.arrays import FloatArray, IntArray
from analytics_kit.plot.screen_axes import area_layout, screen_area
from analytics_kit.plot.selection import FigureSource, SelectedEvents, TrialFilter, read_events

MAX_MARKS = 2_000
"""Most clicks or scrolls of one sort that are drawn."""
MANY_MARKS = 100
"""More marks of one sort are drawn smaller."""
MAX_SPEED_LINES = 200
"""Most trials whose speed is drawn."""
MAX_BINS = 1_000
PAUSE_THRESHOLD_S = 0.1
"""A longer step is a pause. It is the default of the option `idle_gap_s`."""


def trajectory(
    result: FigureSource,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    screen: Sequence[float] | None = None,
    theme: str = "light",
) -> go.Figure:
    """Draw the path of the pointer in px, y downwards, with time as colour and symbols for clicks and scrolls.

    The path is broken between trials. Of more than 10,000 movement rows every nth is drawn, which a note in the
    figure states. A selection without events gives an empty figure with a message.

    Parameters
    ----------
    result : StudyResult or DataFrame
        A result, or events with `t_s` (s), `x_px` and `y_px` (px). A DataFrame has a column `kind`, or its columns
        give the kind: `action` means clicks, others movement.
    participant, task, factor, trial
        A value or a list of values to select by; None takes all, NA those without a name.
    screen : (width, height) in px, optional
        Its outline is drawn; by default that of the events' bounding box, without coordinates of 65,535 px and
        beyond, which are errors of a logger.
    theme : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        The screen, the theme or the table can't be used.

    See Also
    --------
    heatmap, speed_profile

    Examples
    --------
    >>> import pandas as pd
    >>> events = pd.DataFrame({"t_s": [0.0, 0.1, 0.2], "x_px": [100, 130, 130], "y_px": [100, 100, 140]})
    >>> figure = trajectory(events, screen=(1920, 1080))
    >>> figure.data[0].x.tolist()
    [100.0, 130.0, 130.0]
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant, task, factor, trial)
    events = read_events(result, ("mouse_movement", "mouse_clicks", "mouse_scrolls"), trial_filter)
    if not len(events.table):
        return style.empty_figure("Pointer path", f"There are no pointer events{trial_filter}.", palette)
    area = screen_area(screen, events.table)
    path, path_note = _path(events.of_kind("mouse_movement"), palette)
    marks, mark_notes = _marks(events, palette)
    notes = [labels.selection_label(events.trials), path_note, *mark_notes, area.outside_note(events.table)]
    return style.figure(
        [*path, *marks], "Pointer path", notes, palette,
        **area_layout(area, palette) | {"showlegend": True, "legend": style.LEGEND_ABOVE, "height": 560},
    )  # fmt: skip


def _path(movement: SelectedEvents, palette: style.Palette) -> tuple[list[dict[str, Any]], str]:
    """Return a trace of the path and its note; no trace without movement."""
    count = len(movement.table)
    if not count:
        return [], "no movement"
    drawn = thinning.every_nth(count)
    columns, rows = _with_gaps(movement, drawn, ("x_px", "y_px", "t_s"))
    time_s = movement.table["t_s"]
    span = {"cmin": min(0.0, float(time_s.min())), "cmax": float(time_s.max()) or 1.0}
    trace = {
        "type": "scatter", "name": "movement", "mode": "lines+markers",
        "x": columns["x_px"], "y": columns["y_px"], "line": {"color": palette.muted, "width": 1},
        "marker": {
            "color": columns["t_s"], "colorscale": style.colour_scale(palette), "size": 5, **span,
            "colorbar": style.colour_bar("time (s)"),
        },
        **_hover(movement, rows, columns["t_s"], "x %{x:.0f} px<br>y %{y:.0f} px<br>%{customdata:.2f} s"),
    }  # fmt: skip
    return [trace], thinning.note(count, "movement rows")


def _with_gaps(
    events: SelectedEvents, drawn: IntArray, names: Sequence[str]
) -> tuple[dict[str, FloatArray], IntArray]:
    """Return columns at the drawn rows, and these rows, with a gap (NaN; row -1) between trials."""
    gaps = np.flatnonzero(np.diff(events.trial[drawn])) + 1
    columns = {name: np.insert(events.table[name].to_numpy(float)[drawn], gaps, np.nan) for name in names}
    return columns, np.insert(drawn, gaps, -1)


def _hover(events: SelectedEvents, rows: IntArray, time_s: FloatArray, template: str) -> dict[str, Any]:
    """Return the hover text of points at these rows, with the trial where there are several."""
    hover: dict[str, Any] = {"customdata": time_s}
    if len(events.trials) > 1:
        names = np.array([*labels.trial_labels(events.trials), ""])
        hover["text"] = names[np.where(rows < 0, -1, events.trial[rows])]
        template = f"%{{text}}<br>{template}"
    return {**hover, "hovertemplate": f"{template}<extra></extra>"}


def _marks(events: SelectedEvents, palette: style.Palette) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a trace for each sort of click and scroll that occurs, and their notes."""
    clicks, scrolls = events.of_kind("mouse_clicks"), events.of_kind("mouse_scrolls")
    action = pd.Series("click", clicks.table.index)
    if "action" in clicks.table:
        action = clicks.table["action"].where(clicks.table["action"].isin(["press", "release"]), "click")
    sorts = [(name, clicks.where((action == name).to_numpy(bool))) for name in ("press", "release", "click")]
    symbols = {"press": "circle-open", "release": "x-thin-open", "click": "square-open", "scroll": "diamond-open"}
    # neither colour is near those of the time scale
    colours = dict.fromkeys(symbols, palette.ink) | {"scroll": palette.categories[2]}
    traces, notes = [], []
    for name, marks in [*sorts, ("scroll", scrolls)]:
        count = len(marks.table)
        if not count:
            continue
        drawn = thinning.every_nth(count, MAX_MARKS)
        table = marks.table.iloc[drawn]
        size = 11 if count <= MANY_MARKS else 7
        marker = {"symbol": symbols[name], "color": colours[name], "size": size, "line": {"width": 2 * size / 11}}
        template = f"{name}<br>x %{{x:.0f}} px<br>y %{{y:.0f}} px<br>%{{customdata:.2f}} s"
        traces.append(
            {
                "type": "scatter", "name": name, "mode": "markers", "marker": marker,
                "x": table["x_px"].to_numpy(float), "y": table["y_px"].to_numpy(float),
                **_hover(marks, drawn, table["t_s"].to_numpy(float), template),
            }
        )  # fmt: skip
        notes.append(thinning.note(count, f"{name} events", MAX_MARKS))
    return traces, notes


def heatmap(
    result: FigureSource,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    bins: int = 60,
    screen: Sequence[float] | None = None,
    theme: str = "light",
) -> go.Figure:
    """Count movement rows in square cells of the screen.

    The logger writes a row after some travel, so a cell counts travel and not time spent. No cell is smaller than a
    pixel, and empty cells stay blank. A selection without movement gives an empty figure with a message.

    Parameters
    ----------
    result, participant, task, factor, trial, screen, theme
        See `trajectory`.
    bins : int
        Number of cells along the longer side, from 1 to 1,000.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        The number of cells, the screen, the theme or the table can't be used.

    Examples
    --------
    >>> import pandas as pd
    >>> events = pd.DataFrame({"t_s": [0.0, 0.1, 0.2], "x_px": [10, 20, 90], "y_px": [10, 20, 90]})
    >>> heatmap(events, bins=2, screen=(100, 100)).data[0].z.tolist()
    [[2.0, nan], [nan, 1.0]]
    """
    palette = style.get_palette(theme)
    if not isinstance(bins, int | np.integer) or not 1 <= bins <= MAX_BINS:
        raise SettingsError(f"bins can't be {bins!r}.", hint=f"Give a whole number from 1 to {MAX_BINS:,}.")
    trial_filter = TrialFilter(participant, task, factor, trial)
    events = read_events(result, ("mouse_movement",), trial_filter)
    if not len(events.table):
        message = f"There is no pointer movement{trial_filter}."
        return style.empty_figure("Where the pointer moved", message, palette)
    area = screen_area(screen, events.table)
    x, y = (events.table[name].to_numpy(float) for name in ("x_px", "y_px"))
    size = max(area.longer_side / bins, 1.0)
    column_count, row_count = (
        max(1, int(np.ceil(side / size - 1e-9))) for side in (area.right - area.left, area.bottom - area.top)
    )
    inside = area.contains(events.table["x_px"], events.table["y_px"])
    column = np.minimum((x[inside] - area.left) // size, column_count - 1).astype(np.int64)
    row = np.minimum((y[inside] - area.top) // size, row_count - 1).astype(np.int64)
    counts = np.bincount(row * column_count + column, minlength=row_count * column_count)
    counts = counts.reshape(row_count, column_count)
    highest = max(1, int(counts.max()))
    whole_ticks = {"dtick": 1} if highest < 8 else {}  # rows are not counted in halves
    trace = {
        "type": "heatmap", "z": np.where(counts > 0, counts, np.nan), "colorscale": style.colour_scale(palette),
        "zmin": 0, "zmax": highest,
        "x0": area.left + size / 2, "dx": size, "y0": area.top + size / 2, "dy": size,
        "colorbar": style.colour_bar("movement rows") | whole_ticks,
        "hovertemplate": "x %{x:.0f} px<br>y %{y:.0f} px<br>%{z:,} movement rows<extra></extra>",
    }  # fmt: skip
    side = f"{round(size, 1):,g}"
    notes = [
        labels.selection_label(events.trials),
        f"a cell of {side} by {side} px counts movement rows: travel, not time spent",
        area.outside_note(events.table),
    ]
    layout = area_layout(area, palette) | {"height": 560}
    return style.figure([trace], "Where the pointer moved", notes, palette, **layout)


def speed_profile(
    result: FigureSource,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """Draw pointer speed in px/s over the seconds since the trial began, a line per trial.

    The speed of a step is its length over its duration, drawn at the middle of the step; a step of more than 0.1 s is
    a pause and drawn flat. Of rows with equal times the last one counts. Of more than 200 trials every nth is drawn;
    of more than 10,000 steps the fastest and the slowest of every n, so that peaks and pauses stay. Notes in the
    figure state this. A selection in which no trial has two movement rows at different times gives an empty figure
    with a message.

    Parameters
    ----------
    result, participant, task, factor, trial, theme
        See `trajectory`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        The theme or the table can't be used.

    Examples
    --------
    >>> import pandas as pd
    >>> events = pd.DataFrame({"t_s": [0.0, 0.1, 0.2], "x_px": [100, 130, 130], "y_px": [100, 100, 140]})
    >>> speed_profile(events).data[0].y.round().tolist()
    [300.0, 400.0]
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant, task, factor, trial)
    events = read_events(result, ("mouse_movement",), trial_filter)
    middle_s, duration_s, speed, trial_of = steps(events)
    if not len(speed):
        message = f"There is no pointer movement{trial_filter} to compute a speed from."
        return style.empty_figure("Pointer speed", message, palette)
    moving = np.unique(trial_of)
    drawn_trials = moving[thinning.every_nth(len(moving), MAX_SPEED_LINES)]
    is_drawn = np.isin(trial_of, drawn_trials)
    middle_s, duration_s = middle_s[is_drawn], duration_s[is_drawn]
    speed, trial_of = speed[is_drawn], trial_of[is_drawn]
    block_size = 2 * thinning.stride(len(speed)) if len(speed) > thinning.MAX_POINTS else 1
    drawn, time_s = _with_flat_pauses(thinning.extremes(speed, trial_of, block_size), middle_s, duration_s)
    trial_of, speed = trial_of[drawn], speed[drawn]
    names = labels.trial_labels(events.trials)
    several = len(drawn_trials) > 1
    line = {"color": palette.categories[0], "width": 1 if several else 1.5}
    traces = []
    for number in drawn_trials:
        rows = trial_of == number
        traces.append(
            {
                "type": "scatter", "mode": "lines" if rows.sum() > 1 else "markers", "name": names[number],
                "x": time_s[rows], "y": speed[rows], "line": line, "marker": {"color": line["color"]},
                "opacity": style.LINE_OPACITY if several else 1,
                "hovertemplate": "%{fullData.name}<br>%{x:.2f} s<br>%{y:,.0f} px/s<extra></extra>",
            }
        )  # fmt: skip
    without_speed = len(events.trials) - len(moving)
    notes = [
        labels.selection_label(events.trials),
        f"{job_text.count(without_speed, 'trial')} without a speed" if without_speed else "",
        thinning.note(len(moving), "trials", MAX_SPEED_LINES),
        f"the fastest and the slowest of every {block_size:,} steps" if block_size > 1 else "",
    ]
    axes = {
        "xaxis": {"title": "time since the trial began (s)", "rangemode": "tozero"},
        "yaxis": {"title": "speed (px/s)", "rangemode": "tozero"},
    }
    return style.figure(traces, "Pointer speed", notes, palette, **axes)


def steps(movement: SelectedEvents) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Return middle time (s), duration (s), speed (px/s) and trial of each step within a trial.

    The arrays have equal length. Of rows with equal times the last one counts.
    """
    time_s, x, y = (movement.table[name].to_numpy(float) for name in ("t_s", "x_px", "y_px"))
    is_last = np.append((np.diff(time_s) != 0) | (np.diff(movement.trial) != 0), True)[: len(time_s)]
    time_s, x, y, trial = time_s[is_last], x[is_last], y[is_last], movement.trial[is_last]
    within_trial = np.diff(trial) == 0
    duration_s = np.diff(time_s)[within_trial]
    speed = np.hypot(np.diff(x), np.diff(y))[within_trial] / duration_s
    return time_s[1:][within_trial] - duration_s / 2, duration_s, speed, trial[1:][within_trial]


def _with_flat_pauses(drawn: IntArray, middle_s: FloatArray, duration_s: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the drawn steps and their times, with a pause at both its ends, so that its line is flat."""
    is_pause = np.round(duration_s[drawn], 6) > PAUSE_THRESHOLD_S
    steps_drawn = np.repeat(drawn, 1 + is_pause)
    offset = np.zeros(len(steps_drawn))
    ends = np.cumsum(1 + is_pause)[is_pause] - 1
    offset[ends - 1], offset[ends] = -0.5, 0.5
    return steps_drawn, middle_s[steps_drawn] + offset * duration_s[steps_drawn]
