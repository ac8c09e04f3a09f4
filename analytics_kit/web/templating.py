"""How does a template become HTML, whatever application the routes are mounted in?"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader

# Not the application's own: it may have other rules for what is escaped or undefined, and files of the same names.
_TEMPLATES = Environment(loader=PackageLoader("analytics_kit.web"), autoescape=True)


def draw(name: str, **known: Any) -> str:
    """The template as HTML, with all that is `known` escaped."""
    return _TEMPLATES.get_template(f"analytics_kit/{name}").render(known)
