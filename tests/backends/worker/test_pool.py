"""A pool's workers: started, replaced when they die, and ended with the process that owns them."""

import os
import subprocess
import sys

import pytest

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.pool_state import read_pool_state
from analytics_kit.backends.worker import pool as worker_pool
from analytics_kit.backends.worker.pool import Pool, run_workers, start_worker
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings
from tests.processes import until


@pytest.fixture
def url(redis_url):
    """A database that only these tests use."""
    return redis_url.removesuffix("/0") + "/9"


@pytest.fixture
def connection(url):
    with connect(url) as connection:
        connection.flushdb()
        yield connection
        connection.flushdb()


def test_run_workers_without_a_named_redis_raises(monkeypatch):
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrokerUnavailableError, match="No Redis server is named") as caught:
        run_workers(Settings.of(), 1, "tests.backends.sample_steps")
    assert "REDIS_URL" in caught.value.hint


def test_worker_ends_when_its_pipe_is_closed(connection, url):
    process, pipe = start_worker("tests.backends.sample_steps", "only", os.environ | {"REDIS_URL": url})
    try:
        until(lambda: "only" in rq_queue.live_workers(connection) or process.poll() is not None, "the worker listens")
        assert process.poll() is None
        os.close(pipe)
        assert process.wait(10) == 1
    finally:
        process.kill()
        process.wait()


class TestRestart:
    @pytest.fixture
    def pool(self, connection, monkeypatch, tmp_path):
        """A pool whose workers die at once."""

        def start_failing_worker(*_):
            return subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(1)"]), os.open(
                os.devnull, os.O_RDONLY
            )

        monkeypatch.setattr(worker_pool, "start_worker", start_failing_worker)
        pool = Pool(connection, "tests.backends.sample_steps", 3, "pool", os.environ, log=tmp_path / "log")
        pool.maintain()
        yield pool
        pool.stop(0)

    def test_pool_without_a_listening_worker_starts_only_one(self, pool):
        [worker] = pool.workers
        assert worker.process is not None

    def test_worker_that_dies_early_is_replaced_after_a_growing_delay(self, pool):
        [worker] = pool.workers
        delays = []
        for _ in range(3):
            worker.process.wait(10)
            pool.maintain()
            assert worker.process is None
            delays.append(worker.restart_delay_s)
            worker.start_at = 0.0  # do not wait for the delay
            pool.maintain()
            assert worker.process is not None
        assert delays == [0.5, 1.0, 2.0]

    def test_worker_that_dies_late_is_replaced_without_delay(self, pool):
        [worker] = pool.workers
        name = worker.name
        worker.process.wait(10)
        worker.started_at -= worker_pool.EARLY_DEATH_S
        pool.maintain()
        assert worker.restart_delay_s == 0.0
        assert worker.process is not None
        assert worker.name != name

    def test_pool_whose_first_worker_dies_publishes_a_notice_with_its_log(self, pool, connection):
        pool.workers[0].process.wait(10)
        pool.maintain()
        assert read_pool_state(connection).notice == f"The workers do not start; see {pool.log}."

    def test_pool_that_stops_starts_no_worker_and_notes_the_failure(self, pool):
        [worker] = pool.workers
        worker.process.wait(10)
        pool.terminate()
        pool.maintain()
        assert worker.process is None
        assert not pool.live_processes
        assert pool.has_failed
