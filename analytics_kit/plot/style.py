"""What do all figures look like: theme, colours, symbols, title with notes, and a figure of nothing?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from analytics_kit.errors import SettingsError, nearest

LINE_OPACITY = 0.7
"""Of lines that lie over one another: what is left still has a contrast of 3."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
LEGEND_ABOVE = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"}
"""A legend in one line, between notes and axes; it hides no tick's number."""
LEGEND_PX = 24
EMPTY_PX = 240
"""Height of a figure that says what there is none of."""
NUMBERS = {"exponentformat": "none", "separatethousands": True}
"""Numbers at ticks are written out."""
NOTE_WIDTH = 90
"""Characters in a line of notes."""


class Theme(NamedTuple):
    """Colours that have a contrast of at least 3 to the paper; categories are Okabe and Ito's, the scale is plasma.

    Of either only what is far enough from the paper is used.
    """

    paper: str
    ink: str
    quiet: str
    grid: str
    categories: tuple[str, ...]
    scale: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#ffffff", "#1a1a1a", "#767676", "#e4e4e4",
        ("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
        ("#d8576b", "#bd3786", "#9c179e", "#7201a8", "#46039f", "#0d0887"),
    ),
    "dark": Theme(
        "#111111", "#eeeeee", "#8a8a8a", "#333333",
        ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442"),
        ("#bd3786", "#d8576b", "#ed7953", "#fb9f3a", "#fdca26", "#f0f921"),
    ),
}  # fmt: skip


def theme_of(name: str) -> Theme:
    """The theme of this name. Raises SettingsError."""
    if name not in THEMES:
        raise SettingsError(
            f"There is no theme {name!r}.{nearest(name, THEMES)}", hint=f"Themes: {', '.join(THEMES)}."
        )
    return THEMES[name]


def looks(theme: Theme, number: int) -> dict[str, str]:
    """Colour and symbol of the nth category; no two of the first 28 have both in common."""
    return {
        "color": theme.categories[number % len(theme.categories)],
        "symbol": SYMBOLS[number % len(SYMBOLS)],
    }


def scale(theme: Theme) -> list[list[object]]:
    """A sequential colour scale; what is more stands out more from the paper."""
    last = len(theme.scale) - 1
    return [[place / last, colour] for place, colour in enumerate(theme.scale)]


def figure(
    traces: Sequence[dict[str, Any]], title: str, notes: Sequence[str], theme: Theme, **layout: Any
) -> go.Figure:
    """A figure with a title and, below it, what has to be said about it; empty notes are left out.

    Names in title and notes have to be `words.safe`. `layout.meta` has the notes too, for who shows them elsewhere.
    """
    notes = [note for note in notes if note]
    lines = _wrapped(notes)
    axis = {
        "gridcolor": theme.grid, "zeroline": False, "linecolor": theme.quiet, "showline": True, "ticks": "outside",
        "tickcolor": theme.quiet, "automargin": True, "title": {"standoff": 10}, **NUMBERS,
    }  # fmt: skip
    template = {
        "layout": {
            "paper_bgcolor": theme.paper, "plot_bgcolor": theme.paper, "font": {"color": theme.ink, "size": 12},
            "xaxis": axis, "yaxis": axis, "hoverlabel": {"align": "left"},
        }
    }  # fmt: skip
    heading = {
        "text": title, "x": 0.02, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top",
        "pad": {"t": 12}, "font": {"size": 16},
        "subtitle": {"text": "<br>".join(lines), "font": {"size": 12, "color": theme.ink}},
    }  # fmt: skip
    above = 64 + 16 * len(lines) + (LEGEND_PX if "legend" in layout else 0)
    margin = {"t": above, "b": 60, "l": 70, "r": 30}
    base = {"template": template, "title": heading, "margin": margin, "showlegend": False, "height": 480}
    base["meta"] = {"notes": notes}
    return go.Figure(list(traces), base | layout)


def _wrapped(notes: Sequence[str]) -> list[str]:
    """Notes in lines that break between notes; within one only where it is longer than a line."""
    glued = [note.replace(" ", "\N{NO-BREAK SPACE}") if len(note) <= NOTE_WIDTH else note for note in notes]
    lines = textwrap.wrap(" · ".join(glued), NOTE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ").removesuffix(" ·") for line in lines]


def colour_bar(title: str) -> dict[str, Any]:
    """A colour bar whose numbers are written as those of the axes."""
    return {"title": {"text": title, "side": "right"}, "thickness": 14, "outlinewidth": 0, **NUMBERS}


def empty(title: str, nothing: str, theme: Theme) -> go.Figure:
    """A figure that says what there is none of."""
    said = {
        "text": "<br>".join(textwrap.wrap(nothing, 60, break_long_words=False)), "showarrow": False,
        "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "font": {"size": 14},
    }  # fmt: skip
    hidden = {"visible": False}
    return figure([], title, [], theme, annotations=[said], xaxis=hidden, yaxis=hidden, height=EMPTY_PX)
