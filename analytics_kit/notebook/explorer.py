"""A result in a notebook, trial by trial: choose a trial, see its figures and metrics, step to the next one."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.notebook import trial_html
from analytics_kit.notebook.cell_display import CellDisplay
from analytics_kit.notebook.explorer_model import NAME_COLUMNS, Explorer, RenderedFigure
from analytics_kit.plot.selection import ResultLike


class ExplorerPanel(CellDisplay):
    """One trial of a result with its figures and metrics, live in each cell that displays the panel.

    `ak.explore` makes one, `close()` frees its widget. The static record in the file has the trial's names and
    metrics and the code for its figures.
    """

    kind = "explorer"
    renewed_by = "the cell is run again"

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self._explorer = explorer
        self._names = Explorer.of(explorer.result).choices()
        self._theme = "light"
        self._figures: dict[str, RenderedFigure] = {}

    def __repr__(self) -> str:
        return f"<ExplorerPanel of {self._record_text()}>"

    def _observe(self) -> Callable[[], None]:
        return lambda: None  # a result does not change

    def _refresh(self) -> None:
        """Do nothing: a result does not change."""

    def _await_settled(self) -> None:
        """Return at once: a result is settled."""

    def _live_content(self) -> dict[str, str]:
        explorer = self._explorer
        self._figures = self._figures or explorer.figures(self._theme)
        html = trial_html.render_live(explorer, self._names, self._figures, self._notes())
        return {"html": html, "announcement": trial_html.title(explorer)}

    def _record_text(self) -> str:
        return trial_html.title(self._explorer)

    def _record_html(self) -> str:
        return trial_html.render_static(self._explorer)

    def _handle_action(self, action: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        if action == "plotly":
            self._send_plotly()
            return self._note
        explorer = self._explorer
        if action == "next":
            explorer = explorer.next()
        elif action == "previous":
            explorer = explorer.previous()
        elif action in NAME_COLUMNS:
            index = str(content["value"])
            explorer = explorer.choose(**{action: self._names[action][int(index)].value if index else None})
        elif action == "theme" and content["value"] in ("light", "dark"):
            self._theme = str(content["value"])
        else:
            return self._note
        # Slow, so not on the thread that sends the updates of all panels.
        figures = explorer.figures(self._theme)
        with self._lock:
            self._explorer, self._figures = explorer, figures
        return ""

    def _send_plotly(self) -> None:
        """Send plotly's script to the page, once for all explorers on it; nothing is loaded from another host."""
        from plotly.offline import get_plotlyjs

        if self._widget is not None:
            self._widget.send({"plotly": True}, [gzip.compress(get_plotlyjs().encode(), 1)])


def explore(
    result: ResultLike,
    *,
    participant: object = None,
    task: object = None,
    factor: object = None,
    trial: object = None,
) -> ExplorerPanel:
    """Return a panel that shows a result trial by trial: path, heatmap, speed, key presses, all events and metrics.

    In the panel, lists choose trials by name, and the arrow keys step to the previous and the next trial. A result
    without trials gives a panel with a message.

    Parameters
    ----------
    result : StudyResult
        The result to explore.
    participant, task, factor, trial
        A value, a list of values, or None for all; the panel opens on the first trial that has them.

    Raises
    ------
    SettingsError
        No trial has these names.

    See Also
    --------
    plot.trajectory, plot.heatmap, plot.speed_profile, plot.keystroke_timeline, plot.session_timeline

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import pandas as pd
    >>> names = {"participant": "1", "session": "1", "task": "Search", "factor": "Calm"}
    >>> trials = pd.DataFrame({"trial": [1, 2], "trial_order": [1, 2], "click_count": [3, 5]}).assign(**names)
    >>> result = SimpleNamespace(trials=trials, kinds=[], events=None)  # job.result() in practice
    >>> explore(result, trial=2)
    <ExplorerPanel of participant 1, Search, Calm, trial 2: 1 of 1 trial>
    """
    explorer = Explorer.of(result).choose(participant=participant, task=task, factor=factor, trial=trial)
    return ExplorerPanel(explorer)
