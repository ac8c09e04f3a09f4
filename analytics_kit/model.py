"""The words all rooms share: kinds of events, states and progress of a job, and what backends promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self, runtime_checkable

from analytics_kit.errors import AnalyticsKitError, rebuild

SCHEMA_VERSION = 3
"""Version of the job records and of the stored tables; a worker refuses newer work by name."""
RESULT_TTL_S = 7 * 24 * 3600
"""A result is kept, and given to who submits the same, this long after it was completed."""

Kind = Literal["mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown"]
KINDS: tuple[Kind, ...] = ("mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown")


class JobStatus(StrEnum):
    """What a job says of itself; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `fraction` (0 to 1) never falls; `done` of `total` are in `unit`.

    `rows` and `files` are the records and the event files read so far, and never fall; None where nobody counts them.
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
    """Why a job failed, as data: the error's type and words, its hint, and the end of the worker's log.

    `traceback` is the end of an exception's; empty where a process was lost or a limit was passed.
    """

    type: str
    message: str
    hint: str = ""
    log: str = ""
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException, log: str = "", traceback: str = "") -> Failure:
        """The failure that tells of `error`."""
        if isinstance(error, AnalyticsKitError):
            return cls(type(error).__name__, error.message, error.hint, log, traceback)
        return cls(type(error).__name__, str(error), "", log, traceback)

    def error(self) -> AnalyticsKitError:
        """The exception to raise for it."""
        return rebuild(self.type, self.message, self.hint or None)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Work to be queued: a task's dotted name, its JSON arguments, and what people should see of it."""

    task: str
    arguments: Mapping[str, Any]
    result_key: str
    source: str
    size_bytes: int | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""
    refresh: bool = False
    time_limit_s: float | None = None
    """The job fails when it has run longer."""
    memory_limit_mb: float | None = None
    """The job fails when one of its processes needs more."""
    retries: int = 2
    """How often a step is done again after a cause that can pass, such as a killed worker."""
    retry_of: str | None = None
    rejoin: bool = False
    """The last job for the same result serves it, also one that failed or was cancelled."""
    job_id: str | None = None
    """The id that a new job gets, where it is known before it is submitted; else one is made."""


@dataclass(frozen=True, slots=True)
class Split:
    """A task's answer that its work is to be done in parts, by many workers, and then merged.

    Each part is a task of its own that is told its number (`StepContext.shard`); `merge` runs once when all are done and is
    told which attempt at each part counts (`StepContext.winning_attempts`).
    """

    shards: int
    """How many; number 0 begins first, so the biggest one should be it."""
    total: int
    """The sum of what the parts report as `done`."""
    shard_task: str
    """Dotted name of the task that does one part; what it returns is of no account."""
    merge_task: str
    """Dotted name of the task that returns the job's result."""
    unit: str = "bytes"
    shards_fraction: float = 0.95
    """The part of the job's progress that belongs to the parts; the rest is the merge."""


class CannotRunHere(Exception):  # noqa: N818  no error: another worker may be able to
    """Raised by a task before its first report when this process can't do the work, with the reason."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it was when it was asked for. Times are UTC; `result` is set once it is completed.

    `queue_position` is 1 for the queued job that the next free worker takes, 2 for the one after it; None for a job
    that is not queued or waits for its next try, and in what `submit` answers.
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


class StepContext(Protocol):
    """What the code of a task sees of its job."""

    @property
    def job_id(self) -> str:
        """The job that the task works for."""

    @property
    def attempt(self) -> int:
        """Which attempt at the step this is; what an earlier one still does must not touch what this one writes."""

    @property
    def step(self) -> str:
        """`"begin"`, `"part-<number>"` or `"merge"`; with `attempt` a name for what only this process writes."""

    @property
    def shard(self) -> int | None:
        """Which part of a `Split` this is."""

    @property
    def winning_attempts(self) -> Mapping[int, int]:
        """Of a merge: which attempt at each part counts."""

    @property
    def can_split(self) -> bool:
        """Whether the task may answer with a `Split`; else it does all the work itself."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The JSON arguments it was submitted with."""

    def report(self, progress: Progress) -> None:
        """Tell how far the work is; may be called often. Raises JobCancelledError once the work is unwanted."""

    def begin_commit(self) -> None:
        """From here on the job can't be cancelled. Raises JobCancelledError when it already was."""


ANY_JOB = frozenset({"*"})
"""Among ids of jobs, or in their place: any may have changed."""


class Changes(Protocol):
    """Word of changed jobs, for as long as the `with` block lasts."""

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Ids of jobs that may have changed within `timeout_s`; `ANY_JOB` where it could be any. Word can be lost."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """Where jobs wait, run and are remembered. Every backend passes the same contract tests."""

    @property
    def name(self) -> str:
        """`"redis"`, `"embedded"`, `"local"` or `"http"`."""

    @property
    def notice(self) -> str:
        """Why this backend was chosen, where that needs saying; else empty."""

    @property
    def survives_process(self) -> bool:
        """Whether jobs go on and are remembered when this process ends."""

    @property
    def kills_running(self) -> bool:
        """Whether a running task can be killed."""

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it (see DESIGN: submitting the same content)."""

    def get(self, job_id: str) -> JobInfo:
        """The job. Raises JobNotFoundError."""

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Those of the jobs that are known."""

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """All jobs of this namespace, newest first."""

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled now; False when it has ended or is committing. Raises JobNotFoundError."""

    def retry(self, job_id: str) -> JobInfo:
        """A new job for the work of one that failed or was cancelled. Raises JobNotFoundError, SettingsError."""

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""

    def log(self, job_id: str) -> Sequence[str]:
        """What happened to the job, a line each, with the end of its worker's output. Raises JobNotFoundError."""

    def changes(self) -> Changes:
        """Listen for changed jobs."""

    def queue_status(self) -> dict[str, Any]:
        """Counts of jobs by state and of workers, as JSON."""

    def health(self) -> dict[str, Any]:
        """Whether work can be done here, as JSON with `status` ok, degraded or down, and a `reason`."""

    def close(self) -> None:
        """Let go of connections and threads; jobs are not touched."""


class Files(Protocol):
    """The files of results, wherever they are."""

    @property
    def name(self) -> str:
        """The place as it may be shown."""

    def manifest(self, prefix: str) -> dict[str, Any] | None:
        """What is kept below `prefix`; None where it is gone."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A file to read from. Raises FileNotFoundError."""

    def touch(self, path: str) -> None:
        """Note that a file was used, where that is of use; never fails."""


@runtime_checkable
class Remote(Protocol):
    """A backend that keeps studies and results itself, so that its clients need no part in a store."""

    def files(self, job_id: str) -> Files:
        """The files of the job's result."""
