"""Define what the record of a job holds and which changes of it are legal; no I/O."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType
from typing import Any, NamedTuple, Self

from analytics_kit.backends.dotted_names import wire_name
from analytics_kit.code_version import CodeVersion, code_version, result_key_of
from analytics_kit.errors import JobCancelledError, JobFailedError, SettingsError
from analytics_kit.model import RECORD_VERSION, RESULT_TTL_S, Failure, JobInfo, JobRequest, JobStatus, Progress, Split

RECORD_TTL_S = 30 * 24 * 3600
"""A record is kept this long after its job ended."""

PLAIN_FIELDS = frozenset({"state", "result_key", "notice"})
"""Fields of the hash that are not JSON, because Lua reads them."""
WIRE_NAMES = {"reported_at": "told_at"}
"""Attributes of a record that have another name on the wire, as a field of the hash."""


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "job_id": str, "task": str, "arguments": dict, "result_key": str, "source": str, "created_at": (int, float),
    "version": int, "size_bytes": int, "started_at": (int, float), "ended_at": (int, float), "owner": str,
    "result": dict, "retry_of": str, "time_limit_s": (int, float), "memory_limit_mb": (int, float), "retries": int,
    "split": dict, "reported_at": (int, float), "signature": str,
}  # fmt: skip
"""Types of the fields that are JSON, without those that become values of other classes."""
_REQUIRED = frozenset({"job_id", "task", "arguments", "result_key", "source", "created_at", "version", "owner"})
LATEST_S = 32_503_680_000
"""The year 3000: a later time is damage."""


class RecordState(StrEnum):
    """State of a record: the public status of a job, and `committing`, which people see as running."""

    QUEUED = "queued"
    RUNNING = "running"
    COMMITTING = "committing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def status(self) -> JobStatus:
        """The public status of the job."""
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


BEGIN_STEP, MERGE_STEP = "begin", "merge"
SHARD_PREFIX = "part-"
"""Names of steps on the wire: `begin`, `part-0`, `part-1`, …, `merge`."""


class Attempt(NamedTuple):
    """One attempt at one step of a job. Only the newest attempt at a step may change the record.

    >>> attempt = Attempt("3f2a", "part-4", number=2)
    >>> attempt.shard, attempt.rq_job_id
    (4, '3f2a-part-4-2')
    """

    job_id: str
    step: str = BEGIN_STEP
    number: int = 1

    @property
    def shard(self) -> int | None:
        """Number of the shard; None when the step is not a shard."""
        return int(self.step.removeprefix(SHARD_PREFIX)) if self.step.startswith(SHARD_PREFIX) else None

    @property
    def rq_job_id(self) -> str:
        """Id of the rq job that carries the attempt."""
        return f"{self.job_id}-{self.step}-{self.number}"


class ChangeRefusedError(Exception):
    """A refused change: it is not legal, or not by the newest attempt.

    Parameters
    ----------
    state : state of the record; None when there is no record.
    """

    def __init__(self, state: RecordState | None) -> None:
        super().__init__(f"refused: the record is {state or 'gone'}")
        self.state = state

    def as_cancellation(self) -> JobFailedError:
        """Return the exception to raise in the code that runs the step."""
        if self.state is RecordState.CANCELLED:
            return JobCancelledError("The job was cancelled.")
        return JobCancelledError(f"This attempt is no longer wanted: the job is {self.state or 'gone'}.")


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored of a job. Times are seconds since 1970, UTC."""

    job_id: str
    task: str
    arguments: Mapping[str, Any]
    result_key: str
    source: str
    created_at: float
    state: RecordState = RecordState.QUEUED
    version: int = RECORD_VERSION
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
    """See `split_fields`."""
    notice: str = ""
    reported_at: float | None = None
    """When a worker last reported progress."""
    request_key: str = ""
    submitted_by: CodeVersion | None = None
    """The code of the client, which has to do the work unless `processed_by` is set."""
    processed_by: CodeVersion | None = None
    """The code that does the work where no worker with that of the client was left."""
    signature: str | None = None
    """Made by the client over `signed_content`, where the queue has a secret."""

    @classmethod
    def of(cls, request: JobRequest, job_id: str, now_s: float) -> Self:
        """Return the record of a new job. Raises TypeError or ValueError for arguments that JSON can't represent."""
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
            request_key=request.request_key,
            submitted_by=request.submitted_by,
        )

    def signed_content(self, queue: str, namespace: str) -> list[Any]:
        """Return what says which work this is, as JSON: whoever can change it can have workers do other work."""
        return [
            queue, namespace, self.job_id, self.version, wire_name(self.task), self.arguments, self.result_key,
            self.created_at, self.retries, self.time_limit_s, self.memory_limit_mb,
        ]  # fmt: skip

    @property
    def required_code(self) -> CodeVersion | None:
        """The code that every step has to be run by, so that no result is made by two; None for any."""
        return self.processed_by or self.submitted_by

    def retry_request(self) -> JobRequest:
        """Return the request for the same work. Raises SettingsError unless the job failed or was cancelled."""
        if self.state not in (RecordState.FAILED, RecordState.CANCELLED):
            raise SettingsError(
                f"Job {self.job_id} is {self.state.status}; only a job that failed or was cancelled can be retried.",
                hint="To do completed work again, submit it with refresh=True.",
            )
        result_key, code = self.result_key, self.submitted_by
        if code is not None:  # the code that retries, which may be newer than the one that submitted
            code = code_version()
            result_key = result_key_of(self.request_key, code.code)
        return JobRequest(
            self.task, self.arguments, result_key, self.source, self.size_bytes, self.tags, self.owner, True,
            self.time_limit_s, self.memory_limit_mb, self.retries, self.job_id,
            request_key=self.request_key, submitted_by=code,
        )  # fmt: skip

    def task_of(self, step: str) -> str:
        """Return the dotted name of the function that runs a step."""
        if step == BEGIN_STEP or self.split is None:
            return self.task
        name: str = self.split["merge" if step == MERGE_STEP else "part"]
        return name

    def to_fields(self) -> dict[str, str]:
        """Return the fields of a Redis hash, without those that are None."""
        return encode_fields({name: getattr(self, name) for name in self.__slots__} | {"task": wire_name(self.task)})

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Return the record that `to_fields` wrote; fields that a newer version added are ignored."""
        texts = {key.decode(): text.decode() for key, text in fields.items()}
        attributes = {WIRE_NAMES.get(name, name): name for name in cls.__dataclass_fields__}
        values: dict[str, Any] = {
            attributes[name]: text if name in PLAIN_FIELDS else _decode(text)
            for name, text in texts.items()
            if name in attributes
        }
        values["state"] = RecordState(values["state"])
        values["tags"] = tuple(values["tags"])
        values["progress"] = _instance(Progress, values["progress"])
        for name in ("submitted_by", "processed_by"):
            if name in values:
                values[name] = CodeVersion(*values[name])
        if "error" in values:
            values["error"] = _instance(Failure, {"log": values["error"].get("traceback", ""), **values["error"]})
        for name, expected in _TYPES.items():
            if (values.get(name) is not None or name in _REQUIRED) and not isinstance(values[name], expected):
                raise TypeError(f"Field {name} is a {type(values[name]).__name__}.")
        if not all(isinstance(tag, str) for tag in values["tags"]):
            raise TypeError("A tag is no text.")
        _check_result(values.get("result") or {})
        for name in ("created_at", "started_at", "ended_at"):
            _utc(values.get(name) or 0.0)  # raises for times that no calendar has
        return cls(**values)

    @classmethod
    def read(cls, job_id: str, fields: Mapping[bytes, bytes] | None, created_at: float = 0.0) -> Record:
        """Return the record of a job, or an `UnreadableRecord` where it is damaged or of an unknown shape.

        Parameters
        ----------
        fields : None when the key holds something else than a hash.
        created_at : when the job was submitted, if its record does not say so.
        """
        try:
            record = cls.from_fields(fields or {})
            if record.job_id == job_id:
                return record
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
            pass
        return UnreadableRecord.salvage(job_id, fields, created_at)

    def info(self, backend: str, queue_position: int | None = None) -> JobInfo:
        """Return the public view of the job."""
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
            notice=self.notice or self._code_notice(),
            queue_position=queue_position,
        )

    def _code_notice(self) -> str:
        """Return the notice that other code than the client's does or did the work."""
        if self.processed_by is None or self.submitted_by is None or self.state is RecordState.QUEUED:
            return ""
        return (
            f"Submitted by {self.submitted_by}, of which no worker was left; processed by {self.processed_by}. "
            "Restart the process or kernel that submits, or upgrade analytics_kit there."
        )


@dataclass(frozen=True, slots=True)
class UnreadableRecord(Record):
    """What is left of a record that can't be read: it is listed as a failed job, whose error says so."""

    @classmethod
    def salvage(cls, job_id: str, fields: Mapping[bytes, bytes] | None, created_at: float) -> Self:
        """Return it with what can be read of its fields; None stands for a key that holds something else."""
        readable: dict[str, Any] = {}
        for name in ("version", "source", "owner", "created_at", "size_bytes"):
            with contextlib.suppress(KeyError, ValueError, RecursionError):
                readable[name] = json.loads((fields or {})[name.encode()])
        version = readable.get("version")
        is_newer = isinstance(version, int) and version > RECORD_VERSION
        if is_newer:
            message = f"The record of job {job_id} is of a newer analytics_kit (version {version}) and can't be read."
            hint = "Upgrade analytics_kit here."
        else:
            message = f"The record of job {job_id} can't be read: it is damaged, or something else uses its key."
            hint = "job.delete() removes it; submit the study again."
        state = RecordState.FAILED
        if is_newer and fields:
            with contextlib.suppress(KeyError, ValueError):  # its own workers know what it does
                state = RecordState(fields[b"state"].decode())
        at = readable.get("created_at")
        size = readable.get("size_bytes")
        return cls(
            job_id=job_id,
            task="",
            arguments={},
            result_key="",
            source=readable["source"] if isinstance(readable.get("source"), str) else "",
            created_at=at if isinstance(at, float) and 0 < at < LATEST_S else created_at,
            state=state,
            version=version if isinstance(version, int) else 0,
            size_bytes=size if isinstance(size, int) else None,
            owner=readable["owner"] if isinstance(readable.get("owner"), str) else "",
            error=Failure.of(JobFailedError(message, hint=hint), "") if state is RecordState.FAILED else None,
            notice="" if state is RecordState.FAILED else message,
        )

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of the package wrote it, whose workers can read it."""
        return self.version > RECORD_VERSION

    def retry_request(self) -> JobRequest:
        """Raise SettingsError: nobody knows what the work was."""
        raise SettingsError(
            f"Job {self.job_id} can't be retried, since its record can't be read.", hint="Submit the study again."
        )


def encode_json(value: object) -> str:
    """Return the value as JSON. Raises TypeError or ValueError for what JSON can't represent, such as NaN."""
    plain = asdict(value) if isinstance(value, Progress | Failure) else value
    if isinstance(value, Failure) and isinstance(plain, dict) and value.log == value.traceback:
        del plain["log"]  # the same text is not stored twice
    return json.dumps(dict(plain) if isinstance(plain, Mapping) else plain, allow_nan=False)


def encode_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes of a record as fields of a Redis hash, without those that are None."""
    return {
        WIRE_NAMES.get(name, name): str(value) if name in PLAIN_FIELDS else encode_json(value)
        for name, value in values.items()
        if value is not None
    }


def split_fields(split: Split) -> dict[str, Any]:
    """Return the value of a record's field `split`, with its names on the wire; `lua/split.lua` adds `at`."""
    return {
        "parts": split.shards,
        "total": split.total,
        "part": wire_name(split.shard_task),
        "merge": wire_name(split.merge_task),
        "unit": split.unit,
        "share": split.shards_fraction,
    }


def transition(record: Record, to: RecordState, now_s: float, **changes: Any) -> Record:
    """Return the record after a change of state; raises ChangeRefusedError when that is not legal.

    >>> record = Record.of(JobRequest("package.process", {}, "key", "study.zip"), "3f2a", now_s=0.0)
    >>> transition(record, RecordState.RUNNING, now_s=1.5).started_at
    1.5
    """
    if record.state not in PREVIOUS_STATES[to]:
        raise ChangeRefusedError(record.state)
    if to is RecordState.RUNNING and record.started_at is None:
        changes["started_at"] = now_s
    if to.status.final:
        changes["ended_at"] = now_s
    return replace(record, state=to, **changes)


def with_tags(record: Record, tags: tuple[str, ...]) -> Record:
    """Return the record with the tags of one more request."""
    return replace(record, tags=(*record.tags, *(tag for tag in tags if tag not in record.tags)))


TEXT_FIELDS = ("source", "arguments", "tags", "error", "result", "notice")
"""What `amend` may change of a record whose job has ended."""


def amended(record: Record, edit: Callable[[Record], Record]) -> dict[str, Any]:
    """Return the fields that `edit` changes of the record of a job that has ended; empty for another."""
    if not record.state.status.final:
        return {}
    after = edit(record)
    return {name: getattr(after, name) for name in TEXT_FIELDS if getattr(after, name) != getattr(record, name)}


def can_join(earlier: Record, new: Record, rejoin: bool = False) -> bool:
    """Return whether a request is served by an earlier job for the same result.

    A job that has not ended serves it only with the same limits, since it may yet fail by its own; a failed or
    cancelled one only with `rejoin`.
    """
    if earlier.state is RecordState.COMPLETED:
        return earlier.ended_at is not None and new.created_at - earlier.ended_at < RESULT_TTL_S
    if earlier.state.status.final:
        return rejoin
    return (earlier.time_limit_s, earlier.memory_limit_mb) == (new.time_limit_s, new.memory_limit_mb)


def completed_progress(progress: Progress) -> Progress:
    """Return the progress of a completed job from the last that was reported."""
    done = progress.done if progress.total is None else progress.total
    return replace(progress, phase="completed", done=done, fraction=1.0, eta_s=0.0)


def _instance(of_class: type[Any], values: Mapping[str, Any]) -> Any:
    """Return an instance of a dataclass; values of unknown fields are ignored. Raises TypeError for other types."""
    known = {name: value for name, value in values.items() if name in of_class.__dataclass_fields__}
    for name, value in known.items():
        expected = str if "str" in of_class.__annotations__[name] else (int, float, NoneType)
        if not isinstance(value, expected):
            raise TypeError(f"Field {name} of {of_class.__name__} is a {type(value).__name__}.")
    return of_class(**known)


def _check_result(result: Mapping[str, Any]) -> None:
    """Raise ValueError when a result names files that are not below its store."""
    for name in ("prefix", "folder"):
        path = result.get(name, "")
        if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"The {name} of the result is no path below a store.")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON.")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
