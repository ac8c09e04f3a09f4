"""Set keys aside that hold something else than this package writes there, and rebuild what others need of them.

Nothing else writes to these keys, unless another application uses the same names or someone tries to do harm. What
can't be read is kept for a day under another name.
"""

from __future__ import annotations

import contextlib
import logging

import redis

from analytics_kit.backends.record import Record, UnreadableRecord
from analytics_kit.backends.redis.connection import Connection, queue_keys
from analytics_kit.backends.redis.keys import JobKeys, as_text
from analytics_kit.backends.redis.rq_queue import note_refusal, rq_keys

logger = logging.getLogger(__name__)
SET_ASIDE_TTL_S = 24 * 3600


def repair_queue(connection: Connection) -> None:
    """Check the keys that all namespaces of the queue share; costs one round trip when nothing is wrong."""
    keys, of_rq = queue_keys(connection), rq_keys(connection)
    expected = {
        keys.active: b"set", keys.cleanup: b"set", keys.delayed: b"zset", keys.submissions: b"string",
        keys.pool: b"hash", keys.refused: b"zset",
        of_rq.listeners: b"set", of_rq.intermediate: b"list", of_rq.started: b"zset",
    }  # fmt: skip
    with connection.pipeline(transaction=False) as pipe:
        for key in expected:
            pipe.type(key)
        pipe.get(keys.submissions)
        *types, submissions = pipe.execute(raise_on_error=False)
    wrong = [key for key, found in zip(expected, types, strict=True) if found not in (expected[key], b"none")]
    if isinstance(submissions, bytes) and not submissions.isdigit():
        wrong.append(keys.submissions)
    for key in wrong:
        _set_aside(connection, key)
    if keys.active in wrong:
        _rebuild_active(connection)


def repair_index(connection: Connection, keys: JobKeys) -> None:
    """Rebuild a namespace's list of jobs from their records, if its key holds something else."""
    if connection.type(keys.index) in (b"zset", b"none"):
        return
    _set_aside(connection, keys.index)
    prefix = keys.record("")
    created_at: dict[str, float] = {}
    for key in connection.scan_iter(f"{_escaped(prefix)}*", count=1000, _type="hash"):
        job_id = as_text(key).removeprefix(prefix)
        if job_id and ":" not in job_id:  # else it is one of the other keys of a job
            created_at[job_id] = Record.read(job_id, connection.hgetall(key)).created_at
    if created_at:
        connection.zadd(keys.index, created_at)


def _rebuild_active(connection: Connection) -> None:
    """Find the jobs that have not ended in the lists of all namespaces."""
    keys = queue_keys(connection)
    prefix, suffix = f"{keys.queue}:", ":jobs"
    for key in connection.scan_iter(f"{_escaped(prefix)}*{suffix}", count=1000, _type="zset"):
        namespace = as_text(key).removeprefix(prefix).removesuffix(suffix)
        job_keys = JobKeys(namespace, keys.queue)
        for entry in connection.zrange(job_keys.index, 0, -1):
            if not (job_id := as_text(entry)):
                continue
            try:
                fields = connection.hgetall(job_keys.record(job_id))
            except redis.ResponseError:
                continue
            record = Record.read(job_id, fields)
            if fields and not isinstance(record, UnreadableRecord) and not record.state.status.final:
                connection.sadd(keys.active, job_keys.member(job_id))


def _set_aside(connection: Connection, key: str) -> None:
    aside = f"{queue_keys(connection).queue}:unreadable:{key}"
    logger.error("The key %s holds something else than jobs need; it was renamed to %s.", key, aside)
    with contextlib.suppress(redis.ResponseError):  # another process has just done so
        connection.rename(key, aside)
    connection.expire(aside, SET_ASIDE_TTL_S)
    note_refusal(connection, f"The key {key} held something else; it was renamed to {aside}.")


def _escaped(text: str) -> str:
    """Return the pattern that matches only this text."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)
