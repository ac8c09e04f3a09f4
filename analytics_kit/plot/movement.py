"""How did the pointer move: its path, where it was, how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from analytics_kit.errors import SettingsError
from analytics_kit.plot import labels as words
from analytics_kit.plot import screen_axes as plane
from analytics_kit.plot import style, thinning
from analytics_kit.plot.selection import Choice, Events, Rows, Source, read

MOST_MARKS = 2_000
"""Clicks or scrolls that are drawn of one sort."""
MANY_MARKS = 100
"""More of one sort are drawn smaller."""
MOST_LINES = 200
"""Trials whose speed is drawn."""
MOST_BINS = 1_000
PAUSE_S = 0.1
"""A longer step is a pause, as it is for the idle time of a trial."""
Floats = npt.NDArray[np.float64]


def trajectory(
    result: Source,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    screen: Sequence[float] | None = None,
    theme: str = "light",
) -> go.Figure:
    """The path of the pointer in px, y downwards; time is the colour, clicks and scrolls have symbols of their own.

    Parameters
    ----------
    result
        A StudyResult, or a DataFrame of events with `t_s`, `x_px` and `y_px`; see `tables.read` for its kind.
    participant, task, factor, trial
        A value or a list of values to choose by; None takes all, NA those without a name.
    screen
        Width and height in px, whose box is drawn; without it the box is what the events span, but for those at
        65,535 px and beyond, where there is no screen.
    theme
        `"light"` or `"dark"`.

    A path is broken between trials, and of more than 10,000 movement rows every nth is drawn; the figure says so.
    Without events it says that there are none. Raises SettingsError for a screen, theme or table that can't be used.
    """
    look = style.theme_of(theme)
    choice = Choice(participant, task, factor, trial)
    events = read(result, ("mouse_movement", "mouse_clicks", "mouse_scrolls"), choice)
    if not len(events.table):
        return style.empty("Pointer path", f"There are no pointer events{choice}.", look)
    frame = plane.box(screen, events.table)
    path, path_note = _path(events.of("mouse_movement"), look)
    marks, mark_notes = _marks(events, look)
    notes = [words.together(events.trials), path_note, *mark_notes, frame.outside(events.table)]
    return style.figure(
        [*path, *marks], "Pointer path", notes, look,
        **plane.axes(frame, look) | {"showlegend": True, "legend": style.LEGEND_ABOVE, "height": 560},
    )  # fmt: skip


def _path(movement: Events, look: style.Theme) -> tuple[list[dict[str, Any]], str]:
    """A trace of the path, broken between trials, with its note; none without movement."""
    count = len(movement.table)
    if not count:
        return [], "no movement"
    drawn = thinning.every(count)
    columns, rows = _broken(movement, drawn, ("x_px", "y_px", "t_s"))
    time_s = movement.table["t_s"]
    span = {"cmin": min(0.0, float(time_s.min())), "cmax": float(time_s.max()) or 1.0}
    trace = {
        "type": "scatter", "name": "movement", "mode": "lines+markers",
        "x": columns["x_px"], "y": columns["y_px"], "line": {"color": look.quiet, "width": 1},
        "marker": {
            "color": columns["t_s"], "colorscale": style.scale(look), "size": 5, **span,
            "colorbar": style.colour_bar("time (s)"),
        },
        **_hover(movement, rows, columns["t_s"], "x %{x:.0f} px<br>y %{y:.0f} px<br>%{customdata:.2f} s"),
    }  # fmt: skip
    return [trace], thinning.note(count, "movement rows")


def _broken(events: Events, drawn: Rows, names: Sequence[str]) -> tuple[dict[str, Floats], Rows]:
    """Columns at the rows drawn, and these rows, with a gap (NaN; row -1) between trials."""
    gaps = np.flatnonzero(np.diff(events.trial[drawn])) + 1
    columns = {name: np.insert(events.table[name].to_numpy(float)[drawn], gaps, np.nan) for name in names}
    return columns, np.insert(drawn, gaps, -1)


def _hover(events: Events, rows: Rows, time_s: Floats, template: str) -> dict[str, Any]:
    """Hover text of points at these rows; it names the trial where there are several."""
    told: dict[str, Any] = {"customdata": time_s}
    if len(events.trials) > 1:
        labels = np.array([*words.apart(events.trials), ""])
        told["text"] = labels[np.where(rows < 0, -1, events.trial[rows])]
        template = f"%{{text}}<br>{template}"
    return {**told, "hovertemplate": f"{template}<extra></extra>"}


def _marks(events: Events, look: style.Theme) -> tuple[list[dict[str, Any]], list[str]]:
    """A trace for each sort of click and scroll that there is, and their notes."""
    clicks, scrolls = events.of("mouse_clicks"), events.of("mouse_scrolls")
    action = pd.Series("click", clicks.table.index)
    if "action" in clicks.table:
        action = clicks.table["action"].where(clicks.table["action"].isin(["press", "release"]), "click")
    sorts = [(name, _where(clicks, action == name)) for name in ("press", "release", "click")]
    symbols = {"press": "circle-open", "release": "x-thin-open", "click": "square-open", "scroll": "diamond-open"}
    colours = dict.fromkeys(symbols, look.ink) | {"scroll": look.categories[2]}  # neither is near the colours of time
    traces, notes = [], []
    for name, some in [*sorts, ("scroll", scrolls)]:
        count = len(some.table)
        if not count:
            continue
        drawn = thinning.every(count, MOST_MARKS)
        table = some.table.iloc[drawn]
        size = 11 if count <= MANY_MARKS else 7
        marker = {"symbol": symbols[name], "color": colours[name], "size": size, "line": {"width": 2 * size / 11}}
        place = f"{name}<br>x %{{x:.0f}} px<br>y %{{y:.0f}} px<br>%{{customdata:.2f}} s"
        traces.append(
            {
                "type": "scatter", "name": name, "mode": "markers", "marker": marker,
                "x": table["x_px"].to_numpy(float), "y": table["y_px"].to_numpy(float),
                **_hover(some, drawn, table["t_s"].to_numpy(float), place),
            }
        )  # fmt: skip
        notes.append(thinning.note(count, f"{name} events", MOST_MARKS))
    return traces, notes


def _where(events: Events, mask: pd.Series) -> Events:
    meant = mask.to_numpy(bool)
    return Events(events.table[meant], events.trial[meant], events.trials)


def heatmap(
    result: Source,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    bins: int = 60,
    screen: Sequence[float] | None = None,
    theme: str = "light",
) -> go.Figure:
    """Where the pointer moved: movement rows counted in square cells, `bins` of them along the longer side.

    A row is logged after some travel, so a cell counts travel and not time spent. No cell is smaller than a pixel;
    empty ones are left free. See `trajectory` for the other parameters; without movement the figure says so.
    """
    look = style.theme_of(theme)
    if not isinstance(bins, int | np.integer) or not 1 <= bins <= MOST_BINS:
        raise SettingsError(f"bins can't be {bins!r}.", hint=f"Give a whole number from 1 to {MOST_BINS:,}.")
    choice = Choice(participant, task, factor, trial)
    events = read(result, ("mouse_movement",), choice)
    if not len(events.table):
        return style.empty("Where the pointer moved", f"There is no pointer movement{choice}.", look)
    frame = plane.box(screen, events.table)
    x, y = (events.table[name].to_numpy(float) for name in ("x_px", "y_px"))
    size = max(frame.longer / bins, 1.0)
    across, down = (
        max(1, int(np.ceil(side / size - 1e-9))) for side in (frame.right - frame.left, frame.bottom - frame.top)
    )
    inside = frame.holds(events.table["x_px"], events.table["y_px"])
    column = np.minimum((x[inside] - frame.left) // size, across - 1).astype(np.int64)
    row = np.minimum((y[inside] - frame.top) // size, down - 1).astype(np.int64)
    counts = np.bincount(row * across + column, minlength=down * across).reshape(down, across)
    most = max(1, int(counts.max()))
    whole = {"dtick": 1} if most < 8 else {}  # there are no halves of a row
    trace = {
        "type": "heatmap", "z": np.where(counts > 0, counts, np.nan), "colorscale": style.scale(look),
        "zmin": 0, "zmax": most,
        "x0": frame.left + size / 2, "dx": size, "y0": frame.top + size / 2, "dy": size,
        "colorbar": style.colour_bar("movement rows") | whole,
        "hovertemplate": "x %{x:.0f} px<br>y %{y:.0f} px<br>%{z:,} movement rows<extra></extra>",
    }  # fmt: skip
    side = f"{round(size, 1):,g}"
    notes = [
        words.together(events.trials),
        f"a cell of {side} by {side} px counts movement rows: travel, not time spent",
        frame.outside(events.table),
    ]
    return style.figure([trace], "Where the pointer moved", notes, look, **plane.axes(frame, look) | {"height": 560})


def speed_profile(
    result: Source,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """Speed in px/s over the seconds since the trial began, a line per trial.

    The speed of a step is its length over its time, at the middle of that time; a step of more than 0.1 s is a pause
    and flat. Of rows with equal times the last counts. Of more than 200 trials every nth is drawn, of more than
    10,000 steps the fastest and the slowest of every n, so that peaks and pauses stay; the figure says so. See
    `trajectory` for the parameters. Where no trial has two movement rows at different times the figure says so.
    """
    look = style.theme_of(theme)
    choice = Choice(participant, task, factor, trial)
    events = read(result, ("mouse_movement",), choice)
    time_s, took_s, speed, of = steps(events)
    if not len(speed):
        return style.empty("Pointer speed", f"There is no pointer movement{choice} to tell a speed from.", look)
    trials = np.unique(of)
    chosen = trials[thinning.every(len(trials), MOST_LINES)]
    kept = np.isin(of, chosen)
    time_s, took_s, speed, of = time_s[kept], took_s[kept], speed[kept], of[kept]
    step = 2 * thinning.stride(len(speed)) if len(speed) > thinning.MOST_POINTS else 1
    drawn, time_s = _flat(thinning.extremes(speed, of, step), time_s, took_s)
    of, speed = of[drawn], speed[drawn]
    labels = words.apart(events.trials)
    several = len(chosen) > 1
    line = {"color": look.categories[0], "width": 1 if several else 1.5}
    traces = []
    for number in chosen:
        rows = of == number
        traces.append(
            {
                "type": "scatter", "mode": "lines" if rows.sum() > 1 else "markers", "name": labels[number],
                "x": time_s[rows], "y": speed[rows], "line": line, "marker": {"color": line["color"]},
                "opacity": style.LINE_OPACITY if several else 1,
                "hovertemplate": "%{fullData.name}<br>%{x:.2f} s<br>%{y:,.0f} px/s<extra></extra>",
            }
        )  # fmt: skip
    still = len(events.trials) - len(trials)
    notes = [
        words.together(events.trials),
        f"{words.counted(still, 'trial')} without a speed" if still else "",
        thinning.note(len(trials), "trials", MOST_LINES),
        f"the fastest and the slowest of every {step:,} steps" if step > 1 else "",
    ]
    axes = {
        "xaxis": {"title": "time since the trial began (s)", "rangemode": "tozero"},
        "yaxis": {"title": "speed (px/s)", "rangemode": "tozero"},
    }
    return style.figure(traces, "Pointer speed", notes, look, **axes)


def steps(movement: Events) -> tuple[Floats, Floats, Floats, Rows]:
    """Of each step within a trial the middle of its time (s), its time (s), its speed (px/s) and its trial.

    Of rows with equal times the last counts.
    """
    time_s, x, y = (movement.table[name].to_numpy(float) for name in ("t_s", "x_px", "y_px"))
    last = np.append((np.diff(time_s) != 0) | (np.diff(movement.trial) != 0), True)[: len(time_s)]
    time_s, x, y, trial = time_s[last], x[last], y[last], movement.trial[last]
    same = np.diff(trial) == 0
    took_s = np.diff(time_s)[same]
    speed = np.hypot(np.diff(x), np.diff(y))[same] / took_s
    return time_s[1:][same] - took_s / 2, took_s, speed, trial[1:][same]


def _flat(drawn: Rows, middle_s: Floats, took_s: Floats) -> tuple[Rows, Floats]:
    """The steps drawn and their times: a pause twice, at its beginning and end, since a slope would be no pause."""
    pause = np.round(took_s[drawn], 6) > PAUSE_S
    steps_drawn = np.repeat(drawn, 1 + pause)
    side = np.zeros(len(steps_drawn))
    ends = np.cumsum(1 + pause)[pause] - 1
    side[ends - 1], side[ends] = -0.5, 0.5
    return steps_drawn, middle_s[steps_drawn] + side * took_s[steps_drawn]
