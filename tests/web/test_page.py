"""The page: who is let in, what a form has to prove, what is shown and how, and what a hostile name can do."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import flask
import pytest
from asking import TOKENS, Asker
from processes import until
from werkzeug.http import parse_cookie

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.notebook.card import COLOURS
from analytics_kit.web import session
from analytics_kit.web.app import NAME, PREFIX, create_app, create_blueprint
from analytics_kit.web.page import ID_PATTERN
from analytics_kit.web.service import Service
from analytics_kit.web.studies import RESERVED, is_study_id

HTTPS = {"base_url": "https://lab.example.org"}


class Page(HTMLParser):
    """A page as a browser reads it: its text, and all elements with their attributes."""

    def __init__(self, answer):
        super().__init__()
        self.elements, self.text = [], ""
        self.html = answer.get_data(as_text=True)
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text += f"{text} "

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def proof(self):
        """What forms of the page send along."""
        (found,) = {each["value"] for each in self.all("input") if each.get("name") == "csrf"}
        return found


class Browser(Asker):
    """A browser at the page."""

    def __init__(self, app, name=None):
        super().__init__(app)
        self.app = app
        if name is not None:
            self.sign_in(TOKENS[name], 303)

    def see(self, path="/", code=200, **how):
        return Page(self.get(path, code, **how))

    def send(self, code, headers=None, **form):
        """Send a form of the page."""
        return self.ask("POST", "/", code, data=form, headers=headers)

    def sign_in(self, token, code, **how):
        return self.ask("POST", "/", code, data={"do": "sign-in", "token": token}, **how)

    def press(self, do, code=303, **form):
        """Press a button; what the page says then."""
        answer = self.send(code, do=do, csrf=self.see().proof, **form)
        if code == 303:
            assert answer.headers["Location"].startswith("./?note="), "seen from the page, wherever it is"
            return self.see(answer.headers["Location"].removeprefix(".")).text
        return Page(answer).text


@pytest.fixture
def browser(app):
    return Browser(app, "ann")


def cookie_of(answer):
    """The cookie that an answer sets, in lower case and by part."""
    (line,) = answer.headers.getlist("Set-Cookie")
    return {key.lower(): value for key, _, value in (part.strip().partition("=") for part in line.split(";"))}


class TestSigningIn:
    def test_nobody_sees_the_form_and_nothing_else(self, app):
        page = Browser(app).see()
        assert [each["name"] for each in page.all("input")] == ["token"]
        assert "ok" not in page.text.split()
        assert "part" not in page.html

    def test_a_token_opens_the_page_of_its_namespace(self, browser):
        assert " ann " in browser.see().text
        assert " bob " in Browser(browser.app, "bob").see().text

    @pytest.mark.parametrize("token", ["", "wrong-0123456789abcdef", "é", TOKENS["ann"][:-1]])
    def test_a_wrong_token_is_said_and_opens_nothing(self, app, token):
        browser = Browser(app)
        answer = browser.sign_in(token, 401)
        assert "not known" in Page(answer).text
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in answer.headers
        assert browser.see().all("input")[0]["name"] == "token"

    def test_the_cookie_is_for_this_page_only_and_holds_no_token(self, app):
        answer = Browser(app).sign_in(TOKENS["ann"], 303)
        cookie = cookie_of(answer)
        assert {"httponly", "max-age"} <= cookie.keys()
        assert (cookie["samesite"], cookie["max-age"]) == ("Strict", "43200")
        assert "secure" not in cookie
        assert "path" not in cookie, "browsers take the folder that they see, behind whatever proxy"
        assert TOKENS["ann"] not in str(answer.headers)

    def test_it_is_for_https_only_where_that_is_spoken(self, app):
        assert "secure" in cookie_of(Browser(app).sign_in(TOKENS["ann"], 303, **HTTPS))

    def test_another_port_has_another_cookie(self, app):
        names = [
            next(iter(cookie_of(Browser(app).sign_in(TOKENS["ann"], 303, base_url=f"http://localhost:{port}"))))
            for port in (8765, 8766)
        ]
        assert names == ["analytics_kit_8765", "analytics_kit_8766"]

    def test_another_page_can_not_sign_anybody_in(self, app):
        Browser(app).sign_in(TOKENS["bob"], 403, headers={"Sec-Fetch-Site": "cross-site"})

    def test_a_form_that_is_too_large_is_refused(self, app):
        Browser(app).sign_in("x" * 30_000, 413)

    def test_signing_out_ends_it(self, browser):
        answer = browser.send(303, do="sign-out", csrf=browser.see().proof)
        assert answer.headers["Location"] == "./"
        assert cookie_of(answer)["max-age"] == "0"
        assert browser.see().all("input")[0]["name"] == "token"

    def test_a_session_ends_with_its_time(self, browser, monkeypatch):
        monkeypatch.setattr(session, "SESSION_S", -1)
        assert browser.see().all("input")[0]["name"] == "token"
        assert "session has ended" in browser.see("/?part=live", 401).text
        assert "session has ended" in Page(browser.send(401, do="start", study="ok")).text

    def test_a_cookie_that_was_changed_opens_nothing(self, browser):
        (cookie,) = parse_cookie(browser.client.get(f"{PREFIX}/").request.headers["Cookie"]).items()
        for value in ("", "ann", cookie[1][:-1], f"x{cookie[1]}"):
            nobody = Browser(browser.app)
            nobody.client.set_cookie(cookie[0], value, path=f"{PREFIX}/")
            assert nobody.see().all("input")[0]["name"] == "token"

    def test_a_session_outlives_the_server_unless_tokens_change(self, browser, settings):
        (cookie,) = parse_cookie(browser.client.get(f"{PREFIX}/").request.headers["Cookie"]).items()
        for token, names in ((None, "csrf"), ("ann: new-0123456789abcdef", "token")):
            again = create_app(settings() if token is None else settings(token=token))
            other = Browser(again)
            other.client.set_cookie(*cookie, path=f"{PREFIX}/")
            assert other.see().all("input")[0]["name"] == names
            again.extensions[NAME].close()


class TestProof:
    @pytest.mark.parametrize("do", ["start", "cancel", "retry", "delete", "sign-out"])
    @pytest.mark.parametrize("proof", [None, "", "0" * 64])
    def test_a_form_without_it_does_nothing(self, browser, do, proof):
        form = {"study": "ok", "job": "x"} | ({} if proof is None else {"csrf": proof})
        page = Page(browser.send(403, do=do, **form))
        assert "nothing was done" in page.text
        assert "No jobs yet" in page.text
        assert browser.see().proof, "still signed in"

    def test_that_of_another_session_is_none(self, browser):
        theirs, again = Browser(browser.app, "bob").see().proof, Browser(browser.app, "ann")
        again.send(403, do="start", study="ok", csrf=theirs)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/ok/zip-data"), ("POST", "/mine/zip-data"), ("GET", "/jobs"), ("GET", "/jobs/x"),
         ("DELETE", "/jobs/x"), ("POST", "/jobs/x/retry"), ("GET", "/queue-status"), ("GET", "/studies")],
    )  # fmt: skip
    def test_a_cookie_alone_does_not_open_the_api(self, browser, method, path):
        assert browser.ask(method, path, 403).json["error"] == "ForbiddenError"
        browser.ask(method, path, 403, headers={"X-CSRF-Token": "0" * 64})
        proof = {"X-CSRF-Token": browser.see().proof}
        assert browser.ask(method, path, headers=proof).status_code not in (401, 403)

    def test_a_proof_without_a_cookie_opens_nothing(self, browser):
        proof = {"X-CSRF-Token": browser.see().proof}
        Browser(browser.app).get("/jobs", 401, headers=proof)

    def test_programs_with_a_token_need_none(self, ann):
        ann.delete("/jobs/x", 404)

    def test_a_page_that_a_proxy_signs_in_needs_it_too(self, app):
        known = {"Authorization": f"Bearer {TOKENS['ann']}"}
        browser = Browser(app)
        page = browser.see(headers=known)
        assert "Sign out" not in page.text
        browser.send(403, known, do="start", study="ok")
        assert browser.send(303, known, do="start", study="ok", csrf=page.proof)
        assert "ok.zip" in browser.see(headers=known).text


class TestWithoutTokens:
    @pytest.fixture
    def browser(self, settings):
        app = create_app(settings(token=None, require_token=False))
        yield Browser(app)
        app.extensions[NAME].close()

    def test_nobody_signs_in(self, browser):
        assert "Sign" not in browser.see().text
        assert "being processed" in browser.press("start", study="ok")

    def test_a_form_has_to_be_of_this_page(self, browser):
        browser.send(403, do="start", study="ok")
        proof = browser.see().proof
        browser.send(403, {"Origin": "https://evil.example.org"}, do="start", study="ok", csrf=proof)

    def test_the_proof_is_of_this_server_only(self, browser, settings):
        other = create_app(settings(token=None, require_token=False))
        Browser(other).send(403, do="start", study="ok", csrf=browser.see().proof)
        other.extensions[NAME].close()


class TestDeeds:
    def test_a_study_is_processed_and_its_tables_are_there(self, browser):
        assert "being processed" in browser.press("start", study="ok")
        until(lambda: "completed" in browser.see().text, "it is completed")
        page = browser.see()
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
        job = re.search(r"job-(\w+)", browser.see().html)[1]
        assert "was cancelled" in browser.press("cancel", job=job)
        assert "cancelled" in {each.get("data-status") for each in browser.see().all("li")}
        assert "new job" in browser.press("retry", job=job)
        states = [each["data-status"] for each in browser.see().all("li")]
        assert states == ["queued", "cancelled", "running"]
        assert "cancelled" in browser.press("cancel", job=job), "it is cancelled already"
        assert "was deleted" in browser.press("delete", job=job)
        assert f"job-{job}" not in browser.see().html

    def test_what_can_not_be_done_is_said(self, browser, gate):
        running = browser.see().all("li")[0]["id"].removeprefix("job-")
        assert "has ended can be deleted" in browser.press("delete", 409, job=running)
        assert "can be retried" in browser.press("retry", 409, job=running)
        assert "No job has the id" in browser.press("cancel", 404, job="nonesuch")
        assert "There is no study" in browser.press("start", 404, study="nonesuch")
        assert "no such button" in browser.press("explode", 409, job=running)

    def test_it_is_too_late_to_cancel_what_has_ended(self, browser):
        browser.press("start", study="ok")
        until(lambda: "completed" in browser.see().text, "it is completed")
        job = browser.see().all("li")[0]["id"].removeprefix("job-")
        assert "too late" in browser.press("cancel", 409, job=job)

    def test_others_see_and_touch_nothing_of_it(self, browser):
        browser.press("start", study="ok")
        job = browser.see().all("li")[0]["id"].removeprefix("job-")
        bob = Browser(browser.app, "bob")
        assert "No jobs yet" in bob.see().text
        for do in ("cancel", "retry", "delete"):
            assert "No job has the id" in bob.press(do, 404, job=job)
        bob.get(f"/jobs/{job}/result", 404)

    def test_a_failed_job_says_why_and_what_to_do(self, browser, data):
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.see().text, "it fails")
        text = browser.see().text
        assert "BadArchiveError: broken.zip" in text
        assert "Download the study again" in text
        assert str(data) not in text


class TestShown:
    @pytest.mark.parametrize("note", ["started", "<b>note</b>", "nonesuch"])
    def test_only_known_notes_are_said(self, browser, note):
        page = browser.see(f"/?note={note}")
        assert "<b>" not in page.html
        assert ("being processed" in page.text) == (note == "started")

    def test_a_hostile_name_is_words(self, browser, monkeypatch):
        name = "/data/\"><script>alert(1)</script><img src=x onerror='alert(2)'>.zip"
        browser.press("start", study="broken")
        until(lambda: "failed" in browser.see().text, "it fails")
        backend = browser.service._clients["ann"].backend
        (info,) = backend.list()
        error = replace(info.error, message=f"{name} is <b>torn</b>", hint="<i>mend</i>")
        monkeypatch.setattr(backend, "list", lambda: [replace(info, source=name, error=error)])
        before = browser.see("/?part=live")
        assert not {"script", "b", "i"} & {tag for tag, _ in before.elements}
        assert not [tag for tag, attributes in before.elements if any(key.startswith("on") for key in attributes)]
        assert "<b>torn</b>" in before.text

    def test_the_first_page_and_the_part_that_changes_agree(self, browser, gate):
        browser.press("start", study="ok")
        whole, part = browser.see(), browser.see("/?part=live")
        assert part.all("html") == []
        assert part.html.count("data-part") == whole.html.count("data-part") > 4
        assert [each["id"] for each in part.all("li")] == [each["id"] for each in whole.all("li")]
        (bar,) = part.all("progress")
        assert bar["max"] == "100"

    def test_many_jobs_come_in_pages(self, browser, monkeypatch):
        browser.press("start", study="ok")
        backend = browser.service._clients["ann"].backend
        (info,) = backend.list()
        many = [replace(info, job_id=f"j{place}") for place in range(45)]
        monkeypatch.setattr(backend, "list", lambda: many)
        found = {}
        for page in ("1", "2", "3", "99", "x"):
            shown = browser.see(f"/?page={page}")
            links = [each["href"] for each in shown.all("a") if "page" in each["href"]]
            found[page] = (shown.all("li")[0]["id"], len(shown.all("li")), links)
        assert found["1"] == found["x"] == ("job-j0", 20, ["./?page=2"])
        assert found["2"] == ("job-j20", 20, ["./?page=1", "./?page=3"])
        assert found["3"] == found["99"] == ("job-j40", 5, ["./?page=2"])

    def test_the_queue_is_told_in_words(self, browser, gate):
        text = " ".join(browser.see().text.split())
        assert "0 queued, 1 running in this process, 1 worker, 1 busy Degraded: there is no queue" in text

    def test_a_queue_that_is_away_is_said(self, browser, monkeypatch):
        browser.see()

        def away():
            raise BrokerUnavailableError("10.0.0.7 does not answer")

        monkeypatch.setattr(browser.service._clients["ann"].backend, "list", away)
        for path, code in (("/", 200), ("/?part=live", 503)):
            page = browser.see(path, code)
            assert "The queue can't be reached now." in page.text
            assert "10.0.0.7" not in page.html

    def test_everything_the_page_names_is_seen_from_itself(self, browser):
        browser.press("start", study="ok")
        page = until(lambda: "completed" in (page := browser.see()).text and page, "it is completed")
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
        page = Page(answer)
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
