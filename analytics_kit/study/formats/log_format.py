"""Keep the import path of `LogFormat` that was documented first, until 1.0."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "LogFormat":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analytics_kit.study.formats.base import LogFormat

    warnings.warn(
        f"{__name__} is deprecated; import LogFormat from analytics_kit.study.formats.base.",
        DeprecationWarning,
        stacklevel=2,
    )
    return LogFormat
