"""The way to a server: whom the token is shown to, what is said of trouble, how often it is asked again."""

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from analytics_kit.backends.http import transport as line
from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.backends.http.transport import Transport
from analytics_kit.errors import (
    BadArchiveError,
    BrokerUnavailableError,
    JobNotFoundError,
    ResultExpiredError,
    SettingsError,
)
from analytics_kit.settings import Settings

TOKEN = "one-0123456789abcdef"
LIVE = (200, {}, {"live": True})


@pytest.fixture
def answering():
    """answering({path: (status, headers, JSON or bytes)}) → a server; `asked` has what came, as (path, headers)."""
    servers = []

    def make(answers, **cut):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0]
                server.asked.append((path, dict(self.headers)))
                if "Content-Length" in self.headers:
                    self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, told = answers.get(path, (404, {}, b"nothing"))
                body = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if cut.get("times", 0) > 0 and path == cut["path"]:
                    cut["times"] -= 1
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                    return
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815  the library's name

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


class TestToken:
    @pytest.mark.parametrize(
        "url", ["https://lab.example.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"]
    )
    def test_is_sent_without_a_word_where_nobody_can_listen(self, url):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Transport(url, TOKEN)
            Transport("http://lab.example.org", None)

    def test_is_sent_with_a_warning_where_others_can(self):
        with pytest.warns(RuntimeWarning, match="unencrypted") as caught:
            Transport("http://lab.example.org:8765/x", TOKEN)
        assert TOKEN not in str(caught[0].message)

    def test_is_sent_to_none_but_a_server_of_ours(self, answering):
        other = answering(
            {"/health/live": (200, {}, {"status": "UP"}), "/api/analytics/health/live": (200, {}, b"hello")}
        )
        with pytest.raises(BrokerUnavailableError, match="no analytics_kit server"):
            Transport(other.url, TOKEN).find()
        assert len(other.asked) == 2
        assert not [headers for _, headers in other.asked if "Authorization" in headers]

    def test_does_not_follow_to_another_server(self, answering):
        other = answering({"/health/live": LIVE, "/jobs": (200, {}, {"jobs": []})})
        here = answering({"/health/live": LIVE, "/jobs": (307, {"Location": f"{other.url}/jobs"}, b"")})
        there = Transport(here.url, TOKEN)
        there.find()
        with pytest.raises(BrokerUnavailableError, match=r"does not answer as .* \(307\)"):
            there.ask("GET", "/jobs")
        assert other.asked == []

    @pytest.mark.parametrize("token", ["two\nlines-0123456789", "ann: one-0123456789abcdef", "", "ü"])
    def test_that_can_be_none_is_refused_and_not_quoted(self, token):
        with pytest.raises(SettingsError, match="The token") as caught:
            Transport("https://h", token)
        assert not token or token not in str(caught.value)

    @pytest.mark.parametrize("url", ["https://ann:hush@h", "https://hush@h", "https://h?token=hush", "https://"])
    def test_does_not_belong_into_the_url(self, url):
        with pytest.raises(SettingsError, match="URL") as caught:
            Transport(url, None)
        assert "hush" not in str(caught.value)


class TestFind:
    @pytest.mark.parametrize("prefix", ["", "/hub", "/api/analytics", "/lab/analytics"])
    def test_the_api_at_its_own_place_or_at_any(self, answering, prefix):
        base = prefix if prefix in ("/api/analytics", "/lab/analytics") else f"{prefix}/api/analytics"
        server = answering({f"{base}/health/live": LIVE, f"{base}/queue-status": (200, {}, {"queued": 1})})
        there = Transport(f"{server.url}{prefix}/", TOKEN)
        there.find()
        assert there.ask("GET", "/queue-status") == {"queued": 1}
        assert server.asked[-1][1]["Authorization"] == f"Bearer {TOKEN}"

    def test_says_where_a_page_sends_on_to(self, answering):
        to = "https://login.example.org"
        server = answering({"/api/analytics/health/live": (302, {"Location": to}, b"")})
        with pytest.raises(BrokerUnavailableError) as caught:
            Transport(server.url, TOKEN).find()
        assert to in caught.value.hint

    def test_a_server_of_another_version_is_named(self, answering, tmp_path):
        server = answering({"/health/live": LIVE, "/queue-status": (200, {}, {"queued": 0})})
        with pytest.raises(BrokerUnavailableError, match="another version"):
            HttpBackend(Settings.of(server.url, token=TOKEN, home=tmp_path)).connect()

    def test_a_host_that_is_none(self):
        with pytest.raises(BrokerUnavailableError, match="no host has this name"):
            Transport("https://nohost.invalid", TOKEN).find()

    def test_one_that_speaks_no_tls(self, answering):
        url = answering({}).url.replace("http", "https")
        with pytest.raises(BrokerUnavailableError, match="TLS fails") as caught:
            Transport(url, TOKEN).find()
        assert TOKEN not in str(caught.value)


def told(error, message="so it is", hint="do that"):
    return {"error": error, "message": message, "hint": hint}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, "UnauthorizedError", BrokerUnavailableError),
        (404, "JobNotFoundError", JobNotFoundError),
        (404, "NotFoundError", SettingsError),
        (409, "ConflictError", SettingsError),
        (410, "ResultExpiredError", ResultExpiredError),
        (413, "RequestEntityTooLargeError", SettingsError),
        (422, "BadArchiveError", BadArchiveError),
        (422, "ParameterError", SettingsError),
        (500, "InternalError", BrokerUnavailableError),
        (503, "StoreError", BrokerUnavailableError),
    ],
)
def test_an_error_is_the_one_that_the_server_tells(answering, status, error, kind):
    server = answering({"/x": (status, {}, told(error))})
    with pytest.raises(kind) as caught:
        Transport(server.url, TOKEN).ask("POST", "/x", body={})
    assert type(caught.value) is kind
    assert status == 401 or "so it is" in caught.value.message
    assert len(server.asked) == 1, "what may have an effect is not asked for twice"


class TestPatience:
    def test_who_polls_waits_as_long_as_the_server_says(self, answering):
        server = answering({"/jobs": (503, {"Retry-After": "60"}, told("BrokerUnavailableError"))})
        there = Transport(server.url, TOKEN)
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError, match="so it is"):
                there.ask("GET", "/jobs", polite=True)
        assert len(server.asked) == 1
        with pytest.raises(BrokerUnavailableError):
            there.ask("GET", "/jobs")
        assert len(server.asked) == 2, "a person may ask"

    def test_a_file_that_breaks_off_is_fetched_again(self, answering):
        whole = bytes(range(256)) * 8000
        server = answering({"/f": (200, {}, whole)}, path="/f", times=2)
        with Transport(server.url, TOKEN).read("/f", [("path", "a b")]) as file:
            assert file.read() == whole
        assert len(server.asked) == 3

    def test_but_not_for_ever(self, answering):
        server = answering({"/f": (200, {}, b"x" * 100)}, path="/f", times=100)
        with pytest.raises(BrokerUnavailableError, match="broke"), Transport(server.url, TOKEN).read("/f", []):
            pass
        assert len(server.asked) == line.READ_TRIES

    def test_a_file_that_is_gone_says_so(self, answering):
        server = answering({"/f": (410, {}, told("ResultExpiredError"))})
        with pytest.raises(ResultExpiredError, match="so it is"), Transport(server.url, TOKEN).read("/f", []):
            pass
