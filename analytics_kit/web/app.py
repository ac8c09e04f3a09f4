"""How do the routes become a Flask application, or a part of one that exists already?"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, redirect, request, url_for
from flask_cors import CORS
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    Unauthorized,
    UnprocessableEntity,
    default_exceptions,
)
from werkzeug.middleware.proxy_fix import ProxyFix

from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError
from analytics_kit.web import PREFIX
from analytics_kit.web.error_responses import AWAY, of_http, of_ours, of_parameters, told, unexpected, without_places
from analytics_kit.web.openapi_responses import answers, ok
from analytics_kit.web.openapi_schema import page_of, schema_of
from analytics_kit.web.routes.jobs import add_job_routes
from analytics_kit.web.routes.page import VIEWS, add_page_routes
from analytics_kit.web.routes.job_schemas import HealthAnswer, LiveAnswer, QueueAnswer
from analytics_kit.web.routes.studies import add_study_routes
from analytics_kit.web.routes.uploads import add_client_routes
from analytics_kit.web.service import Service
from analytics_kit.web.session import HEADER
from analytics_kit.web.settings import ServerSettings

NAME = "analytics_kit"
OPEN = ("docs", "live", "openapi", "static")
"""Views that need no token: they tell nothing of anybody's studies."""
LINKED = ("job_result",)
"""Views that the page links to. They only read, so whoever is signed in needs no proof."""
JSON_BYTES = 1 << 20
"""What is asked in JSON may be so long."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(settings: ServerSettings | None = None, prefix: str = PREFIX) -> Flask:
    """A Flask application with the page and the API below `prefix`. Without settings, the environment's count.

    Raises SettingsError where no token is set and `require_token` is not turned off.
    """
    settings = ServerSettings.of() if settings is None else settings
    app = Flask(NAME, static_folder=None, template_folder=None)
    service = Service(settings)
    app.register_blueprint(create_blueprint(service), url_prefix=prefix)
    if prefix.strip("/"):
        app.add_url_rule("/", "begin", lambda: redirect(f"{prefix.strip('/')}/"))
    app.extensions[NAME] = service
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unexpected)
    app.after_request(_secured)
    if not settings.require_token:  # else a page of any origin could have its own name lead here
        app.before_request(_require_name_of_this_machine)
    if settings.proxies:
        n = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, n, n, n, 0, n)  # type: ignore[method-assign]
    return app


def create_blueprint(service: Service) -> Blueprint:
    """Page and routes, for a Flask application that mounts them with `register_blueprint(…, url_prefix=…)`."""
    book = APIBlueprint(
        NAME,
        __name__,
        static_folder="static",
        abp_security=[{"token": []}],
        operation_id_callback=_operation_id,
    )
    add_job_routes(book, service)
    add_client_routes(book, service)
    add_study_routes(book, service)
    _add_server_routes(book, service)
    add_page_routes(book, service)

    @book.before_request
    def _know_who_asks() -> None:
        view = (request.endpoint or "").rpartition(".")[2]
        if request.method == "OPTIONS" or view in OPEN:
            return
        g.analytics_kit_asker = asker = service.asker()
        if not service.settings.require_token and _is_of_another_page(service.settings.origins):
            raise Forbidden("Pages of other origins may not ask here.")
        if view in VIEWS:
            return
        if asker is None:
            raise Unauthorized("A token is needed.", www_authenticate=WWWAuthenticate("bearer", {"realm": NAME}))
        if asker.by_cookie and view not in LINKED and not asker.proves(request.headers.get(HEADER)):
            raise Forbidden("A cookie alone opens nothing here.")
        if request.is_json:
            request.max_content_length = JSON_BYTES
            try:
                request.get_json(silent=True)
            except RecursionError:
                raise UnprocessableEntity("The body can't be used: it is nested too deeply.") from None

    book.register_error_handler(AnalyticsKitError, of_ours)
    book.register_error_handler(HTTPException, of_http)
    for code in default_exceptions:  # else the handlers for a status come first that who mounts this has
        book.register_error_handler(code, of_http)
    book.register_error_handler(Exception, unexpected)
    book.after_request(_secured)
    book.record(lambda state: vars(state.app).setdefault("validation_error_callback", of_parameters))
    if service.settings.origins:
        CORS(
            book,
            origins=list(service.settings.origins),
            methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Location", "Retry-After", "Content-Disposition"],
            max_age=600,
        )
    return book


def _add_server_routes(book: APIBlueprint, service: Service) -> None:
    @book.get("/queue-status", responses=answers(ok(QueueAnswer, "Jobs by status, and workers.")))
    def queue_status() -> Response:
        """Count jobs and workers."""
        backend = service.client.backend
        able = {"survives_process": backend.survives_process, "kills_running": backend.kills_running}
        return told(QueueAnswer(**service.client.queue_status(), **able))

    @book.get(
        "/health",
        responses=answers(
            ok(HealthAnswer, "Work can be done."),
            ok(HealthAnswer, "Nothing can be done now.", 503),
            always=(401, 403, 422, 500),
        ),
    )
    def health() -> Response:
        """Tell whether work can be done, and why not."""
        try:
            found = _public(service.client.health())
        except BrokerUnavailableError as error:
            found = _away(service.settings.backend, AWAY[type(error)])
        return told(HealthAnswer(**found), 200 if found["ready"] else 503)

    @book.get("/health/live", responses=answers(ok(LiveAnswer, "The server answers."), always=()))
    def live() -> Response:
        """Tell that the server answers."""
        return told(LiveAnswer())

    def schema() -> dict[str, Any]:
        return schema_of(book, url_for(".openapi").rpartition("/")[0], OPEN)

    @book.get("/openapi.json", doc_ui=False)
    def openapi() -> Response:
        return jsonify(schema())

    @book.get("/docs", doc_ui=False)
    def docs() -> str:
        return page_of(schema())


def _away(backend: str, reason: str) -> dict[str, Any]:
    """Health of a queue that was named and was never reached."""
    known = {"status": "down", "live": True, "ready": False, "backend": backend, "workers": 0, "reason": reason}
    return known | {"broker": None, "store": {}}


def _public(found: dict[str, Any]) -> dict[str, Any]:
    """Health without places; work inside this process is a way out, which is said."""
    broker = found["broker"] and {name: value for name, value in found["broker"].items() if name != "address"}
    store = {"writable": found["store"]["writable"]}
    told = found | {"broker": broker, "store": store, "reason": without_places(found["reason"])}
    if found["backend"] == "local" and found["status"] == "ok":
        told |= {"status": "degraded", "reason": "There is no queue: jobs run inside the server, one at a time."}
    return told


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address, or the name is the one for that."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_name_of_this_machine() -> None:
    if not is_loopback(re.sub(r":\d+$", "", request.host).strip("[]").lower()):  # Flask's TRUSTED_HOSTS knows no IPv6
        raise BadRequest("Without a token, only names of this machine are served.")


def _is_of_another_page(origins: tuple[str, ...]) -> bool:
    """Whether a browser asks for a page that is not ours and not one that was let in."""
    origin = request.headers.get("Origin")
    if origin is None:  # browsers leave it out where the answer can't be read, as of pictures
        return request.headers.get("Sec-Fetch-Site") == "cross-site"
    return origin != request.host_url.rstrip("/") and origin not in origins


def _operation_id(name: str, path: str, method: str) -> str:
    return name


def _secured(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
