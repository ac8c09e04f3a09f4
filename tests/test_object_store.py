"""A study and a store in S3, and workers that share nothing else: no home, no temporary folder, no credentials."""

import logging
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pandas as pd
import pytest
import redis

import analytics_kit as ak
from analytics_kit.client import WORKER_TASKS
from tests.object_store import CREDENTIALS, NO_CREDENTIALS, ObjectStore
from tests.processes import end, until

LIMIT_S = 60
STORE = "s3://lab/store"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server that this process may use."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ObjectStore(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (server.environment | CREDENTIALS).items():
            patch.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)


@pytest.fixture(scope="module")
def broker(redis_server):
    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="module")
def client(s3, broker, tmp_path_factory):
    with ak.connect(broker, home=tmp_path_factory.mktemp("client"), store=STORE) as client:
        yield client


@contextmanager
def worker(broker, folder, **environment):
    """A worker in a folder of its own, which is its home, temporary and working folder."""
    folder.mkdir(exist_ok=True)
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "ANALYTICS_KIT_HOME")}
    code = "from analytics_kit.backends.worker.pool import run_workers; from analytics_kit.settings import Settings; "
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", f"{code}raise SystemExit(run_workers(Settings.of(), 1, {WORKER_TASKS!r}))"],
        env=os.environ | own | {"REDIS_URL": broker, "ANALYTICS_KIT_STORE": STORE} | environment,
        cwd=folder,
    )
    try:
        yield process
    finally:
        end(process)


@pytest.fixture(scope="module")
def two_workers(s3, broker, study, tmp_path_factory):
    """Two workers: one without credentials, and one that has the study at a path of its own."""
    root = tmp_path_factory.mktemp("workers")
    with ExitStack() as running:
        running.enter_context(worker(broker, root / "refused", **NO_CREDENTIALS))
        running.enter_context(worker(broker, root / "trusted"))
        (root / "trusted" / "study.zip").write_bytes(study.read_bytes())
        with redis.Redis.from_url(broker) as connection:
            until(lambda: connection.scard("rq:workers") == 2, "both workers listen", LIMIT_S)
        yield


@pytest.fixture(scope="module")
def url(s3, study):
    return s3.put("study.zip", study.read_bytes())


@pytest.fixture(scope="module")
def expected(study, tmp_path_factory):
    with ak.connect("local", home=tmp_path_factory.mktemp("expected")) as client:
        return client.process(study)


def test_jobs_complete_though_one_of_two_workers_has_no_credentials(client, two_workers, url, expected):
    jobs = [client.submit(url, idle_gap_s=0.3 + number / 10) for number in range(2)]
    jobs.append(client.submit(url))
    for job in jobs:
        assert len(job.result(LIMIT_S).trials) == 8
    pd.testing.assert_frame_equal(jobs[-1].result().trials, expected.trials)
    assert not jobs[-1].info().notice


def test_job_outlives_a_store_that_is_away(client, two_workers, s3, url):
    job = client.submit(url, refresh=True)
    s3.stop()
    try:
        until(lambda: "taken by" in client.backend._jobs.log(job.id)[-1], "a worker has it", LIMIT_S)
    finally:
        s3.start()
    assert len(job.result(LIMIT_S).trials) == 8


def test_path_that_one_worker_lacks_is_read_by_the_one_that_has_it(client, two_workers, study, monkeypatch):
    monkeypatch.chdir(study.parent)
    jobs = [client.submit("/proc/self/cwd/study.zip", idle_gap_s=1.3 + number / 10) for number in range(2)]
    for job in jobs:
        assert len(job.result(LIMIT_S).trials) == 8


def test_path_that_no_worker_has_fails_the_job_by_name(client, two_workers, study, monkeypatch, tmp_path):
    path = tmp_path / "study.zip"
    path.write_bytes(study.read_bytes())
    request = client.request(path, None, {})
    path.unlink()
    error = client.begin(replace(request, refresh=True)).exception(LIMIT_S)
    assert isinstance(error, ak.SourceNotFoundError)
    assert "can't find it there" in error.message


def test_deleted_and_cancelled_jobs_leave_no_object(client, two_workers, s3, url):
    job = client.submit(url, refresh=True)
    job.result(LIMIT_S)
    assert any(job.id in key for key in s3.keys("store/results"))
    job.delete()
    assert not any(job.id in key for key in s3.keys("store/results"))


def test_result_is_saved_to_a_url_and_loaded_from_it(s3, expected):
    url = "s3://lab/kept/pilot"
    assert expected.save(url) == url
    loaded = ak.load(url)
    pd.testing.assert_frame_equal(loaded.trials, expected.trials)
    pd.testing.assert_frame_equal(loaded.events("mouse_movement"), expected.events("mouse_movement"))
    with pytest.raises(ak.SettingsError, match="s3://lab/kept/pilot exists already"):
        expected.save(url)
    with pytest.raises(ak.SettingsError, match="There is no saved result at s3://lab/kept/other"):
        ak.load("s3://lab/kept/other")


def test_errors_of_s3_are_store_errors_with_the_hint_that_helps(s3, study, tmp_path, monkeypatch):
    with ak.connect("local", home=tmp_path, store="s3://lab/store") as client:
        for name, value in NO_CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        with fresh_file_systems(), pytest.raises(ak.StoreError) as caught:
            client.process(study)
        assert "s3://lab/store" in caught.value.message
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
        with fresh_file_systems(), pytest.raises(ak.StoreError) as caught:
            client.process("s3://lab/study.zip")
        assert "s3://lab/study.zip" in caught.value.message
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
        assert "relative" not in caught.value.hint


@contextmanager
def fresh_file_systems():
    """Let fsspec make file systems anew, with the environment as it is now."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
