"""Who is let in to the page, what their cookie is good for, and what a form has to prove."""

import pytest
from werkzeug.http import parse_cookie

from analytics_kit.web import URL_PREFIX, session
from analytics_kit.web.app import APP_NAME, create_app
from tests.web.api_client import TOKENS
from tests.web.page_client import Browser, ParsedPage

HTTPS = {"base_url": "https://lab.example.org"}


@pytest.fixture
def browser(app):
    return Browser(app, "ann")


def cookie_of(answer):
    """The cookie that an answer sets, in lower case and by part."""
    (line,) = answer.headers.getlist("Set-Cookie")
    return {key.lower(): value for key, _, value in (part.strip().partition("=") for part in line.split(";"))}


class TestSigningIn:
    def test_nobody_sees_the_form_and_nothing_else(self, app):
        page = Browser(app).open()
        assert [each["name"] for each in page.all("input")] == ["token"]
        assert "ok" not in page.text.split()
        assert "part" not in page.html

    def test_a_token_opens_the_page_of_its_namespace(self, browser):
        assert " ann " in browser.open().text
        assert " bob " in Browser(browser.app, "bob").open().text

    @pytest.mark.parametrize("token", ["", "wrong-0123456789abcdef", "é", TOKENS["ann"][:-1]])
    def test_a_wrong_token_is_said_and_opens_nothing(self, app, token):
        browser = Browser(app)
        answer = browser.sign_in(token, 401)
        assert "not known" in ParsedPage(answer).text
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in answer.headers
        assert browser.open().all("input")[0]["name"] == "token"

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
        answer = browser.send_form(303, do="sign-out", csrf=browser.open().csrf_token)
        assert answer.headers["Location"] == "./"
        assert cookie_of(answer)["max-age"] == "0"
        assert browser.open().all("input")[0]["name"] == "token"

    def test_a_session_ends_with_its_time(self, browser, monkeypatch):
        monkeypatch.setattr(session, "SESSION_S", -1)
        assert browser.open().all("input")[0]["name"] == "token"
        assert "session has ended" in browser.open("/?part=live", 401).text
        assert "session has ended" in ParsedPage(browser.send_form(401, do="start", study="ok")).text

    def test_a_cookie_that_was_changed_opens_nothing(self, browser):
        (cookie,) = parse_cookie(browser.client.get(f"{URL_PREFIX}/").request.headers["Cookie"]).items()
        for value in ("", "ann", cookie[1][:-1], f"x{cookie[1]}"):
            nobody = Browser(browser.app)
            nobody.client.set_cookie(cookie[0], value, path=f"{URL_PREFIX}/")
            assert nobody.open().all("input")[0]["name"] == "token"

    def test_a_session_outlives_the_server_unless_tokens_change(self, browser, settings):
        (cookie,) = parse_cookie(browser.client.get(f"{URL_PREFIX}/").request.headers["Cookie"]).items()
        for token, names in ((None, "csrf"), ("ann: new-0123456789abcdef", "token")):
            again = create_app(settings() if token is None else settings(token=token))
            other = Browser(again)
            other.client.set_cookie(*cookie, path=f"{URL_PREFIX}/")
            assert other.open().all("input")[0]["name"] == names
            again.extensions[APP_NAME].close()


class TestProof:
    @pytest.mark.parametrize("do", ["start", "cancel", "retry", "delete", "sign-out"])
    @pytest.mark.parametrize("proof", [None, "", "0" * 64])
    def test_a_form_without_it_does_nothing(self, browser, do, proof):
        form = {"study": "ok", "job": "x"} | ({} if proof is None else {"csrf": proof})
        page = ParsedPage(browser.send_form(403, do=do, **form))
        assert "nothing was done" in page.text
        assert "No jobs yet" in page.text
        assert browser.open().csrf_token, "still signed in"

    def test_that_of_another_session_is_none(self, browser):
        theirs, again = Browser(browser.app, "bob").open().csrf_token, Browser(browser.app, "ann")
        again.send_form(403, do="start", study="ok", csrf=theirs)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/ok/zip-data"), ("POST", "/mine/zip-data"), ("GET", "/jobs"), ("GET", "/jobs/x"),
         ("DELETE", "/jobs/x"), ("POST", "/jobs/x/retry"), ("GET", "/queue-status"), ("GET", "/studies")],
    )  # fmt: skip
    def test_a_cookie_alone_does_not_open_the_api(self, browser, method, path):
        assert browser.request(method, path, 403).json["error"] == "ForbiddenError"
        browser.request(method, path, 403, headers={"X-CSRF-Token": "0" * 64})
        proof = {"X-CSRF-Token": browser.open().csrf_token}
        assert browser.request(method, path, headers=proof).status_code not in (401, 403)

    def test_a_proof_without_a_cookie_opens_nothing(self, browser):
        proof = {"X-CSRF-Token": browser.open().csrf_token}
        Browser(browser.app).get("/jobs", 401, headers=proof)

    def test_programs_with_a_token_need_none(self, ann):
        ann.delete("/jobs/x", 404)

    def test_a_page_that_a_proxy_signs_in_needs_it_too(self, app):
        known = {"Authorization": f"Bearer {TOKENS['ann']}"}
        browser = Browser(app)
        page = browser.open(headers=known)
        assert "Sign out" not in page.text
        browser.send_form(403, known, do="start", study="ok")
        assert browser.send_form(303, known, do="start", study="ok", csrf=page.csrf_token)
        assert "ok.zip" in browser.open(headers=known).text


class TestWithoutTokens:
    @pytest.fixture
    def browser(self, settings):
        app = create_app(settings(token=None, require_token=False))
        yield Browser(app)
        app.extensions[APP_NAME].close()

    def test_nobody_signs_in(self, browser):
        assert "Sign" not in browser.open().text
        assert "being processed" in browser.press("start", study="ok")

    def test_a_form_has_to_be_of_this_page(self, browser):
        browser.send_form(403, do="start", study="ok")
        proof = browser.open().csrf_token
        browser.send_form(403, {"Origin": "https://evil.example.org"}, do="start", study="ok", csrf=proof)

    def test_the_proof_is_of_this_server_only(self, browser, settings):
        other = create_app(settings(token=None, require_token=False))
        Browser(other).send_form(403, do="start", study="ok", csrf=browser.open().csrf_token)
        other.extensions[APP_NAME].close()
