"""Find out what is wrong with a Redis server before a job does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from urllib.parse import urlsplit

import redis

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.connection import Connection, queue_keys, signatures_of

PROBE_TTL_MS = 1000


def server_version(connection: Connection) -> str:
    """Return the version of the server; `"unknown"` where this user may not ask for it."""
    try:
        server = connection.info("server")
    except redis.ResponseError:
        return "unknown"
    return str(server.get("valkey_version") or server.get("redis_version") or "unknown")


def check_writes(connection: Connection) -> None:
    """Write what a submission writes: a key that expires, a script, and a message. Raises redis' exceptions."""
    key = queue_keys(connection).probe
    with connection.pipeline() as pipe:
        pipe.set(key, b"", px=PROBE_TTL_MS)
        pipe.eval("return redis.call('PEXPIRE', KEYS[1], ARGV[1])", 1, key, PROBE_TTL_MS)
        pipe.publish(key, b"")
        pipe.execute()


def eviction_warning(connection: Connection) -> str:
    """Return a warning where the server may remove keys of jobs when memory runs short; else an empty string."""
    try:
        memory = connection.info("memory")
    except redis.ResponseError:
        return ""
    policy = str(memory.get("maxmemory_policy") or "noeviction")
    if policy == "noeviction" or not memory.get("maxmemory"):
        return ""
    what = "any keys, also those of jobs" if policy.startswith("allkeys") else "keys of workers and of ended jobs"
    return (
        f"Redis may remove {what} when its memory runs short: its maxmemory-policy is {policy}. "
        "Set it to noeviction (CONFIG SET maxmemory-policy noeviction)."
    )


def find_warnings(connection: Connection, url: str) -> Sequence[tuple[str, str]]:
    """Return what may harm jobs although they run: what was found, and what to do."""
    found: list[tuple[str, str]] = []
    if warning := eviction_warning(connection):
        text, _, advice = warning.partition(". ")
        found.append((text, advice))
    if urlsplit(url).scheme != "unix" and not signatures_of(connection).are_required:
        found.append(
            (
                "jobs are not signed: whoever can write to this Redis can have workers process any study",
                "Give clients, server and workers the same ANALYTICS_KIT_SECRET; SECURITY.md says what it guards.",
            )
        )
    if foreign := rq_queue.count_foreign(connection):
        found.append(
            (
                f"{foreign} messages of another application wait on the queue {rq_queue.queue_name(connection)!r}",
                "They are left alone. Give ANALYTICS_KIT_QUEUE another name.",
            )
        )
    if names := rq_queue.read_workers(connection).foreign:
        found.append(
            (
                f"workers of another application listen on the queue: {', '.join(names)}",
                "They may take steps of jobs. Give ANALYTICS_KIT_QUEUE another name.",
            )
        )
    with contextlib.suppress(redis.RedisError):
        found += [(text, _advice(text)) for text in rq_queue.read_refusals(connection)]
    return found


def _advice(refusal: str) -> str:
    if "ANALYTICS_KIT_SECRET" in refusal:
        return "Give clients, server and workers the same secret; one of them has none, or another one."
    return "Look into the log of the workers."
