"""What does the HTTP API offer, as a schema for programs and as a page for people that needs no other host?"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info
from flask_openapi3.models.schema import Schema
from flask_openapi3.openapi import OpenAPI

from analytics_kit import __version__
from analytics_kit.web.openapi_responses import ALWAYS, WORDS
from analytics_kit.web.routes.client_schemas import CLIENT_ANSWERS
from analytics_kit.web.routes.job_schemas import ANSWERS, ErrorAnswer
from analytics_kit.web.templating import draw

TITLE = "analytics_kit"
ABOUT = "Submit studies of mouse, scroll and keyboard logs, ask for their jobs, read tables of trials and events."
METHODS = ("get", "post", "delete")


def schema_of(book: APIBlueprint, server_url: str, open_views: Collection[str]) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes of `book`, which are below `server_url`; `open_views` need no token."""
    spec = OpenAPI(
        __name__,
        info=Info(title=TITLE, version=__version__, description=ABOUT),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_model=ErrorAnswer,
        doc_ui=False,
        static_folder=None,
    )
    spec.paths.update(book.paths)
    for model in (*ANSWERS, *CLIENT_ANSWERS):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        inner = schema.pop("$defs", {})
        for name, found in (inner | {model.__name__: schema}).items():
            spec.components_schemas[name] = Schema(**found)
    schema = dict(spec.api_doc) | {"servers": [{"url": server_url}]}
    for item in schema["paths"].values():
        for operation in item.values():
            if "description" in operation:
                operation["description"] = operation["description"].replace("<br/>", " ").strip()
            if operation["operationId"] in open_views:
                operation["security"] = []
                del operation["responses"]["422"]  # they have no parameters; the library adds it to all
    return schema


def page_of(schema: dict[str, Any]) -> str:
    """The page that tells the routes, their parameters and their answers."""
    routes = [
        (method, path, item[method]) for path, item in schema["paths"].items() for method in METHODS if method in item
    ]
    return draw("docs.html", schema=schema, routes=routes, errors={code: WORDS[code] for code in ALWAYS})
