"""Schemas of the requests and responses of the routes of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from analytics_kit.model import JobStatus
from analytics_kit.options import Options
from analytics_kit.web.schemas import RequestModel, ResponseModel, ShownText
from analytics_kit.web.study_catalogue import STUDY_ID

DEFAULT_JOBS, MAX_JOBS = 100, 1000
"""Jobs in one response."""
MAX_JOB_IDS = 100
JOB_ID = r"^[A-Za-z0-9_-]{1,64}$"
NEW_JOB_ID = r"^[0-9a-f]{16}$"
CONTENT_FINGERPRINT = r"^[0-9a-f]{64}$"

OPTION_LIMITS = {name: field.default for name, field in Options.model_fields.items() if name.startswith("max_")}
"""Options that can be set lower on a server, and not higher."""


class JobPath(RequestModel):
    """Path parameter of a job."""

    job_id: Annotated[str, Field(pattern=JOB_ID)]
    """The `job_id` of the response that created the job."""


class JobsQuery(RequestModel):
    """Filters and page of a list of jobs."""

    status: JobStatus | None = None
    """Only jobs of this status."""
    job_id: list[Annotated[str, Field(pattern=JOB_ID)]] = Field([], max_length=MAX_JOB_IDS)
    """Only these jobs; can be repeated."""
    offset: int = Field(0, ge=0, le=10**9)
    """Number of jobs to skip."""
    limit: int = Field(DEFAULT_JOBS, ge=1, le=MAX_JOBS)
    """Maximum number of jobs to return."""


EARLIER_DEFAULTS = {"max_members": 2_000_000}
"""What clients of earlier versions send where no limit was chosen; today's default takes its place."""


class SubmitBody(RequestModel):
    """A study to process, from the catalogue or uploaded, and how to process it."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}, other: {"type": "null"}}}
                for name, other in (("study_id", "content"), ("content", "study_id"))
            ]
        }
    )

    study_id: Annotated[str, Field(pattern=STUDY_ID)] | None = None
    """A study of the catalogue."""
    content: Annotated[str, Field(pattern=CONTENT_FINGERPRINT)] | None = None
    """An uploaded study, by its fingerprint."""
    options: Options = Field(
        default_factory=Options,
        json_schema_extra={"properties": {name: {"maximum": limit} for name, limit in OPTION_LIMITS.items()}},
    )
    """Options of the processing."""
    refresh: bool = False
    """Process the study again even if a job has done so with the same options."""
    rejoin: bool = False
    """Return the last job for the same study and options even if it failed or was cancelled."""
    tags: Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=100)] = ()
    """Labels to find the job by."""
    time_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The job fails when it runs longer."""
    memory_limit_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The job fails when one of its processes needs more memory. Only on a queue."""
    job_id: Annotated[str, Field(pattern=NEW_JOB_ID)] | None = None
    """The id to give to a new job, so that the request can be repeated safely if its response is lost."""

    @field_validator("options")
    @classmethod
    def _require_default_limits_or_tighter(cls, options: Options) -> Options:
        earlier = {name: value for name, value in EARLIER_DEFAULTS.items() if getattr(options, name) == value}
        options = options.model_copy(update={name: Options.model_fields[name].default for name in earlier})
        for name, limit in OPTION_LIMITS.items():
            if getattr(options, name) > limit:
                raise ValueError(f"{name} can be at most {limit:,} on a server")
        return options

    @model_validator(mode="after")
    def _require_one_study(self) -> SubmitBody:
        if (self.study_id is None) == (self.content is None):
            raise ValueError("give either study_id or content")
        return self


class ProgressAnswer(ResponseModel):
    """Progress of a job."""

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


class FailureAnswer(ResponseModel):
    """Cause of a job's failure."""

    error: str
    message: ShownText
    hint: ShownText


class OutcomeAnswer(ResponseModel):
    """Summary and preview of a job's result."""

    summary: dict[str, Any] | None
    preview: dict[str, Any] | None
    """The first trials and issues."""


class JobAnswer(ResponseModel):
    """A job in its present state."""

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
    """1 for the job that is next; None for one that is not queued."""
    notice: ShownText
    """Reason why a queued job does not start; empty if there is none."""
    backend: str
    tags: list[str]
    retry_of: str | None
    error: FailureAnswer | None
    status_url: str
    result_url: str | None
    """URL of the tables; None until the job is completed."""
    result_key: str
    """Equal for all jobs with the same content and options."""
    outcome: OutcomeAnswer | None
    """None until the job is completed."""


class ResultAnswer(ResponseModel):
    """The result of a study."""

    summary: dict[str, Any]
    trials: list[dict[str, Any]]
    """One row per trial; values that the log doesn't provide are null."""


class ZipDataAnswer(JobAnswer):
    """A job, with its result once it is completed if the request asked for this job or waited for it."""

    result: ResultAnswer | None = None


class JobsAnswer(ResponseModel):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    total: int
    offset: int
    limit: int


class LogAnswer(ResponseModel):
    """The log of a job."""

    lines: list[ShownText]
    """Each event with its time in UTC, then the last output of a failed task."""


JOB_MODELS = (JobAnswer, ZipDataAnswer, JobsAnswer, LogAnswer, SubmitBody)
"""Models for the components of OpenAPI."""
