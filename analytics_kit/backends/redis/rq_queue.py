"""Who works for this broker, and what does its embedded pool say of itself?"""

from __future__ import annotations

from typing import NamedTuple

from analytics_kit.backends.redis.job_store import QUEUE_NAME, Connection

POOL = "ak:pool"


class WorkerState(NamedTuple):
    """One that lives: its state, and the task that it says it has in hand."""

    state: str
    rq_job_id: str


def count_workers(connection: Connection) -> tuple[int, int]:
    """How many workers live, and how many of them are busy. A worker's key goes seconds after its last heartbeat."""
    states = [worker.state for worker in live_workers(connection).values()]
    return len(states), states.count("busy")


def live_workers(connection: Connection) -> dict[str, WorkerState]:
    """The workers that live, by name."""
    keys = [key.decode() for key in connection.smembers(f"rq:workers:{QUEUE_NAME}")]
    with connection.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, "state", "hand")
        return {
            key.removeprefix("rq:worker:"): WorkerState(state.decode(), (hand or b"").decode())
            for key, (state, hand) in zip(keys, pipe.execute(), strict=True)
            if state
        }


def pool_state(connection: Connection) -> tuple[str, str]:
    """What the embedded pool is doing before it takes work (a phase), and what is wrong with it; mostly empty."""
    phase, notice = connection.hmget(POOL, "phase", "notice")
    return (phase or b"").decode(), (notice or b"").decode()


def publish_pool_state(connection: Connection, phase: str = "", notice: str = "") -> None:
    """Say it, for `pool` to read; nothing ends it."""
    with connection.pipeline() as pipe:
        pipe.delete(POOL)
        if phase or notice:
            pipe.hset(POOL, mapping={"phase": phase, "notice": notice})
        pipe.execute()
