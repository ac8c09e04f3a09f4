"""The work that workers do, by dotted name; each task takes what `model.Task` offers and returns JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analytics_kit.errors import SourceNotFoundError
from analytics_kit.model import Options, Task
from analytics_kit.settings import Settings
from analytics_kit.study import pipeline
from analytics_kit.study.source import is_url
from analytics_kit.study.store import Store
from analytics_kit.study.warm import warm as _warm_kernels


def process_study(task: Task) -> dict[str, Any]:
    """Process the study that the arguments name; where its result is in the store, and its summary."""
    arguments = task.arguments
    source: str = arguments["source"]
    _require_allowed(source)
    prefix = f"results/{arguments['result_key']}/{task.job_id}-{task.attempt}"
    summary = pipeline.run(
        source,
        Options.of(**arguments["options"]),
        Store(arguments["store"]),
        prefix,
        report=task.report,
        before_commit=task.begin_commit,
    )
    return {"store": arguments["store"], "prefix": prefix, "summary": summary}


def warm() -> None:
    """Load the compiled kernels, compiling them first where that was never done. Runs no polars."""
    _warm_kernels()


def _require_allowed(source: str) -> None:
    roots = Settings.of().sources
    if roots is None:
        return
    # A URL may say file:// or chain others, so where there are limits only paths are let through.
    path = None if is_url(source) else Path(source).resolve()
    if path is None or not any(path.is_relative_to(root.expanduser().resolve()) for root in roots):
        raise SourceNotFoundError(
            f"{source} is not below a folder that this worker may read.",
            hint="ANALYTICS_KIT_SOURCES on the worker lists the folders it may read.",
        )


def discard(arguments: Mapping[str, Any], job_id: str, result: Mapping[str, Any] | None) -> None:
    """Remove what an ended job left in the store."""


def tidy() -> None:
    """Remove what is past its time from the store."""
