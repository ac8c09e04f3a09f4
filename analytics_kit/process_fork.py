"""Renew what a forked process can't use of its parent: locks that are held for ever, threads that do not exist."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import MethodType
from typing import Any
from weakref import ref

from analytics_kit.errors import SettingsError

_THREADS = Path("/proc/self/task")
_POLARS_THREAD = re.compile(r"polars-\d+\s*")
_functions: list[Callable[[], None]] = []
_methods: dict[int, tuple[ref[Any], Callable[[Any], None]]] = {}
"""Objects and what to call with them, by the id of the object: equal objects are several."""
_had_polars_threads = False
_lacks_polars_threads = False


def renew_after_fork(renew: Callable[[], None]) -> None:
    """Call a method or function in each forked process; a method as long as its object exists."""
    if not isinstance(renew, MethodType):
        _functions.append(renew)
        return
    key = id(renew.__self__)

    def forget(_: object, methods: dict[int, Any] = _methods) -> None:
        methods.pop(key, None)  # bound here: at the end of the process the module may be empty

    _methods[key] = ref(renew.__self__, forget), renew.__func__


def require_polars_threads() -> None:
    """Raise SettingsError in a process whose parent had used polars before the fork: its next query would hang."""
    if _lacks_polars_threads:
        raise SettingsError(
            "No study can be processed here: this process was forked from one that had used polars, whose threads "
            "do not survive a fork. The work would hang.",
            hint='Start processes by multiprocessing.get_context("spawn") or "forkserver", or use the queue.',
        )


def _look_for_threads() -> None:
    global _had_polars_threads
    _had_polars_threads = _lacks_polars_threads or ("polars" in sys.modules and _has_polars_threads())


def _has_polars_threads() -> bool:
    """Return whether polars has made its pool of threads, which its first query needs; False without /proc."""
    with suppress(OSError):
        for thread in _THREADS.iterdir():
            with suppress(OSError):  # it has just ended
                if _POLARS_THREAD.fullmatch((thread / "comm").read_text("ascii", "replace")):
                    return True
    return False


def _renew_all() -> None:
    global _lacks_polars_threads
    _lacks_polars_threads = _had_polars_threads
    for renew in _functions:
        renew()
    for reference, renew_object in list(_methods.values()):
        if (each := reference()) is not None:
            renew_object(each)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_look_for_threads, after_in_child=_renew_all)
