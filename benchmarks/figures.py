"""Measure the figures of 100,000 events against reading those events and drawing the points that are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import plotly.graph_objects as go

import analytics_kit as ak
from benchmarks import studies
from benchmarks.jobs import Row

ROUNDS = 15
MAX_RATIO = 4
"""The floor reads the events that the figure reads, and has plotly draw traces from values that already exist: as
many traces and points, each with its colour and hover text. A figure does three things more: it joins the kinds and
drops what is not finite, it finds the trials and sorts by trial and time, and it selects the points and names their
trials. Each is a pass over the events and may cost as much as the floor; more than four floors is waste. Figures of
trials read no events; their goal is one second."""
POINTER_KINDS = ("mouse_movement", "mouse_clicks", "mouse_scrolls")
EVENT_KINDS = {
    "trajectory": POINTER_KINDS,
    "heatmap": POINTER_KINDS[:1],
    "speed_profile": POINTER_KINDS[:1],
    "keystroke_timeline": ("keyboard",),
    "session_timeline": (*POINTER_KINDS, "keyboard"),
    "task_comparison": (),
    "learning_curve": (),
}
"""The kinds of events that each figure reads; none where it reads the trials."""


def quickest_alternating(*calls: Callable[[], object]) -> list[float]:
    """Return the seconds of the quickest call of each, called alternately so that a busy machine slows all alike."""
    rounds = []
    for _ in range(1 + ROUNDS):
        times = []
        for call in calls:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        rounds.append(times)
    return [min(times) for times in zip(*rounds[1:], strict=True)]


def rows(folder: Path) -> Iterator[Row]:
    """Measure each figure of the whole study, as JSON."""
    result = ak.process(studies.hundred_thousand_events(folder))
    count = result.summary["rows_kept"]
    for name, kinds in EVENT_KINDS.items():
        figure = getattr(ak.plot, name)
        arguments = () if kinds else ("path_length_px",)
        shown = figure(result, *arguments).to_plotly_json()

        def whole(figure=figure, arguments=arguments) -> str:
            return figure(result, *arguments).to_json()

        def floor(kinds=kinds, shown=shown) -> object:
            return [result.events(kind) for kind in kinds], go.Figure(shown).to_json()

        figure_s, floor_s = quickest_alternating(whole, floor)
        yield (
            f"{name} of {count:,} events, {len(result.trials)} trials",
            f"{1000 * figure_s:.0f} ms, read and drawn only {1000 * floor_s:.0f} ms: {figure_s / floor_s:.1f} times",
            f"≤ {MAX_RATIO} times, < 1 s" if kinds else "< 1 s",
            figure_s < 1 and (figure_s <= MAX_RATIO * floor_s or not kinds),
        )
