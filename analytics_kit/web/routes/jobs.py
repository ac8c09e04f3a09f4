"""How are jobs told, listed, cancelled, retried and deleted over HTTP, and how do their tables leave?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from flask import Response, stream_with_context, url_for
from flask_openapi3.blueprint import APIBlueprint

from analytics_kit.client import is_stored
from analytics_kit.errors import ResultExpiredError, SettingsError
from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.table_export import csv_chunks, parquet_chunks, read_page, read_table
from analytics_kit.web.study_catalogue import study_id_of
from analytics_kit.web.error_responses import NotNowError, UnusableError, told, without_places
from analytics_kit.web.openapi_responses import ACCEPTED, NO_CONTENT, PARQUET, TABLE, answers, ok
from analytics_kit.web.routes.job_schemas import (
    FailureAnswer,
    JobAnswer,
    JobPath,
    JobsAnswer,
    JobsQuery,
    OutcomeAnswer,
    ProgressAnswer,
    RecordsAnswer,
    ResultAnswer,
    ResultQuery,
    SplitAnswer,
    ZipDataAnswer,
)
from analytics_kit.web.service import Service

RETRY_AFTER = "1"
MIME = {"csv": "text/csv; charset=utf-8", "parquet": PARQUET}


def described(info: JobInfo, study_id: str | None = None) -> dict[str, Any]:
    """The job as it is told: no path, host or stack trace. `study_id` is what was asked for, if it was a study.

    A study joins the job of an equal one, so its name need not be the job's.
    """
    error = info.error
    completed, result = info.status is JobStatus.COMPLETED, info.result or {}
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
        "notice": without_places(info.notice, info.source),
        "backend": info.backend,
        "tags": list(info.tags),
        "retry_of": info.retry_of,
        "error": None
        if error is None
        else FailureAnswer(
            error=error.type,
            message=without_places(error.message, info.source),
            hint=without_places(error.hint, info.source),
        ),
        "status_url": url_for(".job_status", job_id=info.job_id),
        "result_url": url_for(".job_result", job_id=info.job_id) if completed else None,
        "result_key": info.result_key,
        "outcome": OutcomeAnswer(summary=result.get("summary"), preview=result.get("preview")) if completed else None,
    }


def accepted(info: JobInfo, jobs: str, study_id: str | None = None) -> Response:
    """The answer that the job was begun, and where to ask for it: below `jobs`, as seen from where this was asked."""
    location = f"{jobs}/{info.job_id}"
    return told(ZipDataAnswer(**described(info, study_id)), 202, Location=location, Retry_After=RETRY_AFTER)


def with_result(job: Job, info: JobInfo, participant: str | None, study_id: str | None = None) -> Response:
    """The answer that tells the job and, once it is completed, its trials."""
    require_result(info)
    answer = ZipDataAnswer(**described(info, study_id))
    if info.status is JobStatus.COMPLETED:
        result = job.fetch(0)
        table = read_table(result, "trials", participant)
        columns, rows = read_page(table, 0, table.row_count)
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        answer.result = ResultAnswer(summary=result.summary, trials=records)
    return told(answer)


def require_result(info: JobInfo) -> None:
    """Raise ResultExpiredError for a completed job whose result is gone."""
    if info.status is JobStatus.COMPLETED and not is_stored(info):
        raise ResultExpiredError(
            f"The result of job {info.job_id} is gone.", hint="Ask for the study's zip-data to make it anew."
        )


def cancelled(job: Job) -> Response:
    """The answer that tells the job, which is cancelled now. Raises NotNowError where it is too late."""
    if not job.cancel():
        raise NotNowError(
            f"Job {job.id} can't be cancelled any more.", hint="Wait for its end; then it can be deleted."
        )
    return told(JobAnswer(**described(job.info())))


def add_job_routes(book: APIBlueprint, service: Service) -> None:
    """Add the routes below `/jobs`."""

    @book.get("/jobs", responses=answers(ok(JobsAnswer, "Jobs, newest first.")))
    def jobs(query: JobsQuery) -> Response:
        """List jobs, newest first."""
        backend = service.client.backend
        if query.job_id:
            found = backend.get_many(list(dict.fromkeys(query.job_id)))
            infos = [info for info in found.values() if query.status in (None, info.status)]
        else:
            infos = backend.list(query.status)
        page = infos[query.offset : query.offset + query.limit]
        shown = [JobAnswer(**described(info)) for info in page]
        return told(JobsAnswer(jobs=shown, total=len(infos), offset=query.offset, limit=query.limit))

    @book.get("/jobs/<job_id>", responses=answers(ok(JobAnswer, "The job, also one that failed."), 404, 410))
    def job_status(path: JobPath) -> Response:
        """Ask for a job."""
        info = service.client.get_job(path.job_id).info()
        require_result(info)
        return told(JobAnswer(**described(info)))

    @book.delete("/jobs/<job_id>", responses=answers(ok(JobAnswer, "The job was cancelled."), NO_CONTENT, 404, 409))
    def job_delete(path: JobPath) -> Response:
        """Cancel a job that has not ended; else delete it, its result and an uploaded copy of its study."""
        job = service.client.get_job(path.job_id)
        if job.known.status.final:
            job.delete()
            gone = Response(status=204)
            gone.headers.pop("Content-Type")
            return gone
        return cancelled(job)

    @book.post("/jobs/<job_id>/retry", responses=answers(ACCEPTED, 404, 409))
    def job_retry(path: JobPath) -> Response:
        """Begin a new job for the work of one that failed or was cancelled."""
        job = service.client.get_job(path.job_id)
        try:
            info = job.retry().known
        except SettingsError as error:
            raise NotNowError(error.message, hint="Only a job that failed or was cancelled can be retried.") from None
        return accepted(info, "..")

    @book.get("/jobs/<job_id>/result", responses=answers(TABLE, 404, 409, 410))
    def job_result(path: JobPath, query: ResultQuery) -> Response:
        """Read a table of a completed job's result."""
        job = service.client.get_job(path.job_id)
        info = job.info()
        if info.status is not JobStatus.COMPLETED:
            raise NotNowError(f"Job {job.id} is {info.status}; only a completed job has a result.")
        require_result(info)
        try:
            table = read_table(job.fetch(0), query.table, query.participant_id)
        except SettingsError as error:
            raise UnusableError("participant_id", error.message, hint=error.hint) from None
        if query.format != "json":
            parts = csv_chunks(table.chunks) if query.format == "csv" else parquet_chunks(table.chunks)
            return _file(parts, f"{query.table}.{query.format}", MIME[query.format])
        columns, rows = read_page(table, query.offset, query.limit)
        after = query.offset + len(rows)
        asked = query.model_dump(mode="json", exclude_defaults=True) | {"offset": after}
        known: dict[str, Any] = {
            "table": query.table,
            "total": table.row_count,
            "offset": query.offset,
            "limit": query.limit,
            "next_url": url_for(".job_result", job_id=job.id, **asked) if rows and after < table.row_count else None,
        }
        if query.orient == "split":
            return told(SplitAnswer(columns=columns, data=rows, **known))
        return told(RecordsAnswer(records=[dict(zip(columns, row, strict=True)) for row in rows], **known))


def _file(parts: Iterator[bytes], name: str, mime: str) -> Response:
    """A download. Its first part is made before the answer begins, so that trouble can still be told."""
    first = next(parts)

    def body() -> Iterator[bytes]:
        yield first
        yield from parts

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(body()), headers=headers, content_type=mime)
