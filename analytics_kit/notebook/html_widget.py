"""A widget that draws the HTML it is given and reports clicks and input to the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

FOLDER = Path(__file__).parent


class HtmlWidget(anywidget.AnyWidget):
    """The live part of a panel. `close` frees its resources in the front end and in the kernel."""

    _esm = "\n".join((FOLDER / name).read_text("utf-8") for name in ("figures.js", "html_widget.js"))
    # text and not a path, with which anywidget would keep every widget in memory
    _css = (FOLDER / "html_widget.css").read_text("utf-8")
    content = traitlets.Dict().tag(sync=True)
    """`html` to draw, and `announcement`: text that a screen reader reads aloud when it changes."""

    def __init__(
        self, kind: str, on_message: Callable[[Mapping[str, Any], Sequence[Any]], None], **content: str
    ) -> None:
        super().__init__(content=content)
        self.add_class("ak-live").add_class(f"ak-{kind}")
        self.on_msg(lambda _, message, buffers: on_message(message, buffers))
        if self.comm is not None:
            # ipykernel 7.4 treats each incoming message as the reply to the last one sent, and queues it for the main
            # thread. With this reset, a click that the front end sends to a subshell is handled while a cell runs.
            self.comm._reply_subshell_for = None

    def close(self) -> None:
        """Close the widget and its layout, which ipywidgets leaves open."""
        self.layout.close()
        super().close()
