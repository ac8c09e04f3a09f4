"""Fixtures of all tests: real logs, Redis servers and workers; checks that nothing is skipped or left over."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from _pytest.doctest import DoctestModule

from analytics_kit.job import Job
from analytics_kit.study.store.store import Store
from analytics_kit.watcher import Watcher
from tests.fake_backend import FakeBackend
from tests.processes import command_line, end, until
from tests.servers import RedisServer

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _tests_can_be_imported():
    """Let child processes, such as workers, import the steps that tests define."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the real logs, which are not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is absent")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Doctests are the package's: here, collecting them would import each helper of the tests once more."""
    collectors = yield
    return [each for each in collectors if not isinstance(each, DoctestModule)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure in CI, because it means that something is not installed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which is a failure in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left_over(tmp_path_factory):
    """Fail if a process that was started for a folder of the tests is still running at the end."""
    yield
    base = f"{tmp_path_factory.getbasetemp()}/"
    leftovers = [process for process in psutil.process_iter() if base in " ".join(command_line(process))]
    lines = [command_line(process) for process in leftovers]
    for process in leftovers:
        process.kill()
    assert not lines


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """redis_server(**options) → a context with a redis-server; see servers.RedisServer."""
    return lambda **options: RedisServer(tmp_path_factory.mktemp("redis"), **options)


@pytest.fixture(scope="session")
def redis_url(redis_server):
    """The URL of a Redis server that all tests share."""
    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def workers():
    """workers(url, code=…, n=1, **environment) → a context with a running `analytics-kit worker`."""

    @contextmanager
    def run(url, code="tests.backends.sample_steps", n=1, **environment):
        program = (
            "from analytics_kit.backends.worker.pool import run_workers; "
            "from analytics_kit.settings import Settings; "
        )
        process = subprocess.Popen(
            [sys.executable, "-c", f"{program}raise SystemExit(run_workers(Settings.of(), {n}, {code!r}))"],
            env=os.environ | {"REDIS_URL": url} | environment,
        )
        try:
            with redis.Redis.from_url(url) as client:
                until(lambda: client.scard("rq:workers") >= n or process.poll() is not None, f"{n} workers listen")
            assert process.poll() is None
            yield process
        finally:
            end(process)

    return run


@pytest.fixture
def fake():
    """A backend whose jobs are as the test puts them."""
    backend = FakeBackend()
    yield backend
    backend.away = None
    for job_id in list(backend.infos):  # ends the waiting for them
        del backend.infos[job_id]


@pytest.fixture
def watcher(fake):
    """A watcher of the fake backend; its thread has to end when the test has."""
    yield (watcher := Watcher(fake))
    until(lambda: fake.notify() or watcher._thread is None, "the watcher ends when nobody listens")


@pytest.fixture
def job(watcher, fake):
    """A queued job of the fake backend."""
    return Job(watcher, fake.put())


@pytest.fixture
def stored_result(tmp_path):
    """stored_result() → what the record of a completed job holds; its result can be opened."""

    def make(folder="a"):
        store = Store(str(tmp_path))
        store.id(create=True)
        store.commit(folder, {"schema_version": 1, "summary": {"trials": 1}, "provenance": {"n": folder}})
        return {"store": str(tmp_path), "prefix": folder, "summary": {}}

    return make
