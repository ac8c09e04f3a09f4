"""How does `analytics-kit worker` run workers for a Redis that is named?"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import redis

from analytics_kit.backends.redis.backend import connect, translate_errors
from analytics_kit.backends.worker.pool import Pool
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings, without_secrets

TICK_S = 0.2
AGAIN_S = 1.0
"""A second signal within this time is the first one, passed on twice by a terminal or a service manager."""


def run_workers(settings: Settings, n: int, code: str) -> int:
    """Keep `n` workers up on the Redis that is named until SIGTERM or Ctrl-C; 0 when all ended well.

    The first signal lets the tasks in hand finish, a second one hands them back to the queue.
    """
    url = settings.broker_url()
    if url is None:
        raise BrokerUnavailableError(
            "No Redis is named, so there is none to work for.",
            hint="Set REDIS_URL; without it, the notebook starts its own workers.",
        )
    connection = connect(url)
    with translate_errors(without_secrets(url)):
        connection.ping()
    environment = {**os.environ, **settings_environment(settings), "REDIS_URL": url}
    pool = Pool(connection, code, n, socket.gethostname(), environment)
    told_at = [0.0]

    def end(number: int, frame: object) -> None:
        if time.monotonic() - told_at[0] > AGAIN_S:
            told_at[0] = time.monotonic()
            how = (
                "Handing back what is in hand" if pool.stopping else "Finishing what is in hand; again hands it back"
            )
            os.write(2, f"{how}. Jobs that are not done wait for other workers.\n".encode())
            pool.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not pool.stopping or pool.living:
            with contextlib.suppress(redis.RedisError):
                pool.tick()
            time.sleep(TICK_S)
        with contextlib.suppress(redis.RedisError):
            pool.tick()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        pool.stop(0.0)
        connection.close()
    return int(pool.ended_badly)


def settings_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that give a new process the same settings, but for the broker's."""
    home = str(settings.home.expanduser().absolute())
    told = {"ANALYTICS_KIT_HOME": home, "ANALYTICS_KIT_STORE": settings.store_url()}
    if settings.store_limit_gb is not None:
        told["ANALYTICS_KIT_STORE_LIMIT_GB"] = str(settings.store_limit_gb)
    if settings.sources is not None:
        told["ANALYTICS_KIT_SOURCES"] = ":".join(str(path) for path in settings.sources)
    return told
