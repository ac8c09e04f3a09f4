"""Signing in to the page, what a session cookie gives access to, and what needs a CSRF token."""

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


def cookie_of(response):
    """The attributes of the cookie that a response sets, with names in lower case."""
    (line,) = response.headers.getlist("Set-Cookie")
    return {key.lower(): value for key, _, value in (part.strip().partition("=") for part in line.split(";"))}


class TestSigningIn:
    def test_a_browser_that_is_not_signed_in_sees_the_form_only(self, app):
        page = Browser(app).open()
        assert [field["name"] for field in page.all("input")] == ["token"]
        assert "ok" not in page.text.split()
        assert "part" not in page.html

    def test_a_token_signs_in_to_its_namespace(self, browser):
        assert " ann " in browser.open().text
        assert " bob " in Browser(browser.app, "bob").open().text

    @pytest.mark.parametrize("token", ["", "wrong-0123456789abcdef", "é", TOKENS["ann"][:-1]])
    def test_a_wrong_token_does_not_sign_in(self, app, token):
        browser = Browser(app)
        response = browser.sign_in(token, 401)
        assert "unknown" in ParsedPage(response).text
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in response.headers
        assert browser.open().all("input")[0]["name"] == "token"

    def test_the_cookie_is_restricted_and_holds_no_token(self, app):
        response = Browser(app).sign_in(TOKENS["ann"], 303)
        cookie = cookie_of(response)
        assert {"httponly", "max-age"} <= cookie.keys()
        assert (cookie["samesite"], cookie["max-age"]) == ("Strict", "43200")
        assert "secure" not in cookie
        assert "path" not in cookie, "browsers use the folder of the URL, behind any proxy"
        assert TOKENS["ann"] not in str(response.headers)

    def test_the_cookie_is_secure_over_https(self, app):
        assert "secure" in cookie_of(Browser(app).sign_in(TOKENS["ann"], 303, **HTTPS))

    def test_the_cookie_is_named_after_the_port(self, app):
        names = [
            next(iter(cookie_of(Browser(app).sign_in(TOKENS["ann"], 303, base_url=f"http://localhost:{port}"))))
            for port in (8765, 8766)
        ]
        assert names == ["analytics_kit_8765", "analytics_kit_8766"]

    def test_pages_of_other_origins_can_not_sign_in_a_browser(self, app):
        Browser(app).sign_in(TOKENS["bob"], 403, headers={"Sec-Fetch-Site": "cross-site"})

    def test_a_form_that_is_too_large_is_413(self, app):
        Browser(app).sign_in("x" * 30_000, 413)

    def test_signing_out_deletes_the_cookie(self, browser):
        response = browser.send_form(303, do="sign-out", csrf=browser.open().csrf_token)
        assert response.headers["Location"] == "./"
        assert cookie_of(response)["max-age"] == "0"
        assert browser.open().all("input")[0]["name"] == "token"

    def test_a_session_expires(self, browser, monkeypatch):
        monkeypatch.setattr(session, "SESSION_S", -1)
        assert browser.open().all("input")[0]["name"] == "token"
        assert "session has ended" in browser.open("/?part=live", 401).text
        assert "session has ended" in ParsedPage(browser.send_form(401, do="start", study="ok")).text

    def test_a_changed_cookie_is_not_accepted(self, browser):
        (cookie,) = parse_cookie(browser.client.get(f"{URL_PREFIX}/").request.headers["Cookie"]).items()
        for value in ("", "ann", cookie[1][:-1], f"x{cookie[1]}"):
            forger = Browser(browser.app)
            forger.client.set_cookie(cookie[0], value, path=f"{URL_PREFIX}/")
            assert forger.open().all("input")[0]["name"] == "token"

    def test_a_session_survives_a_restart_unless_tokens_change(self, browser, settings):
        (cookie,) = parse_cookie(browser.client.get(f"{URL_PREFIX}/").request.headers["Cookie"]).items()
        for token, names in ((None, "csrf"), ("ann: new-0123456789abcdef", "token")):
            again = create_app(settings() if token is None else settings(token=token))
            other = Browser(again)
            other.client.set_cookie(*cookie, path=f"{URL_PREFIX}/")
            assert other.open().all("input")[0]["name"] == names
            again.extensions[APP_NAME].close()


class TestCsrfToken:
    @pytest.mark.parametrize("action", ["start", "cancel", "retry", "delete", "sign-out"])
    @pytest.mark.parametrize("token", [None, "", "0" * 64])
    def test_a_form_without_the_token_does_nothing(self, browser, action, token):
        form = {"study": "ok", "job": "x"} | ({} if token is None else {"csrf": token})
        page = ParsedPage(browser.send_form(403, do=action, **form))
        assert "nothing was done" in page.text
        assert "No jobs yet" in page.text
        assert browser.open().csrf_token, "still signed in"

    def test_the_token_of_another_session_is_not_accepted(self, browser):
        other_token, again = Browser(browser.app, "bob").open().csrf_token, Browser(browser.app, "ann")
        again.send_form(403, do="start", study="ok", csrf=other_token)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/ok/zip-data"), ("POST", "/mine/zip-data"), ("GET", "/jobs"), ("GET", "/jobs/x"),
         ("DELETE", "/jobs/x"), ("POST", "/jobs/x/retry"), ("GET", "/queue-status"), ("GET", "/studies")],
    )  # fmt: skip
    def test_a_cookie_alone_gives_no_access_to_the_api(self, browser, method, path):
        assert browser.request(method, path, 403).json["error"] == "ForbiddenError"
        browser.request(method, path, 403, headers={"X-CSRF-Token": "0" * 64})
        header = {"X-CSRF-Token": browser.open().csrf_token}
        assert browser.request(method, path, headers=header).status_code not in (401, 403)

    def test_the_token_without_a_cookie_gives_no_access(self, browser):
        header = {"X-CSRF-Token": browser.open().csrf_token}
        Browser(browser.app).get("/jobs", 401, headers=header)

    def test_programs_with_a_bearer_token_need_no_csrf_token(self, ann):
        ann.delete("/jobs/x", 404)

    def test_a_page_that_a_proxy_signs_in_needs_the_token_too(self, app):
        headers = {"Authorization": f"Bearer {TOKENS['ann']}"}
        browser = Browser(app)
        page = browser.open(headers=headers)
        assert "Sign out" not in page.text
        browser.send_form(403, headers, do="start", study="ok")
        assert browser.send_form(303, headers, do="start", study="ok", csrf=page.csrf_token)
        assert "ok.zip" in browser.open(headers=headers).text


class TestWithoutTokens:
    @pytest.fixture
    def browser(self, settings):
        app = create_app(settings(token=None, require_token=False))
        yield Browser(app)
        app.extensions[APP_NAME].close()

    def test_the_page_offers_no_sign_in(self, browser):
        assert "Sign" not in browser.open().text
        assert "being processed" in browser.press("start", study="ok")

    def test_a_form_needs_the_token_and_this_origin(self, browser):
        browser.send_form(403, do="start", study="ok")
        token = browser.open().csrf_token
        browser.send_form(403, {"Origin": "https://evil.example.org"}, do="start", study="ok", csrf=token)

    def test_the_token_of_another_server_is_not_accepted(self, browser, settings):
        other = create_app(settings(token=None, require_token=False))
        Browser(other).send_form(403, do="start", study="ok", csrf=browser.open().csrf_token)
        other.extensions[APP_NAME].close()
