"""The client of a server over HTTP: the usual client, with uploads of studies and downloads of results."""

import asyncio
import itertools
import os
import shutil
import threading
import warnings
import zipfile
from contextlib import contextmanager
from html import escape

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.backends.http import upload_queue
from analytics_kit.cli import main
from analytics_kit.model import JobStatus
from analytics_kit.notebook.upload_receiver import UploadReceiver
from tests.api_server import SERVE, TOKENS, ApiServer
from tests.processes import until

LIMIT_S = 60
STEPS = "tests.web.waiting_steps"
WAITING = f"import analytics_kit.client as c; c.WORKER_TASKS = {STEPS!r}; c.PROCESS_STUDY = '{STEPS}.wait'; {SERVE}"
_seeds = itertools.count(1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with the study `ok`, and jobs inside it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "data").mkdir()
    ak.sample_study(folder / "data" / "ok.zip", participants=1, trials=1)
    with ApiServer(folder) as running:
        yield running


@pytest.fixture
def connect(server, tmp_path):
    """connect("ann") → a client with her token."""
    clients = []

    def make(name="ann"):
        clients.append(ak.connect(server.url, token=TOKENS[name], home=tmp_path / "mine"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def study(tmp_path):
    """study(name) → a new ZIP, whose content differs from all others."""
    return lambda name="mine.zip": ak.sample_study(tmp_path / name, participants=2, trials=1, seed=next(_seeds))


@contextmanager
def held_upload(monkeypatch):
    """Hold uploads after their first bytes until the yielded event is set."""
    go, halted, read = threading.Event(), threading.Event(), upload_queue._ProgressStream.read

    def read_when_released(stream, size):
        if stream._sent_bytes:
            halted.set()
            while not go.wait(0.02):
                stream._context.report(ak.Progress("uploading", stream._sent_bytes, stream._size_bytes))
        return read(stream, min(size, 1000))

    monkeypatch.setattr(upload_queue._ProgressStream, "read", read_when_released)
    go.halted = halted
    try:
        yield go
    finally:
        go.set()


class TestConnect:
    def test_repr_names_the_server_and_never_the_token(self, client, server):
        assert repr(client) == f"<Client: http, server {server.url}>"
        for shown in (client, client.settings, client.backend, vars(client.backend)):
            assert TOKENS["ann"] not in repr(shown)

    def test_without_token_uses_the_one_of_the_environment(self, server, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKENS["bob"])
        with ak.connect(server.url, home=tmp_path) as client:
            assert client.jobs().empty

    def test_server_named_by_the_settings_is_used(self, server, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_TOKEN", TOKENS["ann"])
        monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "http")
        monkeypatch.setenv("ANALYTICS_KIT_SERVER_URL", server.url)
        with ak.Client(home=tmp_path) as client:
            assert client.queue_status()["backend"] == "http"

    @pytest.mark.parametrize("token", [None, "wrong-0123456789abcdef"])
    def test_wrong_token_raises_and_no_other_backend_is_used(self, server, tmp_path, token, monkeypatch):
        monkeypatch.delenv("ANALYTICS_KIT_TOKEN", raising=False)
        with pytest.raises(ak.BrokerUnavailableError, match="refuses the token") as caught:
            ak.connect(server.url, token=token, home=tmp_path)
        assert str(token) not in str(caught.value)

    def test_unreachable_server_raises(self, tmp_path):
        with pytest.raises(ak.BrokerUnavailableError, match="connection refused"):
            ak.connect("http://127.0.0.1:9", token=TOKENS["ann"], home=tmp_path)

    def test_health_and_queue_status_are_those_of_the_server(self, client, server):
        health, counts = client.health(), client.queue_status()
        assert (health["status"], health["backend"], health["behind"]) == ("degraded", "http", "local")
        assert health["server"] == server.url
        assert (counts["backend"], counts["behind"], counts["workers"]) == ("http", "local", 1)


class TestSubmit:
    def test_local_zip_is_uploaded_and_gives_the_result_of_local_processing(self, client, study, tmp_path):
        path = study("Ünï #1.zip")
        job = client.submit(path, tags=["a"], keys="full")
        result, local = job.result(LIMIT_S), ak.process(path, keys="full")
        assert (job.status, job.backend, job.info().source, job.info().tags) == (
            "completed", "http", "Ünï _1.zip", ("a",),
        )  # fmt: skip
        for table in ("trials", "issues", "members", "surveys", "participants", "digraphs"):
            pd.testing.assert_frame_equal(getattr(result, table), getattr(local, table))
        for kind in ("mouse_movement", "keyboard"):
            pd.testing.assert_frame_equal(
                result.events(kind, participant="2", columns=["t_s"]),
                local.events(kind, participant="2", columns="t_s"),
            )
        assert result.summary == local.summary
        assert result.provenance["options"]["keys"] == "full"
        pd.testing.assert_frame_equal(result.describe("task"), local.describe("task"))
        pd.testing.assert_frame_equal(result.quality(), local.quality())
        kept = ak.load(result.save(tmp_path / "kept"))
        pd.testing.assert_frame_equal(kept.events("mouse_clicks"), local.events("mouse_clicks"))
        assert not (tmp_path / "mine").exists(), "nothing is stored on this machine"

    def test_result_downloads_only_the_files_that_are_read(self, client, study, server):
        result = client.submit(study()).result(LIMIT_S)
        before = server.log_text().count("/result/file")
        result.summary  # noqa: B018
        assert server.log_text().count("/result/file") == before
        result.events("keyboard", participant="1")
        until(lambda: server.log_text().count("/result/file") == before + 2, "trials and one part are fetched")

    def test_returns_before_the_upload_and_the_job_reports_its_progress(self, client, study, monkeypatch):
        with held_upload(monkeypatch) as go:
            job = client.submit(study())
            assert go.halted.wait(LIMIT_S)
            info = until(lambda: (info := job.info()).progress.phase == "uploading" and info, "it reports the upload")
            assert info.status is JobStatus.QUEUED
            assert 0 < info.progress.fraction < 0.5
            assert client.jobs()["job_id"].tolist()[0] == job.id
            assert "uploading" in repr(job)
            seen = []
            go.set()
            for info in job.follow(LIMIT_S):
                seen.append(info.progress.fraction)
        assert job.status == "completed"
        assert seen == sorted(seen)
        assert seen[-1] == 1

    def test_content_that_the_server_has_is_not_uploaded_again(self, client, connect, study, server):
        path = study()
        job = client.submit(path)
        job.wait(LIMIT_S)
        uploads = server.log_text().count("/uploads/")
        assert client.submit(shutil.copy(path, path.with_name("copy.zip")), tags="again") == job
        assert connect().submit(path, keys="full").result(LIMIT_S).trials.shape[0] == 8
        assert server.log_text().count("/uploads/") == uploads
        assert client.get_job(job.id).info().tags == ("again",)

    def test_same_request_during_the_upload_joins_its_job(self, client, study, monkeypatch):
        path = study()
        with held_upload(monkeypatch) as go:
            first, second = client.submit(path, tags="a"), client.submit(path, tags="b")
            assert first == second
            assert client.submit(path, keys="full") != first
            assert client.submit(path, time_limit_s=50) != first
            go.set()
            assert first.wait(LIMIT_S)
        assert client.get_job(first.id).info().tags == ("a", "b")

    def test_simultaneous_uploads_of_two_clients_are_two_jobs(self, client, connect, study, monkeypatch):
        path = study()
        with held_upload(monkeypatch) as go:
            jobs = [client.submit(path), connect().submit(path)]
            assert go.halted.wait(LIMIT_S)
            go.set()
            assert [result.summary["trials"] for result in client.gather(*jobs)] == [8, 8]
        assert jobs[0] != jobs[1]
        assert {job.id for job in jobs} <= {*client.jobs()["job_id"]}

    def test_study_of_the_server_needs_no_upload(self, client, server):
        uploads = server.log_text().count("/uploads/")
        assert client.submit("study:ok").result(LIMIT_S).summary["participants"] == 1
        assert server.log_text().count("/uploads/") == uploads
        with pytest.raises(ak.SourceNotFoundError, match="nonesuch"):
            client.submit("study:nonesuch")

    def test_join_returns_the_last_job_even_if_it_failed(self, client):
        job = client.submit("study:ok", tasks="Nonesuch")
        assert isinstance(job.exception(LIMIT_S), ak.AnalyticsKitError)
        assert client.join("study:ok", tasks="Nonesuch") == job
        assert client.submit("study:ok", tasks="Nonesuch") != job

    def test_folder_or_csv_raises_with_the_advice_to_zip_it(self, client, tmp_path):
        (tmp_path / "x.csv").write_text("Time,running_time,keys\n")
        for source in (tmp_path, tmp_path / "x.csv"):
            with pytest.raises(ak.SettingsError, match="Only a ZIP") as caught:
                client.submit(source)
            assert "Zip" in caught.value.hint
        with pytest.raises(ak.SourceNotFoundError):
            client.submit(tmp_path / "nowhere.zip")

    def test_unknown_option_or_impossible_limit_raises_at_once(self, client, study):
        with pytest.raises(ak.SettingsError, match="Did you mean 'idle_gap_s'"):
            client.submit(study(), idle_gap=1)
        with pytest.raises(ak.SettingsError, match="can't be killed"):
            client.submit(study(), memory_limit_mb=100)

    def test_time_limit_is_enforced_by_the_server(self, client, study):
        job = client.submit(study(), time_limit_s=1e-3)
        assert isinstance(job.exception(LIMIT_S), ak.JobTimeoutError)


class TestUploadsThatFail:
    def test_file_that_is_no_zip_is_a_job_that_fails(self, client, tmp_path):
        (tmp_path / "bad.zip").write_bytes(b"nothing of a ZIP" * 100)
        job = client.submit(tmp_path / "bad.zip")
        with pytest.raises(ak.BadArchiveError, match="not a ZIP"):
            job.result(LIMIT_S)
        assert "BadArchiveError" in job.log()
        job.delete()
        with pytest.raises(ak.JobNotFoundError):
            client.get_job(job.id)

    def test_truncated_zip_is_a_job_that_fails(self, client, study):
        path = study()
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ak.BadArchiveError, match="not a readable ZIP"):
            client.submit(path).result(LIMIT_S)

    def test_zip_above_the_servers_limit_is_a_job_that_fails(self, tmp_path, study):
        with ApiServer(tmp_path / "server", ANALYTICS_KIT_UPLOAD_LIMIT_GB="1e-6") as server:
            client = ak.connect(server.url, token=TOKENS["ann"], home=tmp_path / "mine")
            error = client.submit(study()).exception(LIMIT_S)
            client.close()
        assert isinstance(error, ak.SettingsError)
        assert "At most 1e-06 GB" in error.message

    def test_file_removed_before_its_upload_is_a_job_that_fails(self, client, study, monkeypatch):
        with held_upload(monkeypatch) as go:
            first, path = client.submit(study("first.zip")), study("second.zip")
            second = client.submit(path)
            path.unlink()
            go.set()
            assert isinstance(second.exception(LIMIT_S), ak.SourceNotFoundError)
            assert first.wait(LIMIT_S)

    def test_file_changed_during_its_upload_is_a_job_that_fails(self, client, study, monkeypatch):
        with held_upload(monkeypatch) as go:
            path = study()
            job = client.submit(path)
            assert go.halted.wait(LIMIT_S)
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            size = path.stat().st_size
            with path.open("r+b") as file:  # the name of a file, in the ZIP's directory
                file.seek(path.read_bytes().rindex(names[-1].encode()))
                file.write(b"9")
            assert path.stat().st_size == size
            go.set()
            with pytest.raises(ak.BadArchiveError, match="changed while it was uploaded"):
                job.result(LIMIT_S)

    def test_cancel_aborts_the_upload_and_retry_starts_it_again(self, client, study, server, monkeypatch):
        with held_upload(monkeypatch) as go:
            store = server.folder / "home" / "store"
            copies = len(list(store.glob("uploads/*/*")))
            job = client.submit(study(), tags="x")
            assert go.halted.wait(LIMIT_S)
            assert job.cancel()
            assert job.status == "cancelled"
            with pytest.raises(ak.JobCancelledError):
                job.result(LIMIT_S)
            until(
                lambda: len(list(store.glob("uploads/*/*"))) == copies,
                "the server has removed the part that it received",
            )
            again = job.retry()
            assert again != job
            go.set()
            assert again.result(LIMIT_S).summary["participants"] == 2
        assert again.info().tags == ("x",)
        assert job.status == "cancelled"


class TestJobs:
    def test_can_be_waited_for_in_every_way(self, client, study):
        jobs = [client.submit(study(f"{n}.zip")) for n in range(2)]
        ended = threading.Event()
        jobs[0].add_done_callback(lambda job: ended.set())
        assert {job.id for job in client.as_completed(jobs, LIMIT_S)} == {job.id for job in jobs}
        assert ended.wait(LIMIT_S)
        assert [result.summary["trials"] for result in client.gather(*jobs)] == [8, 8]

        async def awaited():
            return await jobs[1]

        assert asyncio.run(awaited()).summary["trials"] == 8

    def test_of_another_namespace_are_invisible(self, client, connect, study, server):
        path = study()
        job = client.submit(path)
        result = job.result(LIMIT_S)
        bob = connect("bob")
        with pytest.raises(ak.JobNotFoundError):
            bob.get_job(job.id)
        assert job.id not in bob.jobs()["job_id"].tolist()
        uploads = server.log_text().count("/uploads/")
        theirs = bob.submit(path)
        assert theirs.result(LIMIT_S).trials.equals(result.trials)
        assert theirs != job
        count = server.log_text().count("/uploads/")
        assert count == uploads + 1, "nobody learns that another namespace has the content"

    def test_delete_removes_result_and_uploaded_copy_on_the_server(self, client, study, server):
        job = client.submit(study())
        result = job.result(LIMIT_S)
        copies = len(list((server.folder / "home" / "store").glob("uploads/*/*")))
        job.delete()
        assert len(list((server.folder / "home" / "store").glob("uploads/*/*"))) == copies - 1
        with pytest.raises(ak.JobNotFoundError):
            client.get_job(job.id)
        with pytest.raises(ak.JobNotFoundError):
            result.events("keyboard")

    def test_with_expired_result_raise_and_are_not_joined(self, client, study, server):
        path = study()
        job = client.submit(path)
        result = job.result(LIMIT_S)
        shutil.rmtree(server.folder / "home" / "store" / "results")
        for gone in (job.result, lambda: result.events("keyboard")):
            with pytest.raises(ak.ResultExpiredError):
                gone()
        assert client.get_job(job.id).status == "completed"
        again = client.submit(path)
        assert again != job
        assert again.result(LIMIT_S).summary["trials"] == 8

    def test_are_shown_by_panel_and_board(self, client, study):
        job = client.submit(study("<week>.zip"))
        job.wait(LIMIT_S)
        panel, board = job.panel(), client.board()
        assert "_week_.zip" in panel._record_html()
        assert "The first 5 of 8 trials" in panel._record_html()
        assert escape(f'client.get_job("{job.id}")') in panel._live_content()["html"]
        repr(board)
        assert "8 trials" in board._record_html()
        assert "Reconnecting" not in board._record_html()

    def test_can_start_with_an_upload_on_a_board(self, client, study, tmp_path):
        bytes_ = study("dropped.zip").read_bytes()
        begun = []
        receiver = UploadReceiver(client, begun.append)
        receiver.handle("upload", {"token": "t", "name": "dropped.zip", "size": len(bytes_)}, [])
        assert receiver.handle("piece", {"token": "t", "offset": 0}, [bytes_])["done"]
        job = client.get_job(begun[0])
        assert job.result(LIMIT_S).summary["trials"] == 8
        until(lambda: not list((tmp_path / "mine").rglob("*.zip")), "the board's copy is removed")


class TestRestart:
    def test_job_goes_on_while_its_server_is_killed_and_started_again(self, tmp_path, redis_server, workers):
        with redis_server() as broker:
            known = {"ANALYTICS_KIT_BACKEND": "redis", "REDIS_URL": broker.url}
            server = ApiServer(tmp_path / "server", WAITING, **known)
            ak.sample_study(tmp_path / "server" / "data" / "s.zip", participants=1, trials=1)
            home = str(tmp_path / "server" / "home")
            with server, workers(broker.url, STEPS, ANALYTICS_KIT_HOME=home):
                client = ak.connect(server.url, token=TOKENS["ann"], home=tmp_path / "mine")
                self.restart_during_a_job(client, server)
                client.close()

    def restart_during_a_job(self, client, server):
        assert client.backend.survives_process
        job = client.submit("study:s")
        until(lambda: job.status == "running", "it runs")
        notices = []
        stop = job.on_change(lambda info: notices.append(info.notice))
        server.kill()
        assert job.status == "running"
        assert "Reconnecting" in job.info().notice
        with pytest.raises(ak.BrokerUnavailableError, match="connection refused"):
            job.cancel()
        assert not job.wait(0.1)
        until(
            lambda: any("Reconnecting" in notice for notice in notices),
            "listeners are notified that the server is unavailable",
        )
        server.start()
        (server.folder / "data" / "s.zip.gate").touch()
        assert job.result(LIMIT_S).summary["participants"] == 1
        stop()

    def test_upload_starts_again_after_a_restart_of_the_server(self, tmp_path, study, monkeypatch):
        monkeypatch.setattr(upload_queue, "RETRY_PAUSES_S", (0.2,) * 200)
        with held_upload(monkeypatch) as go, ApiServer(tmp_path / "server") as server:
            client = ak.connect(server.url, token=TOKENS["ann"], home=tmp_path / "mine")
            job = client.submit(study())
            assert go.halted.wait(LIMIT_S)
            server.kill()
            go.set()
            until(lambda: job.progress.phase == "waiting for the server", "it is tried again")
            server.start()
            assert job.result(LIMIT_S).summary["participants"] == 2
            client.close()

    def test_upload_to_a_server_that_stays_down_fails_the_job(self, tmp_path, study, monkeypatch):
        monkeypatch.setattr(upload_queue, "RETRY_PAUSES_S", (0.1,))
        with held_upload(monkeypatch) as go, ApiServer(tmp_path / "server") as server:
            client = ak.connect(server.url, token=TOKENS["ann"], home=tmp_path / "mine")
            job = client.submit(study())
            assert go.halted.wait(LIMIT_S)
            server.kill()
            go.set()
            with pytest.raises(ak.JobFailedError, match=r"could not be uploaded\. .*connection refused"):
                job.result(LIMIT_S)
            client.close()


def test_forked_process_opens_connections_of_its_own(client):
    client.queue_status()
    parent, child = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads; that is what is tried
        pid = os.fork()
    if pid == 0:
        client.backend._transport.request("GET", "/queue-status")
        os.write(child, b"1" if client.backend._transport._pid == os.getpid() else b"0")
        os._exit(0)
    assert os.read(parent, 1) == b"1"
    os.waitpid(pid, 0)
    os.close(parent)
    os.close(child)


def test_command_line_uses_the_server(server, study, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {"BACKEND": "http", "SERVER_URL": server.url, "TOKEN": TOKENS["ann"], "HOME": str(tmp_path / "mine")}
    for name, value in settings.items():
        monkeypatch.setenv(f"ANALYTICS_KIT_{name}", value)
    monkeypatch.setattr("analytics_kit.api._default", None)
    assert main_code(["submit", str(study()), "--wait", "--json"]) == 0
    assert main_code(["jobs", "--json"]) == 0
    assert "mine.zip" in capsys.readouterr().out
    assert main_code(["doctor"]) == 0
    output = capsys.readouterr().out
    assert f"{server.url}, degraded, by local" in " ".join(output.split())
    assert TOKENS["ann"] not in output


def main_code(arguments):
    """Return the exit code of `analytics-kit` with these arguments."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code or 0
