"""Which answers does the schema of the HTTP API promise for a route?"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from analytics_kit.web.routes.job_schemas import ErrorAnswer, RecordsAnswer, SplitAnswer, ZipDataAnswer

WORDS = {
    401: "No token, or one that is not known.",
    403: "The request comes from a page of another origin, or by a cookie without the page's proof.",
    404: "It is not known.",
    409: "The job is in no state for it.",
    410: "The job is known, its result is gone.",
    411: "The length is not said.",
    413: "The study is too large.",
    415: "The body is no ZIP by its type.",
    422: "A parameter, which is named, or the study can't be used.",
    500: "The server failed.",
    503: "Queue or store can't be reached now.",
}
PARQUET = "application/vnd.apache.parquet"
ALWAYS = (401, 403, 422, 500, 503)


class Promise(NamedTuple):
    """An answer of a route: its status and what OpenAPI says of it."""

    code: int
    said: dict[str, Any]


def _json(*models: type[BaseModel]) -> dict[str, Any]:
    found = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}


def _header(words: str, kind: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": kind}}


def ok(model: type[BaseModel], words: str, code: int = 200) -> Promise:
    """An answer in JSON."""
    return Promise(code, {"description": words, "content": _json(model)})


NO_CONTENT = Promise(204, {"description": "The job was deleted."})
ACCEPTED = Promise(
    202,
    {
        "description": "The job that does it, which may have ended already.",
        "headers": {
            "Location": _header("Where to ask for the job, relative to what was asked.", "string"),
            "Retry-After": _header("Seconds after which to ask.", "integer"),
        },
        "content": _json(ZipDataAnswer),
    },
)
TABLE = Promise(
    200,
    {
        "description": "The table. In CSV, a text that a spreadsheet would run begins with an apostrophe.",
        "content": _json(RecordsAnswer, SplitAnswer)
        | {
            "text/csv": {"schema": {"type": "string"}},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        },
    },
)
FILE = Promise(
    200,
    {
        "description": "The file as it is kept.",
        "content": {PARQUET: {"schema": {"type": "string", "format": "binary"}}},
    },
)


def answers(*promised: Promise | int, always: tuple[int, ...] = ALWAYS) -> dict[str | int, Any]:
    """All answers of a route; a number is an error in JSON."""
    found: dict[str | int, Any] = {}
    for one in (*promised, *always):
        if isinstance(one, Promise):
            found[one.code] = dict(one.said)
        else:
            found[one] = dict(_error(one))
    return found


def _error(code: int) -> dict[str, Any]:
    said: dict[str, Any] = {"description": WORDS[code], "content": _json(ErrorAnswer)}
    if code == 503:
        said["headers"] = {"Retry-After": _header("Seconds after which to ask again.", "integer")}
    if code == 401:
        said["headers"] = {"WWW-Authenticate": _header("Always Bearer.", "string")}
    return said
