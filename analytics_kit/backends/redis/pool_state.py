"""Publish and read what an embedded worker pool does before it takes work."""

from __future__ import annotations

from typing import NamedTuple

import redis

from analytics_kit.backends.redis.connection import Connection, queue_keys
from analytics_kit.backends.redis.keys import as_text


class PoolState(NamedTuple):
    """What the pool is doing (a phase such as `compiling`), and what is wrong with it; mostly both are empty."""

    phase: str = ""
    notice: str = ""


def read_pool_state(connection: Connection) -> PoolState:
    """Return what the pool published last."""
    try:
        phase, notice = connection.hmget(queue_keys(connection).pool, "phase", "notice")
    except redis.ResponseError:  # the key holds something else
        return PoolState()
    return PoolState(as_text(phase or b""), as_text(notice or b""))


def publish_pool_state(connection: Connection, phase: str = "", notice: str = "") -> None:
    """Replace the state of the pool; it does not expire."""
    key = queue_keys(connection).pool
    with connection.pipeline() as pipe:
        pipe.delete(key)
        if phase or notice:
            pipe.hset(key, mapping={"phase": phase, "notice": notice})
        pipe.execute()
