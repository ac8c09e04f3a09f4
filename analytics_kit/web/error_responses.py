"""Turn errors into JSON responses, without paths, hosts or stack traces in them."""

from __future__ import annotations

import logging
import re
from pathlib import PurePath
from typing import cast

from flask import Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, default_exceptions

from analytics_kit.errors import (
    AnalyticsKitError,
    BadArchiveError,
    BrokerUnavailableError,
    JobNotFoundError,
    ResultExpiredError,
    SettingsError,
    SourceNotFoundError,
    StoreError,
    UnsafeArchiveError,
)
from analytics_kit.study.store.uploads import NoRoomError
from analytics_kit.web.schemas import ErrorAnswer

logger = logging.getLogger(__name__)
ERROR_RETRY_AFTER_S = 5
STATUS_CODES: tuple[tuple[type[AnalyticsKitError], int], ...] = (
    (JobNotFoundError, 404),
    (SourceNotFoundError, 404),
    (ResultExpiredError, 410),
    (BrokerUnavailableError, 503),
    (StoreError, 503),
    (NoRoomError, 413),
    (SettingsError, 422),
    (BadArchiveError, 422),
    (UnsafeArchiveError, 422),
)
UNAVAILABLE_MESSAGES = {
    BrokerUnavailableError: "The queue can't be reached now.",
    StoreError: "The store can't be read or written now.",
}
_HINTS = {
    401: "Send the header Authorization: Bearer TOKEN.",
    404: "The page `docs` lists the routes.",
    405: "The header Allow lists the methods.",
    408: "Send the request again.",
    411: "Send the header Content-Length.",
    413: "JSON may have 1 MB; of a study ANALYTICS_KIT_UPLOAD_LIMIT_GB on the server sets the limit.",
    414: "Send fewer or shorter parameters.",
    415: "Send the ZIP as the body, with Content-Type: application/zip.",
    431: "Send fewer or shorter headers and cookies.",
    503: "Try again later.",
}
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\",;/]*(?P<path>/[^\s'\",;]*)?")
_PATH = re.compile(r"(?<![\w./-])(?:[A-Za-z]:)?[/\\](?:[^/\\\s:'\",;]+[/\\])+(?P<name>[^/\\\s:'\",;]*)")
_WORKER_HOST = re.compile(r"(?<=\bworker) on [\w.-]+")


class ConflictError(AnalyticsKitError):
    """The job's status doesn't allow what was requested."""

    default_hint = "Request the job's status first."


class ParameterError(AnalyticsKitError):
    """A parameter that can't be used here."""

    default_hint = "The page `docs` lists the parameters."

    def __init__(self, parameter: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter


def json_response(body: BaseModel, code: int = 200, **headers: str) -> Response:
    """Return `body` as a JSON response, NaN as null. `_` in a header's name stands for `-`."""
    by_name = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body.model_dump_json(exclude_unset=isinstance(body, ErrorAnswer))
    return Response(text, code, by_name, mimetype="application/json")


def handle_kit_error(error: AnalyticsKitError) -> Response:
    """Return the response for an error of the package."""
    name = type(error).__name__
    if isinstance(error, ConflictError):
        return json_response(ErrorAnswer(error=name, message=error.message, hint=error.hint), 409)
    if isinstance(error, ParameterError):
        body = ErrorAnswer(error=name, message=error.message, hint=error.hint, parameter=error.parameter)
        return json_response(body, 422)
    code = next((code for kind, code in STATUS_CODES if isinstance(error, kind)), 500)
    if code == 500:
        return handle_unexpected_error(error)
    if code == 503:
        logger.warning("%s %r: %s", request.method, request.path, error)
        message = next(text for kind, text in UNAVAILABLE_MESSAGES.items() if isinstance(error, kind))
        body = ErrorAnswer(error=name, message=message, hint="Try again later.")
        return json_response(body, code, Retry_After=str(ERROR_RETRY_AFTER_S))
    body = ErrorAnswer(error=name, message=redact_locations(error.message), hint=redact_locations(error.hint))
    return json_response(body, code)


def handle_http_error(error: HTTPException) -> Response:
    """Return the response for an error of HTTP itself, such as 404 or 405."""
    if error.response is not None:
        return cast(Response, error.get_response())  # made by `handle_validation_error`
    response = json_response(_http_error_answer(error), error.code or 500)
    for header, value in error.get_headers(None):
        if header.lower() not in ("content-type", "content-length"):
            response.headers[header] = value
    return response


def http_error_body(code: int, message: str = "") -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an error that is answered before a request reaches the application."""
    error = default_exceptions.get(code, HTTPException)(message or None)
    error.code = code  # werkzeug has no class for 426
    body = _http_error_answer(error).model_dump_json(exclude_unset=True).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return body, headers | SECURITY_HEADERS


def _http_error_answer(error: HTTPException) -> ErrorAnswer:
    message = str(error.description or error.name).partition("\n")[0]
    name = re.sub(r"\W", "", error.name.title()) + "Error"
    return ErrorAnswer(error=name, message=message, hint=_HINTS.get(error.code or 500, ""))


def handle_validation_error(error: ValidationError) -> Response:
    """Return the response for the first parameter that can't be used."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parameter = ".".join(name for name in first["loc"] if isinstance(name, str)) or "The body"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "there is no such parameter"
    body = ErrorAnswer(
        error=ParameterError.__name__,
        message=f"{parameter} can't be used: {reason}.",
        hint=ParameterError.default_hint,
        parameter=parameter,
    )
    return json_response(body, 422)


def handle_unexpected_error(error: Exception) -> Response:
    """Log an error that should not happen, and return a response that reveals nothing of it."""
    logger.error("%s %r failed.", request.method, request.path, exc_info=error)
    body = ErrorAnswer(
        error="InternalError",
        message="The server failed to handle this request.",
        hint="The cause is in the server's log; ask the administrator of the server.",
    )
    return json_response(body, 500)


def upload_too_large(limit_gb: float) -> HTTPException:
    """Return the error for an upload above the limit."""
    return RequestEntityTooLarge(f"At most {limit_gb:,g} GB can be uploaded.")


def redact_locations(text: str, source: str = "") -> str:
    """Remove paths, URLs and hosts from a text, but for the last name of each path and of `source`.

    Examples
    --------
    >>> redact_locations("There is no study at /srv/lab/data/pilot.zip.")
    'There is no study at pilot.zip.'
    """
    if source:
        text = text.replace(source, PurePath(source).name)
    text = _URL.sub(lambda match: PurePath(match["path"] or "").name or "…", text)
    text = _PATH.sub(lambda match: match["name"] or "…", text)
    return _WORKER_HOST.sub("", text)
