"""Requests to a server: who receives the token, which errors are raised, what is retried."""

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.backends.http.transport import DOWNLOAD_TRIES, Transport
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
def start_server():
    """start_server({path: (status, headers, JSON or bytes)}) → a server with its `requests`, as (path, headers).

    With `path` and `times` it closes the connection in the middle of the first responses for that path.
    """
    servers = []

    def make(responses, **cut):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0]
                server.requests.append((path, dict(self.headers)))
                if "Content-Length" in self.headers:
                    self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, content = responses.get(path, (404, {}, b"nothing"))
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
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
        server.requests, server.url = [], f"http://127.0.0.1:{server.server_port}"
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
    def test_token_is_sent_over_a_safe_connection_without_warning(self, url):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Transport(url, TOKEN)
            Transport("http://lab.example.org", None)

    def test_token_is_sent_over_plain_http_with_a_warning(self):
        with pytest.warns(RuntimeWarning, match="unencrypted") as caught:
            Transport("http://lab.example.org:8765/x", TOKEN)
        assert TOKEN not in str(caught[0].message)

    def test_token_is_not_sent_to_a_server_without_the_api(self, start_server):
        other = start_server(
            {"/health/live": (200, {}, {"status": "UP"}), "/api/analytics/health/live": (200, {}, b"hello")}
        )
        with pytest.raises(BrokerUnavailableError, match="no analytics_kit server"):
            Transport(other.url, TOKEN).locate_api()
        assert len(other.requests) == 2
        assert not [headers for _, headers in other.requests if "Authorization" in headers]

    def test_token_does_not_follow_a_redirect(self, start_server):
        target = start_server({"/health/live": LIVE, "/jobs": (200, {}, {"jobs": []})})
        server = start_server({"/health/live": LIVE, "/jobs": (307, {"Location": f"{target.url}/jobs"}, b"")})
        transport = Transport(server.url, TOKEN)
        transport.locate_api()
        with pytest.raises(BrokerUnavailableError, match=r"does not answer as .* \(307\)"):
            transport.request("GET", "/jobs")
        assert target.requests == []

    @pytest.mark.parametrize("token", ["two\nlines-0123456789", "ann: one-0123456789abcdef", "", "ü"])
    def test_token_with_impossible_characters_is_refused_and_not_quoted(self, token):
        with pytest.raises(SettingsError, match="The token") as caught:
            Transport("https://h", token)
        assert not token or token not in str(caught.value)

    @pytest.mark.parametrize("url", ["https://ann:hush@h", "https://hush@h", "https://h?token=hush", "https://"])
    def test_token_or_password_in_the_url_is_refused_and_not_quoted(self, url):
        with pytest.raises(SettingsError, match="URL") as caught:
            Transport(url, None)
        assert "hush" not in str(caught.value)


class TestLocateApi:
    @pytest.mark.parametrize("prefix", ["", "/hub", "/api/analytics", "/lab/analytics"])
    def test_api_below_its_prefix_or_at_the_url_itself_is_found(self, start_server, prefix):
        base = prefix if prefix in ("/api/analytics", "/lab/analytics") else f"{prefix}/api/analytics"
        server = start_server({f"{base}/health/live": LIVE, f"{base}/queue-status": (200, {}, {"queued": 1})})
        transport = Transport(f"{server.url}{prefix}/", TOKEN)
        transport.locate_api()
        assert transport.request("GET", "/queue-status") == {"queued": 1}
        assert server.requests[-1][1]["Authorization"] == f"Bearer {TOKEN}"

    def test_redirect_is_named_in_the_hint(self, start_server):
        to = "https://login.example.org"
        server = start_server({"/api/analytics/health/live": (302, {"Location": to}, b"")})
        with pytest.raises(BrokerUnavailableError) as caught:
            Transport(server.url, TOKEN).locate_api()
        assert to in caught.value.hint

    def test_server_of_another_version_raises(self, start_server, tmp_path):
        server = start_server({"/health/live": LIVE, "/queue-status": (200, {}, {"queued": 0})})
        with pytest.raises(BrokerUnavailableError, match="another version"):
            HttpBackend(Settings.of(server.url, token=TOKEN, home=tmp_path)).connect()

    def test_unknown_host_raises(self):
        with pytest.raises(BrokerUnavailableError, match="no host has this name"):
            Transport("https://nohost.invalid", TOKEN).locate_api()

    def test_server_without_tls_raises_without_the_token(self, start_server):
        url = start_server({}).url.replace("http", "https")
        with pytest.raises(BrokerUnavailableError, match="TLS fails") as caught:
            Transport(url, TOKEN).locate_api()
        assert TOKEN not in str(caught.value)


def error_body(error, message="the reason", hint="do that"):
    return {"error": error, "message": message, "hint": hint}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, "UnauthorizedError", BrokerUnavailableError),
        (404, "JobNotFoundError", JobNotFoundError),
        (404, "NotFoundError", SettingsError),
        (408, "RequestTimeoutError", BrokerUnavailableError),
        (409, "ConflictError", SettingsError),
        (410, "ResultExpiredError", ResultExpiredError),
        (413, "RequestEntityTooLargeError", SettingsError),
        (422, "BadArchiveError", BadArchiveError),
        (422, "ParameterError", SettingsError),
        (500, "InternalError", BrokerUnavailableError),
        (503, "StoreError", BrokerUnavailableError),
    ],
)
def test_error_response_raises_the_error_that_the_server_reports(start_server, status, error, kind):
    server = start_server({"/x": (status, {}, error_body(error))})
    with pytest.raises(kind) as caught:
        Transport(server.url, TOKEN).request("POST", "/x", body={})
    assert type(caught.value) is kind
    assert status == 401 or "the reason" in caught.value.message
    assert len(server.requests) == 1, "what may have an effect is not requested twice"


class TestRetries:
    def test_poll_respects_retry_after_and_other_requests_do_not(self, start_server):
        server = start_server({"/jobs": (503, {"Retry-After": "60"}, error_body("BrokerUnavailableError"))})
        transport = Transport(server.url, TOKEN)
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError, match="the reason"):
                transport.request("GET", "/jobs", respect_retry_after=True)
        assert len(server.requests) == 1
        with pytest.raises(BrokerUnavailableError):
            transport.request("GET", "/jobs")
        assert len(server.requests) == 2, "a request that is no poll is sent"

    def test_download_that_breaks_off_is_repeated(self, start_server):
        whole = bytes(range(256)) * 8000
        server = start_server({"/f": (200, {}, whole)}, path="/f", times=2)
        with Transport(server.url, TOKEN).download("/f", [("path", "a b")]) as file:
            assert file.read() == whole
        assert len(server.requests) == 3

    def test_download_that_always_breaks_off_raises(self, start_server):
        server = start_server({"/f": (200, {}, b"x" * 100)}, path="/f", times=100)
        with pytest.raises(BrokerUnavailableError, match="broke"), Transport(server.url, TOKEN).download("/f", []):
            pass
        assert len(server.requests) == DOWNLOAD_TRIES

    def test_download_of_a_removed_file_raises_the_error_of_the_server(self, start_server):
        server = start_server({"/f": (410, {}, error_body("ResultExpiredError"))})
        with pytest.raises(ResultExpiredError, match="the reason"), Transport(server.url, TOKEN).download("/f", []):
            pass
