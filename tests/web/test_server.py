"""The server as a process: it says where it is, keeps the token to itself, and ends when it is told to."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest

from analytics_kit.cli import main
from analytics_kit.client import CODE
from analytics_kit.errors import SettingsError
from analytics_kit.web.server import load_settings
from tests.processes import end, until
from tests.web.small_study import small_zip

TOKEN = "one-0123456789abcdef"
URL_PREFIX = "/api/analytics"
SERVE = "from analytics_kit.cli import main; main()"
WAITING = f"import analytics_kit.client as c; c.PROCESS_STUDY = 'tests.web.waiting_steps.wait'; {SERVE}"


class Served:
    """A running server: its address, its token, what it said."""

    def __init__(self, process, folder):
        self.process, self._folder = process, folder
        found = until(lambda: re.search(r"Serving http://(\S+?):(\d+)/", self.said()), "it says where it is")
        self.host, self.port = found[1], int(found[2])
        made = re.search(r"Token: (\S+)", self.said())
        self.token = made[1] if made else TOKEN
        self.known = {"Authorization": f"Bearer {self.token}"}

    def said(self):
        assert self.process.poll() is None or self.process.returncode == 0, (self._folder / "err").read_text()
        return (self._folder / "err").read_text()

    def logged(self):
        return (self._folder / "out").read_text()

    def ask(self, path, method="GET", body=None, **headers):
        """Status, headers and JSON of an answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        known = self.known | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{URL_PREFIX}{path}", body=body, headers=known)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        told = json.loads(text) if text and answer.headers.get_content_type() == "application/json" else text
        return SimpleNamespace(status=answer.status, headers=answer.headers, json=told)


@pytest.fixture
def serving(tmp_path, data):
    """serving(*words, program=SERVE, **environment) → a Served; it is gone after the test in any case."""
    begun = []

    def begin(*words, program=SERVE, **environment):
        folder = tmp_path / str(len(begun))
        folder.mkdir()
        known = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(tmp_path / "home")}
        arguments = ["serve", "--data", str(data), "--port", "0", *words]
        with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program, *arguments],
                env=os.environ | known | environment, stdout=out, stderr=err, cwd=folder,
            )  # fmt: skip
        begun.append(process)
        return Served(process, folder)

    yield begin
    for process in begun:
        end(process)


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
    begun = server.request("/mine/zip-data", "POST", body, Content_Type="application/zip")
    assert begun.status == 202
    job = server.request("/mine/zip-data?async=false").json
    assert (job["job_id"], job["status"]) == (begun.json["job_id"], "completed")
    assert server.request(job["result_url"].removeprefix(URL_PREFIX)).json["total"] == len(job["result"]["trials"])
    csv = server.request(f"{job['result_url'].removeprefix(URL_PREFIX)}?format=csv")
    assert csv.json.startswith(b"participant,")
    assert server.request("/health").json["status"] == "degraded"


def test_the_sixty_real_studies(serving, shared_data):
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


def test_a_token_is_made_and_said_once_and_kept_out_of_the_log(serving):
    server = serving()
    assert len(server.token) >= 32
    assert server.request("/ok/zip-data?async=false&participant_id=2").status == 200
    assert server.request("/jobs", Authorization="Bearer nonsense-0123456789").status == 401
    assert server.said().count(server.token) == 1
    log = until(lambda: (log := server.logged()).count("\n") == 2 and log, "both requests are logged, in any order")
    assert '"GET /api/analytics/ok/zip-data" 200' in log
    assert '"GET /api/analytics/jobs" 401' in log
    for secret in (server.token, "nonsense", "participant_id"):
        assert secret not in log


def test_a_line_of_the_log_is_a_request_whatever_it_asks_for(serving):
    server = serving()
    assert server.request("/x%0AFAKE%1b%C3%A9").status == 404
    log = until(server.logged, "it is logged")
    assert log.count("\n") == 1
    assert "%0AFAKE%1B" in log


def test_pages_that_look_for_news_do_not_fill_the_log(serving):
    server = serving()
    for path in ("/?part=live", "/?part=live&page=1", "/health/live"):
        assert server.request(path).status == 200
    log = until(server.logged, "it is logged")
    assert [line.split('"')[1] for line in log.splitlines()] == ["GET /api/analytics/health/live"]
    assert server.request("/?part=live", Authorization="Bearer nonsense").status == 401
    until(lambda: '"GET /api/analytics/" 401' in server.logged(), "who is refused is logged")


def test_a_token_that_is_set_is_not_said(serving, tmp_path):
    (tmp_path / "tokens").write_text(f"ann: {TOKEN}\n")
    for server in (serving(ANALYTICS_KIT_TOKEN=TOKEN), serving("--token-file", str(tmp_path / "tokens"))):
        assert TOKEN not in server.said()
        assert server.request("/jobs").status == 200


def test_what_is_refused_is_answered_before_it_has_come(serving):
    server = serving(ANALYTICS_KIT_UPLOAD_LIMIT_GB="0.001")
    large = "500000000000"
    for headers, status in (({}, 413), ({"Authorization": "Bearer nonsense"}, 401), ({"Content-Type": "a/b"}, 415)):
        with socket.create_connection((server.host, server.port), timeout=30) as wire:
            known = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/zip"} | headers
            lines = [f"POST {URL_PREFIX}/mine/zip-data HTTP/1.1", "Host: x", f"Content-Length: {large}"]
            lines += [f"{name}: {value}" for name, value in known.items()]
            wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + b"PK\x03\x04")
            assert wire.recv(100).split()[1] == str(status).encode()


def test_an_upload_that_breaks_off_leaves_nothing(serving, tmp_path):
    server = serving()
    store = tmp_path / "home" / "store"
    with socket.create_connection((server.host, server.port), timeout=30) as wire:
        lines = [f"POST {URL_PREFIX}/mine/zip-data HTTP/1.1", "Host: x", "Content-Type: application/zip"]
        lines += ["Content-Length: 9000000", f"Authorization: Bearer {server.token}"]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + small_zip(seed=7) * 400)
        until(lambda: list(store.glob("uploads/*/*")), "it is written as it comes")
        assert server.request("/studies").json["studies"][0]["study_id"] == "broken"
        assert server.request("/mine/zip-data").status == 404
    until(lambda: not list(store.glob("uploads/*/*")), "nothing of it is left")


def test_who_waits_holds_nobody_up_and_is_answered_when_the_server_ends(serving, many):
    server = serving("--data", str(many), program=WAITING)
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(server.ask, f"/s{number}/zip-data?async=false") for number in range(4)]
        until(lambda: _active(server) == 4, "all have come")
        server.process.send_signal(signal.SIGTERM)
        answers = [answer.result(60) for answer in asked]
    assert [answer.status for answer in answers] == [202] * 4
    assert {answer.json["status"] for answer in answers} <= {"queued", "running"}
    assert server.process.wait(30) == 0


def _active(server):
    status = server.request("/queue-status").json
    return status["queued"] + status["running"]


def test_many_who_poll_many_jobs_are_all_answered(serving, many):
    server = serving("--data", str(many), program=WAITING)
    begun = [server.request(f"/s{number}/zip-data") for number in range(100)]
    assert {answer.status for answer in begun} == {202}, [answer.json for answer in begun if answer.status != 202]
    jobs = [answer.json["job_id"] for answer in begun]
    assert len(set(jobs)) == 100

    def poll(first):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        told = []
        for number in range(first, first + 25):
            connection.request("GET", f"{URL_PREFIX}/jobs/{jobs[number % 100]}", headers=server.known)
            answer = connection.getresponse()
            told.append((answer.status, json.loads(answer.read())["job_id"] == jobs[number % 100]))
        connection.close()
        return told

    with ThreadPoolExecutor(64) as clients:
        answers = [answer for told in clients.map(poll, range(64)) for answer in told]
    assert answers == [(200, True)] * 64 * 25


def test_a_job_outlives_the_server_that_began_it(serving, redis_url, workers, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "s.zip").write_bytes(small_zip(seed=7))
    words = ["--data", str(folder)]
    known = {
        "ANALYTICS_KIT_BACKEND": "redis",
        "REDIS_URL": redis_url,
        "ANALYTICS_KIT_TOKEN": f"web: {TOKEN}\nelse: {TOKEN}2",
    }
    with workers(redis_url, CODE, ANALYTICS_KIT_HOME=str(tmp_path / "home")):
        first = serving(*words, program=WAITING, **known)
        job_id = first.request("/s/zip-data").json["job_id"]
        until(lambda: first.request(f"/jobs/{job_id}").json["status"] == "running", "it runs")
        first.process.kill()
        second = serving(*words, program=WAITING, **known)
        assert second.request(f"/jobs/{job_id}").json["status"] == "running"
        assert second.request("/s/zip-data").json["job_id"] == job_id
        (folder / "s.zip.gate").touch()
        job = second.request("/s/zip-data?async=false").json
        assert (job["job_id"], job["status"]) == (job_id, "completed")
        assert second.request("/health").json["status"] == "ok"
        other = f"Bearer {TOKEN}2"
        assert second.request("/jobs", Authorization=other).json["jobs"] == []
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/result"):
            assert second.request(path, Authorization=other).status == 404, "it is of another namespace"


def test_it_ends_on_ctrl_c(serving):
    server = serving()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0


def test_the_process_that_serves_ends_with_the_one_that_was_started(serving):
    server = serving()
    (child,) = until(psutil.Process(server.process.pid).children, "one serves")
    server.process.kill()
    server.process.wait()
    child.wait(30)


def test_a_prefix_is_taken_from_a_proxy_that_is_known(serving):
    server = serving(ANALYTICS_KIT_PROXIES="1")
    answer = server.request("/ok/zip-data", X_Forwarded_Prefix="/hub", X_Forwarded_For="198.51.100.7")
    assert answer.json["status_url"].startswith("/hub/api/analytics/jobs/")
    assert answer.headers["Location"].startswith("../jobs/")


def test_others_can_not_choose_the_prefix(serving):
    server = serving()
    server.known |= {"SCRIPT_NAME": "/evil", "X-Forwarded-Prefix": "/evil"}
    assert server.request("/ok/zip-data").json["status_url"].startswith("/api/analytics/jobs/")


class TestConfigured:
    @pytest.fixture(autouse=True)
    def _nothing_is_set(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("ANALYTICS_KIT_")]:
            monkeypatch.delenv(name)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "lab.example.org"])  # noqa: S104
    def test_an_address_of_the_network_needs_a_token(self, host):
        with pytest.raises(SettingsError, match="without a token"):
            load_settings(None, None, True, host)
        assert load_settings(None, None, False, host)[1], "one is made"

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_this_machine_does_not_where_that_is_asked_for(self, host):
        settings, made = load_settings(None, None, True, host)
        assert (settings.require_token, made) == (False, False)

    def test_a_token_of_the_environment_is_taken(self, monkeypatch):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKEN)
        settings, made = load_settings(None, None, False, "127.0.0.1")
        assert (settings.token.get_secret_value(), made) == (TOKEN, False)

    def test_a_file_of_tokens_comes_before_it(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKEN)
        (tmp_path / "tokens").write_text(f"ann: {TOKEN[::-1]}")
        settings, _ = load_settings(None, tmp_path / "tokens", False, "127.0.0.1")
        assert settings.token.get_secret_value() == f"ann: {TOKEN[::-1]}"

    def test_data_of_the_environment_is_taken(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_DATA", str(tmp_path))
        assert load_settings(None, None, False, "127.0.0.1")[0].data == str(tmp_path)
        with pytest.raises(SettingsError, match="no folder"):
            load_settings(str(tmp_path / "nowhere"), None, False, "127.0.0.1")

    def test_a_file_that_can_not_be_read_is_named(self, tmp_path):
        with pytest.raises(SettingsError, match="nowhere"):
            load_settings(None, tmp_path / "nowhere", False, "127.0.0.1")

    @pytest.mark.parametrize(
        "words",
        [["--host", "0.0.0.0", "--no-token"], ["--data", "nowhere"], ["--token-file", "nowhere"]],  # noqa: S104
    )
    def test_the_command_line_says_it(self, words, capsys):
        with pytest.raises(SystemExit) as left:
            main(["serve", *words])
        assert left.value.code == 2
        assert "Hint" in capsys.readouterr().err

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "analytics_kit.web.server", None)
        monkeypatch.delattr("analytics_kit.web.server", raising=False)
        with pytest.raises(SystemExit):
            main(["serve"])
        assert "analytics_kit[server]" in capsys.readouterr().err
