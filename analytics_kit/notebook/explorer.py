"""A result in a notebook: choose a trial, see its figures and metrics, step to the next."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics_kit.notebook import trial_html as trial
from analytics_kit.notebook.cell_display import Display
from analytics_kit.notebook.explorer_model import NAMES, Drawing, Explorer
from analytics_kit.plot.selection import Results


class ExplorerPanel(Display):
    """Shows a trial of a result in each cell that displays it. `close()` frees its widget.

    The record that stays in the file has the trial's names and metrics and the code for its figures.
    """

    kind = "explorer"
    renewed_by = "the cell is run again"

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self._explorer = explorer
        self._names = Explorer.of(explorer.result).choices()
        self._theme = "light"
        self._drawings: dict[str, Drawing] = {}

    def __repr__(self) -> str:
        return f"<ExplorerPanel of {self._text()}>"

    def _listen(self) -> Callable[[], None]:
        return lambda: None  # a result does not change

    def _refresh(self) -> None:
        """Nothing can have changed."""

    def _await_settled(self) -> None:
        """It is settled."""

    def _shows(self) -> dict[str, str]:
        explorer = self._explorer
        self._drawings = self._drawings or explorer.drawings(self._theme)
        html = trial.live(explorer, self._names, self._drawings, self._notes())
        return {"html": html, "said": trial.title(explorer)}

    def _text(self) -> str:
        return trial.title(self._explorer)

    def _html(self) -> str:
        return trial.record(self._explorer)

    def _do(self, what: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> str:
        if what == "plotly":
            self._send_plotly()
            return self._note
        explorer = self._explorer
        if what == "next":
            explorer = explorer.next()
        elif what == "previous":
            explorer = explorer.previous()
        elif what in NAMES:
            place = str(content["value"])
            explorer = explorer.choose(**{what: self._names[what][int(place)].value if place else None})
        elif what == "theme" and content["value"] in ("light", "dark"):
            self._theme = str(content["value"])
        else:
            return self._note
        # This takes its time, and is not for the thread that sends for all panels.
        drawings = explorer.drawings(self._theme)
        with self._lock:
            self._explorer, self._drawings = explorer, drawings
        return ""

    def _send_plotly(self) -> None:
        """Give the page the script that draws, once for all explorers on it: nothing comes from another host."""
        from plotly.offline import get_plotlyjs

        if self._live is not None:
            self._live.send({"plotly": True}, [gzip.compress(get_plotlyjs().encode(), 1)])


def explore(
    result: Results, *, participant: object = None, task: object = None, factor: object = None, trial: object = None
) -> ExplorerPanel:
    """A panel to look at a result trial by trial: its path, heatmap, speed, key presses, all events and metrics.

    Choose by `participant`, `task`, `factor` and `trial` here, each a value or None for all, or in the panel, where
    the arrow keys step to the previous and the next trial. A result without trials gives a panel that says so.
    Raises SettingsError where no trial has these names.
    """
    chosen = Explorer.of(result).choose(participant=participant, task=task, factor=factor, trial=trial)
    return ExplorerPanel(chosen)
