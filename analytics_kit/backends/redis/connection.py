"""Connect to a Redis server and translate the exceptions of its client."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from analytics_kit.errors import BrokerUnavailableError, SettingsError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0

Connection = Any
"""A redis.Redis or a pipeline of it; redis' own types also allow str where these clients always get bytes."""


def connect(url: str, answer_timeout_s: float | None = None) -> redis.Redis:
    """Return a client for the URL, without sending anything yet.

    Raises
    ------
    SettingsError
        The URL can't be parsed. The message does not contain it, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
        tcp = {} if parts.scheme == "unix" else {"socket_keepalive": True}
        if "@" in parts.path + parts.fragment:
            raise ValueError
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=answer_timeout_s or ANSWER_TIMEOUT_S,
            health_check_interval=15,
            encoding_errors="backslashreplace",  # a text that can't be encoded, such as of a log, must end no step
            # Once more at once, for a connection that went stale in the pool; never after a time-out.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **tcp,
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # only this checks the query string of the URL
        return client
    except (ValueError, TypeError):
        raise SettingsError(
            "The URL of the Redis can't be read.",
            hint="Write redis://:PASSWORD@HOST:6379/0 (rediss:// for TLS) and percent-encode / # @ in the password.",
        ) from None


def socket_url(path: object) -> str:
    """Return the URL of a server on a Unix socket; special characters of the path are quoted.

    >>> socket_url("/run/user/1000/a b")
    'unix:///run/user/1000/a%20b'
    """
    return f"unix://{quote(str(path))}"


def server_time_s(connection: Connection) -> float:
    """Return the server's clock in seconds since 1970, which orders the jobs of several hosts."""
    seconds, microseconds = connection.time()
    return float(seconds + microseconds / 1e6)


@contextlib.contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Raise redis' exceptions as BrokerUnavailableError; `address` must hold no secret."""
    try:
        yield
    except redis.AuthenticationError as error:
        if "HELLO must be called" in str(error) or "NOAUTH" in str(error):
            raise BrokerUnavailableError(
                f"Redis at {address} needs a password.", hint="Set REDIS_PASSWORD or put it into REDIS_URL."
            ) from error
        raise BrokerUnavailableError(
            f"Redis at {address} refuses the password: {_message(error)}.",
            hint="Correct REDIS_PASSWORD or REDIS_URL.",
        ) from error
    except redis.RedisError as error:
        raise BrokerUnavailableError(f"Redis at {address} can't be used: {_message(error)}.") from error


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether no server answered (refused, timed out, unknown host), rather than one that refuses service."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return False
        if isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror | FileNotFoundError):
            return True
        if isinstance(error, redis.TimeoutError) or getattr(error, "errno", None) in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _message(error: Exception) -> str:
    return str(error).rstrip(".")
