"""How long do the figures of 100,000 events take, against reading the same events and drawing as much plainly?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

import analytics_kit as ak
from analytics_kit.model import KINDS
from benchmarks import studies
from benchmarks.jobs import Row

ROUNDS = 7
MOST_TIMES = 4
METRIC = "path_length_px"
POINTER = ("mouse_movement", "mouse_clicks", "mouse_scrolls")
READ = {
    "trajectory": POINTER,
    "heatmap": POINTER[:1],
    "speed_profile": POINTER[:1],
    "keystroke_timeline": ("keyboard",),
    "session_timeline": KINDS,
    "task_comparison": (),
    "learning_curve": (),
}
"""The kinds of events that a figure needs; none where it needs the trials only."""


def plain(like: go.Figure) -> go.Figure:
    """As many traces with as many points, and nothing else."""
    traces = []
    for trace in like.data:
        if trace.type == "heatmap":
            traces.append({"type": "heatmap", "z": np.zeros(np.shape(trace.z))})
        else:
            numbers = np.arange(len(trace.x)) * 0.01
            traces.append({"type": "scatter", "x": numbers, "y": numbers})
    return go.Figure(traces)


def by_turns(*acts: Callable[[], object]) -> list[float]:
    """Seconds of the quickest call of each, after one that warms up; by turns, so that all meet the same machine."""
    times = []
    for _ in range(ROUNDS + 1):
        times.append([])
        for act in acts:
            start = time.perf_counter()
            act()
            times[-1].append(time.perf_counter() - start)
    return [min(each) for each in zip(*times[1:], strict=True)]


def rows(folder: Path) -> Iterator[Row]:
    """Each figure of the whole study, as JSON."""
    result = ak.process(studies.hundred_thousand_events(folder))
    count = result.summary["rows_kept"]
    for name, kinds in READ.items():
        figure = getattr(ak.plot, name)
        arguments = () if kinds else (METRIC,)
        like = figure(result, *arguments)

        def ours(figure=figure, arguments=arguments) -> object:
            return figure(result, *arguments).to_json()

        def floor(kinds=kinds, like=like) -> object:
            tables = [result.events(kind) for kind in kinds] or [result.trials]
            return tables, plain(like).to_json()

        took, least = by_turns(ours, floor)
        print(name, round(1000 * took), round(1000 * least), round(took / least, 2))
        yield (
            f"{name} of {count:,} events, {len(result.trials)} trials",
            f"{1000 * took:.0f} ms, plainly {1000 * least:.0f} ms: {took / least:.1f} times",
            f"≤ {MOST_TIMES} times, < 1 s",
            took <= MOST_TIMES * least and took < 1,
        )
