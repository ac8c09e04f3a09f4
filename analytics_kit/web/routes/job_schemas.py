"""What may be asked, and what is answered: the words of the HTTP API, from which its schema is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from analytics_kit.model import JobStatus
from analytics_kit.table_export import TableName
from analytics_kit.web.study_catalogue import RESERVED, STUDY_ID, Kind

PAGE_ROWS, MOST_ROWS = 1000, 10_000
PAGE_JOBS, MOST_JOBS = 100, 1000
MOST_IDS = 100
JOB_ID = r"^[A-Za-z0-9_-]{1,64}$"


def _not_reserved(study_id: str) -> str:
    if study_id in RESERVED:
        raise ValueError("this word is reserved")
    return study_id


class Asked(BaseModel):
    """Nothing but what it names may be asked."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class StudyPath(Asked):
    """A study in the path."""

    study_id: Annotated[
        str,
        Field(pattern=STUDY_ID, json_schema_extra={"not": {"enum": list(RESERVED)}}),
        AfterValidator(_not_reserved),
    ]
    """The study: the name of its ZIP without .zip at its end."""


class JobPath(Asked):
    """A job in the path."""

    job_id: Annotated[str, Field(pattern=JOB_ID)]
    """The job, as zip-data named it."""


class ZipDataQuery(Asked):
    """What to do with a study."""

    is_async: bool = Field(True, alias="async")
    """false: wait for the end, as long as the server allows, and answer with the result."""
    job_id: Annotated[str, Field(pattern=JOB_ID)] | None = None
    """Ask for this job in place of the last one of the study."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Only the trials of this participant; all are processed."""


class UploadQuery(Asked):
    """What to do with a study that is uploaded."""

    is_async: bool = Field(True, alias="async")
    """false: wait for the end, as long as the server allows, and answer with the result."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Only the trials of this participant; all are processed."""


class JobsQuery(Asked):
    """Which jobs to list."""

    status: JobStatus | None = None
    """Only jobs of this status."""
    job_id: Annotated[list[Annotated[str, Field(pattern=JOB_ID)]], Field(max_length=MOST_IDS)] = []
    """Only these jobs; may be given several times."""
    offset: int = Field(0, ge=0, le=10**9)
    """Leave out so many."""
    limit: int = Field(PAGE_JOBS, ge=1, le=MOST_JOBS)
    """At most so many."""


class ResultQuery(Asked):
    """Which table of a result, and how."""

    table: TableName = "trials"
    """The table; those of events are named by their kind."""
    format: Literal["json", "csv", "parquet"] = "json"
    """JSON comes in pages, CSV and Parquet hold the whole table."""
    orient: Literal["records", "split"] = "records"
    """Of JSON: an object for each row, or the columns once and a list for each row."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Only rows of this participant."""
    offset: int = Field(0, ge=0, le=10**9)
    """Of JSON: leave out so many rows."""
    limit: int = Field(PAGE_ROWS, ge=1, le=MOST_ROWS)
    """Of JSON: at most so many rows."""


class Told(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorAnswer(Told):
    """Why a request was not served."""

    error: str
    """One word for the kind of trouble."""
    message: str
    hint: str
    """What to do."""
    parameter: str = ""
    """The parameter that can't be used; left out where it is none."""


class ProgressAnswer(Told):
    """How far a job is."""

    phase: str
    done: int
    total: int | None
    unit: str
    fraction: float
    """From 0 to 1; never falls."""
    rate_per_s: float | None
    eta_s: float | None
    rows: int | None
    files: int | None


class FailureAnswer(Told):
    """Why a job failed."""

    error: str
    message: str
    hint: str


class OutcomeAnswer(Told):
    """What came out of a job, in short."""

    summary: dict[str, Any] | None
    preview: dict[str, Any] | None
    """The first trials and issues."""


class JobAnswer(Told):
    """A job as it is now."""

    job_id: str
    status: JobStatus
    study_id: str | None
    """None for a job that was not submitted for a study of the catalogue."""
    source: str
    """The name of the study's file or folder."""
    size_bytes: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: ProgressAnswer
    queue_position: int | None
    """1 for the job that is next; None for one that does not wait."""
    notice: str
    """What has to be said of a job that waits; else empty."""
    backend: str
    tags: list[str]
    retry_of: str | None
    error: FailureAnswer | None
    status_url: str
    result_url: str | None
    """Where the tables are, once the job is completed."""
    result_key: str
    """The same for all jobs for the same content and options."""
    outcome: OutcomeAnswer | None
    """Once the job is completed."""


class ResultAnswer(Told):
    """What came out of a study."""

    summary: dict[str, Any]
    trials: list[dict[str, Any]]
    """A row per trial; what the log can't tell is null."""


class ZipDataAnswer(JobAnswer):
    """A job and, once it is completed and was asked for or waited for, what came out."""

    result: ResultAnswer | None = None


class JobsAnswer(Told):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    total: int
    offset: int
    limit: int


class RecordsAnswer(Told):
    """Rows of a table, each an object."""

    table: str
    total: int
    offset: int
    limit: int
    records: list[dict[str, Any]]
    next_url: str | None


class SplitAnswer(Told):
    """Rows of a table, each a list."""

    table: str
    total: int
    offset: int
    limit: int
    columns: list[str]
    data: list[list[Any]]
    next_url: str | None


class StudyAnswer(Told):
    """A study of the catalogue."""

    study_id: str
    kind: Kind
    size_bytes: int | None
    changed_at: datetime | None
    zip_data_url: str


class StudiesAnswer(Told):
    """The catalogue, by id."""

    studies: list[StudyAnswer]


class QueueAnswer(Told):
    """Jobs by status, and workers."""

    model_config = ConfigDict(extra="allow")

    backend: str
    queue: str
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    workers: int
    workers_busy: int
    survives_process: bool
    """Whether jobs outlive the server."""
    kills_running: bool
    """Whether work can be killed, and its memory limited."""


class HealthAnswer(Told):
    """Whether work can be done."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded", "down"]
    live: bool
    ready: bool
    backend: str
    workers: int
    reason: str
    broker: dict[str, Any] | None
    store: dict[str, Any]


class LiveAnswer(Told):
    """That the server answers."""

    live: Literal[True] = True


ANSWERS = (
    ErrorAnswer, JobAnswer, ZipDataAnswer, JobsAnswer, RecordsAnswer, SplitAnswer, StudiesAnswer, QueueAnswer,
    HealthAnswer, LiveAnswer,
)  # fmt: skip
