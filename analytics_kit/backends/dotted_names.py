"""Resolve the dotted names of functions that queues and records hold, also those that older versions wrote."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

RENAMED = {
    "analytics_kit.backends.perform.perform": "analytics_kit.backends.worker.entry.perform",
    "analytics_kit.backends.perform.discard": "analytics_kit.backends.worker.entry.discard",
    "analytics_kit.backends.perform.sweep": "analytics_kit.backends.worker.entry.sweep",
    "analytics_kit.tasks.process_study": "analytics_kit.worker_tasks.process_study",
    "analytics_kit.tasks.process_part": "analytics_kit.worker_tasks.process_shard",
    "analytics_kit.tasks.merge_parts": "analytics_kit.worker_tasks.merge_shards",
    "analytics_kit.tasks.warm": "analytics_kit.worker_tasks.warm",
    "analytics_kit.tasks.discard": "analytics_kit.worker_tasks.discard",
    "analytics_kit.tasks.tidy": "analytics_kit.worker_tasks.tidy",
}
"""Names that version 0.1 wrote into queues and records, and the functions that do that work now."""


def current_name(dotted: str) -> str:
    """Return the present name of a function that an older version may have named.

    >>> current_name("analytics_kit.tasks.process_part")
    'analytics_kit.worker_tasks.process_shard'
    >>> current_name("json.dumps")
    'json.dumps'
    """
    return RENAMED.get(dotted, dotted)


def resolve(dotted: str) -> Callable[..., Any]:
    """Return the function that a dotted name such as `"package.module.function"` stands for.

    >>> resolve("math.sqrt")(9.0)
    3.0
    """
    module, _, name = current_name(dotted).rpartition(".")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{dotted} is a {type(function).__name__}, expected a function.")
    return function  # type: ignore[no-any-return]  # whatever it is, it can be called
