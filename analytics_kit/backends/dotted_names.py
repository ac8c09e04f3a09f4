"""Resolve the dotted names of functions that queues and records hold."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from analytics_kit.errors import JobFailedError

FUNCTIONS_ON_THE_WIRE = {
    "analytics_kit.backends.worker.entry.perform": "analytics_kit.backends.perform.perform",
    "analytics_kit.backends.worker.entry.discard": "analytics_kit.backends.perform.discard",
    "analytics_kit.backends.worker.entry.sweep": "analytics_kit.backends.perform.sweep",
    "analytics_kit.worker_tasks": "analytics_kit.tasks",
    "analytics_kit.worker_tasks.process_study": "analytics_kit.tasks.process_study",
    "analytics_kit.worker_tasks.process_shard": "analytics_kit.tasks.process_part",
    "analytics_kit.worker_tasks.merge_shards": "analytics_kit.tasks.merge_parts",
    "analytics_kit.worker_tasks.warm": "analytics_kit.tasks.warm",
    "analytics_kit.worker_tasks.discard": "analytics_kit.tasks.discard",
    "analytics_kit.worker_tasks.tidy": "analytics_kit.tasks.tidy",
}
"""Names on the wire: what queues and records call these functions, and the module of the tasks.

The first workers and clients were written when the functions had those names. Writing them still lets workers of both
versions run jobs of both, also those of an embedded broker that runs on while the package is upgraded.
"""
_PRESENT_NAMES = {wire: present for present, wire in FUNCTIONS_ON_THE_WIRE.items()}


def wire_name(dotted: str) -> str:
    """Return the name that queues and records hold for a function, or for the module of the tasks.

    >>> wire_name("analytics_kit.worker_tasks.process_shard"), wire_name("json.dumps")
    ('analytics_kit.tasks.process_part', 'json.dumps')
    """
    return FUNCTIONS_ON_THE_WIRE.get(dotted, dotted)


def present_name(dotted: str) -> str:
    """Return the present name of what queues and records call `dotted`.

    >>> present_name("analytics_kit.tasks.process_part"), present_name("json.dumps")
    ('analytics_kit.worker_tasks.process_shard', 'json.dumps')
    """
    return _PRESENT_NAMES.get(dotted, dotted)


def step_function(code: str, task: str) -> Callable[..., Any]:
    """Return the step that a record calls `task`, one of those that the worker's own module `code` lists as `STEPS`.

    A record can name no other function, whoever wrote it. Raises JobFailedError.
    """
    steps = {
        f"{function.__module__}.{function.__name__}": function
        for function in importlib.import_module(present_name(code)).STEPS
    }
    name = present_name(task)
    if name not in steps:
        raise JobFailedError(
            f"The job names {task[:200]!r}, which is none of the steps that the workers here run.",
            hint="Submit the study again, with the analytics_kit that the workers have.",
        )
    function: Callable[..., Any] = steps[name]
    return function


def resolve(dotted: str) -> Callable[..., Any]:
    """Return the function that a dotted name such as `"package.module.function"` stands for.

    >>> resolve("math.sqrt")(9.0)
    3.0
    """
    module, _, name = present_name(dotted).rpartition(".")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{dotted} is a {type(function).__name__}, expected a function.")
    return function  # type: ignore[no-any-return]  # whatever it is, it can be called
