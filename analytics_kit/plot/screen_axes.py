"""Axes in screen coordinates: the area that is shown, in px with y downwards, and what lies outside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analytics_kit.errors import SettingsError
from analytics_kit.plot.arrays import BoolArray
from analytics_kit.plot.style import Palette

AREA_MARGIN = 0.04
"""Free space around the area, as a fraction of its longer side."""
MIN_MARGIN_PX = 20
INVALID_COORDINATE_PX = 65_535
"""Coordinates of this size and beyond are errors of a logger."""


@dataclass(frozen=True, slots=True)
class ScreenArea:
    """A rectangle in px, edges included: a screen, or the bounding box of events."""

    left: float
    top: float
    right: float
    bottom: float
    label: str

    @property
    def longer_side(self) -> float:
        """The longer side, at least 1 px."""
        return max(self.right - self.left, self.bottom - self.top, 1.0)

    def contains(self, x: pd.Series, y: pd.Series) -> BoolArray:
        """Return which points lie in the area."""
        return (x.between(self.left, self.right) & y.between(self.top, self.bottom)).to_numpy(bool)

    def outside_note(self, events: pd.DataFrame) -> str:
        """Return a note on the events outside the area; empty if there are none."""
        count = int((~self.contains(events["x_px"], events["y_px"])).sum())
        return f"{count:,} of {len(events):,} events lie outside the screen" if count else ""


def screen_area(screen: Sequence[float] | None, events: pd.DataFrame) -> ScreenArea:
    """Return the screen given as (width, height) in px, or the bounding box of the events with valid coordinates.

    Raises SettingsError for a screen that is not two positive numbers.
    """
    if screen is None:
        is_valid = (events[["x_px", "y_px"]].abs() < INVALID_COORDINATE_PX).all(axis=1)
        events = events[is_valid] if is_valid.any() else events
        left, top, right, bottom = (
            float(events[name].agg(edge)) for edge in ("min", "max") for name in ("x_px", "y_px")
        )
        return ScreenArea(left, top, right, bottom, "bounding box of the events")
    try:
        width, height = map(float, screen)
    except (TypeError, ValueError):
        width = height = math.nan
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise SettingsError(
            f"screen can't be {screen!r}.", hint="Give its width and height in px, as in screen=(1920, 1080)."
        )
    return ScreenArea(0, 0, width, height, f"screen, {width:g} by {height:g} px")


def area_layout(area: ScreenArea, palette: Palette) -> dict[str, Any]:
    """Return the layout of axes that show the area and its label: equal scales, y downwards."""
    margin = max(AREA_MARGIN * area.longer_side, MIN_MARGIN_PX)
    outline = {"type": "rect", "x0": area.left, "y0": area.top, "x1": area.right, "y1": area.bottom}
    label = {
        "text": area.label, "x": area.left, "y": area.top, "xanchor": "left", "yanchor": "bottom",
        "font": {"size": 11}, "showarrow": False, "borderpad": 1,
    }  # fmt: skip
    return {
        "xaxis": {
            "title": "x (px)", "range": [area.left - margin, area.right + margin], "constrain": "domain",
            "showgrid": False,
        },
        "yaxis": {
            "title": "y (px), downwards", "range": [area.bottom + margin, area.top - margin], "scaleanchor": "x",
            "scaleratio": 1, "constrain": "domain", "constraintoward": "top", "showgrid": False,
        },
        "shapes": [{**outline, "line": {"color": palette.muted, "width": 1, "dash": "dot"}, "layer": "below"}],
        "annotations": [label],
    }  # fmt: skip
