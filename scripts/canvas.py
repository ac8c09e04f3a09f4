"""Write small SVG drawings that are legible on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 420, 270
INK, PALE, PAPER = "#1f2933", "#9aa5b1", "#ffffff"
BLUE, RED, GREEN = "#0072B2", "#D55E00", "#00795C"
"""Distinct for colour-blind readers, each with a contrast of at least 3 to 1 on the paper."""
Point = tuple[float, float]


class Canvas:
    """A white sheet with rounded corners; pixels of the trial are pixels of the drawing, y grows downwards."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts: list[str] = []

    def line(self, points: Iterable[Point], colour: str = INK, width: float = 1.5, dash: str = "") -> None:
        """Draw an open line through points."""
        self._shape("polyline", points, f'fill="none" stroke="{colour}" stroke-width="{width}"' + _dashed(dash))

    def area(self, points: Iterable[Point], colour: str, opacity: float = 0.2, edge: bool = False) -> None:
        """Draw a filled shape."""
        self._shape("polygon", points, f'fill="{colour}" fill-opacity="{opacity}"' + f' stroke="{colour}"' * edge)

    def dots(self, points: Iterable[Point], colour: str = INK, radius: float = 3, hollow: bool = False) -> None:
        """Draw small discs, or rings."""
        style = f'fill="none" stroke="{colour}" stroke-width="2"' if hollow else f'fill="{colour}"'
        for x, y in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {style}/>')

    def arrow(self, start: Point, end: Point, colour: str, width: float = 2) -> None:
        """Draw a line with an arrowhead at its end."""
        (x0, y0), (x1, y1) = start, end
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        neck = min(8, length)
        back = (x1 - neck * ux, y1 - neck * uy)
        self.line([start, back], colour, width)
        wings = [(back[0] - side * 4 * uy, back[1] + side * 4 * ux) for side in (-1, 1)]
        self.area([end, *wings], colour, 1)

    def text(self, position: Point, text: str, colour: str = INK, anchor: str = "start") -> None:
        """Write a few words; an outline in the colour of the paper keeps them legible on lines."""
        self.parts.append(
            f'<text x="{position[0]:.1f}" y="{position[1]:.1f}" fill="{colour}" text-anchor="{anchor}" '
            f'stroke="{PAPER}" stroke-width="3" paint-order="stroke" stroke-linejoin="round">{escape(text)}</text>'
        )

    def svg(self) -> str:
        """Return the SVG document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img">'
        )
        sheet = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{PAPER}"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", sheet, *self.parts, "</svg>", ""])

    def _shape(self, name: str, points: Iterable[Point], style: str) -> None:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<{name} points="{corners}" stroke-linejoin="round" stroke-linecap="round" {style}/>')


def _dashed(dash: str) -> str:
    return f' stroke-dasharray="{dash}"' if dash else ""
