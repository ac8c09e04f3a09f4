"""Name the cause when a Redis server answers but refuses, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple

import redis


class Cause(NamedTuple):
    """Why a server refuses: what follows "Redis at ADDRESS", and what to do."""

    text: str
    hint: str
    passes: bool = True
    """Whether the same command may succeed later without a change of settings here."""


_USER_HINT = (
    "Let the user of REDIS_URL do what jobs need: ACL SETUSER <user> ~{queue}:* ~rq:* &{queue}:* +@all -@admin "
    "-@dangerous +info"
)
CAUSES = {
    "OOM": Cause(
        "is full: it holds as much as its maxmemory allows, and takes no writes",
        "Raise its maxmemory, or delete what fills it.",
    ),
    "READONLY": Cause("is a replica, which takes no writes", "Name its primary in REDIS_URL or REDIS_HOST."),
    "MASTERDOWN": Cause("is a replica that has lost its primary", "Name the primary in REDIS_URL or REDIS_HOST."),
    "NOREPLICAS": Cause(
        "takes no writes, because fewer replicas follow it than its min-replicas-to-write",
        "Start its replicas, or lower min-replicas-to-write.",
    ),
    "MISCONF": Cause(
        "can't save to its disk, and therefore takes no writes",
        "Free space on the disk of the Redis server, or make its folder writable; its log has the cause.",
    ),
    "LOADING": Cause("is still loading its data", "Wait until it has; large data take minutes."),
    "BUSY": Cause("is busy with a script of another client", "Wait, or end that script with SCRIPT KILL."),
    "MAXCLIENTS": Cause(
        "has no connection left: as many clients are connected as its maxclients allows",
        "Raise its maxclients, or end clients that are not needed.",
    ),
    "NOPERM": Cause("does not let this user do what jobs need", _USER_HINT, False),
    "CLUSTER": Cause(
        "is part of a Redis Cluster, whose servers each hold a part of the keys",
        "Use a Redis that is not part of a cluster.",
        False,
    ),
    "WRONGTYPE": Cause(
        "holds something else under a name that jobs need",
        "Another application uses the same names: give ANALYTICS_KIT_QUEUE a name of your own.",
        False,
    ),
    "DB": Cause("has no database of this number", "Correct REDIS_DB, or the number at the end of REDIS_URL.", False),
    "UNKNOWN": Cause("lacks a command that jobs need", "Use Redis 6.2 or newer, with scripts enabled.", False),
}
"""What servers refuse with, by the first word of their answer or, where that is a plain ERR, by a name of our own."""

_CODE = re.compile(r"^(?:Command # .*? of pipeline caused error: )?-?([A-Z]{3,})\b", re.DOTALL)
_PIPELINE = re.compile(r"^Command # .*? of pipeline caused error: ", re.DOTALL)
_CLUSTER = ("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN")
_CLASSES = {
    redis.OutOfMemoryError: "OOM",
    redis.ReadOnlyError: "READONLY",
    redis.BusyLoadingError: "LOADING",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.MasterDownError: "MASTERDOWN",
}
"""Errors whose message lacks the first word of the answer, in versions of redis-py that do not keep it."""
_PLAIN = {
    "max number of clients": "MAXCLIENTS",
    "unknown command": "UNKNOWN",
    "DB index is out of range": "DB",
}


def cause_of(error: BaseException, queue: str) -> Cause | None:
    """Return why the server refuses; None for an error that is not known, or that no server gave.

    >>> cause_of(redis.ReadOnlyError("You can't write against a read only replica."), "ak").text
    'is a replica, which takes no writes'
    """
    cause = CAUSES.get(_code(error))
    return None if cause is None else cause._replace(hint=cause.hint.replace("{queue}", queue))


def message_of(error: BaseException) -> str:
    """Return the server's own words, without the command, whose arguments may hold secrets."""
    return _PIPELINE.sub("", str(error)).rstrip(".")


def refuses_writes(error: BaseException) -> bool:
    """Return whether the server answers, and refuses commands that change something, for a while or for this user.

    What can be read is then still readable.
    """
    return _code(error) in ("OOM", "READONLY", "NOREPLICAS", "MISCONF", "NOPERM")


def passes(error: BaseException) -> bool:
    """Return whether a server refuses for a reason that may pass."""
    cause = CAUSES.get(_code(error))
    return cause is not None and cause.passes


def is_unknown_command(error: BaseException) -> bool:
    """Return whether the server is too old for a command, or has it switched off."""
    return _code(error) == "UNKNOWN"


def is_wrong_type(error: BaseException) -> bool:
    """Return whether a key holds something else than the command expects."""
    return _code(error) == "WRONGTYPE"


def is_about_keys(error: BaseException) -> bool:
    """Return whether the trouble is what certain keys hold, so that others may be all right."""
    return _code(error) in ("WRONGTYPE", "") and isinstance(error, redis.ResponseError)


def _code(error: BaseException) -> str:
    if not isinstance(error, redis.RedisError):
        return ""
    code = str(getattr(error, "status_code", None) or "")
    if not code and (match := _CODE.match(str(error))):
        code = match[1]
    code = code or next((name for kind, name in _CLASSES.items() if isinstance(error, kind)), "")
    if code in _CLUSTER:
        return "CLUSTER"
    if code in CAUSES:
        return code
    return next((name for text, name in _PLAIN.items() if text in str(error)), "")
