"""How long do the figures of 100,000 events take, against reading those events and drawing plain points of them?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import plotly.graph_objects as go

import analytics_kit as ak
from analytics_kit.plot.thinning import every
from benchmarks import studies
from benchmarks.jobs import Row

ROUNDS = 5
MOST_TIMES = 8
"""Plain points have neither a line per trial nor its name at each point, for which plotly takes longest."""
METRIC = "path_length_px"


def quickest(act: Callable[[], object]) -> float:
    """Seconds of the quickest of some calls, after one that warms up."""
    act()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return min(times)


def plain(result: ak.StudyResult) -> str:
    """All events read, and a tenth of the movement as a plain scatter, as JSON."""
    tables = [result.events(kind) for kind in result.kinds]
    some = tables[0].iloc[every(len(tables[0]))]
    return str(go.Figure(go.Scatter(x=some["x_px"], y=some["y_px"], mode="lines+markers")).to_json())


def rows(folder: Path) -> Iterator[Row]:
    """Each figure of the whole study, as JSON."""
    result = ak.process(studies.hundred_thousand_events(folder))
    count = result.summary["rows_kept"]
    floor = quickest(lambda: plain(result))
    for name in ak.plot.__all__:
        figure = getattr(ak.plot, name)
        arguments = (METRIC,) if name in ("task_comparison", "learning_curve") else ()
        took = quickest(lambda figure=figure, arguments=arguments: figure(result, *arguments).to_json())
        yield (
            f"{name} of {count:,} events, {len(result.trials)} trials",
            f"{1000 * took:.0f} ms, reading and plain points {1000 * floor:.0f} ms: {took / floor:.1f} times",
            f"≤ {MOST_TIMES} times, < 1 s",
            took <= MOST_TIMES * floor and took < 1,
        )
