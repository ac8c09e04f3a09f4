"""The work that workers do, by dotted name; each task takes what `model.Task` offers and returns JSON.

What is heavy is imported where it is used, so that a process that only names tasks does not pay for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from analytics_kit.errors import SourceNotFoundError, StoreError
from analytics_kit.model import Options, Task
from analytics_kit.settings import Settings


def process_study(task: Task) -> dict[str, Any]:
    """Process the study that the arguments name; where its result is in the store, and its summary."""
    from analytics_kit.study import pipeline
    from analytics_kit.study.store import Store

    arguments = task.arguments
    source: str = arguments["source"]
    _require_allowed(source)
    prefix = f"results/{arguments['result_key']}/{task.job_id}-{task.attempt}"
    summary = pipeline.run(
        source,
        Options.of(**arguments["options"]),
        Store.of(Settings.of(), arguments["store"]),
        prefix,
        report=task.report,
        before_commit=task.begin_commit,
    )
    return {"store": arguments["store"], "prefix": prefix, "summary": summary}


def warm() -> None:
    """Load the compiled kernels, compiling them first where that was never done. Runs no polars."""
    from analytics_kit.study import (
        pipeline,  # noqa: F401  before the fork, so that no job pays for loading it
        warm,
    )

    warm.warm()


def tidy() -> None:
    """Remove results that have had their time or are too much for the store; looks at most once an hour."""
    from analytics_kit.study.lifetime import sweep_if_due
    from analytics_kit.study.store import Store

    settings = Settings.of()
    limit_gb = settings.store_limit_gb
    with suppress(StoreError):  # whoever needs the store will be told
        sweep_if_due(
            Store.of(settings),
            time.time(),
            None if limit_gb is None or math.isinf(limit_gb) else int(limit_gb * 1e9),
        )


def _require_allowed(source: str) -> None:
    from analytics_kit.study.source import is_url

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
