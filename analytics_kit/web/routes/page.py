"""Routes of the page: show jobs in a browser; upload studies; cancel, retry, delete and download.

The page works without its script, which only refreshes the part that changes, and sends forms and files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, g, make_response, redirect, request
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.exceptions import Forbidden

from analytics_kit.errors import AnalyticsKitError, SettingsError
from analytics_kit.job_pages import paginate
from analytics_kit.job_text import TOO_LATE_TO_CANCEL, queue_text
from analytics_kit.web.error_responses import ConflictError, handle_kit_error, redact_locations
from analytics_kit.web.routes.page_rows import JobRow
from analytics_kit.web.service import Service
from analytics_kit.web.session import CSRF_FIELD, Principal
from analytics_kit.web.study_catalogue import RESERVED, STUDY_ID
from analytics_kit.web.templating import render

PAGE_VIEWS = ("page", "page_form")
"""Views of the page; without a valid token or cookie they return the sign-in form."""
FORM_LIMIT_BYTES = 20_000
LIVE_QUERY = "part=live"
"""Query of requests for the part of the page that changes."""
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with the origin null
}
NOTES = {
    "started": "The study is being processed.",
    "known": "This study was processed before; its job is below.",
    "cancelled": "The job was cancelled.",
    "retried": "A new job was started in its place.",
    "deleted": "The job was deleted.",
}
"""Notes above the jobs, by their name in the query."""
SIGN_IN_FAILED = "This token is unknown."
SESSION_ENDED = "The session has ended. Sign in again."
PAGE_OUTDATED = "The page was out of date, so nothing was done. Try again."
ID_PATTERN = (  # for browsers, which need a \ before - in a set of characters
    rf"(?!(?:{'|'.join(RESERVED)})$)".replace(".", r"\.") + STUDY_ID.strip("^$").replace("-]", r"\-]")
)


def add_page_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the page, whose URL is the prefix itself."""

    @blueprint.get("/", doc_ui=False)
    def page() -> Response:
        principal: Principal | None = g.analytics_kit_principal
        is_live_part = LIVE_QUERY in request.query_string.decode("latin-1")
        if principal is None:
            return _sign_in_page(SESSION_ENDED, 401) if is_live_part else _sign_in_page()
        if is_live_part:
            values = _live_values(service, principal)
            return _render_response("live.html", values, 503 if "unavailable" in values else 200)
        return _whole_page(service, principal, NOTES.get(request.args.get("note", ""), ""))

    @blueprint.post("/", doc_ui=False)
    def page_form() -> Response:
        request.max_content_length = FORM_LIMIT_BYTES
        principal: Principal | None = g.analytics_kit_principal
        action, form = request.form.get("do", ""), request.form
        if action == "sign-in":
            return _sign_in(service, form.get("token", ""))
        if principal is None:
            return _sign_in_page(SESSION_ENDED, 401)
        if not principal.has_csrf_token(form.get(CSRF_FIELD)):
            return _whole_page(service, principal, PAGE_OUTDATED, 403)
        if action == "sign-out":
            response = _see_other("./")
            service.sessions.sign_out(response)
            return response
        try:
            return _see_other(f"./?note={_perform(service, action, form)}")
        except AnalyticsKitError as error:
            response = handle_kit_error(error)
            return _whole_page(service, principal, _error_text(response), response.status_code)


def _sign_in(service: Service, token: str) -> Response:
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Forbidden("Pages of other origins can't sign in a browser here.")
    namespace = service.tokens.namespace_of(f"Bearer {token}")
    if namespace is None:
        return _sign_in_page(SIGN_IN_FAILED, 401)
    response = _see_other("./")
    service.sessions.sign_in(response, namespace)
    return response


def _perform(service: Service, action: str, form: Mapping[str, str]) -> str:
    """Perform the action of a button, and return the name of the note to show."""
    if action == "start":
        job = service.client.join(service.studies.find(form.get("study", "")))
        return "known" if job.last_known.status.final else "started"
    job = service.client.get_job(form.get("job", ""))
    if action == "cancel":
        if not job.cancel():
            raise ConflictError(TOO_LATE_TO_CANCEL)
        return "cancelled"
    if action == "retry":
        try:
            job.retry()
        except SettingsError as error:
            raise ConflictError(error.message) from None
        return "retried"
    if action == "delete":
        if not job.last_known.status.final:
            raise ConflictError("Only a job that has ended can be deleted.", hint="Cancel it first.")
        job.delete()
        return "deleted"
    raise ConflictError("There is no such button.")


def _whole_page(service: Service, principal: Principal, note: str = "", code: int = 200) -> Response:
    values = _live_values(service, principal)
    try:
        studies = [study.study_id for study in service.studies.all()]
    except AnalyticsKitError as error:
        studies, note = [], note or _error_text(handle_kit_error(error))
    values |= {
        "note": note,
        "studies": studies,
        "principal": principal,
        "id_pattern": ID_PATTERN,
        "limit_gb": service.settings.upload_limit_gb,
    }
    return _render_response("page.html", values, code)


def _live_values(service: Service, principal: Principal) -> dict[str, Any]:
    """Return the template's values for the part that changes while the page is open."""
    values: dict[str, Any] = {"csrf_field": CSRF_FIELD, "csrf_token": principal.csrf_token}
    try:
        backend = service.client.backend
        infos, queue = backend.list(), service.client.queue_status()
    except AnalyticsKitError as error:
        return values | {"unavailable": _error_text(handle_kit_error(error)), "page": paginate([], 1), "rows": []}
    page, now = paginate(infos, request.args.get("page", 1, int)), datetime.now(UTC)
    return values | {
        "queue": queue,
        "queue_text": queue_text(queue["backend"], queue["workers"], queue["workers_busy"]),
        "queue_notice": redact_locations(backend.notice),
        "page": page,
        "rows": [JobRow.of(info, now) for info in page.jobs],
    }


def _error_text(response: Response) -> str:
    """Return message and hint of an error response."""
    body: dict[str, str] = response.get_json()
    return f"{body['message']} {body['hint']}".strip()


def _see_other(url: str) -> Response:
    return make_response(redirect(url, 303))


def _sign_in_page(note: str = "", code: int = 200) -> Response:
    response = _render_response("sign_in.html", {"note": note}, code)
    if code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _render_response(template: str, values: Mapping[str, Any], code: int = 200) -> Response:
    response = make_response(render(template, **values), code)
    response.headers.update(PAGE_HEADERS)
    return response
