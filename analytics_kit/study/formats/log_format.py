"""Keep the import path of `LogFormat` that was documented first; it goes with 1.0."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "LogFormat":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analytics_kit.study.formats.base import LogFormat

    warnings.warn(
        "analytics_kit.study.formats.log_format is deprecated; import LogFormat from analytics_kit.study.formats.base.",
        DeprecationWarning,
        stacklevel=2,
    )
    return LogFormat
