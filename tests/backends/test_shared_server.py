"""A Redis server that other deployments of this package, and other applications of rq, use as well."""

import subprocess
import sys

import psutil
import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import Record
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.recovery import rebuild_queue, run_recovery
from analytics_kit.errors import JobFailedError, JobNotFoundError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.waiting import wait_for_end
from tests.processes import end, until

CODE = "tests.backends.sample_steps"
SECRET = "known to clients and workers"


@pytest.fixture
def url(redis_url):
    """A database that only these tests use."""
    url = redis_url.removesuffix("/0") + "/11"
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
        yield url
        connection.flushdb()


@pytest.fixture
def open_backend(url):
    """open_backend(**settings) → a backend on the server."""
    opened = []

    def make(**settings):
        opened.append(RedisBackend(url, Settings.of(namespace="ann", **settings), CODE))
        return opened[-1]

    yield make
    for backend in opened:
        backend.close()


def content(connection, part=b""):
    """Return what the keys hold whose name has this part."""
    readers = {
        b"string": connection.get,
        b"hash": connection.hgetall,
        b"set": connection.smembers,
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"zset": lambda key: connection.zrange(key, 0, -1, withscores=True),
    }
    return {key: readers[connection.type(key)](key) for key in connection.scan_iter() if part in key}


class TestQueues:
    def test_jobs_of_another_queue_are_not_seen(self, open_backend, make_request):
        ours, theirs = open_backend(), open_backend(queue="lab")
        mine = ours.submit(make_request("echo", key="same")).job_id
        other = theirs.submit(make_request("echo", key="same")).job_id
        assert mine != other
        assert [info.job_id for info in ours.list()] == [mine]
        assert [info.job_id for info in theirs.list()] == [other]
        with pytest.raises(JobNotFoundError):
            theirs.get(mine)
        assert ours.queue_status()["queue"] == "analytics"
        assert theirs.queue_status()["queue"] == "lab"

    def test_all_keys_of_a_queue_begin_with_its_name(self, url, open_backend, workers, make_request, tmp_path):
        backend = open_backend(queue="lab")
        with workers(url, ANALYTICS_KIT_QUEUE="lab"):
            job_id = backend.submit(make_request("split_work", shards=2, folder=tmp_path)).job_id
            wait_for_end(backend, job_id)
            assert backend.queue_status()["workers"] == 1
            assert open_backend().queue_status()["workers"] == 0
            with redis.Redis.from_url(url) as connection:
                names = {key.decode() for key in connection.scan_iter()}
        ours = {name for name in names if not name.startswith("rq:")}
        assert ours
        assert all(name.startswith("lab:") for name in ours)
        assert not [name for name in names if name.endswith(":analytics")]

    def test_recovery_and_rebuilding_of_one_queue_leave_the_other_alone(self, url, make_request):
        stores = {queue: AttemptStore(connect(url, queue=queue), "ann") for queue in ("ak", "lab")}
        for store in stores.values():
            store.jobs.submit(Record.of(make_request("echo"), f"job-{store.jobs.keys.queue}", 1.0), False)
            connection = store.jobs.connection
            connection.sadd(rq_queue.rq_keys(connection).listeners, f"rq:worker:of-{store.jobs.keys.queue}")
            rq_queue.publish_heartbeat(connection, f"rq:worker:of-{store.jobs.keys.queue}", "idle", "")
            connection.sadd(f"{store.jobs.keys.queue}:leaving", "ann:job-x")
            connection.set(f"{store.jobs.keys.queue}:discard:ann:job-x", b"")
        ours = stores["ak"].jobs.connection

        before = content(ours, b"lab")
        for number in range(3):
            ours.delete("ak:turn")
            run_recovery(ours, CODE, clock=lambda _, number=number: 60.0 * number)
        rebuild_queue(ours)
        assert content(ours, b"lab") == before
        assert rq_queue.waiting_ids(ours) == ["job-ak-begin-1"]
        assert rq_queue.waiting_ids(stores["lab"].jobs.connection) == ["job-lab-begin-1"]
        assert rq_queue.live_workers(stores["lab"].jobs.connection).keys() == {"of-lab"}
        for store in stores.values():
            store.jobs.connection.close()

    def test_clear_leaves_what_rq_keeps_for_other_applications(self, url):
        with connect(url) as connection:
            for name in ("mail", rq_queue.DEFAULT_QUEUE_NAME):
                Queue(name, connection=connection).enqueue("os.getpid", job_id=f"theirs-{name}")
            connection.sadd("rq:workers", "rq:worker:theirs")
            connection.sadd("rq:workers:analytics", "rq:worker:theirs")
            connection.hset("rq:worker:theirs", mapping={"state": "idle", "birth": "1", "last_heartbeat": "2"})
            connection.set("rq:suspended", b"1")
            before = content(connection)
            rq_queue.clear(connection)
            rq_queue.tidy(connection, 1e10)
            assert content(connection) == before


class TestOtherApplications:
    @pytest.mark.parametrize("serializer", [None, JSONSerializer], ids=["pickle", "JSON"])
    def test_worker_runs_our_jobs_and_leaves_theirs(
        self, url, open_backend, workers, make_request, tmp_path, serializer
    ):
        mark = tmp_path / "mark"
        backend = open_backend()
        with redis.Redis.from_url(url) as connection, workers(url):
            (worker,) = connection.smembers("rq:workers:analytics")
            theirs = Queue("analytics", connection=connection, serializer=serializer)
            foreign = theirs.enqueue("os.system", f"touch {mark}")
            job_id = backend.submit(make_request("echo")).job_id
            assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
            assert connection.smembers("rq:workers:analytics") == {worker}, "the worker lives"
            assert connection.lrange("rq:queue:analytics", 0, -1) == [foreign.id.encode()]
            assert Job.fetch(foreign.id, connection, serializer).get_status() == "queued"
            assert any("1 messages of another application" in text for text, _ in backend.warnings())
        assert not mark.exists()

    def test_rq_worker_of_another_application_is_named_and_is_none_of_ours(
        self, url, open_backend, workers, make_request
    ):
        backend = open_backend()
        process = subprocess.Popen(
            [sys.executable, "-m", "rq.cli", "worker", "analytics", "--url", url, "--name", "theirs", "--quiet"],
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: "listen on the queue" in backend.health()["reason"], "the worker is noticed")
            assert backend.health()["workers"] == 0
            job_id = backend.submit(make_request("echo")).job_id
            notice = backend.get(job_id).notice
            assert "another application (theirs)" in notice
            assert "ANALYTICS_KIT_QUEUE" in notice
            until(lambda: not backend._jobs.connection.llen("rq:queue:analytics"), "it has taken the step")
            with workers(url):
                process.terminate()
                process.wait()
                info = wait_for_end(backend, job_id)
            assert info.status is JobStatus.COMPLETED, "the step came back"
            assert "it had gone from the queue" in "\n".join(backend.log(job_id))
        finally:
            end(process)


class TestSecret:
    def test_signed_jobs_are_done_and_others_are_refused_by_name(
        self, url, open_backend, workers, make_request, tmp_path
    ):
        signing, plain = open_backend(secret=SECRET), open_backend()
        with workers(url, ANALYTICS_KIT_SECRET=SECRET) as process:
            job_id = signing.submit(make_request("split_work", shards=3, folder=tmp_path)).job_id
            assert wait_for_end(signing, job_id).status is JobStatus.COMPLETED
            refused = wait_for_end(signing, plain.submit(make_request("echo")).job_id)
            assert refused.status is JobStatus.FAILED
            assert isinstance(refused.error.error(), JobFailedError)
            assert "not signed with this queue's secret" in refused.error.message
            assert "ANALYTICS_KIT_SECRET" in refused.error.hint
            assert any(
                "message was refused" in text and "same secret" in advice for text, advice in signing.warnings()
            )
            assert SECRET not in " ".join(_command_lines(process))
        assert any("jobs are not signed" in text for text, _ in plain.warnings())
        assert not any("jobs are not signed" in text for text, _ in signing.warnings())


def _command_lines(process):
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return [" ".join(each.cmdline()) for each in family]
