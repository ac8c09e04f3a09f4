"""Routes of jobs: submit, list, read, cancel, retry and delete them, and read their logs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.exceptions import Conflict

from analytics_kit.client import is_stored
from analytics_kit.errors import BadArchiveError, SettingsError, SourceNotFoundError
from analytics_kit.event_format import EventFormat
from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.options import Options
from analytics_kit.study.archive.source import locate
from analytics_kit.web.error_responses import ConflictError, ParameterError, json_response, redact_locations
from analytics_kit.web.openapi_responses import DocumentedResponse, header, json_body, json_content, responses
from analytics_kit.web.routes.job_schemas import (
    FailureAnswer,
    JobAnswer,
    JobPath,
    JobsAnswer,
    JobsQuery,
    LogAnswer,
    OutcomeAnswer,
    ProgressAnswer,
    SubmitBody,
    ZipDataAnswer,
)
from analytics_kit.web.routes.results import require_result
from analytics_kit.web.service import Service
from analytics_kit.web.study_catalogue import study_id_of

POLL_AFTER_S = "1"
ACCEPTED = DocumentedResponse(
    202,
    {
        "description": "The job for the study, which may have ended already.",
        "headers": {
            "Location": header("URL of the job, relative to the URL of the request.", "string"),
            "Retry-After": header("Seconds to wait before the job is requested.", "integer"),
        },
        "content": json_content(ZipDataAnswer),
    },
)
DELETED = DocumentedResponse(204, {"description": "The job was deleted."})
SUBMIT_SETTINGS = ("refresh", "rejoin", "job_id", "time_limit_s", "memory_limit_mb")
_REUSABLE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED)


def job_fields(info: JobInfo, study_id: str | None = None) -> dict[str, Any]:
    """Return the fields of JobAnswer, without paths, hosts and stack traces.

    `study_id` is the study of the request. It can differ from the job's own: equal studies share a job.
    """
    error = info.error
    is_completed, result = info.status is JobStatus.COMPLETED, info.result or {}
    return {
        "job_id": info.job_id,
        "status": info.status,
        "study_id": study_id or study_id_of(info.source),
        "source": PurePath(info.source).name,
        "size_bytes": info.size_bytes,
        "created_at": info.created_at,
        "started_at": info.started_at,
        "ended_at": info.ended_at,
        "progress": ProgressAnswer(**asdict(info.progress)),
        "queue_position": info.queue_position,
        "notice": redact_locations(info.notice, info.source),
        "backend": info.backend,
        "tags": list(info.tags),
        "retry_of": info.retry_of,
        "error": None
        if error is None
        else FailureAnswer(
            error=error.type,
            message=redact_locations(error.message, info.source),
            hint=redact_locations(error.hint, info.source),
        ),
        "status_url": url_for(".job_status", job_id=info.job_id),
        "result_url": url_for(".job_result", job_id=info.job_id) if is_completed else None,
        "result_key": info.result_key,
        "outcome": OutcomeAnswer(summary=result.get("summary"), preview=result.get("preview"))
        if is_completed
        else None,
    }


def accepted_response(info: JobInfo, jobs_url: str, study_id: str | None = None) -> Response:
    """Return the 202 response with a job. `jobs_url` is the URL of `/jobs`, relative to that of the request."""
    body = ZipDataAnswer(**job_fields(info, study_id))
    return json_response(body, 202, Location=f"{jobs_url}/{info.job_id}", Retry_After=POLL_AFTER_S)


def add_job_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the routes of `/jobs`."""

    @blueprint.get("/jobs", responses=responses(json_body(JobsAnswer, "Jobs, newest first.")))
    def jobs(query: JobsQuery) -> Response:
        """List jobs, newest first."""
        backend = service.client.backend
        if query.job_id:
            by_id = backend.get_many(list(dict.fromkeys(query.job_id)))
            infos = [info for info in by_id.values() if query.status in (None, info.status)]
        else:
            infos = backend.list(query.status)
        page = [JobAnswer(**job_fields(info)) for info in infos[query.offset : query.offset + query.limit]]
        return json_response(JobsAnswer(jobs=page, total=len(infos), offset=query.offset, limit=query.limit))

    @blueprint.post("/jobs", responses=responses(ACCEPTED, 404, 409, 413))
    def job_submit(body: SubmitBody) -> Response:
        """Submit a study with any options. A 404 means that its content has to be uploaded first."""
        client = service.client
        _require_interruptible(body.options, client.backend.kills_running)
        if body.study_id is not None:
            source = service.studies.find(body.study_id)
        else:
            result_key = client.result_key(str(body.content), body.options)
            try:
                source = locate(_source_of_content(str(body.content), result_key))
            except SourceNotFoundError:
                # A result outlives its upload, from which a participant may have been forgotten: a new upload would
                # bring them back.
                existing = None if body.refresh else _stored_job(result_key)
                if existing is None:
                    raise
                return accepted_response(existing, "jobs")
        job_request = client.request(source, body.tags, body.options.to_json())
        if body.content not in (None, job_request.arguments["content"]):
            service.studies.forget_content(str(body.content))
            raise BadArchiveError(
                "The study changed while it was uploaded.", hint="Submit it again in its present state."
            )
        if body.job_id is not None:
            existing = client.backend.get_many([body.job_id]).get(body.job_id)
            if existing is not None and existing.result_key == job_request.result_key:
                return accepted_response(existing, "jobs", body.study_id)
            if existing is not None:
                raise Conflict("A job for another study or other options has this id.")
        job_request = replace(job_request, **{name: getattr(body, name) for name in SUBMIT_SETTINGS})
        return accepted_response(client.begin(job_request).last_known, "jobs", body.study_id)

    def _source_of_content(content: str, result_key: str) -> str:
        """Return the source of an upload, or of a job that has processed the same content."""
        try:
            return service.studies.find_content(content)
        except SourceNotFoundError:
            for info in service.client.backend.list():
                usable = info.result_key == result_key and info.status in _REUSABLE
                if usable and (location := service.client.backend.study_location(info.job_id)):
                    return location
            raise

    def _stored_job(result_key: str) -> JobInfo | None:
        """Return the last completed job with this result key, if its result is stored."""
        found = (info for info in service.client.backend.list(JobStatus.COMPLETED) if info.result_key == result_key)
        return next(filter(is_stored, found), None)

    @blueprint.get(
        "/jobs/<job_id>", responses=responses(json_body(JobAnswer, "The job, even if it failed."), 404, 410)
    )
    def job_status(path: JobPath) -> Response:
        """Read the state of a job."""
        info = service.client.get_job(path.job_id).info()
        require_result(info)
        return json_response(JobAnswer(**job_fields(info)))

    @blueprint.delete(
        "/jobs/<job_id>", responses=responses(json_body(JobAnswer, "The job was cancelled."), DELETED, 404, 409)
    )
    def job_delete(path: JobPath) -> Response:
        """Cancel a job that has not ended, or delete one that has.

        Its result and an uploaded copy of its study are deleted with it.
        """
        job = service.client.get_job(path.job_id)
        if not job.last_known.status.final:
            return _cancel(job)
        job.delete()
        response = Response(status=204)
        response.headers.pop("Content-Type")
        return response

    @blueprint.post(
        "/jobs/<job_id>/cancel", responses=responses(json_body(JobAnswer, "The job is cancelled."), 404, 409)
    )
    def job_cancel(path: JobPath) -> Response:
        """Cancel a job that has not ended. Unlike DELETE, it never deletes a job."""
        return _cancel(service.client.get_job(path.job_id))

    @blueprint.post("/jobs/<job_id>/retry", responses=responses(ACCEPTED, 404, 409))
    def job_retry(path: JobPath) -> Response:
        """Start a new job in place of one that failed or was cancelled."""
        job = service.client.get_job(path.job_id)
        try:
            info = job.retry().last_known
        except SettingsError as error:
            raise ConflictError(
                error.message, hint="Only a job that failed or was cancelled can be retried."
            ) from None
        return accepted_response(info, "..")

    @blueprint.get("/jobs/<job_id>/log", responses=responses(json_body(LogAnswer, "The log."), 404))
    def job_log(path: JobPath) -> Response:
        """Read the events of a job and the last output of a failed task, without folder names."""
        job = service.client.get_job(path.job_id)
        lines = [redact_locations(line, job.last_known.source) for line in service.client.backend.log(job.id)]
        return json_response(LogAnswer(lines=lines))


def _require_interruptible(options: Options, kills_running: bool) -> None:
    """Refuse a regular expression where nothing can interrupt it: inside the server it could block all requests."""
    if isinstance(options.format, EventFormat) and options.format.path is not None and not kills_running:
        raise ParameterError(
            "options.format.path",
            "A regular expression can't be used while jobs run inside the server.",
            hint="Leave out `path`, or run the server with a queue.",
        )


def _cancel(job: Job) -> Response:
    if not job.cancel():
        raise ConflictError(
            f"Job {job.id} can't be cancelled any more.", hint="Wait until it has ended; then it can be deleted."
        )
    return json_response(JobAnswer(**job_fields(job.info())))
