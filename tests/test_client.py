"""Studies through the client: the same result on every backend, joined, found again, refused with reasons."""

import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pandas as pd
import psutil
import pytest

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.client import JOB_COLUMNS, WORKER_TASKS
from analytics_kit.notebook import job_html
from tests.processes import command_line, until

LIMIT_S = 60


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """A client of an embedded broker that is gone afterwards."""
    client = ak.connect("embedded", home=tmp_path_factory.mktemp("queue") / "home", workers=1)
    yield client
    client.close()
    embedded.stop(client.settings)


@pytest.fixture(scope="module")
def named(tmp_path_factory, redis_url, workers):
    """A client of a Redis that was named, on TCP with a password."""
    home = tmp_path_factory.mktemp("named") / "home"
    settings = {"ANALYTICS_KIT_HOME": str(home)}
    with (
        workers(redis_url, WORKER_TASKS, **settings),
        ak.connect(redis_url, home=home, namespace="studies") as client,
    ):
        yield client


@pytest.fixture
def local(tmp_path):
    """A client whose work is done in this process."""
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


@pytest.fixture(params=["queue", "named", "local"])
def client(request):
    return request.getfixturevalue(request.param)


def test_a_job_returns_what_process_returns(client, study):
    job = client.submit(study, refresh=True)
    result, expected = job.result(LIMIT_S), client.process(study)
    assert job.status is ak.JobStatus.COMPLETED
    assert job.exception() is None
    for table in ("trials", "participants", "tasks", "factors", "issues", "members", "surveys"):
        pd.testing.assert_frame_equal(getattr(result, table), getattr(expected, table))
    for kind in result.kinds:
        pd.testing.assert_frame_equal(result.events(kind), expected.events(kind))
    assert result.summary == expected.summary


def test_a_real_study_is_processed(client, shared_data):
    path = shared_data / "kh2017_fulcrum" / "zips" / "1_participant_session.zip"
    assert len(client.submit(path).result(LIMIT_S).trials) == 19


def test_the_same_content_and_options_join_the_job(client, study, tmp_path):
    job = client.submit(study)
    copy = tmp_path / "copy.zip"
    copy.write_bytes(study.read_bytes())
    assert client.submit(copy) == job
    assert client.submit(study, idle_gap_s=0.2) != job
    assert client.submit(study, refresh=True) != job
    job.wait(LIMIT_S)


def test_a_removed_result_is_made_again(client, study):
    from analytics_kit.study.store.store import Store

    job = client.submit(study, idle_gap_s=0.3)
    job.result(LIMIT_S)
    where = job.info().result
    Store(where["store"]).delete(where["prefix"])
    with pytest.raises(ak.ResultExpiredError):
        job.result()
    again = client.submit(study, idle_gap_s=0.3)
    assert again != job
    assert len(again.result(LIMIT_S).trials) == 8


def test_a_bad_archive_is_a_job_that_fails(client, tmp_path):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK\3\4 and then nothing")
    job = client.submit(bad)
    assert job.wait(LIMIT_S)
    assert job.status is ak.JobStatus.FAILED
    assert isinstance(job.exception(), ak.BadArchiveError)
    with pytest.raises(ak.BadArchiveError, match=r"bad\.zip is not a readable ZIP"):
        job.result()
    row = client.jobs("failed").iloc[0]
    assert (row["error_type"], row["job_id"]) == ("BadArchiveError", job.id)


def test_join_returns_the_job_that_failed(client, tmp_path):
    path = tmp_path / "bad.zip"
    path.write_bytes(b"PK and nothing of a ZIP" * 4)
    failed = client.join(path)
    assert isinstance(failed.exception(LIMIT_S), ak.BadArchiveError)
    assert client.join(path) == failed
    again = client.submit(path)
    assert again != failed
    assert client.join(path) == again
    again.wait(LIMIT_S)


def test_a_file_that_vanishes_after_submit(client, study, tmp_path):
    path = tmp_path / "soon_gone.zip"
    path.write_bytes(study.read_bytes())
    blocker = client.submit(ak.sample_study(tmp_path / "first.zip", participants=8, trials=6))
    job = client.submit(path, idle_gap_s=0.4)
    path.unlink()
    assert isinstance(job.exception(LIMIT_S), ak.SourceNotFoundError)
    assert blocker.exception(LIMIT_S) is None


def test_submit_refuses_a_missing_file(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        client.submit(tmp_path / "nowhere.zip")


def test_an_unwritable_store_fails_the_job(tmp_path, study):
    (tmp_path / "file").write_text("in the way")
    with ak.connect("local", home=tmp_path / "home", store=str(tmp_path / "file" / "store")) as client:
        assert isinstance(client.submit(study).exception(LIMIT_S), ak.StoreError)
        with pytest.raises(ak.StoreError):
            client.process(study)
        health = client.health()
    assert health["status"] == "down"
    assert not health["store"]["writable"]


def test_a_timeout_ends_the_waiting_and_not_the_job(client, study, tmp_path):
    job = client.submit(ak.sample_study(tmp_path / "more.zip", participants=8, trials=6, seed=9))
    assert not job.wait(0)
    with pytest.raises(TimeoutError, match="it goes on"):
        job.result(timeout=0)
    assert job.wait(LIMIT_S)
    assert job.done()
    assert not job.running()
    assert not job.cancelled()


def test_progress_never_falls(client, tmp_path):
    job = client.submit(ak.sample_study(tmp_path / "p.zip", participants=8, trials=6, seed=3))
    seen = [info.progress for info in job.follow(LIMIT_S)]
    for numbers in ([p.fraction for p in seen], [p.rows or 0 for p in seen], [p.files or 0 for p in seen]):
        assert numbers == sorted(numbers)
    assert seen[-1].fraction == 1.0
    assert (seen[-1].rows, seen[-1].files) == (job.result().summary["rows_in"], len(job.result().members))


def test_jobs_is_a_table(client, study):
    job = client.submit(study, tags=["a", "b"], idle_gap_s=0.5)
    job.wait(LIMIT_S)
    frame = client.jobs()
    assert tuple(frame.columns) == JOB_COLUMNS
    row = frame.set_index("job_id").loc[job.id]
    assert row["status"] == "completed"
    assert row["tags"] == ("a", "b")
    assert row["size_bytes"] == study.stat().st_size
    assert row["created_at"] <= row["started_at"] <= row["ended_at"]
    assert str(frame["created_at"].dt.tz) == "UTC"
    assert client.get_job(job.id) == job
    assert job.client_name == "client"
    with pytest.raises(ak.SettingsError, match="Did you mean 'completed'"):
        client.jobs("complete")
    with pytest.raises(ak.JobNotFoundError):
        client.get_job("0" * 16)


def test_an_empty_table_has_the_same_columns(local):
    assert tuple(local.jobs().columns) == JOB_COLUMNS


def test_queue_and_health_name_the_backend(client, request):
    name = client.backend.name
    assert name in ("embedded", "redis", "local")
    assert client.queue_status()["backend"] == client.health()["backend"] == name
    assert client.health()["status"] == "ok"


def test_a_job_shows_its_state(client, study):
    job = client.submit(study)
    job.wait(LIMIT_S)
    told = job_html.render_static(job.snapshot(), job.backend_notice)
    assert "✔ completed" in told
    assert "8 trials · 2 participants" in told
    assert job.id not in told
    assert repr(job).startswith(f"<Job {job.id}: study.zip: completed, 8 trials, ")
    with pytest.raises(NotImplementedError):  # there is no cell: IPython shows the repr
        job._ipython_display_()


def test_user_text_is_escaped(local, tmp_path):
    path = tmp_path / "<script>alert(1)<.zip"
    path.write_bytes(b"nothing")
    job = local.submit(path)
    job.wait(LIMIT_S)
    told = job_html.render_static(job.snapshot())
    assert "&lt;script&gt;alert(1)" in told
    assert "<script>" not in told


def test_a_job_and_its_result_outlive_the_process_that_submitted(queue, study):
    code = (
        "import analytics_kit as ak, os, signal; "
        f"client = ak.connect('embedded', home={str(queue.settings.home)!r}, workers=1); "
        f"print(client.submit({str(study)!r}, idle_gap_s=0.7).id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    job_id = killed.stdout.strip()
    assert job_id in list(queue.jobs()["job_id"])
    assert len(queue.get_job(job_id).result(LIMIT_S).trials) == 8


def test_a_named_redis_that_is_dead_means_this_process_and_one_warning(monkeypatch, tmp_path, study):
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", "9")
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
    with warnings.catch_warnings(record=True) as caught, ak.Client() as client:
        warnings.simplefilter("always")
        assert len(client.submit(study).result(LIMIT_S).trials) == 8
        assert len(client.submit(study, refresh=True).result(LIMIT_S).trials) == 8
        assert client.backend.name == "local"
    assert [str(warning.message).split(" can't")[0] for warning in caught] == ["Redis at redis://127.0.0.1:9/0"]


def test_a_redis_that_goes_away_means_this_process_for_all_threads(redis_server, tmp_path, study):
    with redis_server() as server:
        url = server.url
        client = ak.Client(redis_url=url, home=tmp_path / "home")
        assert client.backend.name == "redis"
        before = client.submit(study, idle_gap_s=0.8)
    jobs, ready = [], threading.Barrier(4)

    def submit(number):
        ready.wait()
        jobs.append(client.submit(study, idle_gap_s=0.8 + number))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(job.result(LIMIT_S).trials) for job in jobs] == [8] * 4
    assert {job.backend for job in jobs} == {"local"}
    assert set(client.jobs()["job_id"]) == {job.id for job in jobs}
    assert len(caught) == 1
    assert before.info().notice.startswith("Reconnecting …: Redis at redis://127.0.0.1:")  # it is not moved
    with pytest.raises(ak.BrokerUnavailableError):
        before.cancel()
    client.close()


def test_nothing_of_a_study_is_left_where_it_was_not_asked_for(local, study, tmp_path):
    before = sorted(Path(study).parent.iterdir())
    local.process(study)
    assert sorted(Path(study).parent.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["store"]


def broker_processes(home):
    """The processes whose arguments name this home."""
    return [each.pid for each in psutil.process_iter() if any(str(home) in word for word in command_line(each))]


def test_leaving_a_with_block_ends_the_broker_of_a_home_of_its_own(study, tmp_path):
    with ak.connect("embedded", home=tmp_path / "home", workers=1) as client:
        job = client.submit(study)
        assert len(job.result(LIMIT_S).trials) == 8
        assert broker_processes(tmp_path)
    until(lambda: not broker_processes(tmp_path), "end of the broker")  # it may be cleaning up after the job
    with ak.connect("embedded", home=tmp_path / "home", workers=1) as client:
        assert client.get_job(job.id).status is ak.JobStatus.COMPLETED
        other = ak.connect("embedded", home=tmp_path / "home", workers=1)
        assert other.queue_status()["completed"] == 1
    assert broker_processes(tmp_path), "the other client needs it"
    other.shutdown()
    assert not broker_processes(tmp_path)
    other.shutdown()


def test_home_of_the_environment_is_shared(monkeypatch, tmp_path):
    assert ak.Client(home=tmp_path / "a").settings.has_own_home
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "a"))
    assert not ak.Client().settings.has_own_home
    assert not ak.Client(home=tmp_path / "a").settings.has_own_home
    assert ak.Client(home=tmp_path / "b").settings.has_own_home
    assert ak.Client().settings.has_temporary_home
