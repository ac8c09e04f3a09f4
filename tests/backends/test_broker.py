"""Do jobs, workers and clients live through a restart of their broker, and with every way to reach one?"""

import threading
import time

import pytest

from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.processes import until


def ended(backend, job_id):
    def look():
        try:
            return (info := backend.get(job_id)).status.final and info
        except BrokerUnavailableError:
            return None

    return until(look, "the job has ended", 60)


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

    def test_what_ran_goes_on_what_waited_is_done_and_what_was_done_is_known(self, server, backend, asked, gate):
        done = backend.submit(asked("echo")).job_id
        ended(backend, done)
        running = backend.submit(asked("gated", gate=gate)).job_id
        waiting = [backend.submit(asked("echo")).job_id for _ in range(3)]
        until(lambda: backend.get(running).progress.fraction, "the job runs")
        server.kill()
        time.sleep(0.5)
        server.start()
        assert backend.get(done).status is JobStatus.COMPLETED
        assert backend.get(running).status is JobStatus.RUNNING
        gate.touch()
        for job_id in (running, *waiting):
            assert ended(backend, job_id).status is JobStatus.COMPLETED

    def test_a_task_that_ends_while_the_broker_is_away_is_not_lost(self, server, backend, asked, gate):
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        server.kill()
        gate.touch()
        time.sleep(1.0)  # the task ends meanwhile
        server.start()
        info = ended(backend, job_id)
        assert info.status is JobStatus.COMPLETED
        assert "done again" not in "\n".join(backend.log(job_id))

    def test_a_job_in_parts(self, server, backend, asked, gate, tmp_path):
        job_id = backend.submit(asked("fan", parts=4, folder=tmp_path, gate=gate, retries=2)).job_id
        until(lambda: backend.get(job_id).progress.done, "a part is at it")
        server.kill()
        gate.touch()
        time.sleep(0.5)
        server.start()
        assert len(ended(backend, job_id).result["files"]) == 4

    def test_who_listens_hears_again(self, server, backend, asked, gate):
        job_id = backend.submit(asked("gated", gate=gate)).job_id
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
    "how", [{"tls": True, "user": "ann", "db": 2}, {"unix": True, "user": "ann", "db": 3}, {"unix": True}], ids=str
)
def test_jobs_are_done_over(redis_server, workers, asked, how):
    with redis_server(**how) as server, workers(server.url):
        backend = RedisBackend(server.url, Settings.of(), "tests.backends.sample_steps")
        assert ended(backend, backend.submit(asked("echo", x=1)).job_id).result == {"heard": {"x": 1}}
        secret = server.url.split("@")[0].rpartition(":")[2]
        assert secret not in repr([backend.health(), backend.queue_status(), backend])
        assert backend.health()["status"] == "ok"
        if "db" in how:
            assert backend._jobs.connection.connection_pool.connection_kwargs["db"] == how["db"]
        backend.close()


def test_a_certificate_that_is_not_trusted_is_an_error(redis_server):
    with redis_server(tls=True) as server:
        backend = RedisBackend(server.url.partition("?")[0], Settings.of(), "tests.backends.sample_steps")
        with pytest.raises(BrokerUnavailableError, match="certificate"):
            backend.ping()
        backend.close()
