"""How do people see their jobs in a browser, upload studies, and cancel, retry, delete and download?

The page is whole as it comes; its script asks for the part that changes, and sends forms and files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, g, make_response, redirect, request
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.exceptions import Forbidden

from analytics_kit.errors import AnalyticsKitError, SettingsError
from analytics_kit.notebook.board_html import PAGE_ROWS, Place
from analytics_kit.notebook.job_html import TOO_LATE
from analytics_kit.web.study_catalogue import RESERVED, STUDY_ID
from analytics_kit.web.error_responses import NotNowError, of_ours, without_places
from analytics_kit.web.routes.page_rows import Row
from analytics_kit.web.service import Service
from analytics_kit.web.session import FIELD, Asker
from analytics_kit.web.templating import draw

VIEWS = ("page", "act")
"""Views of the page. They see for themselves who asks."""
FORM_BYTES = 20_000
IS_POLL = "part=live"
"""In the query of those who ask for what changes."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with the origin null
}
NOTES = {
    "started": "The study is being processed.",
    "known": "This study was processed before; its job is below.",
    "cancelled": "The job was cancelled.",
    "retried": "A new job does the work again.",
    "deleted": "The job was deleted.",
}
WRONG = "This token is not known."
OVER = "The session has ended. Sign in again."
STALE = "The page was out of date, and nothing was done. Try again."
ID_PATTERN = (  # for browsers, where - among signs needs a \
    rf"(?!(?:{'|'.join(RESERVED)})$)".replace(".", r"\.") + STUDY_ID.strip("^$").replace("-]", r"\-]")
)


def add_page_routes(book: APIBlueprint, service: Service) -> None:
    """Add the page, which is at the prefix itself."""

    @book.get("/", doc_ui=False)
    def page() -> Response:
        asker: Asker | None = g.analytics_kit_asker
        is_part = IS_POLL in request.query_string.decode("latin-1")
        if asker is None:
            return _sign_in(OVER, 401) if is_part else _sign_in()
        if is_part:
            known = _live(service, asker)
            return _shown("live.html", known, 503 if "away" in known else 200)
        return _whole(service, asker, NOTES.get(request.args.get("note", ""), ""))

    @book.post("/", doc_ui=False)
    def act() -> Response:
        request.max_content_length = FORM_BYTES
        asker: Asker | None = g.analytics_kit_asker
        do, form = request.form.get("do", ""), request.form
        if do == "sign-in":
            return _signed_in(service, form.get("token", ""))
        if asker is None:
            return _sign_in(OVER, 401)
        if not asker.proves(form.get(FIELD)):
            return _whole(service, asker, STALE, 403)
        if do == "sign-out":
            response = _see("./")
            service.sessions.end(response)
            return response
        try:
            return _see(f"./?note={_done(service, do, form)}")
        except AnalyticsKitError as error:
            answer = of_ours(error)
            return _whole(service, asker, _told(answer), answer.status_code)


def _signed_in(service: Service, token: str) -> Response:
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Forbidden("Pages of other origins may not sign anybody in.")
    namespace = service.keys.namespace_of(f"Bearer {token}")
    if namespace is None:
        return _sign_in(WRONG, 401)
    response = _see("./")
    service.sessions.begin(response, namespace)
    return response


def _done(service: Service, do: str, form: Mapping[str, str]) -> str:
    """Do what was asked for; the note that says so."""
    if do == "start":
        job = service.client.join(service.studies.find(form.get("study", "")))
        return "known" if job.known.status.final else "started"
    job = service.client.get_job(form.get("job", ""))
    if do == "cancel":
        if not job.cancel():
            raise NotNowError(TOO_LATE)
        return "cancelled"
    if do == "retry":
        try:
            job.retry()
        except SettingsError as error:
            raise NotNowError(error.message) from None
        return "retried"
    if do == "delete":
        if not job.known.status.final:
            raise NotNowError("Only a job that has ended can be deleted.", hint="Cancel it first.")
        job.delete()
        return "deleted"
    raise NotNowError("There is no such button.")


def _whole(service: Service, asker: Asker, note: str = "", code: int = 200) -> Response:
    known = _live(service, asker)
    try:
        studies = [study.study_id for study in service.studies.all()]
    except AnalyticsKitError as error:
        studies, note = [], note or _told(of_ours(error))
    known |= {
        "note": note,
        "studies": studies,
        "asker": asker,
        "id_pattern": ID_PATTERN,
        "limit_gb": service.settings.upload_limit_gb,
    }
    return _shown("page.html", known, code)


def _live(service: Service, asker: Asker) -> dict[str, Any]:
    """What changes while the page is open."""
    known: dict[str, Any] = {"field": FIELD, "proof": asker.proof, "page": 1, "rows": [], "total": 0}
    try:
        backend = service.client.backend
        infos, status = backend.list(), service.client.queue_status()
    except AnalyticsKitError as error:
        return known | {"away": _told(of_ours(error))}
    pages = max(1, -(-len(infos) // PAGE_ROWS))
    page = min(max(request.args.get("page", 1, int), 1), pages)
    first, now = (page - 1) * PAGE_ROWS, datetime.now(UTC)
    return known | {
        "queue": status,
        "place": Place.of(status, without_places(backend.notice)),
        "rows": [Row.of(info, now) for info in infos[first : first + PAGE_ROWS]],
        "total": len(infos),
        "page": page,
        "pages": pages,
    }


def _told(answer: Response) -> str:
    """The words of an error."""
    known: dict[str, str] = answer.get_json()
    return f"{known['message']} {known['hint']}".strip()


def _see(where: str) -> Response:
    return make_response(redirect(where, 303))


def _sign_in(note: str = "", code: int = 200) -> Response:
    response = _shown("sign_in.html", {"note": note}, code)
    if code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _shown(template: str, known: Mapping[str, Any], code: int = 200) -> Response:
    response = make_response(draw(template, **known), code)
    response.headers.update(HEADERS)
    return response
