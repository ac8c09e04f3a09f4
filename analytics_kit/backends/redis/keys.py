"""Name the Redis keys of jobs.

All other names on the wire are spelled in `rq_queue` (keys of rq), in `record` (fields of a record, names of steps)
and in `lua/`, whose scripts use the same fields and steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ACTIVE_KEY = "ak:active"
"""Set of the jobs that have not ended."""
CLEANUP_KEY = "ak:leaving"
"""Set of the jobs that have ended and may have left files in the store."""
DELAYED_KEY = "ak:later"
"""Steps that wait for a retry, sorted by the time when they are due."""
SUBMISSIONS_KEY = "ak:submitted"
"""Number of jobs ever submitted."""
POOL_KEY = "ak:pool"
"""What an embedded worker pool does before it takes work, and what is wrong with it."""
RECOVERY_TURN_KEY = "ak:turn"
"""Exists while no further recovery round may start."""
SUSPECTS_KEY = "ak:suspects"
"""What looked lost in the last recovery round, and since when, as JSON."""
SWEPT_KEY = "ak:swept"
"""Exists while no sweep of the store is due."""
CLEANUP_QUEUED_PREFIX = "ak:discard:"
"""Prefix of the keys that exist while the clean-up of a job is queued."""


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of the jobs in one namespace.

    >>> JobKeys("ann").pending("3f2a")
    'ak:ann:job:3f2a:flight'
    """

    namespace: str

    @property
    def index(self) -> str:
        """Ids of jobs, sorted by their time of creation."""
        return f"ak:{self.namespace}:jobs"

    @property
    def channel(self) -> str:
        """Channel on which the ids of changed jobs are published."""
        return f"ak:{self.namespace}:changes"

    @property
    def newest_prefix(self) -> str:
        """Prefix of the keys that name the newest job of each result key."""
        return f"ak:{self.namespace}:result:"

    @property
    def forgetting(self) -> str:
        """Exists while a participant is being removed from what is stored."""
        return f"ak:{self.namespace}:forgetting"

    def record(self, job_id: str) -> str:
        """Hash of a job's record."""
        return f"ak:{self.namespace}:job:{job_id}"

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
        return f"{CLEANUP_QUEUED_PREFIX}{self.member(job_id)}"


def split_members(members: Iterable[bytes]) -> list[tuple[str, str]]:
    """Return namespace and job id of each member of `ACTIVE_KEY` or `CLEANUP_KEY`."""
    return [(namespace, job_id) for namespace, _, job_id in (member.decode().rpartition(":") for member in members)]
