"""Types that all rooms share: kinds of events, and a job's request, status, progress, failure and public state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import IO, Any, Literal, Protocol

from analytics_kit.code_version import CodeVersion
from analytics_kit.errors import AnalyticsKitError, rebuild
from analytics_kit.utf8_text import utf8_text

SCHEMA_VERSION = 3
"""Version of the stored tables; a result of a newer version is not read."""
RECORD_VERSION = 4
"""Version of the job records; a worker leaves newer ones in the queue. From 4 on they name their code."""
RESULT_TTL_S = 7 * 24 * 3600
"""A result is kept, and returned for an equal request, this long after its job completed."""

Kind = Literal["mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown"]
KINDS: tuple[Kind, ...] = ("mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown")


class JobStatus(StrEnum):
    """Status of a job. The members are strings; `completed`, `failed` and `cancelled` are final.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.JobStatus.RUNNING == "running"
    True
    >>> [str(status) for status in ak.JobStatus if status.final]
    ['completed', 'failed', 'cancelled']
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether a job with this status has ended."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Parameters
    ----------
    phase
        What is done at present, such as "planning", "processing" or "merging".
    done, total
        Work done and in all, in `unit`; `total` is None until it is known.
    unit
        Unit of `done` and `total`: "bytes" are bytes of the study once inflated.
    fraction
        From 0 to 1; never falls.
    rate_per_s
        `unit` per second, at present; None where it is not known.
    eta_s
        Seconds to the end, estimated; None where it is not known.
    rows, files
        Rows and event files read so far; they never fall. None where they are not counted.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> progress = ak.Progress("processing", done=40, total=100, fraction=0.4)
    >>> f"{progress.phase} {progress.fraction:.0%}"
    'processing 40%'
    """

    phase: str = "queued"
    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    fraction: float = 0.0
    rate_per_s: float | None = None
    eta_s: float | None = None
    rows: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, as data: the error's type, message and hint, and the end of the worker's log.

    `traceback` is the end of the exception's; empty where a process was lost or a limit was exceeded.
    """

    type: str
    message: str
    hint: str = ""
    log: str = ""
    traceback: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "hint", "log", "traceback"):
            object.__setattr__(self, name, utf8_text(getattr(self, name)))

    @classmethod
    def of(cls, error: BaseException, log: str = "", traceback: str = "") -> Failure:
        """Return the failure that describes `error`."""
        if isinstance(error, AnalyticsKitError):
            return cls(type(error).__name__, error.message, error.hint, log, traceback)
        return cls(type(error).__name__, str(error), "", log, traceback)

    def error(self) -> AnalyticsKitError:
        """Return the exception to raise for it."""
        return rebuild(self.type, self.message, self.hint or None)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to be queued: the dotted name of its function, JSON arguments, and what is displayed of it."""

    task: str
    arguments: Mapping[str, Any]
    result_key: str
    source: str
    """The study's location as it is displayed, without secrets; workers read `arguments["source"]`."""
    size_bytes: int | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""
    refresh: bool = False
    time_limit_s: float | None = None
    """The job fails when it has run longer."""
    memory_limit_mb: float | None = None
    """The job fails when one of its processes needs more."""
    retries: int = 2
    """How often a step is repeated after a failure that may not recur, such as a killed worker."""
    retry_of: str | None = None
    rejoin: bool = False
    """The last job for the same result serves the request, also one that failed or was cancelled."""
    job_id: str | None = None
    """The id of a new job, where it is decided before it is submitted; else the backend makes one."""
    request_key: str = ""
    """Hash of what is requested; `result_key` is that of this key and the code."""
    submitted_by: CodeVersion | None = None
    """The code that has to do the work; None lets any worker do it."""


@dataclass(frozen=True, slots=True)
class Split:
    """Returned by a job's first step to have its work done in shards, by many workers, and then merged.

    Each shard is a step of its own that reads its number from `StepContext.shard`. The merge runs once, when all
    shards are done, and reads from `StepContext.winning_attempts` which attempt at each shard counts.
    """

    shards: int
    """Number of shards; shard 0 is queued first, so it should be the largest."""
    total: int
    """Sum of what the shards report as `done`."""
    shard_task: str
    """Dotted name of the function that processes one shard; its return value is ignored."""
    merge_task: str
    """Dotted name of the function that returns the job's result."""
    unit: str = "bytes"
    shards_fraction: float = 0.95
    """The fraction of the job's progress that the shards make up; the merge makes up the rest."""


class CannotRunHere(Exception):  # noqa: N818  not an error: another worker may be able to run the step
    """Raised by a task when this process can't run it, now or ever; the message is the reason.

    The step goes back to the queue. When all workers have refused it for `patience_s`, the job fails with the cause
    of this exception, if that is an error of this package.
    """

    def __init__(self, reason: str, patience_s: float = 60.0) -> None:
        super().__init__(reason)
        self.patience_s = patience_s


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it was when it was read from its backend. Times are UTC; `result` is set once it has completed.

    `source` is the study's location as it is displayed, without secrets: never open it.

    `queue_position` is 1 for the queued job that the next free worker takes, 2 for the one after it; None for a job
    that is not queued or waits for its next attempt, and in what `Backend.submit` returns.
    """

    job_id: str
    status: JobStatus
    source: str
    result_key: str
    created_at: datetime
    progress: Progress = field(default_factory=Progress)
    size_bytes: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""
    backend: str = ""
    error: Failure | None = None
    result: Mapping[str, Any] | None = None
    retry_of: str | None = None
    notice: str = ""
    queue_position: int | None = None

    def __post_init__(self) -> None:
        """Make the texts such as can be encoded: one name that is not UTF-8 must not spoil the list of all jobs."""
        object.__setattr__(self, "source", utf8_text(self.source))
        object.__setattr__(self, "notice", utf8_text(self.notice))
        object.__setattr__(self, "tags", tuple(map(utf8_text, self.tags)))


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What `forget` removed of a participant, and what it could not reach. It does not name them.

    Parameters
    ----------
    results
        Stored results that were replaced by ones without the participant.
    trials, events, members, answers
        Rows of trials, of events, of files and of survey answers that these had.
    uploads
        Uploaded studies that were deleted as a whole.
    jobs
        Jobs whose records or logs were changed.
    unreached
        What may still hold data of the participant, a line each, with what to do.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> with ak.connect("local") as client:
    ...     result = client.process(ak.sample_study("study.zip", participants=2, trials=1))
    ...     report = client.forget(participant="2")
    >>> report.results, report.trials, report.is_complete
    (1, 4, True)
    """

    results: int = 0
    trials: int = 0
    events: int = 0
    members: int = 0
    answers: int = 0
    uploads: int = 0
    jobs: int = 0
    unreached: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all was reached that the namespace is known to keep."""
        return not self.unreached


class StepContext(Protocol):
    """What a task is called with: the step that it runs, and how it reports progress and commits."""

    @property
    def job_id(self) -> str:
        """Id of the job."""

    @property
    def attempt(self) -> int:
        """Number of the attempt at the step. An earlier attempt may still run, so each writes to its own files."""

    @property
    def step(self) -> str:
        """`"begin"`, `"part-<number>"` or `"merge"`; with `attempt` it names what only this process writes."""

    @property
    def shard(self) -> int | None:
        """Number of the shard of a `Split`; None when the step is not a shard."""

    @property
    def winning_attempts(self) -> Mapping[int, int]:
        """For a merge: the number of the attempt that finished each shard."""

    @property
    def can_split(self) -> bool:
        """Whether the task may return a `Split`; if not, it does all the work itself."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The JSON arguments of the job."""

    def report(self, progress: Progress) -> None:
        """Report progress; calls may be frequent, they are throttled.

        Raises JobCancelledError once the job was cancelled or a newer attempt has replaced this one.
        """

    def begin_commit(self) -> None:
        """Make the job impossible to cancel. Raises JobCancelledError when it was cancelled before."""


class Files(Protocol):
    """Reads the files of results, from a store or over HTTP."""

    @property
    def name(self) -> str:
        """Location of the files, without secrets."""

    def manifest(self, prefix: str) -> dict[str, Any] | None:
        """Return the manifest of what is stored below `prefix`; None where there is nothing."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file for reading. Raises FileNotFoundError."""

    def touch(self, path: str) -> None:
        """Note that a file was used, where that delays its removal; never fails."""
