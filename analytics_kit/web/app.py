"""Combine the routes into a Flask application, or into a blueprint for an existing one."""

from __future__ import annotations

import ipaddress
import re

from flask import Blueprint, Flask, Response, g, redirect, request
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

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.error_responses import (
    SECURITY_HEADERS,
    handle_http_error,
    handle_kit_error,
    handle_unexpected_error,
    handle_validation_error,
)
from analytics_kit.web.routes.jobs import add_job_routes
from analytics_kit.web.routes.page import PAGE_VIEWS, add_page_routes
from analytics_kit.web.routes.participants import add_participant_routes
from analytics_kit.web.routes.results import add_result_routes
from analytics_kit.web.routes.server import PUBLIC_VIEWS, add_server_routes
from analytics_kit.web.routes.studies import add_study_routes
from analytics_kit.web.routes.uploads import add_upload_routes
from analytics_kit.web.service import Service
from analytics_kit.web.session import CSRF_HEADER
from analytics_kit.web.settings import ServerSettings

APP_NAME = "analytics_kit"
"""Name of the application, of the blueprint, and of the entry in `Flask.extensions` that holds the Service."""
COOKIE_VIEWS = ("job_result",)
"""Views that the page links to. They only read, so a session cookie needs no CSRF token for them."""
JSON_LIMIT_BYTES = 1 << 20


def create_app(settings: ServerSettings | None = None, prefix: str = URL_PREFIX) -> Flask:
    """Return a Flask application with the page and the API.

    Parameters
    ----------
    settings : ServerSettings, optional
        Read from the environment if left out.
    prefix : str
        Path below which the page and the routes are.

    Returns
    -------
    Flask
        The WSGI application; `app.extensions["analytics_kit"]` is its Service, to be closed at the end.

    Raises
    ------
    SettingsError
        No token is set and `require_token` is not turned off, or a setting can't be used.

    See Also
    --------
    create_blueprint : The same routes, as a part of an existing application.

    Examples
    --------
    >>> app = create_app(ServerSettings.of("local", token="0123456789abcdef"))
    >>> app.test_client().get("/api/analytics/health/live").json
    {'live': True}
    """
    settings = ServerSettings.of() if settings is None else settings
    app = Flask(APP_NAME, static_folder=None, template_folder=None)
    service = Service(settings)
    app.register_blueprint(create_blueprint(service), url_prefix=prefix)
    if prefix.strip("/"):
        app.add_url_rule("/", "root", lambda: redirect(f"{prefix.strip('/')}/"))
    app.extensions[APP_NAME] = service
    app.register_error_handler(HTTPException, handle_http_error)
    app.register_error_handler(Exception, handle_unexpected_error)
    app.after_request(_add_security_headers)
    if not settings.require_token:  # else any page could have its own host name resolve to this machine
        app.before_request(_require_loopback_host)
    if settings.proxies:
        n = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, n, n, n, 0, n)  # type: ignore[method-assign]
    return app


def create_blueprint(service: Service) -> Blueprint:
    """Return the page and the API as a blueprint, to be mounted in an existing Flask application.

    Parameters
    ----------
    service : Service
        Shared state of the requests; close it when the application ends.

    Returns
    -------
    flask.Blueprint
        Register it with a `url_prefix`. Error handlers, templates and limits of the application don't apply to it.

    See Also
    --------
    create_app : A complete application.

    Examples
    --------
    >>> service = Service(ServerSettings.of("local", token="0123456789abcdef"))
    >>> platform = Flask("platform")
    >>> platform.register_blueprint(create_blueprint(service), url_prefix="/lab/analytics")
    >>> platform.test_client().get("/lab/analytics/health/live").json
    {'live': True}
    >>> service.close()
    """
    blueprint = APIBlueprint(
        APP_NAME,
        __name__,
        static_folder="static",
        abp_security=[{"token": []}],
        operation_id_callback=_operation_id,
    )
    add_job_routes(blueprint, service)
    add_result_routes(blueprint, service)
    add_upload_routes(blueprint, service)
    add_study_routes(blueprint, service)
    add_participant_routes(blueprint, service)
    add_server_routes(blueprint, service)
    add_page_routes(blueprint, service)

    @blueprint.before_request
    def _authenticate() -> None:
        view = (request.endpoint or "").rpartition(".")[2]
        if request.method == "OPTIONS" or view in PUBLIC_VIEWS:
            return
        g.analytics_kit_principal = principal = service.authenticate()
        if not service.settings.require_token and _is_cross_origin(service.settings.origins):
            raise Forbidden("Requests from pages of other origins are refused.")
        if view in PAGE_VIEWS:
            return
        if principal is None:
            authenticate = WWWAuthenticate("bearer", {"realm": APP_NAME})
            raise Unauthorized("A token is needed.", www_authenticate=authenticate)
        needs_csrf_token = principal.is_from_cookie and view not in COOKIE_VIEWS
        if needs_csrf_token and not principal.has_csrf_token(request.headers.get(CSRF_HEADER)):
            raise Forbidden(f"With a session cookie, the API also needs the header {CSRF_HEADER}.")
        if request.is_json:
            request.max_content_length = JSON_LIMIT_BYTES
            try:
                request.get_json(silent=True)
            except RecursionError:
                raise UnprocessableEntity("The body can't be used: it is nested too deeply.") from None

    blueprint.register_error_handler(AnalyticsKitError, handle_kit_error)
    blueprint.register_error_handler(HTTPException, handle_http_error)
    for code in default_exceptions:  # else handlers of the application for a certain status would come first
        blueprint.register_error_handler(code, handle_http_error)
    blueprint.register_error_handler(Exception, handle_unexpected_error)
    blueprint.after_request(_add_security_headers)
    blueprint.record(lambda state: vars(state.app).setdefault("validation_error_callback", handle_validation_error))
    if service.settings.origins:
        CORS(
            blueprint,
            origins=list(service.settings.origins),
            methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Location", "Retry-After", "Content-Disposition"],
            max_age=600,
        )
    return blueprint


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_loopback_host() -> None:
    if not is_loopback(re.sub(r":\d+$", "", request.host).strip("[]").lower()):  # TRUSTED_HOSTS has no IPv6
        raise BadRequest("Without a token, only names of this machine are served.")


def _is_cross_origin(allowed_origins: tuple[str, ...]) -> bool:
    """Whether a browser sends the request for a page of an origin that is neither this one nor allowed."""
    origin = request.headers.get("Origin")
    if origin is None:  # browsers leave it out where the page can't read the response, as for images
        return request.headers.get("Sec-Fetch-Site") == "cross-site"
    return origin != request.host_url.rstrip("/") and origin not in allowed_origins


def _operation_id(name: str, path: str, method: str) -> str:
    return name


def _add_security_headers(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
