"""The application around the routes: tokens, origins, headers, and mounting in another application."""

import flask
import pytest
from werkzeug.exceptions import HTTPException

from analytics_kit.errors import SettingsError
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.app import APP_NAME, create_app, create_blueprint
from analytics_kit.web.service import Service
from tests.web.api_client import TOKENS, ApiClient

LAB = "https://lab.example.org"
ROUTES = ["/ok/zip-data", "/jobs", "/jobs/x", "/jobs/x/result", "/queue-status", "/health", "/studies"]
ANN = {"Authorization": f"Bearer {TOKENS['ann']}"}


@pytest.mark.parametrize("path", ROUTES)
def test_reading_without_a_token_is_401(anonymous, path):
    response = anonymous.get(path, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json["error"] == "UnauthorizedError"
    anonymous.get(path, 401, headers={"Authorization": "Bearer wrong-0123456789abcdef"})


def test_changing_without_a_token_is_401_and_changes_nothing(anonymous, tmp_path):
    anonymous.post("/mine/zip-data", 401, body=b"PK")
    anonymous.post("/jobs/x/retry", 401)
    anonymous.delete("/jobs/x", 401)
    assert not (tmp_path / "home").exists()


def test_a_token_in_the_query_is_ignored(anonymous):
    anonymous.get(f"/jobs?token={TOKENS['ann']}", 401)


def test_liveness_and_the_description_need_no_token(anonymous):
    assert anonymous.get("/health/live").json == {"live": True}
    assert anonymous.get("/openapi.json").json["openapi"] == "3.1.0"
    assert anonymous.get("/docs").mimetype == "text/html"


def test_a_server_without_tokens_is_refused_by_default(settings):
    with pytest.raises(SettingsError, match="needs a token"):
        create_app(settings(token=None))


class TestWithoutTokens:
    @pytest.fixture
    def anybody(self, settings):
        """A client of a server that requires no token."""
        app = create_app(settings(token=None, require_token=False))
        yield ApiClient(app)
        app.extensions[APP_NAME].close()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "127.1.2.3", "[::1]", "[::1]:8765"])
    def test_names_of_this_machine_are_served(self, anybody, host):
        assert anybody.get("/jobs", headers={"Host": host}).json["jobs"] == []

    @pytest.mark.parametrize(
        "host",
        ["evil.example.org", "127.0.0.1.example.org:8765", "[::2]:8765", "10.0.0.1", "local host", ""],
    )
    def test_other_host_names_are_refused(self, anybody, host):
        anybody.get("/jobs", 400, headers={"Host": host})
        anybody.get("/openapi.json", 400, headers={"Host": host})

    def test_pages_of_other_origins_are_refused(self, anybody):
        anybody.post("/jobs/x/retry", 403, headers={"Origin": "https://evil.example.org"})
        anybody.get("/ok/zip-data", 403, headers={"Sec-Fetch-Site": "cross-site"})
        anybody.post("/jobs/x/retry", 404, headers={"Origin": "http://localhost"})


class TestOrigins:
    def test_no_origin_is_allowed_by_default(self, ann):
        response = ann.get("/jobs", headers={"Origin": LAB})
        assert "Access-Control-Allow-Origin" not in response.headers

    def test_a_configured_origin_is_allowed_and_others_are_not(self, client_of_server):
        client = client_of_server(origins=LAB)
        client.namespace = None
        preflight = {"Origin": LAB, "Access-Control-Request-Method": "DELETE"}
        preflight["Access-Control-Request-Headers"] = "authorization"
        response = client.request("OPTIONS", "/jobs/x", 200, headers=preflight)
        assert response.headers["Access-Control-Allow-Origin"] == LAB
        assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        response = client.get("/jobs", 401, headers={"Origin": LAB})
        assert response.headers["Access-Control-Allow-Origin"] == LAB, "so that a page can read the error"
        response = client.get("/jobs", 401, headers={"Origin": f"{LAB}.evil.example"})
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/jobs", "/nonesuch", "/docs", "/jobs/nonesuch", "/health/live"])
def test_every_response_has_the_security_headers(ann, path):
    headers = ann.request("GET", path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


def test_an_unknown_route_or_method_is_answered_in_json(ann):
    assert set(ann.get("/nonesuch", 404).json) == {"error", "message", "hint"}
    response = ann.request("PUT", "/jobs", 405)
    assert set(response.json) == {"error", "message", "hint"}
    assert "GET" in response.headers["Allow"]


def test_an_unexpected_error_is_logged_and_not_revealed(ann, monkeypatch, caplog):
    def fail(status=None):
        raise RuntimeError("secret /srv/data")

    monkeypatch.setattr(ann.backend, "list", fail)
    response = ann.get("/jobs", 500)
    assert response.json["error"] == "InternalError"
    assert "secret" not in response.get_data(as_text=True)
    assert "secret" in caplog.text


def test_the_blueprint_works_in_another_application(settings):
    service = Service(settings())
    app = flask.Flask("platform")

    @app.get("/lab/<page>")
    def page(page):
        return page

    app.register_blueprint(create_blueprint(service), url_prefix="/lab/metrics")
    client = app.test_client()
    assert client.get("/lab/intro").get_data() == b"intro"
    job = client.get("/lab/metrics/ok/zip-data?async=false", headers=ANN).json
    assert job["status_url"] == f"/lab/metrics/jobs/{job['job_id']}"
    assert client.get(job["result_url"], headers=ANN).status_code == 200
    assert client.get("/lab/metrics/jobs?limit=x", headers=ANN).json["parameter"] == "limit"
    assert client.get("/lab/metrics/jobs/x", headers=ANN).json["error"] == "JobNotFoundError"
    assert client.get("/lab/metrics/openapi.json").json["servers"] == [{"url": "/lab/metrics"}]
    assert "Content-Security-Policy" not in client.get("/lab/intro").headers, "pages of the platform are not changed"
    service.close()


@pytest.mark.parametrize(
    ("method", "path", "namespace", "code"),
    [
        ("GET", "/jobs", None, 401),
        ("GET", "/jobs/x", "ann", 404),
        ("GET", "/static/x", None, 404),
        ("POST", "/s/zip-data", "ann", 415),
        ("GET", "/jobs?limit=x", "ann", 422),
        ("GET", "/studies", "ann", 500),
    ],
)
def test_error_handlers_of_another_application_do_not_apply(settings, monkeypatch, method, path, namespace, code):
    service = Service(settings())
    monkeypatch.setattr(Service, "studies", property(lambda service: 1 / 0))
    app = flask.Flask("platform")
    for error in (401, 404, 415, 422, 500, HTTPException, Exception):
        app.register_error_handler(error, lambda error: ("the platform's", 418))
    app.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    headers = {} if namespace is None else {"Authorization": f"Bearer {TOKENS[namespace]}"}
    response = app.test_client().open(f"{URL_PREFIX}{path}", method=method, headers=headers)
    assert response.status_code == code
    assert response.json["error"]
    assert app.test_client().get("/elsewhere").status_code == 418
    service.close()


def test_the_form_limit_of_another_application_does_not_apply_to_uploads(settings, data):
    service = Service(settings())
    app = flask.Flask("platform")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    app.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    headers = ANN | {"Content-Type": "application/zip"}
    study = (data / "ok.zip").read_bytes()
    for path, code in (("mine/zip-data", 202), (f"uploads/{'0' * 64}", 201)):
        assert app.test_client().post(f"{URL_PREFIX}/{path}", data=study, headers=headers).status_code == code
    service.close()


@pytest.mark.parametrize("proxies", [0, 1])
def test_the_prefix_header_is_trusted_from_configured_proxies_only(client_of_server, proxies):
    ann = client_of_server(proxies=proxies)
    job = ann.get("/ok/zip-data?async=false", headers={"X-Forwarded-Prefix": "/hub"}).json
    assert job["status_url"] == ("/hub" if proxies else "") + f"/api/analytics/jobs/{job['job_id']}"
