"""The look of all figures: colours, symbols, title with notes, and the figure of an empty selection."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from analytics_kit.errors import SettingsError, nearest

LINE_OPACITY = 0.7
"""Opacity of overlapping lines; the blended colour keeps a contrast of 3."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
LEGEND_ABOVE = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"}
"""A legend in one line between notes and axes, where it covers no tick label."""
LEGEND_PX = 24
EMPTY_FIGURE_PX = 240
NUMBER_FORMAT = {"exponentformat": "none", "separatethousands": True}
"""Tick labels are written out."""
NOTE_LINE_LENGTH = 90
"""Characters in a line of notes."""


class Palette(NamedTuple):
    """Colours of a theme with a contrast of at least 3 to the paper.

    The categories are those of Okabe and Ito, the scale is plasma, as far as their colours contrast with the paper.
    """

    paper: str
    ink: str
    muted: str
    grid: str
    categories: tuple[str, ...]
    scale: tuple[str, ...]


PALETTES = {
    "light": Palette(
        "#ffffff", "#1a1a1a", "#767676", "#e4e4e4",
        ("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
        ("#d8576b", "#bd3786", "#9c179e", "#7201a8", "#46039f", "#0d0887"),
    ),
    "dark": Palette(
        "#111111", "#eeeeee", "#8a8a8a", "#333333",
        ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442"),
        ("#bd3786", "#d8576b", "#ed7953", "#fb9f3a", "#fdca26", "#f0f921"),
    ),
}  # fmt: skip


def get_palette(theme: str) -> Palette:
    """Return the colours of a theme. Raises SettingsError for an unknown one."""
    if theme not in PALETTES:
        raise SettingsError(
            f"There is no theme {theme!r}.{nearest(theme, PALETTES)}", hint=f"Themes: {', '.join(PALETTES)}."
        )
    return PALETTES[theme]


def category_marker(palette: Palette, number: int) -> dict[str, str]:
    """Return colour and symbol of the nth category; no two of the first 28 agree in both."""
    return {
        "color": palette.categories[number % len(palette.categories)],
        "symbol": SYMBOLS[number % len(SYMBOLS)],
    }


def colour_scale(palette: Palette) -> list[list[object]]:
    """Return a sequential colour scale; higher values contrast more with the paper."""
    last = len(palette.scale) - 1
    return [[index / last, colour] for index, colour in enumerate(palette.scale)]


def figure(
    traces: Sequence[dict[str, Any]], title: str, notes: Sequence[str], palette: Palette, **layout: Any
) -> go.Figure:
    """Return a figure with a title and its notes below; empty notes are left out.

    Names in title and notes must be escaped by `labels.safe_text`. `layout.meta` repeats the notes, for views that
    show them elsewhere.
    """
    notes = [note for note in notes if note]
    lines = _wrap(notes)
    axis = {
        "gridcolor": palette.grid, "zeroline": False, "linecolor": palette.muted, "showline": True,
        "ticks": "outside", "tickcolor": palette.muted, "automargin": True, "title": {"standoff": 10},
        **NUMBER_FORMAT,
    }  # fmt: skip
    template = {
        "layout": {
            "paper_bgcolor": palette.paper, "plot_bgcolor": palette.paper, "font": {"color": palette.ink, "size": 12},
            "xaxis": axis, "yaxis": axis, "hoverlabel": {"align": "left"},
        }
    }  # fmt: skip
    heading = {
        "text": title, "x": 0.02, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top",
        "pad": {"t": 12}, "font": {"size": 16},
        "subtitle": {"text": "<br>".join(lines), "font": {"size": 12, "color": palette.ink}},
    }  # fmt: skip
    above = 64 + 16 * len(lines) + (LEGEND_PX if "legend" in layout else 0)
    margin = {"t": above, "b": 60, "l": 70, "r": 30}
    base = {"template": template, "title": heading, "margin": margin, "showlegend": False, "height": 480}
    base["meta"] = {"notes": notes}
    return go.Figure(list(traces), base | layout)


def _wrap(notes: Sequence[str]) -> list[str]:
    """Return the notes in lines that break between notes, and within a note only where it is longer than a line."""
    unbroken = [note.replace(" ", "\N{NO-BREAK SPACE}") if len(note) <= NOTE_LINE_LENGTH else note for note in notes]
    lines = textwrap.wrap(" · ".join(unbroken), NOTE_LINE_LENGTH, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ").removesuffix(" ·") for line in lines]


def colour_bar(title: str) -> dict[str, Any]:
    """Return a colour bar with tick labels like those of the axes."""
    return {"title": {"text": title, "side": "right"}, "thickness": 14, "outlinewidth": 0, **NUMBER_FORMAT}


def empty_figure(title: str, message: str, palette: Palette) -> go.Figure:
    """Return a figure that only shows the message."""
    annotation = {
        "text": "<br>".join(textwrap.wrap(message, 60, break_long_words=False)), "showarrow": False,
        "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "font": {"size": 14},
    }  # fmt: skip
    hidden = {"visible": False}
    return figure(
        [], title, [], palette, annotations=[annotation], xaxis=hidden, yaxis=hidden, height=EMPTY_FIGURE_PX
    )
