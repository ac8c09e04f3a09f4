"""Figures over time: key presses by class, and all kinds of events of a session."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analytics_kit.model import KINDS, Kind
from analytics_kit.plot import labels, style, thinning
from analytics_kit.plot.arrays import FloatArray
from analytics_kit.plot.selection import FigureSource, TrialFilter, read_events, session_order

KEY_CLASS_ROWS = (
    "letter", "digit", "punctuation", "space", "enter", "backspace", "delete", "navigation", "modifier", "function",
    "other",
)  # fmt: skip
"""The classes of keys in the order of their rows."""
MAX_SESSION_TRIALS = 40
"""Trials that a session's timeline has room for."""
MAX_SESSION_EVENTS = 5_000
"""Events of one kind that a session's timeline draws."""
ROW_PX = 26
THIN_ROW_PX = 9
"""Height of a kind's row where there are several trials."""
MAX_ROW_NAME_LENGTH = 14
"""Characters of each name beside a trial's rows; hover texts show more."""
TIME_MARGIN = 0.01
"""Free space at both ends of the time axis, as a fraction; a tick on the axis would be mistaken for the axis."""
TICK_SYMBOL = "line-ns-open"


def keystroke_timeline(
    result: FigureSource,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """Draw key presses over the seconds since the trial began, a row per class of keys; never the typed text.

    Of more than 10,000 presses every nth is drawn, which a note in the figure states. A selection without key presses
    gives an empty figure with a message.

    Parameters
    ----------
    result : StudyResult or DataFrame
        A result, or events with `t_s` (s) and `key_class`; rows whose `action` is `release` are left out.
    participant, task, factor, trial
        A value or a list of values to select by; None takes all, NA those without a name.
    theme : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        The theme or the table can't be used.

    See Also
    --------
    session_timeline

    Examples
    --------
    >>> import pandas as pd
    >>> events = pd.DataFrame({"t_s": [0.5, 0.7, 0.9], "key_class": ["letter", "space", "letter"]})
    >>> keystroke_timeline(events).layout.yaxis.ticktext
    ('letter', 'space')
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant, task, factor, trial)
    events = read_events(result, ("keyboard",), trial_filter, needs_position=False)
    if "action" in events.table:
        events = events.where((events.table["action"] != "release").to_numpy(bool))
    if not len(events.table):
        return style.empty_figure("Key presses", f"There are no key presses{trial_filter}.", palette)
    classes = events.table["key_class"].where(events.table["key_class"].isin(KEY_CLASS_ROWS), "other")
    rows = [name for name in KEY_CLASS_ROWS if (classes == name).any()]
    drawn = thinning.every_nth(len(classes))
    row = classes.iloc[drawn].map({name: number for number, name in enumerate(rows)}).to_numpy(np.int64)
    time_s = events.table["t_s"].to_numpy(float)
    several = len(events.trials) > 1
    names = np.array(labels.trial_labels(events.trials))
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "name": "key presses", "x": time_s[drawn], "y": row,
        "marker": {"symbol": TICK_SYMBOL, "size": 14, "line": {"width": 1.5}, "color": palette.categories[0]},
        "text": np.array(rows)[row],
        **({"customdata": names[events.trial[drawn]]} if several else {}),
        "hovertemplate": f"{'%{customdata}<br>' if several else ''}%{{text}}<br>%{{x:.2f}} s<extra></extra>",
    }  # fmt: skip
    notes = [
        labels.selection_label(events.trials),
        f"{len(classes):,} key press{'' if len(classes) == 1 else 'es'}",
        thinning.note(len(classes), "key presses"),
    ]
    return style.figure([trace], "Key presses", notes, palette, **_row_layout(rows, time_s))


def session_timeline(
    result: FigureSource,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
    theme: str = "light",
) -> go.Figure:
    """Draw all events over the seconds since their trial began: a row per kind, or per trial and kind.

    Trials are in the order of the session; of more than 40 the first are drawn, and of more than 5,000 events of a
    kind every nth. Notes in the figure state this. A selection without events gives an empty figure with a message.

    Parameters
    ----------
    result : StudyResult or DataFrame
        A result, or events with `t_s` (s). A DataFrame has a column `kind`, or its columns give the kind: `key_class`
        means keyboard, `action` clicks, others movement.
    participant, task, factor, trial
        A value or a list of values to select by; None takes all, NA those without a name.
    theme : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    SettingsError
        The theme or the table can't be used.

    See Also
    --------
    keystroke_timeline, trajectory

    Examples
    --------
    >>> import pandas as pd
    >>> kinds = ["mouse_movement", "keyboard"]
    >>> session_timeline(pd.DataFrame({"t_s": [0.1, 0.7], "kind": kinds})).layout.yaxis.ticktext
    ('mouse movement', 'keyboard')
    """
    palette = style.get_palette(theme)
    trial_filter = TrialFilter(participant, task, factor, trial)
    events = read_events(result, KINDS, trial_filter, needs_position=False)
    if not len(events.table):
        return style.empty_figure("Session", f"There are no events{trial_filter}.", palette)
    order = session_order(events.trials)
    drawn_trials = order[:MAX_SESSION_TRIALS]
    drawn_events = events.where(np.isin(events.trial, drawn_trials))
    kinds: list[Kind] = [kind for kind in KINDS if (drawn_events.table["kind"] == kind).any()]
    first_row = np.full(len(order), -1)
    first_row[drawn_trials] = np.arange(len(drawn_trials)) * (len(kinds) + 1)
    names = np.array(labels.trial_labels(events.trials))
    colours = dict(zip(KINDS, (*palette.categories[:4], palette.muted), strict=True))
    traces, thinning_notes = [], []
    for number, kind in enumerate(kinds):
        of_kind = drawn_events.of_kind(kind)
        drawn = thinning.every_nth(len(of_kind.table), MAX_SESSION_EVENTS)
        trial_of = of_kind.trial[drawn]
        name = kind.replace("_", " ")
        template = f"{name}<br>%{{x:.2f}} s<extra></extra>"
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": name,
                "x": of_kind.table["t_s"].to_numpy(float)[drawn], "y": first_row[trial_of] + number,
                "marker": {
                    "symbol": TICK_SYMBOL, "size": ROW_PX // 2 if len(order) == 1 else THIN_ROW_PX - 1,
                    "line": {"width": 1.5}, "color": colours[kind],
                },
                **({"text": names[trial_of]} if len(order) > 1 else {}),
                "hovertemplate": f"%{{text}}<br>{template}" if len(order) > 1 else template,
            }
        )  # fmt: skip
        thinning_notes.append(thinning.note(len(of_kind.table), f"{name} events", MAX_SESSION_EVENTS))
    is_cut = len(order) > MAX_SESSION_TRIALS
    notes = [
        labels.selection_label(events.trials),
        f"the first {MAX_SESSION_TRIALS} of {len(order):,} trials" if is_cut else "",
        *thinning_notes,
    ]
    time_s = drawn_events.table["t_s"].to_numpy(float)
    if len(order) == 1:
        layout = _row_layout([kind.replace("_", " ") for kind in kinds], time_s)
        return style.figure(traces, "Session", notes, palette, **layout)
    short_names = np.array(labels.trial_labels(events.trials, MAX_ROW_NAME_LENGTH))[drawn_trials].tolist()
    layout = _row_layout(short_names, time_s, len(kinds) + 1, THIN_ROW_PX)
    separators = [(one + other) / 2 for one, other in itertools.pairwise(layout["yaxis"]["tickvals"])]
    layout["yaxis"]["minor"] = {"tickvals": separators, "showgrid": True, "gridcolor": palette.grid, "ticks": ""}
    legend = {"showlegend": True, "legend": style.LEGEND_ABOVE}
    return style.figure(traces, "Session", notes, palette, **layout | legend)


def _row_layout(names: list[str], time_s: FloatArray, group_rows: int = 1, row_px: float = ROW_PX) -> dict[str, Any]:
    """Return the layout of a time axis over labelled groups of rows, the first on top.

    A group has `group_rows` rows of `row_px` each; where there are several, the last one stays blank.
    """
    middles = [number * group_rows + max(group_rows - 2, 0) / 2 for number in range(len(names))]
    ends = [middles[-1] + group_rows / 2, middles[0] - group_rows / 2]
    first, last = min(0.0, float(time_s.min())), float(time_s.max())
    last = last if last > first else first + 1.0
    margin = TIME_MARGIN * (last - first)
    return {
        "xaxis": {"title": "time since the trial began (s)", "range": [first - margin, last + margin]},
        "yaxis": {"tickvals": middles, "ticktext": names, "range": ends, "showgrid": False, "ticks": ""},
        "height": 190 + int(row_px * max(ends[0] - ends[1], 3)),
    }
