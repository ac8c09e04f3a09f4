"""Refuse to run jobs inside a server of several processes, none of which would find the jobs of the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import ServiceUnavailable

from analytics_kit.client import Client
from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings

SEVERAL_PROCESSES = (
    "Jobs of the local backend end with their process, and other processes of the server can't find them"
)
HINT = "Serve with one process and several threads, or name a queue: ANALYTICS_KIT_BACKEND=embedded, or REDIS_URL."


def require_one_process(settings: Settings) -> None:
    """Raise SettingsError when a server of several processes starts with the local backend."""
    if settings.backend == "local" and (count := process_count()) > 1:
        raise SettingsError(f"{SEVERAL_PROCESSES}; this one is to have {count}.", hint=HINT)


def check_request(environ: Mapping[str, Any], client: Client) -> None:
    """Raise ServiceUnavailable for a request to one of several processes that each run jobs themselves.

    The server says in `wsgi.multiprocess` (PEP 3333) whether there are several.
    """
    if environ.get("wsgi.multiprocess") and client.backend.name == "local":
        raise ServiceUnavailable(f"{SEVERAL_PROCESSES}. {HINT}")


def process_count() -> int:
    """Return how many processes the server will have that loads the application now; 1 where that is not known."""
    frame = sys._getframe()
    while frame is not None:  # gunicorn tells an application nothing, but loads it from an object with its settings
        config: Any = getattr(frame.f_locals.get("self"), "cfg", None)
        if type(config).__module__ == "gunicorn.config":
            return int(config.workers)
        frame = frame.f_back  # type: ignore[assignment]  # None at the end
    text = os.environ.get("WEB_CONCURRENCY", "")
    return int(text) if text.isdecimal() else 1
