"""Health and queue status over HTTP: what works, what does not, and no address or path in either."""

from analytics_kit.web.app import create_app
from tests.web.api_client import ApiClient


def test_health_without_a_queue_is_degraded_and_ready(ann):
    health = ann.get("/health").json
    assert (health["status"], health["ready"], health["backend"]) == ("degraded", True, "local")
    assert "queue" in health["reason"]
    assert health["store"] == {"writable": True}


def test_an_unreachable_queue_is_503(settings):
    ann = ApiClient(create_app(settings(backend="redis", redis_url="redis://127.0.0.1:1/0")), "ann")
    health = ann.get("/health", 503).json
    assert (health["status"], health["ready"], health["live"]) == ("down", False, True)
    response = ann.get("/ok/zip-data", 503)
    assert response.json["error"] == "BrokerUnavailableError"
    assert response.headers["Retry-After"].isdecimal()
    assert "127.0.0.1" not in response.get_data(as_text=True)


def test_a_store_that_can_not_be_written_is_503(client_of_server, tmp_path):
    (tmp_path / "file").write_text("in place of a folder")
    ann = client_of_server(store=str(tmp_path / "file" / "store"))
    response = ann.post("/mine/zip-data", 503, body=b"PK\x03\x04")
    assert response.json["error"] == "StoreError"
    assert str(tmp_path) not in response.get_data(as_text=True)
    health = ann.get("/health", 503).json
    assert (health["status"], health["ready"]) == ("down", False)
    assert str(tmp_path) not in str(health)


def test_queue_status_has_the_capabilities_of_the_backend(ann):
    status = ann.get("/queue-status").json
    assert (status["survives_process"], status["kills_running"]) == (False, False)
