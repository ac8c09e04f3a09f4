"""The server as a process: its address and token on stderr, its access log, its end."""

import http.client
import json
import os
import signal
import socket
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from analytics_kit.cli import main
from analytics_kit.errors import SettingsError
from analytics_kit.web.server import load_settings
from tests.processes import until
from tests.web.running_server import API, SERVE, TOKEN, running_servers
from tests.web.small_study import small_zip

STEPS = "tests.web.waiting_steps"
WAITING = f"import analytics_kit.client as c; c.WORKER_TASKS = {STEPS!r}; c.PROCESS_STUDY = '{STEPS}.wait'; {SERVE}"


@pytest.fixture
def serving(tmp_path, data):
    """serving(*words, program=SERVE, **environment) → a RunningServer, ended after the test."""
    with running_servers(tmp_path, data) as start:
        yield start


@pytest.fixture
def many(tmp_path):
    """A folder with 100 studies, `s0` and so on."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        with zipfile.ZipFile(folder / f"s{number}.zip", "w") as archive:
            archive.writestr("1_participant_session/A_B_trial_1/Keyboard Inputs.csv", f"{number}")
    return folder


def test_a_study_is_uploaded_processed_and_read(serving):
    server = serving()
    body = small_zip(seed=7)
    accepted = server.request("/mine/zip-data", "POST", body, Content_Type="application/zip")
    assert accepted.status == 202
    job = server.request("/mine/zip-data?async=false").json
    assert (job["job_id"], job["status"]) == (accepted.json["job_id"], "completed")
    assert server.request(job["result_url"].removeprefix(API)).json["total"] == len(job["result"]["trials"])
    csv = server.request(f"{job['result_url'].removeprefix(API)}?format=csv")
    assert csv.json.startswith(b"participant,")
    assert server.request("/health").json["status"] == "degraded"


def test_sixty_real_studies_are_processed(serving, shared_data):
    server = serving("--data", str(shared_data / "kh2017_fulcrum" / "zips"))
    names = [study["study_id"] for study in server.request("/studies").json["studies"]]
    assert len(names) == 60
    jobs = [server.request(f"/{name}/zip-data").json["job_id"] for name in names]
    until(lambda: _active(server) == 0, "all are done")
    assert server.request("/queue-status").json["completed"] == 60
    for name, job_id in zip(names, jobs, strict=True):
        job = server.request(f"/{name}/zip-data?job_id={job_id}").json
        assert (job["status"], len(job["result"]["trials"])) == ("completed", 19), name
    assert server.request("/health").json["ready"]


def test_a_generated_token_is_printed_once_and_not_logged(serving):
    server = serving()
    assert len(server.token) >= 32
    assert server.request("/ok/zip-data?async=false&participant_id=2").status == 200
    assert server.request("/jobs", Authorization="Bearer nonsense-0123456789").status == 401
    assert server.stderr_text().count(server.token) == 1
    log = until(
        lambda: (log := server.access_log()).count("\n") == 2 and log, "both requests are logged, in any order"
    )
    assert '"GET /api/analytics/ok/zip-data" 200' in log
    assert '"GET /api/analytics/jobs" 401' in log
    for secret in (server.token, "nonsense", "participant_id"):
        assert secret not in log


def test_a_request_is_one_line_of_the_log_whatever_its_path(serving):
    server = serving()
    assert server.request("/x%0AFAKE%1b%C3%A9").status == 404
    log = until(server.access_log, "it is logged")
    assert log.count("\n") == 1
    assert "%0AFAKE%1B" in log


def test_successful_polls_of_the_page_are_not_logged(serving):
    server = serving()
    for path in ("/?part=live", "/?part=live&page=1", "/health/live"):
        assert server.request(path).status == 200
    log = until(server.access_log, "it is logged")
    assert [line.split('"')[1] for line in log.splitlines()] == ["GET /api/analytics/health/live"]
    assert server.request("/?part=live", Authorization="Bearer nonsense").status == 401
    until(lambda: '"GET /api/analytics/" 401' in server.access_log(), "a refused poll is logged")


def test_a_configured_token_is_not_printed(serving, tmp_path):
    (tmp_path / "tokens").write_text(f"ann: {TOKEN}\n")
    for server in (serving(ANALYTICS_KIT_TOKEN=TOKEN), serving("--token-file", str(tmp_path / "tokens"))):
        assert TOKEN not in server.stderr_text()
        assert server.request("/jobs").status == 200


def test_a_refused_upload_is_answered_before_its_body_is_sent(serving):
    server = serving(ANALYTICS_KIT_UPLOAD_LIMIT_GB="0.001")
    large = "500000000000"
    for headers, status in (({}, 413), ({"Authorization": "Bearer nonsense"}, 401), ({"Content-Type": "a/b"}, 415)):
        with socket.create_connection((server.host, server.port), timeout=30) as wire:
            all_headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/zip"} | headers
            lines = [f"POST {API}/mine/zip-data HTTP/1.1", "Host: x", f"Content-Length: {large}"]
            lines += [f"{name}: {value}" for name, value in all_headers.items()]
            wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + b"PK\x03\x04")
            assert wire.recv(100).split()[1] == str(status).encode()


def test_an_upload_that_breaks_off_leaves_nothing_in_the_store(serving, tmp_path):
    server = serving()
    store = tmp_path / "home" / "store"
    with socket.create_connection((server.host, server.port), timeout=30) as wire:
        lines = [f"POST {API}/mine/zip-data HTTP/1.1", "Host: x", "Content-Type: application/zip"]
        lines += ["Content-Length: 9000000", f"Authorization: Bearer {server.token}"]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + small_zip(seed=7) * 400)
        until(lambda: list(store.glob("uploads/*/*")), "it is written while it is received")
        assert server.request("/studies").json["studies"][0]["study_id"] == "broken"
        assert server.request("/mine/zip-data").status == 404
    until(lambda: not list(store.glob("uploads/*/*")), "nothing of it is left")


def test_an_upload_of_a_server_that_was_killed_is_removed_by_the_next_one(serving, tmp_path):
    server = serving(ANALYTICS_KIT_TOKEN=TOKEN)
    uploads = tmp_path / "home" / "store" / "uploads"
    with socket.create_connection((server.host, server.port), timeout=30) as wire:
        lines = [f"POST {API}/mine/zip-data HTTP/1.1", "Host: x", "Content-Type: application/zip"]
        lines += ["Content-Length: 9000000", f"Authorization: Bearer {TOKEN}"]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + small_zip(seed=7) * 400)
        until(lambda: list(uploads.glob("*/*")), "it is written while it is received")
        for process in (server.process, *psutil.Process(server.process.pid).children()):
            process.kill()
    assert list(uploads.glob("*/*"))
    at_once = f"import analytics_kit.study.store.retention as r; r.UNFINISHED_S = 0; {SERVE}"
    serving(program=at_once, ANALYTICS_KIT_TOKEN=TOKEN)
    until(lambda: not list(uploads.glob("*/*")), "nothing of it is left")


def test_waiting_requests_block_no_others_and_are_answered_when_the_server_stops(serving, many):
    server = serving("--data", str(many), program=WAITING)
    with ThreadPoolExecutor(4) as clients:
        requests = [clients.submit(server.request, f"/s{number}/zip-data?async=false") for number in range(4)]
        until(lambda: _active(server) == 4, "all jobs are queued")
        server.process.send_signal(signal.SIGTERM)
        responses = [request.result(60) for request in requests]
    assert [response.status for response in responses] == [202] * 4
    assert {response.json["status"] for response in responses} <= {"queued", "running"}
    assert server.process.wait(30) == 0


def _active(server):
    status = server.request("/queue-status").json
    return status["queued"] + status["running"]


def test_many_clients_can_poll_many_jobs(serving, many):
    server = serving("--data", str(many), program=WAITING)
    accepted = [server.request(f"/s{number}/zip-data") for number in range(100)]
    assert {each.status for each in accepted} == {202}, [each.json for each in accepted if each.status != 202]
    jobs = [each.json["job_id"] for each in accepted]
    assert len(set(jobs)) == 100

    def poll(first):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        responses = []
        for number in range(first, first + 25):
            connection.request("GET", f"{API}/jobs/{jobs[number % 100]}", headers=server.headers)
            response = connection.getresponse()
            responses.append((response.status, json.loads(response.read())["job_id"] == jobs[number % 100]))
        connection.close()
        return responses

    with ThreadPoolExecutor(64) as clients:
        polls = [poll for polls in clients.map(poll, range(64)) for poll in polls]
    assert polls == [(200, True)] * 64 * 25


def test_a_job_outlives_the_server_that_submitted_it(serving, redis_url, workers, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "s.zip").write_bytes(small_zip(seed=7))
    words = ["--data", str(folder)]
    environment = {
        "ANALYTICS_KIT_BACKEND": "redis",
        "REDIS_URL": redis_url,
        "ANALYTICS_KIT_TOKEN": f"web: {TOKEN}\nelse: {TOKEN}2",
    }
    with workers(redis_url, STEPS, ANALYTICS_KIT_HOME=str(tmp_path / "home")):
        first = serving(*words, program=WAITING, **environment)
        job_id = first.request("/s/zip-data").json["job_id"]
        until(lambda: first.request(f"/jobs/{job_id}").json["status"] == "running", "it runs")
        first.process.kill()
        second = serving(*words, program=WAITING, **environment)
        assert second.request(f"/jobs/{job_id}").json["status"] == "running"
        assert second.request("/s/zip-data").json["job_id"] == job_id
        (folder / "s.zip.gate").touch()
        job = second.request("/s/zip-data?async=false").json
        assert (job["job_id"], job["status"]) == (job_id, "completed")
        assert second.request("/health").json["status"] == "ok"
        other_token = f"Bearer {TOKEN}2"
        assert second.request("/jobs", Authorization=other_token).json["jobs"] == []
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/result"):
            assert second.request(path, Authorization=other_token).status == 404, "it is of another namespace"


def test_the_server_ends_on_ctrl_c(serving):
    server = serving()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0


def test_the_serving_process_ends_with_its_parent(serving):
    server = serving()
    (child,) = until(psutil.Process(server.process.pid).children, "one serves")
    server.process.kill()
    server.process.wait()
    child.wait(30)


def test_the_prefix_header_of_a_configured_proxy_is_used(serving):
    server = serving(ANALYTICS_KIT_PROXIES="1")
    response = server.request("/ok/zip-data", X_Forwarded_Prefix="/hub", X_Forwarded_For="198.51.100.7")
    assert response.json["status_url"].startswith("/hub/api/analytics/jobs/")
    assert response.headers["Location"].startswith("../jobs/")


def test_the_prefix_header_of_others_is_ignored(serving):
    server = serving()
    server.headers |= {"SCRIPT_NAME": "/evil", "X-Forwarded-Prefix": "/evil"}
    assert server.request("/ok/zip-data").json["status_url"].startswith("/api/analytics/jobs/")


class TestLoadSettings:
    @pytest.fixture(autouse=True)
    def _empty_environment(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("ANALYTICS_KIT_")]:
            monkeypatch.delenv(name)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "lab.example.org"])  # noqa: S104
    def test_a_network_address_needs_a_token(self, host):
        with pytest.raises(SettingsError, match="without a token"):
            load_settings(None, None, True, host)
        assert load_settings(None, None, False, host)[1], "a token is generated"

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_a_loopback_address_can_be_served_without_a_token(self, host):
        settings, is_generated = load_settings(None, None, True, host)
        assert (settings.require_token, is_generated) == (False, False)

    def test_a_token_of_the_environment_is_used(self, monkeypatch):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKEN)
        settings, is_generated = load_settings(None, None, False, "127.0.0.1")
        assert (settings.token.get_secret_value(), is_generated) == (TOKEN, False)

    def test_a_token_file_takes_precedence_over_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKEN)
        (tmp_path / "tokens").write_text(f"ann: {TOKEN[::-1]}")
        settings, _ = load_settings(None, tmp_path / "tokens", False, "127.0.0.1")
        assert settings.token.get_secret_value() == f"ann: {TOKEN[::-1]}"

    def test_a_data_folder_of_the_environment_is_used(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_DATA", str(tmp_path))
        assert load_settings(None, None, False, "127.0.0.1")[0].data == str(tmp_path)
        with pytest.raises(SettingsError, match="no folder"):
            load_settings(str(tmp_path / "nowhere"), None, False, "127.0.0.1")

    def test_an_unreadable_token_file_is_named(self, tmp_path):
        with pytest.raises(SettingsError, match="nowhere"):
            load_settings(None, tmp_path / "nowhere", False, "127.0.0.1")

    @pytest.mark.parametrize(
        "words",
        [["--host", "0.0.0.0", "--no-token"], ["--data", "nowhere"], ["--token-file", "nowhere"]],  # noqa: S104
    )
    def test_the_command_line_reports_invalid_settings(self, words, capsys):
        with pytest.raises(SystemExit) as exit_info:
            main(["serve", *words])
        assert exit_info.value.code == 2
        assert "Hint" in capsys.readouterr().err

    def test_a_missing_extra_is_reported_with_the_command_that_installs_it(self, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "analytics_kit.web.server", None)
        monkeypatch.delattr("analytics_kit.web.server", raising=False)
        with pytest.raises(SystemExit):
            main(["serve"])
        assert "analytics_kit[server]" in capsys.readouterr().err
