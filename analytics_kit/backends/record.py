"""What does a job's record hold, and which changes of it are legal?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from analytics_kit.errors import JobCancelledError, JobFailedError, SettingsError
from analytics_kit.model import RESULT_TTL_S, SCHEMA_VERSION, Failure, JobInfo, JobRequest, JobStatus, Progress, Split

RECORD_TTL_S = 30 * 24 * 3600
"""A record is kept this long after its job ended."""

PLAIN = frozenset({"state", "result_key", "notice"})
"""Fields that Lua reads, and which are therefore not JSON in the hash."""


class RecordState(StrEnum):
    """State of a record; `committing` is shown as running."""

    QUEUED = "queued"
    RUNNING = "running"
    COMMITTING = "committing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def status(self) -> JobStatus:
        """What people see of it."""
        return JobStatus.RUNNING if self is RecordState.COMMITTING else JobStatus(self.value)


PREVIOUS_STATES: Mapping[RecordState, frozenset[RecordState]] = {
    RecordState.QUEUED: frozenset(),
    RecordState.RUNNING: frozenset({RecordState.QUEUED}),
    RecordState.COMMITTING: frozenset({RecordState.RUNNING}),
    RecordState.COMPLETED: frozenset({RecordState.COMMITTING}),
    RecordState.FAILED: frozenset({RecordState.QUEUED, RecordState.RUNNING, RecordState.COMMITTING}),
    RecordState.CANCELLED: frozenset({RecordState.QUEUED, RecordState.RUNNING}),
}
"""The states from which each state may be reached."""


BEGIN, MERGE = "begin", "merge"


class Attempt(NamedTuple):
    """One attempt at one step of a job. Only who holds the newest attempt may change the record."""

    job_id: str
    step: str = BEGIN
    number: int = 1

    @property
    def shard(self) -> int | None:
        """Which part of a split this is."""
        return int(self.step.removeprefix("part-")) if self.step.startswith("part-") else None

    @property
    def rq_job_id(self) -> str:
        """What the queue calls it."""
        return f"{self.job_id}-{self.step}-{self.number}"


class StaleAttemptError(Exception):
    """A change that is not legal, or not of the newest attempt; `state` is the record's, None where it is gone."""

    def __init__(self, state: RecordState | None) -> None:
        super().__init__(f"refused: the record is {state or 'gone'}")
        self.state = state

    def told(self) -> JobFailedError:
        """What the code of a task is told."""
        if self.state is RecordState.CANCELLED:
            return JobCancelledError("The job was cancelled.")
        return JobCancelledError(f"This attempt is no longer wanted: the job is {self.state or 'gone'}.")


@dataclass(frozen=True, slots=True)
class Record:
    """All that is remembered of a job. Times are seconds since 1970, UTC."""

    job_id: str
    task: str
    arguments: Mapping[str, Any]
    result_key: str
    source: str
    created_at: float
    state: RecordState = RecordState.QUEUED
    version: int = SCHEMA_VERSION
    progress: Progress = field(default_factory=Progress)
    size_bytes: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""
    error: Failure | None = None
    result: Mapping[str, Any] | None = None
    retry_of: str | None = None
    time_limit_s: float | None = None
    memory_limit_mb: float | None = None
    retries: int = 2
    split: Mapping[str, Any] | None = None
    notice: str = ""
    told_at: float | None = None
    """When the work was last heard of."""

    @classmethod
    def of(cls, request: JobRequest, job_id: str, now_s: float) -> Self:
        """A queued record of what was requested."""
        return cls(
            job_id=job_id,
            task=request.task,
            arguments=json.loads(json.dumps(dict(request.arguments), allow_nan=False)),
            result_key=request.result_key,
            source=request.source,
            created_at=now_s,
            size_bytes=request.size_bytes,
            tags=tuple(request.tags),
            owner=request.owner,
            time_limit_s=request.time_limit_s,
            memory_limit_mb=request.memory_limit_mb,
            retries=request.retries,
            retry_of=request.retry_of,
        )

    def request_again(self) -> JobRequest:
        """What to ask for to have it done again. Raises SettingsError unless it failed or was cancelled."""
        if self.state not in (RecordState.FAILED, RecordState.CANCELLED):
            raise SettingsError(
                f"Job {self.job_id} is {self.state.status}; only a job that failed or was cancelled can be retried.",
                hint="To do completed work again, submit it with refresh=True.",
            )
        return JobRequest(
            self.task, self.arguments, self.result_key, self.source, self.size_bytes, self.tags, self.owner, True,
            self.time_limit_s, self.memory_limit_mb, self.retries, self.job_id,
        )  # fmt: skip

    def task_of(self, step: str) -> str:
        """Dotted name of the function that does a step."""
        return self.task if step == BEGIN or self.split is None else self.split[MERGE if step == MERGE else "part"]

    def to_fields(self) -> dict[str, str]:
        """The fields of a Redis hash; what is None is left out."""
        return encode_fields({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """The record that `to_fields` made; unknown fields of newer versions are passed over."""
        texts = {key.decode(): text.decode() for key, text in fields.items()}
        known: dict[str, Any] = {
            name: text if name in PLAIN else json.loads(text)
            for name, text in texts.items()
            if name in cls.__dataclass_fields__
        }
        known["state"] = RecordState(known["state"])
        known["tags"] = tuple(known["tags"])
        known["progress"] = _made(Progress, known["progress"])
        if "error" in known:
            known["error"] = _made(Failure, {"log": known["error"].get("traceback", ""), **known["error"]})
        return cls(**known)

    def info(self, backend: str, queue_position: int | None = None) -> JobInfo:
        """What people see of the job."""
        return JobInfo(
            job_id=self.job_id,
            status=self.state.status,
            source=self.source,
            result_key=self.result_key,
            created_at=_utc(self.created_at),
            progress=self.progress,
            size_bytes=self.size_bytes,
            started_at=None if self.started_at is None else _utc(self.started_at),
            ended_at=None if self.ended_at is None else _utc(self.ended_at),
            tags=self.tags,
            owner=self.owner,
            backend=backend,
            error=self.error,
            result=self.result,
            retry_of=self.retry_of,
            notice=self.notice,
            queue_position=queue_position,
        )


def as_json(value: object) -> str:
    """The value as JSON. Raises TypeError or ValueError for what JSON can't say (also NaN)."""
    plain = asdict(value) if isinstance(value, Progress | Failure) else value
    if isinstance(value, Failure) and isinstance(plain, dict) and value.log == value.traceback:
        del plain["log"]  # it is not kept twice
    return json.dumps(dict(plain) if isinstance(plain, Mapping) else plain, allow_nan=False)


def encode_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a record as they stand in a Redis hash; what is None is left out."""
    return {
        name: str(value) if name in PLAIN else as_json(value) for name, value in values.items() if value is not None
    }


def split_fields(split: Split) -> dict[str, Any]:
    """The split as it stands in the record's field `split`, under the names on the wire."""
    return {
        "parts": split.shards,
        "total": split.total,
        "part": split.shard_task,
        "merge": split.merge_task,
        "unit": split.unit,
        "share": split.shards_fraction,
    }


def transition(record: Record, to: RecordState, now_s: float, **changes: Any) -> Record:
    """The record after a legal change of state; raises StaleAttemptError when it is not legal."""
    if record.state not in PREVIOUS_STATES[to]:
        raise StaleAttemptError(record.state)
    if to is RecordState.RUNNING and record.started_at is None:
        changes["started_at"] = now_s
    if to.status.final:
        changes["ended_at"] = now_s
    return replace(record, state=to, **changes)


def with_tags(record: Record, tags: tuple[str, ...]) -> Record:
    """The record with the tags of one more request."""
    return replace(record, tags=(*record.tags, *(tag for tag in tags if tag not in record.tags)))


def can_join(earlier: Record, asked: Record, rejoin: bool = False) -> bool:
    """Whether a request is served by an earlier job for the same result; not if it may yet fail by other limits.

    One that failed or was cancelled serves only who asks to `rejoin`.
    """
    if earlier.state is RecordState.COMPLETED:
        return earlier.ended_at is not None and asked.created_at - earlier.ended_at < RESULT_TTL_S
    if earlier.state.status.final:
        return rejoin
    return (earlier.time_limit_s, earlier.memory_limit_mb) == (asked.time_limit_s, asked.memory_limit_mb)


def completed_progress(progress: Progress) -> Progress:
    """The progress of a job that is completed."""
    done = progress.done if progress.total is None else progress.total
    return replace(progress, phase="completed", done=done, fraction=1.0, eta_s=0.0)


def _made(kind: type[Any], values: Mapping[str, Any]) -> Any:
    return kind(**{name: value for name, value in values.items() if name in kind.__dataclass_fields__})


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
