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

from analytics_kit.backends.redis.keys import DEFAULT_QUEUE, JobKeys, QueueKeys
from analytics_kit.backends.redis.server_errors import cause_of, message_of
from analytics_kit.backends.redis.signature import Signatures
from analytics_kit.errors import BrokerUnavailableError, SettingsError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
MAX_EXPIRY_FACTOR = 60

Connection = Any
"""A redis.Redis or a pipeline of it; redis' own types also allow str where these clients always get bytes."""
_UNSIGNED = Signatures(None)


class QueueConnection(redis.Redis):
    """A client of a Redis server, and which queue of jobs it is for there."""

    queue: str = DEFAULT_QUEUE
    """Name of the queue, with which all of its keys begin."""
    signatures: Signatures = _UNSIGNED
    """Signs and checks what workers act on."""


def connect(
    url: str, answer_timeout_s: float | None = None, queue: str = DEFAULT_QUEUE, secret: str | None = None
) -> QueueConnection:
    """Return a client for a queue on the server of this URL, without sending anything yet.

    Parameters
    ----------
    secret : with it, messages and records are signed, and what is not signed with it is refused.

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
        client = QueueConnection.from_url(
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
        # What the query string of a URL may ask for, and what would turn the bytes that are read here into text.
        for name in ("decode_responses", "encoding", "encoding_errors"):
            pool.connection_kwargs.pop(name, None)
        pool.connection_class(**pool.connection_kwargs)  # only this checks the query string of the URL
        assert isinstance(client, QueueConnection)  # noqa: S101  redis' types say less
        client.queue, client.signatures = queue, Signatures(secret)
        return client
    except (ValueError, TypeError):
        raise SettingsError(
            "The URL of the Redis can't be read.",
            hint="Write redis://:PASSWORD@HOST:6379/0 (rediss:// for TLS) and percent-encode / # @ in the password.",
        ) from None


def queue_keys(connection: Connection) -> QueueKeys:
    """Return the names of the keys that the namespaces of the connection's queue share."""
    return QueueKeys(queue_of(connection))


def job_keys(connection: Connection, namespace: str) -> JobKeys:
    """Return the names of the keys of a namespace's jobs in the connection's queue."""
    return JobKeys(namespace, queue_of(connection))


def queue_of(connection: Connection) -> str:
    """Return the name of the connection's queue."""
    return getattr(connection, "queue", DEFAULT_QUEUE)


def signatures_of(connection: Connection) -> Signatures:
    """Return what signs and checks the messages and records of the connection's queue."""
    return getattr(connection, "signatures", _UNSIGNED)


def set_for(connection: Connection, key: str, seconds: float) -> bool:
    """Set a key that expires, unless it exists; return whether it was set.

    One that would not expire within that time was written by someone else, or by a process that has a wrong idea of
    it; it is given the time, so that it does not stay in the way for ever.
    """
    limit_ms = int(seconds * 1000)
    with connection.pipeline(transaction=False) as pipe:
        pipe.set(key, b"", nx=True, px=limit_ms)
        pipe.pttl(key)
        is_set, left_ms = pipe.execute()
    if not is_set and (left_ms == -1 or left_ms > MAX_EXPIRY_FACTOR * limit_ms):
        connection.pexpire(key, limit_ms)
    return bool(is_set)


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
def translate_errors(address: str, queue: str = DEFAULT_QUEUE) -> Iterator[None]:
    """Raise redis' exceptions as BrokerUnavailableError; `address` must hold no secret."""
    try:
        yield
    except redis.RedisError as error:
        raise broker_error(error, address, queue) from error


def broker_error(error: redis.RedisError, address: str, queue: str) -> BrokerUnavailableError:
    """Return the error that names the cause of one of redis' exceptions, and what to do about it."""
    if cause := cause_of(error, queue):
        # The server's own words say more only about permissions.
        details = f": {message_of(error)}" if "ACL" in cause.hint else ""
        return BrokerUnavailableError(f"Redis at {address} {cause.text}{details}.", hint=cause.hint)
    if not isinstance(error, redis.AuthenticationError):
        return BrokerUnavailableError(f"Redis at {address} can't be used: {message_of(error)}.")
    if "HELLO must be called" in str(error) or "NOAUTH" in str(error) or "Authentication required" in str(error):
        return BrokerUnavailableError(
            f"Redis at {address} needs a password.", hint="Set REDIS_PASSWORD or put it into REDIS_URL."
        )
    return BrokerUnavailableError(
        f"Redis at {address} refuses the password: {message_of(error)}.", hint="Correct REDIS_PASSWORD or REDIS_URL."
    )


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
