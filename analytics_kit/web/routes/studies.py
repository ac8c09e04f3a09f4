"""How is a study listed, uploaded and made a job over HTTP?"""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.exceptions import LengthRequired, UnsupportedMediaType

from analytics_kit.job import Job
from analytics_kit.web.error_responses import told, too_large
from analytics_kit.web.openapi_responses import ACCEPTED, answers, ok
from analytics_kit.web.routes.jobs import accepted, with_result
from analytics_kit.web.routes.job_schemas import (
    StudiesAnswer,
    StudyAnswer,
    StudyPath,
    UploadQuery,
    ZipDataAnswer,
    ZipDataQuery,
)
from analytics_kit.web.service import Service

ZIP_TYPES = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
ZIP_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ZIP_TYPES},
    }
}
ENDED = ok(ZipDataAnswer, "The job that was asked for or waited for, with its result once it is completed.")


def add_study_routes(book: APIBlueprint, service: Service) -> None:
    """Add the routes of studies."""

    def answered(job: Job, study_id: str, query: ZipDataQuery | UploadQuery) -> Response:
        info = job.known if query.is_async else service.waited(job)
        if query.is_async or not info.status.final:
            return accepted(info, "../jobs", study_id)
        return with_result(job, info, query.participant_id, study_id)

    @book.get("/studies", responses=answers(ok(StudiesAnswer, "The studies, by id.")))
    def studies() -> Response:
        """List the studies."""
        found = [
            StudyAnswer(
                study_id=study.study_id,
                kind=study.kind,
                size_bytes=study.size_bytes,
                changed_at=study.changed_at,
                zip_data_url=url_for(".zip_data", study_id=study.study_id),
            )
            for study in service.studies.all()
        ]
        return told(StudiesAnswer(studies=found))

    @book.get("/<study_id>/zip-data", responses=answers(ENDED, ACCEPTED, 404, 410))
    def zip_data(path: StudyPath, query: ZipDataQuery) -> Response:
        """Process a study, or ask for a job.

        The same study joins the same job, also one that failed or was cancelled: only a retry or changed content
        begins another.
        """
        if query.job_id is not None:
            job = service.client.get_job(query.job_id)
            return with_result(job, job.info() if query.is_async else service.waited(job), query.participant_id)
        job = service.client.join(service.studies.find(path.study_id))
        return answered(job, path.study_id, query)

    @book.post("/<study_id>/zip-data", responses=answers(ENDED, ACCEPTED, 411, 413, 415), openapi_extensions=ZIP_BODY)
    def zip_data_upload(path: StudyPath, query: UploadQuery) -> Response:
        """Upload the ZIP of a study, which others don't see, and process it. It takes the place of an earlier one."""
        size_bytes = zip_bytes(service.settings.upload_limit_gb)
        source = service.studies.receive(path.study_id, request.stream, size_bytes)
        return answered(service.client.join(source), path.study_id, query)


def zip_bytes(limit_gb: float) -> int:
    """The size of the ZIP that the request brings; refuses what is none by its type, and what is too large.

    Only then may its stream be asked for, which another application's limit would close.
    """
    if request.mimetype not in ZIP_TYPES:
        raise UnsupportedMediaType("The body has to be a ZIP.")
    if request.content_length is None:
        raise LengthRequired("The length of the ZIP has to be said.")
    if request.content_length > limit_gb * 1e9:
        raise too_large(limit_gb)
    request.max_content_length = request.content_length + 1  # to have read so many is too much already
    return request.content_length
