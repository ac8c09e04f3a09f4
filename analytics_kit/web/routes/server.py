"""Routes of the server itself: queue status, health, the OpenAPI schema and its page."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from flask import Response, jsonify, url_for
from flask_openapi3.blueprint import APIBlueprint
from pydantic import ConfigDict

from analytics_kit.code_version import versions_report
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.web.error_responses import UNAVAILABLE_MESSAGES, json_response, redact_locations
from analytics_kit.web.openapi_responses import UNREADABLE_ERRORS, json_body, responses
from analytics_kit.web.openapi_schema import build_schema, render_docs
from analytics_kit.web.routes.job_schemas import JOB_MODELS
from analytics_kit.web.routes.participants import PARTICIPANT_MODELS
from analytics_kit.web.routes.results import RESULT_MODELS
from analytics_kit.web.routes.studies import STUDY_MODELS
from analytics_kit.web.routes.uploads import UPLOAD_MODELS
from analytics_kit.web.schemas import ErrorAnswer, ResponseModel
from analytics_kit.web.service import Service

PUBLIC_VIEWS = ("docs", "live", "openapi", "static")
"""Views that need no token: they reveal nothing about studies or jobs."""


class QueueAnswer(ResponseModel):
    """Jobs by status, and workers."""

    model_config = ConfigDict(extra="allow")

    backend: str
    queue: str
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    workers: int
    workers_busy: int
    survives_process: bool
    """Whether jobs go on when the server ends."""
    kills_running: bool
    """Whether running jobs can be killed, and their memory limited."""


class HealthAnswer(ResponseModel):
    """Whether jobs can be processed."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded", "down"]
    live: bool
    ready: bool
    backend: str
    workers: int
    reason: str
    broker: dict[str, Any] | None
    store: dict[str, Any]
    versions: dict[str, Any]
    """`version` of the package and hash of its `code`: of the server, of the supervisor of an embedded queue (or
    null), and of the workers, with the number of `workers` that run it."""


class LiveAnswer(ResponseModel):
    """Confirmation that the server responds."""

    live: Literal[True] = True


API_MODELS = (
    ErrorAnswer, *JOB_MODELS, *RESULT_MODELS, *UPLOAD_MODELS, *STUDY_MODELS, *PARTICIPANT_MODELS, QueueAnswer,
    HealthAnswer, LiveAnswer,
)  # fmt: skip
"""All models of responses and of JSON bodies of requests, which become the components of OpenAPI."""


def add_server_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the routes of the server. Add them last: the schema describes the routes added before."""

    @blueprint.get("/queue-status", responses=responses(json_body(QueueAnswer, "Jobs by status, and workers.")))
    def queue_status() -> Response:
        """Count jobs and workers."""
        backend = service.client.backend
        capabilities = {"survives_process": backend.survives_process, "kills_running": backend.kills_running}
        return json_response(QueueAnswer(**service.client.queue_status(), **capabilities))

    @blueprint.get(
        "/health",
        responses=responses(
            json_body(HealthAnswer, "Jobs can be processed."),
            json_body(HealthAnswer, "No job can be processed now.", 503),
            common=(*UNREADABLE_ERRORS, 401, 403, 413, 422, 500),
        ),
    )
    def health() -> Response:
        """Report whether jobs can be processed, and if not, why."""
        try:
            report = _public_health(service.client.health())
        except BrokerUnavailableError as error:
            report = _unreachable_health(service.settings.backend, UNAVAILABLE_MESSAGES[type(error)])
        return json_response(HealthAnswer(**report), 200 if report["ready"] else 503)

    @blueprint.get(
        "/health/live", responses=responses(json_body(LiveAnswer, "The server responds."), common=UNREADABLE_ERRORS)
    )
    def live() -> Response:
        """Confirm that the server responds."""
        return json_response(LiveAnswer())

    @cache
    def _routes_schema() -> dict[str, Any]:  # it takes 50 ms, and anyone may request it
        return build_schema(blueprint, "", PUBLIC_VIEWS, API_MODELS)

    def _schema() -> dict[str, Any]:
        server_url = url_for(".openapi").rpartition("/")[0]
        return _routes_schema() | {"servers": [{"url": server_url}]}

    @blueprint.get("/openapi.json", doc_ui=False)
    def openapi() -> Response:
        return jsonify(_schema())

    @blueprint.get("/docs", doc_ui=False)
    def docs() -> str:
        return render_docs(_schema())


def _unreachable_health(backend: str, reason: str) -> dict[str, Any]:
    """Return the health of a configured queue that could not be reached even once."""
    report = {"status": "down", "live": True, "ready": False, "backend": backend, "workers": 0, "reason": reason}
    return report | {"broker": None, "store": {}, "versions": _public_versions(versions_report())}


def _public_versions(versions: dict[str, Any]) -> dict[str, Any]:
    """Return the versions as a client of the server knows the processes: what submits jobs is the server."""
    others = {name: value for name, value in versions.items() if name != "client"}
    return {"server": versions["client"], **others}


def _public_health(report: dict[str, Any]) -> dict[str, Any]:
    """Return a health report without addresses and paths; the local backend, a fallback, counts as degraded."""
    broker = report["broker"] and {name: value for name, value in report["broker"].items() if name != "address"}
    store = {"writable": report["store"]["writable"]}
    public = report | {
        "broker": broker,
        "store": store,
        "versions": _public_versions(report["versions"]),
        "reason": redact_locations(report["reason"]),
    }
    if report["backend"] == "local" and report["status"] == "ok":
        public |= {
            "status": "degraded",
            "reason": "There is no queue: jobs run inside the server, one at a time.",
        }
    return public
