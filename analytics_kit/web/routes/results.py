"""Routes of a job's result: a table as JSON, CSV or Parquet, the manifest, and the stored files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import PurePath
from typing import Annotated, Any, Literal

from flask import Response, stream_with_context, url_for
from flask_openapi3.blueprint import APIBlueprint
from pydantic import ConfigDict, Field
from werkzeug.exceptions import NotFound

from analytics_kit.client import is_stored
from analytics_kit.errors import ResultExpiredError, SettingsError
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.study.store.paths import manifest_path
from analytics_kit.study.store.store import Store
from analytics_kit.table_export import (
    EXPORT_BLOCK_BYTES,
    TableName,
    csv_chunks,
    parquet_chunks,
    read_page,
    read_table,
)
from analytics_kit.web.error_responses import ConflictError, ParameterError, json_response
from analytics_kit.web.openapi_responses import PARQUET, DocumentedResponse, json_body, json_content, responses
from analytics_kit.web.routes.job_schemas import JobPath
from analytics_kit.web.schemas import RequestModel, ResponseModel
from analytics_kit.web.service import Service

DEFAULT_ROWS, MAX_ROWS = 1000, 10_000
"""Rows in one JSON response."""
MIME_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": PARQUET}


class ResultQuery(RequestModel):
    """Table of a result and its format."""

    table: TableName = "trials"
    """The table; tables of events are named by their kind."""
    format: Literal["json", "csv", "parquet"] = "json"
    """JSON is paginated; CSV and Parquet hold the whole table."""
    orient: Literal["records", "split"] = "records"
    """For JSON: one object per row, or the columns once and one list per row."""
    participant_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Only rows of this participant."""
    offset: int = Field(0, ge=0, le=10**9)
    """For JSON: number of rows to skip."""
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MAX_ROWS)
    """For JSON: maximum number of rows to return."""


class FileQuery(RequestModel):
    """File of a result."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    """A path from the result's manifest."""


class RecordsAnswer(ResponseModel):
    """Rows of a table, each an object."""

    table: str
    total: int
    offset: int
    limit: int
    records: list[dict[str, Any]]
    next_url: str | None


class SplitAnswer(ResponseModel):
    """Rows of a table, each a list."""

    table: str
    total: int
    offset: int
    limit: int
    columns: list[str]
    data: list[list[Any]]
    next_url: str | None


class ManifestAnswer(ResponseModel):
    """The files of a result, and how it was computed."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    provenance: dict[str, Any]
    summary: dict[str, Any]
    tables: dict[str, str]
    """Path of each table, by its name."""
    parts: list[dict[str, Any]]
    """The files of events."""


RESULT_MODELS = (RecordsAnswer, SplitAnswer, ManifestAnswer)
"""Response models for the components of OpenAPI."""
_PARQUET_CONTENT = {PARQUET: {"schema": {"type": "string", "format": "binary"}}}
TABLE = DocumentedResponse(
    200,
    {
        "description": "The table. In CSV, an apostrophe precedes text that a spreadsheet would run as a formula, "
        "and control characters are escaped.",
        "content": json_content(RecordsAnswer, SplitAnswer)
        | {"text/csv": {"schema": {"type": "string"}}}
        | _PARQUET_CONTENT,
    },
)
STORED_FILE = DocumentedResponse(200, {"description": "The file as it is stored.", "content": _PARQUET_CONTENT})


def require_result(info: JobInfo) -> None:
    """Raise ResultExpiredError for a completed job whose result was removed."""
    if info.status is JobStatus.COMPLETED and not is_stored(info):
        raise ResultExpiredError(
            f"The result of job {info.job_id} is gone.", hint="Request the study's zip-data to compute it again."
        )


def add_result_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the routes below `/jobs/<job_id>/result`."""

    @blueprint.get("/jobs/<job_id>/result", responses=responses(TABLE, 404, 409, 410))
    def job_result(path: JobPath, query: ResultQuery) -> Response:
        """Read a table of a completed job's result."""
        job = service.client.get_job(path.job_id)
        info = job.info()
        if info.status is not JobStatus.COMPLETED:
            raise _no_result(info)
        require_result(info)
        try:
            table = read_table(job.fetch(0), query.table, query.participant_id)
        except SettingsError as error:
            raise ParameterError("participant_id", error.message, hint=error.hint) from None
        if query.format != "json":
            chunks = csv_chunks(table.chunks) if query.format == "csv" else parquet_chunks(table.chunks)
            return _download(chunks, f"{query.table}.{query.format}", MIME_TYPES[query.format])
        columns, rows = read_page(table, query.offset, query.limit)
        next_offset = query.offset + len(rows)
        has_next = bool(rows) and next_offset < table.row_count
        next_query = query.model_dump(mode="json", exclude_defaults=True) | {"offset": next_offset}
        common: dict[str, Any] = {
            "table": query.table,
            "total": table.row_count,
            "offset": query.offset,
            "limit": query.limit,
            "next_url": url_for(".job_result", job_id=job.id, **next_query) if has_next else None,
        }
        if query.orient == "split":
            return json_response(SplitAnswer(columns=columns, data=rows, **common))
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        return json_response(RecordsAnswer(records=records, **common))

    @blueprint.get(
        "/jobs/<job_id>/result/manifest",
        responses=responses(json_body(ManifestAnswer, "The manifest."), 404, 409, 410),
    )
    def job_manifest(path: JobPath) -> Response:
        """Read which files a completed job's result has, and how it was computed."""
        store, prefix, manifest = _stored_result(path.job_id)
        store.touch(manifest_path(prefix))  # least recently used results are removed first
        source = PurePath(manifest["provenance"]["source"]).name
        return json_response(ManifestAnswer(**manifest | {"provenance": manifest["provenance"] | {"source": source}}))

    @blueprint.get("/jobs/<job_id>/result/file", responses=responses(STORED_FILE, 404, 409, 410))
    def job_file(path: JobPath, query: FileQuery) -> Response:
        """Read a file of a completed job's result, as Parquet."""
        store, _, manifest = _stored_result(path.job_id)
        if query.path not in (*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])):
            if manifest.get("revision"):
                raise ResultExpiredError("The result was replaced.", hint="Request its manifest again.")
            raise NotFound("The result has no such file.")
        return _send_file(store, query.path)

    def _stored_result(job_id: str) -> tuple[Store, str, dict[str, Any]]:
        """Return the store of a completed job's result, its prefix there, and its manifest."""
        info = service.client.get_job(job_id).info()
        if info.result is None:
            raise _no_result(info)
        store, prefix = Store(info.result["store"]), info.result["prefix"]
        manifest = store.manifest(prefix)
        if manifest is None:
            raise ResultExpiredError(f"The result of job {job_id} is gone.", hint="Submit its study again.")
        return store, prefix, manifest


def _no_result(info: JobInfo) -> ConflictError:
    return ConflictError(f"Job {info.job_id} is {info.status}; only a completed job has a result.")


def _download(chunks: Iterator[bytes], name: str, mime_type: str) -> Response:
    """Stream a file. Its first chunk is made before the response begins, so that an error still gets its status."""
    first = next(chunks)

    def body() -> Iterator[bytes]:
        yield first
        yield from chunks

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(body()), headers=headers, content_type=mime_type)


def _send_file(store: Store, path: str) -> Response:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(store.open(path))
        except FileNotFoundError:
            raise ResultExpiredError("This file of the result is gone.", hint="Submit its study again.") from None
        size_bytes = file.seek(0, 2)
        file.seek(0)
        open_file = stack.pop_all()

    def body() -> Iterator[bytes]:
        with open_file:
            while block := file.read(EXPORT_BLOCK_BYTES):
                yield block

    response = Response(stream_with_context(body()), content_type=PARQUET)
    response.call_on_close(open_file.close)  # also when the client disconnects before the body is read
    response.content_length = size_bytes
    return response
