"""What does a client in Python ask beyond what pages do: all options, uploads by content, the files of results?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from flask import Response, request, stream_with_context
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.exceptions import Conflict, NotFound

from analytics_kit.errors import BadArchiveError, ResultExpiredError, SourceNotFoundError
from analytics_kit.event_format import EventFormat
from analytics_kit.model import JobStatus
from analytics_kit.options import Options
from analytics_kit.study.store.store import MANIFEST, Store
from analytics_kit.table_export import EXPORT_BLOCK_BYTES
from analytics_kit.web.error_responses import NotNowError, UnusableError, told, without_places
from analytics_kit.web.openapi_responses import ACCEPTED, FILE, PARQUET, answers, ok
from analytics_kit.web.routes.client_schemas import (
    ContentPath,
    ContentQuery,
    FileQuery,
    LogAnswer,
    ManifestAnswer,
    SubmitBody,
    UploadAnswer,
)
from analytics_kit.web.routes.jobs import accepted, cancelled
from analytics_kit.web.routes.job_schemas import JobAnswer, JobPath
from analytics_kit.web.routes.studies import ZIP_BODY, zip_bytes
from analytics_kit.web.service import Service

HOW = ("refresh", "rejoin", "job_id", "time_limit_s", "memory_limit_mb")
DONE_OR_UNDER_WAY = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED)


def _require_endable(options: Options, kills_running: bool) -> None:
    """A regular expression may take for ever; inside the server nothing could end it, and all would wait for it."""
    if isinstance(options.format, EventFormat) and options.format.path is not None and not kills_running:
        raise UnusableError(
            "options.format.path",
            "A regular expression can't be used while jobs run inside the server.",
            hint="Leave the path out, or have the server use a queue.",
        )


def add_client_routes(book: APIBlueprint, service: Service) -> None:
    """Add the routes that `analytics_kit.connect("https://…")` needs besides the others."""

    @book.post(
        "/uploads/<content>",
        responses=answers(ok(UploadAnswer, "It is there.", 201), 411, 413, 415),
        openapi_extensions=ZIP_BODY,
    )
    def upload(path: ContentPath, query: ContentQuery) -> Response:
        """Upload a ZIP, which others don't see, to be submitted by its content. It goes with its job or its age."""
        size_bytes = zip_bytes(service.settings.upload_limit_gb)
        service.studies.keep(path.content, query.name, request.stream, size_bytes)
        return told(UploadAnswer(content=path.content, size_bytes=size_bytes), 201)

    @book.post("/jobs", responses=answers(ACCEPTED, 404, 409, 413))
    def job_submit(body: SubmitBody) -> Response:
        """Submit a study with any options. 404 says that its content has to be uploaded first."""
        client = service.client
        _require_endable(body.options, client.backend.kills_running)
        if body.study_id is not None:
            source = service.studies.find(body.study_id)
        else:
            source = _source_of(str(body.content), client.result_key(str(body.content), body.options))
        asked = client.request(source, body.tags, body.options.to_json())
        if body.content not in (None, asked.arguments["content"]):
            service.studies.forget(str(body.content))
            raise BadArchiveError(
                "The study has changed while it was uploaded.", hint="Submit it again as it is now."
            )
        if body.job_id is not None:
            known = client.backend.get_many([body.job_id]).get(body.job_id)
            if known is not None and known.result_key == asked.result_key:
                return accepted(known, "jobs", body.study_id)
            if known is not None:
                raise Conflict("A job for another study or other options has this id.")
        how = {name: getattr(body, name) for name in HOW}
        return accepted(client.begin(replace(asked, **how)).known, "jobs", body.study_id)

    def _source_of(content: str, result_key: str) -> str:
        try:
            return service.studies.kept(content)
        except SourceNotFoundError:
            for info in service.client.backend.list():
                if info.result_key == result_key and info.status in DONE_OR_UNDER_WAY:
                    return info.source
            raise

    @book.post("/jobs/<job_id>/cancel", responses=answers(ok(JobAnswer, "The job is cancelled."), 404, 409))
    def job_cancel(path: JobPath) -> Response:
        """Cancel a job that has not ended. Unlike DELETE it removes nothing of one that has."""
        return cancelled(service.client.get_job(path.job_id))

    @book.get("/jobs/<job_id>/log", responses=answers(ok(LogAnswer, "The log."), 404))
    def job_log(path: JobPath) -> Response:
        """Read what happened to a job, and the end of what its work printed or failed of; without folders."""
        job = service.client.get_job(path.job_id)
        lines = [without_places(line, job.known.source) for line in service.client.backend.log(job.id)]
        return told(LogAnswer(lines=lines))

    @book.get(
        "/jobs/<job_id>/result/manifest", responses=answers(ok(ManifestAnswer, "What there is."), 404, 409, 410)
    )
    def job_manifest(path: JobPath) -> Response:
        """Read which files a completed job's result has, and how it came to be."""
        store, prefix, manifest = _result(path.job_id)
        store.touch(f"{prefix}/{MANIFEST}")  # used now: see lifetime.py
        source = PurePath(manifest["provenance"]["source"]).name
        return told(ManifestAnswer(**manifest | {"provenance": manifest["provenance"] | {"source": source}}))

    @book.get("/jobs/<job_id>/result/file", responses=answers(FILE, 404, 409, 410))
    def job_file(path: JobPath, query: FileQuery) -> Response:
        """Read a file of a completed job's result, as Parquet."""
        store, _, manifest = _result(path.job_id)
        if query.path not in (*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])):
            raise NotFound("The result has no such file.")
        return _sent(store, query.path)

    def _result(job_id: str) -> tuple[Store, str, dict[str, Any]]:
        """Where a completed job's result lies, and what it consists of."""
        info = service.client.get_job(job_id).info()
        if info.result is None:
            raise NotNowError(f"Job {job_id} is {info.status}; only a completed job has a result.")
        store, prefix = Store(info.result["store"]), info.result["prefix"]
        manifest = store.manifest(prefix)
        if manifest is None:
            raise ResultExpiredError(f"The result of job {job_id} is gone.", hint="Submit its study again.")
        return store, prefix, manifest


def _sent(store: Store, path: str) -> Response:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(store.open(path))
        except FileNotFoundError:
            raise ResultExpiredError("This part of the result is gone.", hint="Submit its study again.") from None
        size_bytes = file.seek(0, 2)
        file.seek(0)
        opened = stack.pop_all()

    def body() -> Iterator[bytes]:
        with opened:
            while block := file.read(EXPORT_BLOCK_BYTES):
                yield block

    answer = Response(stream_with_context(body()), content_type=PARQUET)
    answer.call_on_close(opened.close)  # also where nobody reads it
    answer.content_length = size_bytes
    return answer
