"""Where on the screen: the box that is drawn, its axes in px with y downwards, and what lies outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analytics_kit.errors import SettingsError
from analytics_kit.plot.style import Theme

MARGIN = 0.04
"""Of the box's longer side, left free around it."""
LEAST_MARGIN_PX = 20
NOWHERE_PX = 65_535
"""A coordinate of this size is no place but a logger's mistake."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in px: a screen, or what the events span. Edges belong to it."""

    left: float
    top: float
    right: float
    bottom: float
    words: str

    @property
    def longer(self) -> float:
        """The longer side, at least 1 px."""
        return max(self.right - self.left, self.bottom - self.top, 1.0)

    def holds(self, x: pd.Series, y: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which points lie in it."""
        return (x.between(self.left, self.right) & y.between(self.top, self.bottom)).to_numpy(bool)

    def outside(self, events: pd.DataFrame) -> str:
        """A note on the events that lie outside; empty where none does."""
        count = int((~self.holds(events["x_px"], events["y_px"])).sum())
        return f"{count:,} of {len(events):,} events lie outside the screen" if count else ""


def box(screen: Sequence[float] | None, events: pd.DataFrame) -> Box:
    """The screen, given as (width, height) in px, or what the events on any screen span. Raises SettingsError."""
    if screen is None:
        there = (events[["x_px", "y_px"]].abs() < NOWHERE_PX).all(axis=1)
        events = events[there] if there.any() else events
        left, top, right, bottom = (
            float(events[name].agg(edge)) for edge in ("min", "max") for name in ("x_px", "y_px")
        )
        return Box(left, top, right, bottom, "bounding box of the events")
    try:
        width, height = map(float, screen)
    except (TypeError, ValueError):
        width = height = math.nan
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise SettingsError(
            f"screen can't be {screen!r}.", hint="Give its width and height in px, as in screen=(1920, 1080)."
        )
    return Box(0, 0, width, height, f"screen, {width:g} by {height:g} px")


def axes(frame: Box, theme: Theme) -> dict[str, Any]:
    """Layout of a plane that shows the box, labelled: equal scales, y downwards."""
    free = max(MARGIN * frame.longer, LEAST_MARGIN_PX)
    edge = {"type": "rect", "x0": frame.left, "y0": frame.top, "x1": frame.right, "y1": frame.bottom}
    words = {
        "text": frame.words, "x": frame.left, "y": frame.top, "xanchor": "left", "yanchor": "bottom",
        "font": {"size": 11}, "showarrow": False, "borderpad": 1,
    }  # fmt: skip
    return {
        "xaxis": {
            "title": "x (px)", "range": [frame.left - free, frame.right + free], "constrain": "domain",
            "showgrid": False,
        },
        "yaxis": {
            "title": "y (px), downwards", "range": [frame.bottom + free, frame.top - free], "scaleanchor": "x",
            "scaleratio": 1, "constrain": "domain", "constraintoward": "top", "showgrid": False,
        },
        "shapes": [{**edge, "line": {"color": theme.quiet, "width": 1, "dash": "dot"}, "layer": "below"}],
        "annotations": [words],
    }  # fmt: skip
