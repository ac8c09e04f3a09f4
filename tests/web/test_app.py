"""The application around the routes: who may ask, from where, with which headers; and mounted in another one."""

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


@pytest.mark.parametrize("path", ROUTES)
def test_nothing_is_told_without_a_token(nobody, path):
    answer = nobody.get(path, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["error"] == "UnauthorizedError"
    nobody.get(path, 401, headers={"Authorization": "Bearer wrong-0123456789abcdef"})


def test_nothing_is_done_without_a_token(nobody, tmp_path):
    nobody.post("/mine/zip-data", 401, body=b"PK")
    nobody.post("/jobs/x/retry", 401)
    nobody.delete("/jobs/x", 401)
    assert not (tmp_path / "home").exists()


def test_a_token_in_the_address_is_none(nobody):
    nobody.get(f"/jobs?token={TOKENS['ann']}", 401)


def test_liveness_and_the_description_are_open(nobody):
    assert nobody.get("/health/live").json == {"live": True}
    assert nobody.get("/openapi.json").json["openapi"] == "3.1.0"
    assert nobody.get("/docs").mimetype == "text/html"


def test_a_server_without_a_token_has_to_be_asked_for(settings):
    with pytest.raises(SettingsError, match="needs a token"):
        create_app(settings(token=None))


class TestWithoutTokens:
    @pytest.fixture
    def open_one(self, settings):
        app = create_app(settings(token=None, require_token=False))
        yield ApiClient(app)
        app.extensions[APP_NAME].close()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "127.1.2.3", "[::1]", "[::1]:8765"])
    def test_who_is_on_this_machine_may_ask(self, open_one, host):
        assert open_one.get("/jobs", headers={"Host": host}).json["jobs"] == []

    @pytest.mark.parametrize(
        "host",
        ["evil.example.org", "127.0.0.1.example.org:8765", "[::2]:8765", "10.0.0.1", "local host", ""],
    )
    def test_a_name_that_leads_here_is_refused(self, open_one, host):
        open_one.get("/jobs", 400, headers={"Host": host})
        open_one.get("/openapi.json", 400, headers={"Host": host})

    def test_a_page_of_another_origin_is_refused(self, open_one):
        open_one.post("/jobs/x/retry", 403, headers={"Origin": "https://evil.example.org"})
        open_one.get("/ok/zip-data", 403, headers={"Sec-Fetch-Site": "cross-site"})
        open_one.post("/jobs/x/retry", 404, headers={"Origin": "http://localhost"})


class TestOrigins:
    def test_none_is_let_in_by_default(self, ann):
        answer = ann.get("/jobs", headers={"Origin": LAB})
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_one_that_is_configured(self, client_of_server):
        there = client_of_server(origins=LAB)
        asked = {"Origin": LAB, "Access-Control-Request-Method": "DELETE"}
        asked["Access-Control-Request-Headers"] = "authorization"
        there.name = None
        answer = there.request("OPTIONS", "/jobs/x", 200, headers=asked)
        assert answer.headers["Access-Control-Allow-Origin"] == LAB
        assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
        answer = there.get("/jobs", 401, headers={"Origin": LAB})
        assert answer.headers["Access-Control-Allow-Origin"] == LAB, "a page can read why"
        other = there.get("/jobs", 401, headers={"Origin": f"{LAB}.evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize("path", ["/jobs", "/nonesuch", "/docs", "/jobs/nonesuch", "/health/live"])
def test_every_answer_has_the_headers_that_protect(ann, path):
    headers = ann.request("GET", path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


def test_an_unknown_route_and_method_are_json(ann):
    assert set(ann.get("/nonesuch", 404).json) == {"error", "message", "hint"}
    answer = ann.request("PUT", "/jobs", 405)
    assert set(answer.json) == {"error", "message", "hint"}
    assert "GET" in answer.headers["Allow"]


def test_what_should_not_happen_tells_nothing(ann, monkeypatch, caplog):
    ann.get("/jobs")

    def fail(status=None):
        raise RuntimeError("secret /srv/data")

    monkeypatch.setattr(ann.backend, "list", fail)
    answer = ann.get("/jobs", 500)
    assert answer.json["error"] == "InternalError"
    assert "secret" not in answer.get_data(as_text=True)
    assert "secret" in caplog.text, "but it is in the log"


def test_a_queue_that_is_away_is_503(settings):
    app = create_app(settings(backend="redis", redis_url="redis://127.0.0.1:1/0"))
    ann = ApiClient(app, "ann")
    health = ann.get("/health", 503).json
    assert (health["status"], health["ready"], health["live"]) == ("down", False, True)
    answer = ann.get("/ok/zip-data", 503)
    assert answer.json["error"] == "BrokerUnavailableError"
    assert answer.headers["Retry-After"].isdecimal()
    assert "127.0.0.1" not in answer.get_data(as_text=True)


def test_a_store_that_can_not_be_written_is_503(client_of_server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    there = client_of_server(store=str(tmp_path / "file" / "store"))
    answer = there.post("/mine/zip-data", 503, body=b"PK\x03\x04")
    assert answer.json["error"] == "StoreError"
    assert str(tmp_path) not in answer.get_data(as_text=True)
    health = there.get("/health", 503).json
    assert (health["status"], health["ready"]) == ("down", False)
    assert str(tmp_path) not in str(health)


def test_health_without_a_queue_is_degraded_and_ready(ann):
    health = ann.get("/health").json
    assert (health["status"], health["ready"], health["backend"]) == ("degraded", True, "local")
    assert "queue" in health["reason"]
    assert health["store"] == {"writable": True}


def test_it_is_mounted_in_another_application(settings):
    service = Service(settings())
    app = flask.Flask("platform")

    @app.get("/lab/<page>")
    def page(page):
        return page

    app.register_blueprint(create_blueprint(service), url_prefix="/lab/metrics")
    ask = app.test_client()
    known = {"Authorization": f"Bearer {TOKENS['ann']}"}
    assert ask.get("/lab/intro").get_data() == b"intro"
    job = ask.get("/lab/metrics/ok/zip-data?async=false", headers=known).json
    assert job["status_url"] == f"/lab/metrics/jobs/{job['job_id']}"
    assert ask.get(job["result_url"], headers=known).status_code == 200
    assert ask.get("/lab/metrics/jobs?limit=x", headers=known).json["parameter"] == "limit"
    assert ask.get("/lab/metrics/jobs/x", headers=known).json["error"] == "JobNotFoundError"
    assert ask.get("/lab/metrics/openapi.json").json["servers"] == [{"url": "/lab/metrics"}]
    assert "Content-Security-Policy" not in ask.get("/lab/intro").headers, "the platform's pages are its own"
    service.close()


@pytest.mark.parametrize(
    ("method", "path", "who", "code"),
    [
        ("GET", "/jobs", None, 401),
        ("GET", "/jobs/x", "ann", 404),
        ("GET", "/static/x", None, 404),
        ("POST", "/s/zip-data", "ann", 415),
        ("GET", "/jobs?limit=x", "ann", 422),
        ("GET", "/studies", "ann", 500),
    ],
)
def test_errors_are_told_alike_in_another_application(settings, monkeypatch, method, path, who, code):
    service = Service(settings())
    monkeypatch.setattr(Service, "studies", property(lambda service: 1 / 0))
    app = flask.Flask("platform")
    for each in (401, 404, 415, 422, 500, HTTPException, Exception):
        app.register_error_handler(each, lambda error: ("the platform's", 418))
    app.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    known = {} if who is None else {"Authorization": f"Bearer {TOKENS[who]}"}
    answer = app.test_client().open(f"{URL_PREFIX}{path}", method=method, headers=known)
    assert answer.status_code == code
    assert answer.json["error"]
    assert app.test_client().get("/elsewhere").status_code == 418
    service.close()


def test_what_another_application_takes_at_most_is_not_for_studies(settings, data):
    service = Service(settings())
    app = flask.Flask("platform")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    app.register_blueprint(create_blueprint(service), url_prefix=URL_PREFIX)
    known = {"Authorization": f"Bearer {TOKENS['ann']}", "Content-Type": "application/zip"}
    study = (data / "ok.zip").read_bytes()
    for place, code in (("mine/zip-data", 202), (f"uploads/{'0' * 64}", 201)):
        assert app.test_client().post(f"{URL_PREFIX}/{place}", data=study, headers=known).status_code == code
    service.close()


@pytest.mark.parametrize("proxies", [0, 1])
def test_a_prefix_is_taken_from_proxies_that_are_known(client_of_server, proxies):
    there = client_of_server(proxies=proxies)
    job = there.get("/ok/zip-data?async=false", headers={"X-Forwarded-Prefix": "/hub"}).json
    assert job["status_url"] == ("/hub" if proxies else "") + f"/api/analytics/jobs/{job['job_id']}"
