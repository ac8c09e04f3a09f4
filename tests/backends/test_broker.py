"""Jobs, workers and clients across a restart of their broker, and every kind of connection to one."""

import threading
import time

import pytest

from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.waiting import wait_for_end
from tests.processes import until


class TestRestart:
    @pytest.fixture
    def server(self, redis_server):
        with redis_server(durable=True) as server:
            yield server

    @pytest.fixture
    def backend(self, server, workers):
        backend = RedisBackend(server.url, Settings.of(), "tests.backends.sample_steps")
        with workers(server.url):
            yield backend
        backend.close()

    def test_restart_keeps_completed_running_and_queued_jobs(self, server, backend, make_request, gate):
        done = backend.submit(make_request("echo")).job_id
        wait_for_end(backend, done)
        running = backend.submit(make_request("gated", gate=gate)).job_id
        waiting = [backend.submit(make_request("echo")).job_id for _ in range(3)]
        until(lambda: backend.get(running).progress.fraction, "the job runs")
        server.kill()
        time.sleep(0.5)
        server.start()
        assert backend.get(done).status is JobStatus.COMPLETED
        assert backend.get(running).status is JobStatus.RUNNING
        gate.touch()
        for job_id in (running, *waiting):
            assert wait_for_end(backend, job_id, BrokerUnavailableError).status is JobStatus.COMPLETED

    def test_step_that_ends_while_the_broker_is_away_is_recorded(self, server, backend, make_request, gate):
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        server.kill()
        gate.touch()
        time.sleep(1.0)  # the step ends meanwhile
        server.start()
        info = wait_for_end(backend, job_id, BrokerUnavailableError)
        assert info.status is JobStatus.COMPLETED
        assert "is retried" not in "\n".join(backend.log(job_id))

    def test_split_job_completes_after_a_restart(self, server, backend, make_request, gate, tmp_path):
        job_id = backend.submit(make_request("split_work", shards=4, folder=tmp_path, gate=gate, retries=2)).job_id
        until(lambda: backend.get(job_id).progress.done, "a shard runs")
        server.kill()
        gate.touch()
        time.sleep(0.5)
        server.start()
        assert len(wait_for_end(backend, job_id, BrokerUnavailableError).result["files"]) == 4

    def test_changes_are_observed_again_after_a_restart(self, server, backend, make_request, gate):
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        seen = []

        def follow():
            with backend.changes() as changes:
                while not seen or not seen[-1].status.final:
                    changes.wait(1.0)
                    try:
                        seen.append(backend.get(job_id))
                    except BrokerUnavailableError:
                        continue

        listener = threading.Thread(target=follow)
        listener.start()
        until(lambda: seen and seen[-1].progress.fraction, "the job runs")
        server.kill()
        server.start()
        gate.touch()
        listener.join(60)
        assert seen[-1].status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    "options",
    [{"tls": True, "user": "ann", "db": 2}, {"unix": True, "user": "ann", "db": 3}, {"unix": True}],
    ids=str,
)
def test_job_completes_over_tls_and_unix_sockets(redis_server, workers, make_request, options):
    with redis_server(**options) as server, workers(server.url):
        backend = RedisBackend(server.url, Settings.of(), "tests.backends.sample_steps")
        assert wait_for_end(backend, backend.submit(make_request("echo", x=1)).job_id).result == {
            "arguments": {"x": 1}
        }
        secret = server.url.split("@")[0].rpartition(":")[2]
        assert secret not in repr([backend.health(), backend.queue_status(), backend])
        assert backend.health()["status"] == "ok"
        if "db" in options:
            assert backend._jobs.connection.connection_pool.connection_kwargs["db"] == options["db"]
        backend.close()


def test_untrusted_certificate_raises(redis_server):
    with redis_server(tls=True) as server:
        backend = RedisBackend(server.url.partition("?")[0], Settings.of(), "tests.backends.sample_steps")
        with pytest.raises(BrokerUnavailableError, match="certificate"):
            backend.ping()
        backend.close()
