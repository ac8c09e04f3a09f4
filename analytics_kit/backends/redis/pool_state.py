"""Publish and read what an embedded worker pool does before it takes work."""

from __future__ import annotations

from typing import NamedTuple

from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.redis.keys import ACTIVE_KEY, POOL_KEY, JobKeys, split_members


class PoolState(NamedTuple):
    """What the pool is doing (a phase such as `compiling`), and what is wrong with it; mostly both are empty."""

    phase: str = ""
    notice: str = ""


def read_pool_state(connection: Connection) -> PoolState:
    """Return what the pool published last."""
    phase, notice = connection.hmget(POOL_KEY, "phase", "notice")
    return PoolState((phase or b"").decode(), (notice or b"").decode())


def count_running(connection: Connection) -> int:
    """Return how many jobs of all namespaces run, or are committing their result."""
    with connection.pipeline(transaction=False) as pipe:
        for namespace, job_id in split_members(connection.smembers(ACTIVE_KEY)):
            pipe.hget(JobKeys(namespace).record(job_id), "state")
        states = pipe.execute()
    return sum(state in (b"running", b"committing") for state in states)


def publish_pool_state(connection: Connection, phase: str = "", notice: str = "") -> None:
    """Replace the state of the pool; it does not expire."""
    with connection.pipeline() as pipe:
        pipe.delete(POOL_KEY)
        if phase or notice:
            pipe.hset(POOL_KEY, mapping={"phase": phase, "notice": notice})
        pipe.execute()
