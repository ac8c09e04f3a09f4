"""Which cell is running, who draws it, and what did an earlier run of it show?"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from analytics_kit.settings import Settings


@dataclass(frozen=True, slots=True)
class Cell:
    """A run of a cell."""

    name: str
    """The same for each run of one cell; empty where the front end tells none."""
    run: str
    """Another one for each run."""
    live: bool
    """Whether a front end draws what comes later; else one settled record has to do."""


def running() -> Cell | None:
    """The cell that the calling thread runs; None in a terminal, a script, a callback or another thread."""
    parent = _parent()
    header = parent.get("header") or {}
    if header.get("msg_type") != "execute_request" or threading.current_thread() is not threading.main_thread():
        return None
    name = str((parent.get("metadata") or {}).get("cellId") or "")
    return Cell(name, str(header.get("msg_id")), _is_live(parent))


def _is_live(parent: dict[str, Any]) -> bool:
    asked = Settings.of().static
    if asked is not None:
        return not asked
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
        return True  # Voila runs cells as nbclient does, and yet draws what comes later
    return bool((parent.get("content") or {}).get("allow_stdin"))


def _shell() -> Any:
    """IPython's shell, if there is one; whoever has not loaded IPython is in none."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _parent() -> dict[str, Any]:
    kernel = getattr(_shell(), "kernel", None)
    return (kernel.get_parent() if kernel is not None else None) or {}


class Hideable(Protocol):
    """What can be taken from a cell."""

    def hide(self, cell: str) -> None:
        """The cell shows it no more."""


_shown: dict[str, list[tuple[str, Hideable]]] = {}
"""By name of the cell: in which run, and what."""


def note(cell: Cell, what: Hideable) -> None:
    """Have it hidden when the cell is run again or deleted."""
    if cell.name:
        _shown.setdefault(cell.name, []).append((cell.run, what))
        _shell().events.register("pre_run_cell", _hide_earlier)


def _hide_earlier(info: Any) -> None:
    """Called by IPython before a cell runs."""
    parent = _parent()
    run = (parent.get("header") or {}).get("msg_id")
    gone = (parent.get("metadata") or {}).get("deletedCells") or []
    for name in {str(info.cell_id), *map(str, gone)}:
        for shown_by, what in _shown.pop(name, []):
            if shown_by == run:
                _shown.setdefault(name, []).append((shown_by, what))
            else:
                what.hide(name)
    if not _shown:
        _shell().events.unregister("pre_run_cell", _hide_earlier)
