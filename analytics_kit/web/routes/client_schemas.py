"""What a client in Python asks, and what it is answered, beyond what pages do."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from analytics_kit.options import Options
from analytics_kit.web.study_catalogue import STUDY_ID
from analytics_kit.web.routes.job_schemas import Asked, Told

NEW_JOB_ID = r"^[0-9a-f]{16}$"
CONTENT = r"^[0-9a-f]{64}$"


class ContentPath(Asked):
    """A study by what is in it."""

    content: Annotated[str, Field(pattern=CONTENT)]
    """The fingerprint of the study: SHA-256, in hex, of the names, sizes and CRCs in its ZIP."""


class ContentQuery(Asked):
    """What is uploaded."""

    name: Annotated[str, Field(min_length=1, max_length=500)] = "study.zip"
    """What its file is called, for people."""


class SubmitBody(Asked):
    """A study to be processed: one of the catalogue, or one that was uploaded."""

    study_id: Annotated[str, Field(pattern=STUDY_ID)] | None = None
    """A study of the catalogue."""
    content: Annotated[str, Field(pattern=CONTENT)] | None = None
    """A study that was uploaded, by its fingerprint."""
    options: Options = Field(default_factory=Options)
    """What to do with it."""
    refresh: bool = False
    """Work again even if the same was done before."""
    rejoin: bool = False
    """Be given the last job for the same, also one that failed or was cancelled."""
    tags: Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=100)] = ()
    """Words to find the job by."""
    time_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The job fails when it has run longer."""
    memory_limit_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The job fails when one of its processes needs more. Only on a queue."""
    job_id: Annotated[str, Field(pattern=NEW_JOB_ID)] | None = None
    """The id of the job if a new one is begun, so that a request can be repeated whose answer was lost."""

    @field_validator("options")
    @classmethod
    def _loosens_no_limit(cls, options: Options) -> Options:
        for name, field in Options.model_fields.items():
            if name.startswith("max_") and getattr(options, name) > field.default:
                raise ValueError(f"{name} can be at most {field.default:,} on a server")
        return options

    @model_validator(mode="after")
    def _is_of_one_study(self) -> SubmitBody:
        if (self.study_id is None) == (self.content is None):
            raise ValueError("one of study_id and content has to be given")
        return self


class FileQuery(Asked):
    """A file of a result."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    """As the result's manifest names it."""


class LogAnswer(Told):
    """What happened to a job."""

    lines: list[str]
    """Each with its time in UTC, then the end of what a failed task said."""


class UploadAnswer(Told):
    """A study that was uploaded."""

    content: str
    size_bytes: int


class ManifestAnswer(Told):
    """What a result consists of."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    provenance: dict[str, Any]
    summary: dict[str, Any]
    tables: dict[str, str]
    """The files of tables, by name."""
    parts: list[dict[str, Any]]
    """The files of events."""


CLIENT_ANSWERS = (LogAnswer, UploadAnswer, ManifestAnswer)
