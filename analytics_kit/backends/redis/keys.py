"""Name the Redis keys of jobs.

All other names on the wire are spelled in `rq_queue` (keys of rq), in `record` (fields of a record, names of steps)
and in `lua/`, whose scripts use the same fields and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_QUEUE = "ak"


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys that all namespaces of one queue share. All keys of a queue begin with its name.

    >>> QueueKeys("lab").active
    'lab:active'
    """

    queue: str = DEFAULT_QUEUE

    @property
    def active(self) -> str:
        """Set of the jobs that have not ended."""
        return f"{self.queue}:active"

    @property
    def cleanup(self) -> str:
        """Set of the jobs that have ended and may have left files in the store."""
        return f"{self.queue}:leaving"

    @property
    def delayed(self) -> str:
        """Steps that wait for a retry, sorted by the time when they are due."""
        return f"{self.queue}:later"

    @property
    def submissions(self) -> str:
        """Number of jobs ever submitted."""
        return f"{self.queue}:submitted"

    @property
    def pool(self) -> str:
        """What an embedded worker pool does before it takes work, and what is wrong with it."""
        return f"{self.queue}:pool"

    @property
    def recovery_turn(self) -> str:
        """Exists while no further recovery round may start."""
        return f"{self.queue}:turn"

    @property
    def suspects(self) -> str:
        """What looked lost in the last recovery round, and since when, as JSON."""
        return f"{self.queue}:suspects"

    @property
    def swept(self) -> str:
        """Exists while no sweep of the store is due."""
        return f"{self.queue}:swept"

    @property
    def probe(self) -> str:
        """Written, and at once expired, to learn whether the server takes writes."""
        return f"{self.queue}:probe"

    @property
    def refused(self) -> str:
        """What workers refused to run, sorted by time: foreign or forged messages."""
        return f"{self.queue}:refused"


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of the jobs in one namespace of a queue.

    >>> JobKeys("ann").pending("3f2a")
    'ak:ann:job:3f2a:flight'
    """

    namespace: str
    queue: str = DEFAULT_QUEUE

    @property
    def index(self) -> str:
        """Ids of jobs, sorted by their time of creation."""
        return f"{self.queue}:{self.namespace}:jobs"

    @property
    def channel(self) -> str:
        """Channel on which the ids of changed jobs are published."""
        return f"{self.queue}:{self.namespace}:changes"

    @property
    def newest_prefix(self) -> str:
        """Prefix of the keys that name the newest job of each result key."""
        return f"{self.queue}:{self.namespace}:result:"

    @property
    def forgetting(self) -> str:
        """Exists while a participant is being removed from what is stored."""
        return f"{self.queue}:{self.namespace}:forgetting"

    def record(self, job_id: str) -> str:
        """Hash of a job's record."""
        return f"{self.queue}:{self.namespace}:job:{job_id}"

    def pending(self, job_id: str) -> str:
        """Hash of a job's steps that are queued, delayed or claimed by a worker."""
        return f"{self.record(job_id)}:flight"

    def shard_progress(self, job_id: str) -> str:
        """Hash of the counts that the shards of a job have reported."""
        return f"{self.record(job_id)}:told"

    def winners(self, job_id: str) -> str:
        """Hash of the attempts that finished the shards of a job."""
        return f"{self.record(job_id)}:winners"

    def log(self, job_id: str) -> str:
        """List of a job's log lines, each with its time in front."""
        return f"{self.record(job_id)}:log"

    def all_of(self, job_id: str) -> list[str]:
        """The keys of a job, in the order in which the scripts take them."""
        return [
            self.record(job_id),
            self.pending(job_id),
            self.shard_progress(job_id),
            self.winners(job_id),
            self.log(job_id),
        ]

    def member(self, job_id: str) -> str:
        """The job in the sets that all namespaces share."""
        return f"{self.namespace}:{job_id}"

    def cleanup_queued(self, job_id: str) -> str:
        """Key that exists while the clean-up of a job is queued."""
        return f"{self.queue}:discard:{self.member(job_id)}"


def split_member(member: bytes) -> tuple[str, str] | None:
    """Return namespace and job id of a member of `QueueKeys.active` or `cleanup`; None for what is no such text.

    >>> split_member(b"ann:3f2a"), split_member(bytes([255]))
    (('ann', '3f2a'), None)
    """
    namespace, _, job_id = as_text(member).rpartition(":")
    return (namespace, job_id) if namespace and job_id else None


def as_texts(values: Sequence[bytes]) -> list[str]:
    """Return the texts of keys or members, without those that are no text."""
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        return [text for text in map(as_text, values) if text]


def as_text(value: bytes) -> str:
    """Return the text of a key or member, or an empty string for bytes that are no text.

    >>> as_text(b"ann"), as_text(bytes([255, 254]))
    ('ann', '')
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def as_float(value: bytes | None) -> float:
    """Return the number that a field holds, or 0 for none and for what is no number.

    >>> as_float(b"1.5"), as_float(None), as_float(b"nan"), as_float(b"x")
    (1.5, 0.0, 0.0, 0.0)
    """
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
