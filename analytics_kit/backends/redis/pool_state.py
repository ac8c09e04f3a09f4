"""Publish and read what an embedded worker pool does before it takes work."""

from __future__ import annotations

from typing import NamedTuple

import redis

from analytics_kit.backends.redis.connection import Connection, job_keys, queue_keys
from analytics_kit.backends.redis.keys import as_text, split_member


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


def count_running(connection: Connection) -> int:
    """Return how many jobs of all namespaces run, or are committing their result."""
    with connection.pipeline(transaction=False) as pipe:
        for member in connection.smembers(queue_keys(connection).active):
            if parts := split_member(member):
                namespace, job_id = parts
                pipe.hget(job_keys(connection, namespace).record(job_id), "state")
        states = pipe.execute(raise_on_error=False)
    return sum(state in (b"running", b"committing") for state in states)


def publish_pool_state(connection: Connection, phase: str = "", notice: str = "") -> None:
    """Replace the state of the pool; it does not expire."""
    key = queue_keys(connection).pool
    with connection.pipeline() as pipe:
        pipe.delete(key)
        if phase or notice:
            pipe.hset(key, mapping={"phase": phase, "notice": notice})
        pipe.execute()
