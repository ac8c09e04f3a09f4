"""The cell that is running, whether a front end draws it live, and the displays of its earlier runs."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from analytics_kit.settings import Settings


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a cell."""

    cell_id: str
    """The same for each run of a cell; empty where the front end sends none."""
    run_id: str
    """Different for each run."""
    is_live: bool
    """Whether a front end draws later changes; otherwise the cell gets one settled static record."""


def running_cell() -> Cell | None:
    """Return the cell that the calling thread runs; None in a terminal, script, callback or other thread."""
    parent = _parent_message()
    header = parent.get("header") or {}
    if header.get("msg_type") != "execute_request" or threading.current_thread() is not threading.main_thread():
        return None
    cell_id = str((parent.get("metadata") or {}).get("cellId") or "")
    return Cell(cell_id, str(header.get("msg_id")), _is_live(parent))


def _is_live(parent: dict[str, Any]) -> bool:
    static = Settings.of().static
    if static is not None:
        return not static
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
        return True  # Voila runs cells as nbclient does, but draws later changes
    return bool((parent.get("content") or {}).get("allow_stdin"))


def _shell() -> Any:
    """Return IPython's shell, or None; a program that has not loaded IPython has none."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _parent_message() -> dict[str, Any]:
    kernel = getattr(_shell(), "kernel", None)
    return (kernel.get_parent() if kernel is not None else None) or {}


class Hideable(Protocol):
    """A display that can be removed from a cell."""

    def hide(self, cell_id: str) -> None:
        """Remove it from the cell."""


_displays: dict[str, list[tuple[str, Hideable]]] = {}
"""By cell id: the run that displayed something, and the display."""


def hide_on_rerun(cell: Cell, display: Hideable) -> None:
    """Hide the display when the cell is run again or deleted."""
    if cell.cell_id:
        _displays.setdefault(cell.cell_id, []).append((cell.run_id, display))
        _shell().events.register("pre_run_cell", _hide_earlier)


def _hide_earlier(info: Any) -> None:
    """Hide what earlier runs displayed; IPython calls this before a cell runs."""
    parent = _parent_message()
    run_id = (parent.get("header") or {}).get("msg_id")
    deleted = (parent.get("metadata") or {}).get("deletedCells") or []
    for cell_id in {str(info.cell_id), *map(str, deleted)}:
        for displayed_by, display in _displays.pop(cell_id, []):
            if displayed_by == run_id:
                _displays.setdefault(cell_id, []).append((displayed_by, display))
            else:
                display.hide(cell_id)
    if not _displays:
        _shell().events.unregister("pre_run_cell", _hide_earlier)
