"""Keep former names of attributes working, with a DeprecationWarning, until 1.0."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any


def renamed_attribute(owner: object, name: str, new_names: Mapping[str, str]) -> Any:
    """Return the attribute of `owner` that was called `name` before; for use in `__getattr__`.

    Raises AttributeError where `new_names` does not list it.
    """
    kind = type(owner).__name__
    if name not in new_names:
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")
    message = f"{kind}.{name} is deprecated and goes with 1.0; use {kind}.{new_names[name]}."
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    return getattr(owner, new_names[name])
