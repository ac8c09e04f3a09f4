"""The page: what its buttons do, what is shown and how, and what a hostile name can do."""

import re
from dataclasses import replace

import flask
import pytest
from jinja2 import DictLoader, StrictUndefined

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.notebook.job_html import COLOURS
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


class TestDeeds:
    def test_a_study_is_processed_and_its_tables_are_there(self, browser):
        assert "being processed" in browser.press("start", study="ok")
        until(lambda: "completed" in browser.open().text, "it is completed")
        page = browser.open()
        assert "trials" in page.text
        (form,) = [each for each in page.all("form") if each.get("class") == "download"]
        tables = re.findall(r"<option>(\w+)</option>", page.html.partition('id="jobs"')[2])
        assert tables[0] == "trials"
        assert {"issues", "mouse_movement", "keyboard"} <= set(tables)
        answer = browser.get(f"/{form['action']}?table=trials&format=csv")
        assert answer.get_data().startswith(b"participant,")
        assert "processed before" in browser.press("start", study="ok")

    def test_a_job_is_cancelled_retried_and_deleted(self, browser, gate):
        browser.press("start", study="ok")
        job = re.search(r"job-(\w+)", browser.open().html)[1]
        assert "was cancelled" in browser.press("cancel", job=job)
        assert "cancelled" in {each.get("data-status") for each in browser.open().all("li")}
        assert "new job" in browser.press("retry", job=job)
        states = [each["data-status"] for each in browser.open().all("li")]
        assert states == ["queued", "cancelled", "running"]
        assert "cancelled" in browser.press("cancel", job=job), "it is cancelled already"
        assert "was deleted" in browser.press("delete", job=job)
        assert f"job-{job}" not in browser.open().html

    def test_what_can_not_be_done_is_said(self, browser, gate):
        running = browser.open().all("li")[0]["id"].removeprefix("job-")
        assert "has ended can be deleted" in browser.press("delete", 409, job=running)
        assert "can be retried" in browser.press("retry", 409, job=running)
        assert "No job has the id" in browser.press("cancel", 404, job="nonesuch")
        assert "There is no study" in browser.press("start", 404, study="nonesuch")
        assert "no such button" in browser.press("explode", 409, job=running)

    def test_it_is_too_late_to_cancel_what_has_ended(self, browser):
        browser.press("start", study="ok")
        until(lambda: "completed" in browser.open().text, "it is completed")
        job = browser.open().all("li")[0]["id"].removeprefix("job-")
        assert "too late" in browser.press("cancel", 409, job=job)

    def test_others_see_and_touch_nothing_of_it(self, browser):
        browser.press("start", study="ok")
        job = browser.open().all("li")[0]["id"].removeprefix("job-")
        bob = Browser(browser.app, "bob")
        assert "No jobs yet" in bob.open().text
        for do in ("cancel", "retry", "delete"):
            assert "No job has the id" in bob.press(do, 404, job=job)
        bob.get(f"/jobs/{job}/result", 404)

    def test_a_failed_job_says_why_and_what_to_do(self, browser, data):
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.open().text, "it fails")
        text = browser.open().text
        assert "BadArchiveError: broken.zip" in text
        assert "Download the study again" in text
        assert str(data) not in text


class TestShown:
    @pytest.mark.parametrize("note", ["started", "<b>note</b>", "nonesuch"])
    def test_only_known_notes_are_said(self, browser, note):
        page = browser.open(f"/?note={note}")
        assert "<b>" not in page.html
        assert ("being processed" in page.text) == (note == "started")

    def test_a_hostile_name_is_words(self, browser, monkeypatch):
        name = "/data/\"><script>alert(1)</script><img src=x onerror='alert(2)'>.zip"
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.open().text, "it fails")
        backend = browser.backend
        (info,) = backend.list()
        error = replace(info.error, message=f"{name} is <b>torn</b>", hint="<i>mend</i>")
        monkeypatch.setattr(backend, "list", lambda: [replace(info, source=name, error=error)])
        before = browser.open("/?part=live")
        assert not {"script", "b", "i"} & {tag for tag, _ in before.elements}
        assert not [tag for tag, attributes in before.elements if any(key.startswith("on") for key in attributes)]
        assert "<b>torn</b>" in before.text

    def test_the_first_page_and_the_part_that_changes_agree(self, browser, gate):
        browser.press("start", study="ok")
        whole, part = browser.open(), browser.open("/?part=live")
        assert part.all("html") == []
        assert part.html.count("data-part") == whole.html.count("data-part") > 4
        assert [each["id"] for each in part.all("li")] == [each["id"] for each in whole.all("li")]
        (bar,) = part.all("progress")
        assert bar["max"] == "100"

    def test_many_jobs_come_in_pages(self, browser, monkeypatch):
        browser.press("start", study="ok")
        backend = browser.backend
        (info,) = backend.list()
        many = [replace(info, job_id=f"j{place}") for place in range(45)]
        monkeypatch.setattr(backend, "list", lambda: many)
        found = {}
        for page in ("1", "2", "3", "99", "x"):
            shown = browser.open(f"/?page={page}")
            links = [each["href"] for each in shown.all("a") if "page" in each["href"]]
            found[page] = (shown.all("li")[0]["id"], len(shown.all("li")), links)
        assert found["1"] == found["x"] == ("job-j0", 20, ["./?page=2"])
        assert found["2"] == ("job-j20", 20, ["./?page=1", "./?page=3"])
        assert found["3"] == found["99"] == ("job-j40", 5, ["./?page=2"])

    def test_the_queue_is_told_in_words(self, browser, gate):
        text = " ".join(browser.open().text.split())
        assert "0 queued, 1 running in this process, 1 worker, 1 busy Degraded: there is no queue" in text

    def test_a_queue_that_is_away_is_said(self, browser, monkeypatch):
        browser.open()

        def away():
            raise BrokerUnavailableError("10.0.0.7 does not answer")

        monkeypatch.setattr(browser.backend, "list", away)
        for path, code in (("/", 200), ("/?part=live", 503)):
            page = browser.open(path, code)
            assert "The queue can't be reached now." in page.text
            assert "10.0.0.7" not in page.html

    def test_everything_the_page_names_is_seen_from_itself(self, browser):
        browser.press("start", study="ok")
        page = until(lambda: "completed" in (page := browser.open()).text and page, "it is completed")
        places = [each.get(name) for _, each in page.elements for name in ("href", "src", "action")]
        places = [place for place in places if place is not None]
        assert len(places) > 8
        assert [place for place in places if place.startswith(("/", "http"))] == []

    @pytest.mark.parametrize("path", ["/", "/?part=live"])
    def test_only_files_of_the_page_run(self, browser, path):
        answer = browser.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        page = ParsedPage(answer)
        assert [each for tag, each in page.elements if "style" in each or tag == "style"] == []
        assert [each for each in page.all("script") if "src" not in each] == []

    @pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
    def test_its_files_are_open_and_kept_as_long_as_they_are_the_same(self, nobody, name):
        answer = nobody.get(f"/static/{name}", buffered=True)
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        nobody.get(f"/static/{name}", 304, buffered=True, headers={"If-None-Match": answer.headers["ETag"]})

    def test_states_have_the_colours_of_the_panels(self, nobody):
        css = nobody.get("/static/page.css", buffered=True).get_data(as_text=True)
        for status in JobStatus:
            assert re.search(rf"\.state\.{status} {{\s+background: {COLOURS[status]};", css)


def test_browsers_take_the_ids_that_the_api_takes():
    for text in ("a", "study-7", "A.b_c-", "9" * 128, *RESERVED, "jobs2", "", "-a", "a b", "ä", "a/b", "9" * 129):
        assert bool(re.fullmatch(ID_PATTERN, text)) == is_study_id(text), text


def test_the_root_leads_to_it_behind_any_prefix(app):
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "api/analytics/")


def test_it_is_mounted_in_another_application(settings):
    service = Service(settings())
    app = flask.Flask("platform")
    app.register_blueprint(create_blueprint(service), url_prefix="/lab/metrics")
    client = app.test_client()
    assert client.get("/lab/metrics/static/page.js", buffered=True).status_code == 200
    form = {"do": "sign-in", "token": TOKENS["ann"]}
    assert client.post("/lab/metrics/", data=form).status_code == 303
    assert "Sign out" in client.get("/lab/metrics/").get_data(as_text=True)
    assert "session" not in str(client.get("/lab/metrics/").headers), "the platform's own session is left alone"
    service.close()


@pytest.mark.parametrize("path", ["/", "/?part=live", "/docs"])
def test_rules_for_templates_of_another_application_are_not_its_rules(app, settings, path):
    platform = flask.Flask("platform")
    platform.jinja_env.undefined = StrictUndefined
    platform.jinja_env.autoescape = False
    platform.jinja_loader = DictLoader({"analytics_kit/frame.html": "", "analytics_kit/docs.html": ""})
    platform.context_processor(lambda: {"away": "the platform's"})
    service = Service(settings())
    platform.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    known = {"Authorization": f"Bearer {TOKENS['ann']}"}
    there, own = (one.test_client().get(f"{URL_PREFIX}{path}", headers=known) for one in (platform, app))
    assert there.status_code == 200
    assert there.get_data() == own.get_data()
    service.close()
