"""What happened when: key presses by class, and all kinds of events of a session."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from analytics_kit.model import KINDS, Kind
from analytics_kit.plot import labels as words
from analytics_kit.plot import style, thinning
from analytics_kit.plot.selection import Choice, Events, Source, in_session, read

KEY_CLASSES = (
    "letter", "digit", "punctuation", "space", "enter", "backspace", "delete", "navigation", "modifier", "function",
    "other",
)  # fmt: skip
MOST_TRIALS = 40
"""Trials that a session's timeline has room for."""
MOST_EVENTS = 5_000
"""Events that it draws of one kind."""
ROW_PX = 26
THIN_ROW_PX = 9
"""Of a kind, where there are several trials."""
LONGEST_NAME = 14
"""Characters of each name that are shown beside a trial's rows; hover shows more."""
MARGIN = 0.01
"""Of the time axis, left free at both ends, where a tick would be taken for the axis."""
TICK = "line-ns-open"
Floats = npt.NDArray[np.float64]


def keystroke_timeline(
    result: Source,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """Key presses over the seconds since the trial began, a row per class of keys; never what was typed.

    Of more than 10,000 presses every nth is drawn; the figure says so. See `movement.trajectory` for the parameters.
    Without key presses the figure says so.
    """
    look = style.theme_of(theme)
    choice = Choice(participant, task, factor, trial)
    events = read(result, ("keyboard",), choice, place=False)
    if "action" in events.table:
        pressed = (events.table["action"] != "release").to_numpy(bool)
        events = Events(events.table[pressed], events.trial[pressed], events.trials)
    if not len(events.table):
        return style.empty("Key presses", f"There are no key presses{choice}.", look)
    classes = events.table["key_class"].where(events.table["key_class"].isin(KEY_CLASSES), "other")
    rows = [name for name in KEY_CLASSES if (classes == name).any()]
    drawn = thinning.every(len(classes))
    place = classes.iloc[drawn].map({name: number for number, name in enumerate(rows)}).to_numpy(np.int64)
    time_s = events.table["t_s"].to_numpy(float)
    several = len(events.trials) > 1
    labels = np.array(words.apart(events.trials))
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "name": "key presses", "x": time_s[drawn], "y": place,
        "marker": {"symbol": TICK, "size": 14, "line": {"width": 1.5}, "color": look.categories[0]},
        "text": np.array(rows)[place],
        **({"customdata": labels[events.trial[drawn]]} if several else {}),
        "hovertemplate": f"{'%{customdata}<br>' if several else ''}%{{text}}<br>%{{x:.2f}} s<extra></extra>",
    }  # fmt: skip
    notes = [
        words.together(events.trials),
        f"{len(classes):,} key press{'' if len(classes) == 1 else 'es'}",
        thinning.note(len(classes), "key presses"),
    ]
    return style.figure([trace], "Key presses", notes, look, **_rows(rows, time_s))


def session_timeline(
    result: Source,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """All events over the seconds since their trial began: a row per kind, of each trial where there are several.

    Trials are in the order of the session. More than 40 are not drawn, and of more than 5,000 events of a kind every
    nth; the figure says so. See `movement.trajectory` for the parameters. Without events the figure says so.
    """
    look = style.theme_of(theme)
    choice = Choice(participant, task, factor, trial)
    events = read(result, KINDS, choice, place=False)
    if not len(events.table):
        return style.empty("Session", f"There are no events{choice}.", look)
    order = in_session(events.trials)
    shown = order[:MOST_TRIALS]
    events_shown = _only(events, shown)
    kinds: list[Kind] = [kind for kind in KINDS if (events_shown.table["kind"] == kind).any()]
    top = np.full(len(order), -1)
    top[shown] = np.arange(len(shown)) * (len(kinds) + 1)
    labels = np.array(words.apart(events.trials))
    colours = dict(zip(KINDS, (*look.categories[:4], look.quiet), strict=True))
    traces, thinned = [], []
    for number, kind in enumerate(kinds):
        some = events_shown.of(kind)
        drawn = thinning.every(len(some.table), MOST_EVENTS)
        of = some.trial[drawn]
        name = kind.replace("_", " ")
        told = f"{name}<br>%{{x:.2f}} s<extra></extra>"
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": name,
                "x": some.table["t_s"].to_numpy(float)[drawn], "y": top[of] + number,
                "marker": {
                    "symbol": TICK, "size": ROW_PX // 2 if len(order) == 1 else THIN_ROW_PX - 1,
                    "line": {"width": 1.5}, "color": colours[kind],
                },
                **({"text": labels[of]} if len(order) > 1 else {}),
                "hovertemplate": f"%{{text}}<br>{told}" if len(order) > 1 else told,
            }
        )  # fmt: skip
        thinned.append(thinning.note(len(some.table), f"{name} events", MOST_EVENTS))
    notes = [
        words.together(events.trials),
        f"the first {MOST_TRIALS} of {len(order):,} trials" if len(order) > MOST_TRIALS else "",
        *thinned,
    ]
    time_s = events_shown.table["t_s"].to_numpy(float)
    if len(order) == 1:
        return style.figure(
            traces, "Session", notes, look, **_rows([kind.replace("_", " ") for kind in kinds], time_s)
        )
    short = np.array(words.apart(events.trials, LONGEST_NAME))[shown].tolist()
    layout = _rows(short, time_s, len(kinds) + 1, THIN_ROW_PX)
    between = [(one + other) / 2 for one, other in itertools.pairwise(layout["yaxis"]["tickvals"])]
    layout["yaxis"]["minor"] = {"tickvals": between, "showgrid": True, "gridcolor": look.grid, "ticks": ""}
    return style.figure(traces, "Session", notes, look, **layout | {"showlegend": True, "legend": style.LEGEND_ABOVE})


def _only(events: Events, trials: list[int]) -> Events:
    mask = np.isin(events.trial, trials)
    return Events(events.table[mask], events.trial[mask], events.trials)


def _rows(names: list[str], time_s: Floats, apart: int = 1, row_px: float = ROW_PX) -> dict[str, Any]:
    """Layout of a time axis over labelled groups of rows, the first on top.

    Groups begin `apart` rows of `row_px` after one another; the last row of several stays free.
    """
    middles = [number * apart + max(apart - 2, 0) / 2 for number in range(len(names))]
    ends = [middles[-1] + apart / 2, middles[0] - apart / 2]
    first, last = min(0.0, float(time_s.min())), float(time_s.max())
    last = last if last > first else first + 1.0
    free = MARGIN * (last - first)
    return {
        "xaxis": {"title": "time since the trial began (s)", "range": [first - free, last + free]},
        "yaxis": {"tickvals": middles, "ticktext": names, "range": ends, "showgrid": False, "ticks": ""},
        "height": 190 + int(row_px * max(ends[0] - ends[1], 3)),
    }
