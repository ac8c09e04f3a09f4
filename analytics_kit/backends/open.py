"""Which backend is used?"""

from __future__ import annotations

import warnings

from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.backends.local import LocalBackend
from analytics_kit.backends.redis.backend import RedisBackend, is_unreachable
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import Backend
from analytics_kit.settings import Settings

_warned: set[str] = set()


def open_backend(settings: Settings, code: str) -> Backend:
    """The backend that the settings ask for; `auto` takes what there is.

    Parameters
    ----------
    settings : with `backend="auto"`: the Redis that is named; nothing named: the embedded broker; neither can be
        reached: this process, with one warning.
    code : dotted name of the module with the work: workers call its `warm` once before they work, its `discard` to
        remove what an ended job left, its `tidy` from time to time.

    Raises
    ------
    BrokerUnavailableError
        What was asked for by name can't be used, or the named Redis answers but refuses (password, TLS).
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
            return _local(settings, f"No Redis is named and none can be embedded: {error.message}", error.hint)
    if url is None:
        raise BrokerUnavailableError('backend="redis" was asked for, but no Redis is named.', hint="Set REDIS_URL.")
    backend = RedisBackend(url, settings, code)
    try:
        backend.ping()
    except BrokerUnavailableError as error:
        backend.close()
        if settings.backend == "redis" or not is_unreachable(error):
            raise
        return _local(settings, error.message, "Start that Redis, or correct REDIS_URL or REDIS_HOST.")
    return backend


def _local(settings: Settings, why: str, back: str) -> LocalBackend:
    notice = (
        f"{why} Jobs now run inside this process, one at a time, and end with it. "
        f"To get the queue back: {back} Then restart this process, or use the client of analytics_kit.connect()."
    )
    if why not in _warned:
        _warned.add(why)
        warnings.warn(notice, RuntimeWarning, stacklevel=3)
    return LocalBackend(settings, notice)
