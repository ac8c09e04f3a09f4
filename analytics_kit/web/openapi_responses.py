"""Describe the responses of each route for OpenAPI."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from analytics_kit.web.schemas import ErrorAnswer

ERROR_DESCRIPTIONS = {
    400: "The request can't be read.",
    401: "The token is missing or unknown.",
    403: "The request comes from a page of another origin, or carries a session cookie without the CSRF token.",
    404: "Not found.",
    408: "The request did not arrive in time.",
    409: "The job's status doesn't allow it.",
    410: "The job is known; its result is gone.",
    411: "The request has no Content-Length.",
    413: "The study or another body is too large.",
    414: "The URL is too long.",
    415: "The Content-Type is not that of a ZIP.",
    422: "A parameter, which is named, or the study can't be used.",
    431: "The headers, or the cookies among them, are too large.",
    500: "The server failed.",
    503: "The queue or the store can't be reached now.",
}
PARQUET = "application/vnd.apache.parquet"
UNREADABLE_ERRORS = (400, 408, 414, 431)
"""Errors of requests that don't reach a route."""
COMMON_ERRORS = (*UNREADABLE_ERRORS, 401, 403, 413, 422, 500, 503)
"""Errors that nearly every route can respond with."""


class DocumentedResponse(NamedTuple):
    """A response of a route: its HTTP status and its OpenAPI description."""

    code: int
    spec: dict[str, Any]


def json_content(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI content of a JSON body that is one of `models`."""
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}


def header(description: str, schema_type: str) -> dict[str, Any]:
    """Return the OpenAPI description of a response header."""
    return {"description": description, "schema": {"type": schema_type}}


def json_body(model: type[BaseModel], description: str, code: int = 200) -> DocumentedResponse:
    """Describe a response with a JSON body."""
    return DocumentedResponse(code, {"description": description, "content": json_content(model)})


def responses(*described: DocumentedResponse | int, common: tuple[int, ...] = COMMON_ERRORS) -> dict[str | int, Any]:
    """Return all responses of a route by HTTP status; a number stands for the JSON error of that status."""
    by_code: dict[str | int, Any] = {}
    for item in (*described, *common):
        if isinstance(item, DocumentedResponse):
            by_code[item.code] = dict(item.spec)
        else:
            by_code[item] = _error_spec(item)
    return by_code


def _error_spec(code: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"description": ERROR_DESCRIPTIONS[code], "content": json_content(ErrorAnswer)}
    if code == 503:
        spec["headers"] = {"Retry-After": header("Seconds to wait before the next request.", "integer")}
    if code == 401:
        spec["headers"] = {"WWW-Authenticate": header("Always Bearer.", "string")}
    return spec
