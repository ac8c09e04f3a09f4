"""Render the package's templates, whatever application the routes are mounted in."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader

from analytics_kit.visible_text import LINES, visible


def _visible(value: object) -> object:
    return visible(value, keep=LINES) if type(value) is str else value  # HTML is a subclass of str


# Not the application's environment: it may escape differently, and have templates of the same names.
_ENVIRONMENT = Environment(loader=PackageLoader("analytics_kit.web"), autoescape=True, finalize=_visible)


def render(name: str, **values: Any) -> str:
    """Return the template as HTML, with all `values` escaped."""
    return _ENVIRONMENT.get_template(f"analytics_kit/{name}").render(values)
