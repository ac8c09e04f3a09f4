"""How is trouble told over HTTP: with which status, in which words, and without what is nobody's business?"""

from __future__ import annotations

import logging
import re
from pathlib import PurePath
from typing import cast

from flask import Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

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
from analytics_kit.web.routes.job_schemas import ErrorAnswer

logger = logging.getLogger(__name__)
RETRY_AFTER_S = 5
CODES: tuple[tuple[type[AnalyticsKitError], int], ...] = (
    (JobNotFoundError, 404),
    (SourceNotFoundError, 404),
    (ResultExpiredError, 410),
    (BrokerUnavailableError, 503),
    (StoreError, 503),
    (SettingsError, 422),
    (BadArchiveError, 422),
    (UnsafeArchiveError, 422),
)
AWAY = {
    BrokerUnavailableError: "The queue can't be reached now.",
    StoreError: "What is kept can't be read or written now.",
}
_HINTS = {
    401: "Send the header Authorization: Bearer TOKEN.",
    404: "The page `docs` lists the routes.",
    405: "The header Allow lists the methods.",
    411: "Send the header Content-Length.",
    413: "ANALYTICS_KIT_UPLOAD_LIMIT_GB on the server sets the limit.",
    415: "Send the ZIP as the body, with Content-Type: application/zip.",
}
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\",;/]*(?P<path>/[^\s'\",;]*)?")
_PATH = re.compile(r"(?<![\w./-])(?:[A-Za-z]:)?[/\\](?:[^/\\\s:'\",;]+[/\\])+(?P<name>[^/\\\s:'\",;]*)")
_HOST = re.compile(r"\bon [\w.-]+ (?=looked)")


class NotNowError(AnalyticsKitError):
    """A job is in no state for what was asked of it."""

    default_hint = "Ask for the job's status first."


class UnusableError(AnalyticsKitError):
    """A parameter that can't be used here."""

    default_hint = "The page `docs` lists the parameters."

    def __init__(self, parameter: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter


def told(answer: BaseModel, code: int = 200, **headers: str) -> Response:
    """The answer as JSON; NaN is null. `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = answer.model_dump_json(exclude_unset=isinstance(answer, ErrorAnswer))
    return Response(text, code, named, mimetype="application/json")


def of_ours(error: AnalyticsKitError) -> Response:
    """The answer for an error of the one tree."""
    name = type(error).__name__
    if isinstance(error, NotNowError):
        return told(ErrorAnswer(error="ConflictError", message=error.message, hint=error.hint), 409)
    if isinstance(error, UnusableError):
        answer = ErrorAnswer(
            error="ParameterError", message=error.message, hint=error.hint, parameter=error.parameter
        )
        return told(answer, 422)
    code = next((code for kind, code in CODES if isinstance(error, kind)), 500)
    if code == 500:
        return unexpected(error)
    if code == 503:
        logger.warning("%s %r: %s", request.method, request.path, error)
        message = next(words for kind, words in AWAY.items() if isinstance(error, kind))
        answer = ErrorAnswer(error=name, message=message, hint="Try again later.")
        return told(answer, code, Retry_After=str(RETRY_AFTER_S))
    return told(ErrorAnswer(error=name, message=without_places(error.message), hint=without_places(error.hint)), code)


def of_http(error: HTTPException) -> Response:
    """The answer for an error of HTTP itself."""
    if error.response is not None:
        return cast(Response, error.get_response())  # of `of_parameters`
    code = error.code or 500
    message = str(error.description or error.name).partition("\n")[0]
    name = re.sub(r"\W", "", error.name.title()) + "Error"
    response = told(ErrorAnswer(error=name, message=message, hint=_HINTS.get(code, "")), code)
    for header, value in error.get_headers(None):
        if header.lower() not in ("content-type", "content-length"):
            response.headers[header] = value
    return response


def of_parameters(error: ValidationError) -> Response:
    """The answer for the first parameter that can't be used."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parameter = ".".join(name for name in found["loc"] if isinstance(name, str)) or "The body"
    words = found["msg"].removeprefix("Value error, ")
    why = "there is no such parameter" if found["type"] == "extra_forbidden" else words
    answer = ErrorAnswer(
        error="ParameterError",
        message=f"{parameter} can't be used: {why}.",
        hint=UnusableError.default_hint,
        parameter=parameter,
    )
    return told(answer, 422)


def unexpected(error: Exception) -> Response:
    """The answer for what should not happen: nothing of it, which is in the log."""
    logger.error("%s %r failed.", request.method, request.path, exc_info=error)
    answer = ErrorAnswer(
        error="InternalError",
        message="The server failed at this request.",
        hint="Its log tells why; ask who runs it.",
    )
    return told(answer, 500)


def too_large(limit_gb: float) -> HTTPException:
    """An upload that would be larger than it may be."""
    return RequestEntityTooLarge(f"At most {limit_gb:,g} GB can be uploaded.")


def without_places(text: str, source: str = "") -> str:
    """The text without paths, URLs and hosts; of a path its last name stays, and of `source`, wherever it is."""
    if source:
        text = text.replace(source, PurePath(source).name)
    text = _URL.sub(lambda found: PurePath(found["path"] or "").name or "…", text)
    text = _PATH.sub(lambda found: found["name"] or "…", text)
    return _HOST.sub("", text)
