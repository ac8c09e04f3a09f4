"""Subscribe to the ids of changed jobs that workers and clients publish on Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import redis

from analytics_kit.backends.base import ANY_JOB
from analytics_kit.backends.redis.connection import CONNECT_TIMEOUT_S
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.backends.redis.keys import as_text

CHANGES_POLL_S = 1.0


class RedisChanges:
    """Changed jobs, by publish and subscribe; readers also poll once a second, since a message can be lost.

    Parameters
    ----------
    jobs : returns the job store; it is called again for each connection, because a backend may have reconnected.
    """

    def __init__(self, jobs: Callable[[], JobStore]) -> None:
        self._jobs = jobs
        self._pubsub: Any = None
        self._polled_at = time.monotonic()

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Return the ids of jobs that changed; at least once a second they include `ANY_JOB`."""
        try:
            changed = self._receive(min(timeout_s, CHANGES_POLL_S))
        except (redis.RedisError, ValueError, OSError):  # also: another thread has just closed the connection
            self._unsubscribe()
            time.sleep(min(timeout_s, 0.2))
            changed = ANY_JOB
        if time.monotonic() - self._polled_at >= CHANGES_POLL_S:
            changed = changed | ANY_JOB
        if changed >= ANY_JOB:
            self._polled_at = time.monotonic()
        return changed

    def _receive(self, timeout_s: float) -> frozenset[str]:
        if self._pubsub is None:
            self._pubsub = self._subscribe()
            return ANY_JOB
        ends = time.monotonic() + timeout_s
        while (remaining_s := ends - time.monotonic()) > 0:
            ids = set()
            message = self._pubsub.get_message(timeout=remaining_s)
            while message:
                if message["type"] == "message":
                    ids.add(as_text(message["data"]) or "*")
                message = self._pubsub.get_message(timeout=0)
            if ids:
                return frozenset(ids)
        return frozenset()

    def _subscribe(self) -> Any:
        jobs = self._jobs()
        pubsub = jobs.connection.pubsub()
        try:
            pubsub.subscribe(jobs.keys.channel)
            # Until the server has confirmed, a change could be missed.
            while (message := pubsub.get_message(timeout=CONNECT_TIMEOUT_S)) and message["type"] != "subscribe":
                pass
        except redis.RedisError:
            pubsub.close()
            raise
        return pubsub

    def _unsubscribe(self) -> None:
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None

    def __enter__(self) -> Self:
        with contextlib.suppress(redis.RedisError):
            self._pubsub = self._subscribe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()
