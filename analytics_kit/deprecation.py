"""Keep former names of attributes working, with a DeprecationWarning, until 1.0."""

from __future__ import annotations

import warnings
from typing import Any


class RenamedAttribute:
    """The former name of an attribute: reading or setting it warns, and does so to the attribute `new_name`."""

    def __init__(self, new_name: str) -> None:
        self._new_name = new_name

    def __set_name__(self, owner: type, name: str) -> None:
        self._message = (
            f"{owner.__name__}.{name} is deprecated and will be removed in 1.0; "
            f"use {owner.__name__}.{self._new_name}."
        )

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        warnings.warn(self._message, DeprecationWarning, stacklevel=2)
        return getattr(instance, self._new_name)

    def __set__(self, instance: object, value: Any) -> None:
        warnings.warn(self._message, DeprecationWarning, stacklevel=2)
        setattr(instance, self._new_name, value)
