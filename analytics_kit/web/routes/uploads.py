"""Route of uploads: store a ZIP under its fingerprint, to be submitted afterwards."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field
from werkzeug.exceptions import LengthRequired, UnsupportedMediaType

from analytics_kit.web.error_responses import json_response, upload_too_large
from analytics_kit.web.openapi_responses import json_body, responses
from analytics_kit.web.routes.job_schemas import CONTENT_FINGERPRINT
from analytics_kit.web.schemas import RequestModel, ResponseModel
from analytics_kit.web.service import Service

ZIP_TYPES = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
ZIP_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {mime_type: {"schema": {"type": "string", "format": "binary"}} for mime_type in ZIP_TYPES},
    }
}
"""OpenAPI description of a request with a ZIP as its body."""


class ContentPath(RequestModel):
    """Path parameter of an uploaded study."""

    content: Annotated[str, Field(pattern=CONTENT_FINGERPRINT)]
    """The fingerprint of the study: SHA-256, in hex, of the names, sizes and CRCs in its ZIP."""


class ContentQuery(RequestModel):
    """Parameters of an upload."""

    name: Annotated[str, Field(min_length=1, max_length=500)] = "study.zip"
    """The file name to display."""


class UploadAnswer(ResponseModel):
    """A study that was uploaded."""

    content: str
    size_bytes: int


UPLOAD_MODELS = (UploadAnswer,)
"""Response models for the components of OpenAPI."""


def add_upload_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the route below `/uploads`."""

    @blueprint.post(
        "/uploads/<content>",
        responses=responses(json_body(UploadAnswer, "The ZIP is stored.", 201), 411, 413, 415),
        openapi_extensions=ZIP_REQUEST_BODY,
    )
    def upload(path: ContentPath, query: ContentQuery) -> Response:
        """Upload a ZIP, visible to this namespace only, to be submitted by its content.

        It is removed with its job, or after seven days.
        """
        size_bytes = require_zip_body(service.settings.upload_limit_gb)
        service.studies.receive_content(path.content, query.name, request.stream, size_bytes)
        return json_response(UploadAnswer(content=path.content, size_bytes=size_bytes), 201)


def require_zip_body(limit_gb: float) -> int:
    """Return the size in bytes of the ZIP in the request's body.

    Call it before `request.stream` is used: it replaces the application's limit, which would close the stream.

    Raises
    ------
    UnsupportedMediaType, LengthRequired, RequestEntityTooLarge
        The body is not a ZIP by its type, has no length, or is larger than `limit_gb`.
    """
    if request.mimetype not in ZIP_TYPES:
        raise UnsupportedMediaType("The body has to be a ZIP.")
    if request.content_length is None:
        raise LengthRequired("The request has to give the length of the ZIP.")
    if request.content_length > limit_gb * 1e9:
        raise upload_too_large(limit_gb)
    request.max_content_length = request.content_length + 1  # reaching the limit is an error already
    return request.content_length
