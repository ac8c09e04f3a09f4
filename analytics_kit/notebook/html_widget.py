"""A widget that draws the HTML it is given and tells which button was pressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

HERE = Path(__file__).parent


class Live(anywidget.AnyWidget):
    """The live half of a panel. `close` frees all that it has in the front end and here."""

    _esm = "\n".join((HERE / name).read_text("utf-8") for name in ("figures.js", "html_widget.js"))
    # of a path, anywidget would keep each widget for ever
    _css = (HERE / "html_widget.css").read_text("utf-8")
    shown = traitlets.Dict().tag(sync=True)
    """`html` to draw, and `said`: words that are read aloud when they change."""

    def __init__(self, kind: str, hear: Callable[[Mapping[str, Any], Sequence[Any]], None], **shown: str) -> None:
        super().__init__(shown=shown)
        self.add_class("ak-live").add_class(f"ak-{kind}")
        self.on_msg(lambda _, content, buffers: hear(content, buffers))
        if self.comm is not None:
            # ipykernel 7.4 takes what comes for the answer to what was sent last, and keeps it for the main thread.
            # A press is no answer: a front end that opens a subshell for it is heard while a cell runs.
            self.comm._reply_subshell_for = None

    def close(self) -> None:
        """Close it with its layout, which widgets leave open."""
        self.layout.close()
        super().close()
