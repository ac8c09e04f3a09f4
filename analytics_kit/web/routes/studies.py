"""Routes of studies: list them, upload one, and get its job and result."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from flask import Response, request, url_for
from flask_openapi3.blueprint import APIBlueprint
from pydantic import AfterValidator, Field

from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.table_export import read_page, read_table
from analytics_kit.web.error_responses import json_response
from analytics_kit.web.openapi_responses import json_body, responses
from analytics_kit.web.routes.job_schemas import JOB_ID, ResultAnswer, ZipDataAnswer
from analytics_kit.web.routes.jobs import ACCEPTED, accepted_response, job_fields
from analytics_kit.web.routes.results import require_result
from analytics_kit.web.routes.uploads import ZIP_REQUEST_BODY, require_zip_body
from analytics_kit.web.schemas import RequestModel, ResponseModel
from analytics_kit.web.service import Service
from analytics_kit.web.study_catalogue import RESERVED, STUDY_ID, StudyKind


def _require_not_reserved(study_id: str) -> str:
    if study_id in RESERVED:
        raise ValueError("this id is reserved for a route")
    return study_id


class StudyPath(RequestModel):
    """Path parameter of a study."""

    study_id: Annotated[
        str,
        Field(pattern=STUDY_ID, json_schema_extra={"not": {"enum": list(RESERVED)}}),
        AfterValidator(_require_not_reserved),
    ]
    """The study: the name of its ZIP without .zip at the end."""


class UploadQuery(RequestModel):
    """Parameters of the response to an upload."""

    is_async: bool = Field(True, alias="async")
    """false: wait for the job to end, up to the server's limit, and return the result."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Return only the trials of this participant; all are processed."""


class ZipDataQuery(RequestModel):
    """Parameters of the response to a request for a study."""

    is_async: bool = Field(True, alias="async")
    """false: wait for the job to end, up to the server's limit, and return the result."""
    job_id: Annotated[str, Field(pattern=JOB_ID)] | None = None
    """Return this job instead of the last one of the study."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Return only the trials of this participant; all are processed."""


class StudyAnswer(ResponseModel):
    """A study of the catalogue."""

    study_id: str
    kind: StudyKind
    size_bytes: int | None
    changed_at: datetime | None
    zip_data_url: str


class StudiesAnswer(ResponseModel):
    """The catalogue, by id."""

    studies: list[StudyAnswer]


STUDY_MODELS = (StudiesAnswer,)
"""Response models for the components of OpenAPI."""
JOB_WITH_RESULT = json_body(ZipDataAnswer, "The job, with its result once it is completed.")


def add_study_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the routes of studies."""

    @blueprint.get("/studies", responses=responses(json_body(StudiesAnswer, "The studies, by id.")))
    def studies() -> Response:
        """List the studies."""
        listed = [
            StudyAnswer(
                study_id=study.study_id,
                kind=study.kind,
                size_bytes=study.size_bytes,
                changed_at=study.changed_at,
                zip_data_url=url_for(".zip_data", study_id=study.study_id),
            )
            for study in service.studies.all()
        ]
        return json_response(StudiesAnswer(studies=listed))

    @blueprint.get("/<study_id>/zip-data", responses=responses(JOB_WITH_RESULT, ACCEPTED, 404, 410))
    def zip_data(path: StudyPath, query: ZipDataQuery) -> Response:
        """Process a study, or get a job.

        All requests for the same study share one job, even if it failed or was cancelled; a retry or changed content
        starts another.
        """
        if query.job_id is not None:
            job = service.client.get_job(query.job_id)
            info = job.info() if query.is_async else service.wait_for(job)
            return _result_response(job, info, query.participant_id)
        job = service.client.join(service.studies.find(path.study_id))
        return _study_response(job, path.study_id, query)

    @blueprint.post(
        "/<study_id>/zip-data",
        responses=responses(JOB_WITH_RESULT, ACCEPTED, 411, 413, 415),
        openapi_extensions=ZIP_REQUEST_BODY,
    )
    def zip_data_upload(path: StudyPath, query: UploadQuery) -> Response:
        """Upload the ZIP of a study, visible to this namespace only, and process it.

        It replaces an earlier study with this id.
        """
        size_bytes = require_zip_body(service.settings.upload_limit_gb)
        source = service.studies.receive(path.study_id, request.stream, size_bytes)
        return _study_response(service.client.join(source), path.study_id, query)

    def _study_response(job: Job, study_id: str, query: ZipDataQuery | UploadQuery) -> Response:
        info = job.last_known if query.is_async else service.wait_for(job)
        if query.is_async or not info.status.final:
            return accepted_response(info, "../jobs", study_id)
        return _result_response(job, info, query.participant_id, study_id)


def _result_response(job: Job, info: JobInfo, participant: str | None, study_id: str | None = None) -> Response:
    """Return the response with a job and, once it is completed, its trials."""
    require_result(info)
    body = ZipDataAnswer(**job_fields(info, study_id))
    if info.status is JobStatus.COMPLETED:
        result = job.fetch(0)
        table = read_table(result, "trials", participant)
        columns, rows = read_page(table, 0, table.row_count)
        trials = [dict(zip(columns, row, strict=True)) for row in rows]
        body.result = ResultAnswer(summary=result.summary, trials=trials)
    return json_response(body)
