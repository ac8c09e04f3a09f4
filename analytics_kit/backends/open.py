"""Open the backend that the settings name, or the best one that is available."""

from __future__ import annotations

import warnings

from analytics_kit.backends.base import Backend
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.backends.local import LocalBackend
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import is_unreachable
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings

_warned: set[str] = set()


def open_backend(settings: Settings, code: str) -> Backend:
    """Open the backend that the settings name; `backend="auto"` takes what is available.

    With `auto`, a named Redis is used; without one the embedded broker; where neither can be reached, this process,
    with one warning.

    Parameters
    ----------
    code : dotted name of the module with the functions that workers call: its `warm` once before they work, its
        `discard` to remove what a job that has ended left, its `tidy` from time to time.

    Raises
    ------
    BrokerUnavailableError
        The backend that was named explicitly can't be used, or the named Redis answers and refuses (password, TLS).

    Examples
    --------
    >>> backend = open_backend(Settings.of(backend="local"), "analytics_kit.worker_tasks")
    >>> backend.name, backend.survives_process
    ('local', False)
    """
    if settings.backend == "local":
        return LocalBackend(settings)
    if settings.backend == "http":
        server = HttpBackend(settings)
        try:
            server.connect()
        except BaseException:
            server.close()
            raise
        return server
    url = settings.broker_url()
    if settings.backend == "embedded" or (settings.backend == "auto" and url is None):
        try:
            return EmbeddedBackend(settings, code)
        except BrokerUnavailableError as error:
            if settings.backend == "embedded":
                raise
            return _open_local(settings, f"No Redis is named and none can be embedded: {error.message}", error.hint)
    if url is None:
        raise BrokerUnavailableError('backend="redis" was asked for, but no Redis is named.', hint="Set REDIS_URL.")
    backend = RedisBackend(url, settings, code)
    try:
        backend.ping()
    except BrokerUnavailableError as error:
        backend.close()
        if settings.backend == "redis" or not is_unreachable(error):
            raise
        return _open_local(settings, error.message, "Start that Redis, or correct REDIS_URL or REDIS_HOST.")
    return backend


def _open_local(settings: Settings, reason: str, remedy: str) -> LocalBackend:
    """Return the local backend with a notice, and warn once per reason."""
    notice = (
        f"{reason} Jobs now run inside this process, one at a time, and end with it. "
        f"To get the queue back: {remedy} Then restart this process, or use the client of analytics_kit.connect()."
    )
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(notice, RuntimeWarning, stacklevel=3)
    return LocalBackend(settings, notice)
