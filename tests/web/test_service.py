"""State shared by requests: one client per namespace, with the settings of the server."""

import threading

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.web.service import Service
from tests.web.api_client import TOKENS


def test_each_namespace_has_one_client_with_the_settings_of_the_server(ann, bob, tmp_path):
    for client in (ann, bob, ann):
        client.get("/jobs")
    clients = ann.service._clients
    assert {name: client.settings.namespace for name, client in clients.items()} == {"ann": "ann", "bob": "bob"}
    assert {client.settings.home for client in clients.values()} == {tmp_path / "home"}
    assert {client.settings.token for client in clients.values()} == {None}, "tokens are the server's"


def test_simultaneous_requests_start_one_job(ann):
    ready, job_ids = threading.Barrier(8), []

    def request_study():
        client = ann.client.application.test_client()
        ready.wait()
        response = client.get("/api/analytics/ok/zip-data", headers={"Authorization": f"Bearer {TOKENS['ann']}"})
        job_ids.append(response.json["job_id"])

    threads = [threading.Thread(target=request_study) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(job_ids) == 8
    assert len(set(job_ids)) == 1


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_the_environment_does_not_change_clients(monkeypatch, app, name, request):
    monkeypatch.setenv("ANALYTICS_KIT_NAMESPACE", "else")
    monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "redis")
    assert request.getfixturevalue(name).get("/queue-status").json["backend"] == "local"


def test_a_server_with_another_server_as_backend_is_refused(settings):
    with pytest.raises(SettingsError, match="another server"):
        Service(settings(backend="http", server_url="http://127.0.0.1:9"))
