"""Build the OpenAPI schema of the routes, and render it as a page that loads nothing from other hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info
from flask_openapi3.models.schema import Schema
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from analytics_kit import __version__
from analytics_kit.web.openapi_responses import COMMON_ERRORS, ERROR_DESCRIPTIONS
from analytics_kit.web.schemas import ErrorAnswer
from analytics_kit.web.templating import render

TITLE = "analytics_kit"
API_DESCRIPTION = (
    "Submit studies of mouse, scroll and keyboard logs, follow their jobs, and read tables of trials and events."
)
METHODS = ("get", "post", "delete")


def build_schema(
    blueprint: APIBlueprint, server_url: str, public_views: Collection[str], models: Iterable[type[BaseModel]]
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 schema of the blueprint's routes.

    Parameters
    ----------
    blueprint : APIBlueprint
    server_url : str
        URL or path that the routes are below.
    public_views : collection of str
        Operation ids that need no token.
    models : iterable of BaseModel classes
        The models of responses and of JSON bodies; they and the models nested in them become components.
    """
    spec = OpenAPI(
        __name__,
        info=Info(title=TITLE, version=__version__, description=API_DESCRIPTION),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_model=ErrorAnswer,
        doc_ui=False,
        static_folder=None,
    )
    spec.paths.update(blueprint.paths)
    for model in models:
        model_schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        nested = model_schema.pop("$defs", {})
        for name, component in (nested | {model.__name__: model_schema}).items():
            if "description" in component:
                component["description"] = component["description"].partition("\n\nExamples\n")[0]
            spec.components_schemas[name] = Schema(**component)
    schema = dict(spec.api_doc) | {"servers": [{"url": server_url}]}
    for item in schema["paths"].values():
        for operation in item.values():
            if "description" in operation:
                operation["description"] = operation["description"].replace("<br/>", " ").strip()
            if operation["operationId"] in public_views:
                operation["security"] = []
                del operation["responses"]["422"]  # the library adds it to routes without parameters, too
    return schema


def render_docs(schema: dict[str, Any]) -> str:
    """Return a page that lists the routes with their parameters and responses."""
    routes = [
        (method, path, item[method]) for path, item in schema["paths"].items() for method in METHODS if method in item
    ]
    common_errors = {code: ERROR_DESCRIPTIONS[code] for code in COMMON_ERRORS}
    return render("docs.html", schema=schema, routes=routes, errors=common_errors)
