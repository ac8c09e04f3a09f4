"""The page: its buttons, what it renders, and that hostile names stay text."""

import re
from dataclasses import replace

import flask
import pytest
from jinja2 import DictLoader, StrictUndefined

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.notebook.job_html import STATUS_COLOURS
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.app import create_blueprint
from analytics_kit.web.routes.page import ID_PATTERN
from analytics_kit.web.service import Service
from analytics_kit.web.study_catalogue import RESERVED, is_study_id
from tests.processes import until
from tests.web.api_client import TOKENS
from tests.web.page_client import Browser, ParsedPage


@pytest.fixture
def browser(app):
    return Browser(app, "ann")


class TestButtons:
    def test_a_study_is_processed_and_its_tables_can_be_downloaded(self, browser):
        assert "being processed" in browser.press("start", study="ok")
        until(lambda: "completed" in browser.open().text, "it is completed")
        page = browser.open()
        assert "trials" in page.text
        (form,) = [form for form in page.all("form") if form.get("class") == "download"]
        tables = re.findall(r"<option>(\w+)</option>", page.html.partition('id="jobs"')[2])
        assert tables[0] == "trials"
        assert {"issues", "mouse_movement", "keyboard"} <= set(tables)
        response = browser.get(f"/{form['action']}?table=trials&format=csv")
        assert response.get_data().startswith(b"participant,")
        assert "processed before" in browser.press("start", study="ok")

    def test_a_job_is_cancelled_retried_and_deleted(self, browser, gate):
        browser.press("start", study="ok")
        job = re.search(r"job-(\w+)", browser.open().html)[1]
        assert "was cancelled" in browser.press("cancel", job=job)
        assert "cancelled" in {card.get("data-status") for card in browser.open().all("li")}
        assert "new job" in browser.press("retry", job=job)
        statuses = [card["data-status"] for card in browser.open().all("li")]
        assert statuses == ["queued", "cancelled", "running"]
        assert "cancelled" in browser.press("cancel", job=job), "it is cancelled already"
        assert "was deleted" in browser.press("delete", job=job)
        assert f"job-{job}" not in browser.open().html

    def test_an_impossible_action_is_explained(self, browser, gate):
        running = browser.open().all("li")[0]["id"].removeprefix("job-")
        assert "has ended can be deleted" in browser.press("delete", 409, job=running)
        assert "can be retried" in browser.press("retry", 409, job=running)
        assert "No job has the id" in browser.press("cancel", 404, job="nonesuch")
        assert "There is no study" in browser.press("start", 404, study="nonesuch")
        assert "no such button" in browser.press("explode", 409, job=running)

    def test_a_job_that_has_ended_can_not_be_cancelled(self, browser):
        browser.press("start", study="ok")
        until(lambda: "completed" in browser.open().text, "it is completed")
        job = browser.open().all("li")[0]["id"].removeprefix("job-")
        assert "too late" in browser.press("cancel", 409, job=job)

    def test_other_namespaces_can_not_see_or_change_a_job(self, browser):
        browser.press("start", study="ok")
        job = browser.open().all("li")[0]["id"].removeprefix("job-")
        bob = Browser(browser.app, "bob")
        assert "No jobs yet" in bob.open().text
        for action in ("cancel", "retry", "delete"):
            assert "No job has the id" in bob.press(action, 404, job=job)
        bob.get(f"/jobs/{job}/result", 404)

    def test_a_failed_job_shows_error_and_hint(self, browser, data):
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.open().text, "it fails")
        text = browser.open().text
        assert "BadArchiveError: broken.zip" in text
        assert "Download the study again" in text
        assert str(data) not in text


class TestRendering:
    @pytest.mark.parametrize("note", ["started", "<b>note</b>", "nonesuch"])
    def test_only_known_notes_are_shown(self, browser, note):
        page = browser.open(f"/?note={note}")
        assert "<b>" not in page.html
        assert ("being processed" in page.text) == (note == "started")

    def test_a_hostile_name_is_rendered_as_text(self, browser, monkeypatch):
        name = "/data/\"><script>alert(1)</script><img src=x onerror='alert(2)'>.zip"
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.open().text, "it fails")
        backend = browser.backend
        (info,) = backend.list()
        error = replace(info.error, message=f"{name} is <b>torn</b>", hint="<i>mend</i>")
        monkeypatch.setattr(backend, "list", lambda: [replace(info, source=name, error=error)])
        page = browser.open("/?part=live")
        assert not {"script", "b", "i"} & {tag for tag, _ in page.elements}
        assert not [tag for tag, attributes in page.elements if any(key.startswith("on") for key in attributes)]
        assert "<b>torn</b>" in page.text

    def test_the_whole_page_and_its_live_part_agree(self, browser, gate):
        browser.press("start", study="ok")
        whole, part = browser.open(), browser.open("/?part=live")
        assert part.all("html") == []
        assert part.html.count("data-part") == whole.html.count("data-part") > 4
        assert [card["id"] for card in part.all("li")] == [card["id"] for card in whole.all("li")]
        (bar,) = part.all("progress")
        assert bar["max"] == "100"

    def test_many_jobs_are_paginated(self, browser, monkeypatch):
        browser.press("start", study="ok")
        backend = browser.backend
        (info,) = backend.list()
        many = [replace(info, job_id=f"j{number}") for number in range(45)]
        monkeypatch.setattr(backend, "list", lambda: many)
        pages = {}
        for number in ("1", "2", "3", "99", "x"):
            page = browser.open(f"/?page={number}")
            links = [link["href"] for link in page.all("a") if "page" in link["href"]]
            pages[number] = (page.all("li")[0]["id"], len(page.all("li")), links)
        assert pages["1"] == pages["x"] == ("job-j0", 20, ["./?page=2"])
        assert pages["2"] == ("job-j20", 20, ["./?page=1", "./?page=3"])
        assert pages["3"] == pages["99"] == ("job-j40", 5, ["./?page=2"])

    def test_the_queue_is_summarized(self, browser, gate):
        text = " ".join(browser.open().text.split())
        assert "0 queued, 1 running in this process, 1 worker, 1 busy Degraded: there is no queue" in text

    def test_an_unreachable_queue_is_reported_without_its_address(self, browser, monkeypatch):
        browser.open()

        def fail():
            raise BrokerUnavailableError("10.0.0.7 does not answer")

        monkeypatch.setattr(browser.backend, "list", fail)
        for path, code in (("/", 200), ("/?part=live", 503)):
            page = browser.open(path, code)
            assert "The queue can't be reached now." in page.text
            assert "10.0.0.7" not in page.html

    def test_all_urls_are_relative(self, browser):
        browser.press("start", study="ok")
        page = until(lambda: "completed" in (page := browser.open()).text and page, "it is completed")
        urls = [attributes.get(name) for _, attributes in page.elements for name in ("href", "src", "action")]
        urls = [url for url in urls if url is not None]
        assert len(urls) > 8
        assert [url for url in urls if url.startswith(("/", "http"))] == []

    @pytest.mark.parametrize("path", ["/", "/?part=live"])
    def test_the_content_security_policy_allows_own_files_only(self, browser, path):
        response = browser.get(path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Cache-Control"] == "no-store"
        page = ParsedPage(response)
        assert [tag for tag, attributes in page.elements if "style" in attributes or tag == "style"] == []
        assert [script for script in page.all("script") if "src" not in script] == []

    @pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
    def test_static_files_need_no_token_and_are_revalidated(self, anonymous, name):
        response = anonymous.get(f"/static/{name}", buffered=True)
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        anonymous.get(f"/static/{name}", 304, buffered=True, headers={"If-None-Match": response.headers["ETag"]})

    def test_statuses_have_the_colours_of_the_panels(self, anonymous):
        css = anonymous.get("/static/page.css", buffered=True).get_data(as_text=True)
        for status in JobStatus:
            assert re.search(rf"\.status\.{status} {{\s+background: {STATUS_COLOURS[status]};", css)


def test_browsers_accept_the_ids_that_the_api_accepts():
    for text in ("a", "study-7", "A.b_c-", "9" * 128, *RESERVED, "jobs2", "", "-a", "a b", "ä", "a/b", "9" * 129):
        assert bool(re.fullmatch(ID_PATTERN, text)) == is_study_id(text), text


def test_the_root_redirects_to_the_page_behind_any_prefix(app):
    response = app.test_client().get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "api/analytics/")


def test_the_page_works_in_another_application(settings):
    service = Service(settings())
    app = flask.Flask("platform")
    app.register_blueprint(create_blueprint(service), url_prefix="/lab/metrics")
    client = app.test_client()
    assert client.get("/lab/metrics/static/page.js", buffered=True).status_code == 200
    form = {"do": "sign-in", "token": TOKENS["ann"]}
    assert client.post("/lab/metrics/", data=form).status_code == 303
    assert "Sign out" in client.get("/lab/metrics/").get_data(as_text=True)
    assert "session" not in str(client.get("/lab/metrics/").headers), "the platform's session is not touched"
    service.close()


@pytest.mark.parametrize("path", ["/", "/?part=live", "/docs"])
def test_templates_ignore_the_environment_of_another_application(app, settings, path):
    platform = flask.Flask("platform")
    platform.jinja_env.undefined = StrictUndefined
    platform.jinja_env.autoescape = False
    platform.jinja_loader = DictLoader({"analytics_kit/frame.html": "", "analytics_kit/docs.html": ""})
    platform.context_processor(lambda: {"unavailable": "the platform's"})
    service = Service(settings())
    platform.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    headers = {"Authorization": f"Bearer {TOKENS['ann']}"}
    mounted, standalone = (each.test_client().get(f"{URL_PREFIX}{path}", headers=headers) for each in (platform, app))
    assert mounted.status_code == 200
    assert mounted.get_data() == standalone.get_data()
    service.close()
