"""What holds for jobs on a Redis: atomic records, plain JSON, no secrets, and words about who is missing."""

import json
import os
import signal
import stat
import time
import zlib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from processes import alive, until

from analytics_kit.backends import ledger
from analytics_kit.backends.ledger import Ledger
from analytics_kit.backends.record import RECORD_TTL_S, Record, RefusedError, State
from analytics_kit.backends.redis import RedisBackend, connect
from analytics_kit.errors import BrokerUnavailableError, SettingsError, WorkerLostError
from analytics_kit.model import SCHEMA_VERSION, JobStatus, Progress
from analytics_kit.settings import Settings


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended")


@pytest.fixture(params=["named", "own"])
def backend(request):
    """Both backends that have workers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def book(redis_url):
    """Records of a namespace that no worker is told of."""
    book = Ledger(connect(redis_url), f"book-{os.urandom(4).hex()}")
    yield book
    for key in (*book.connection.keys("rq:job:*"), *book.connection.keys(f"ak:{book.namespace}:*")):
        book.connection.delete(key)
    book.connection.delete(f"rq:queue:{ledger.QUEUE}", ledger.ACTIVE)
    book.connection.close()


@pytest.fixture
def queued(book, asked):
    return book.submit(Record.of(asked("echo"), "job-1", book.now_s()), False)


class TestRecords:
    def test_a_job_is_written_and_queued_in_one(self, book, queued):
        assert book.get("job-1") == queued
        assert ledger.active(book.connection) == [(book.namespace, "job-1")]
        assert book.connection.lrange(f"rq:queue:{ledger.QUEUE}", 0, -1) == [b"job-1-1"]

    def test_a_legal_way_sets_times_and_lifetimes(self, book, queued):
        for state in (State.RUNNING, State.COMMITTING):
            book.move("job-1", 1, state)
        assert book.connection.ttl(book._key("job-1")) == -1
        book.move("job-1", 1, State.COMPLETED, result={"x": 1})
        done = book.get("job-1")
        assert (done.state, done.result) == (State.COMPLETED, {"x": 1})
        assert queued.created_at <= done.started_at <= done.ended_at
        assert 0 < book.connection.ttl(book._key("job-1")) <= RECORD_TTL_S
        assert ledger.active(book.connection) == []

    @pytest.mark.parametrize("to", [State.COMMITTING, State.COMPLETED, State.QUEUED])
    def test_an_illegal_change_is_refused_and_changes_nothing(self, book, queued, to):
        with pytest.raises(RefusedError) as caught:
            book.move("job-1", 1, to, result={"x": 1})
        assert caught.value.state is State.QUEUED
        assert book.get("job-1") == queued

    def test_a_final_state_is_final(self, book, queued):
        book.move("job-1", 1, State.FAILED)
        for to in State:
            with pytest.raises(RefusedError):
                book.move("job-1", 1, to)
        with pytest.raises(RefusedError):
            book.tell("job-1", 1, Progress(done=5))

    def test_an_attempt_that_was_replaced_can_write_nothing(self, book, queued):
        book.move("job-1", 1, State.RUNNING)
        book.requeue("job-1")
        for act in (
            lambda: book.move("job-1", 1, State.COMMITTING),
            lambda: book.tell("job-1", 1, Progress(done=5)),
            lambda: book.move("job-1", 1, State.FAILED),
        ):
            with pytest.raises(RefusedError) as caught:
                act()
            assert caught.value.state is None
        book.tell("job-1", 2, Progress(done=6))
        assert (book.get("job-1").state, book.get("job-1").progress.done) == (State.RUNNING, 6)

    def test_progress_of_a_queued_job_is_refused(self, book, queued):
        with pytest.raises(RefusedError):
            book.tell("job-1", 1, Progress(done=5))

    def test_an_answer_that_was_lost_makes_no_second_job(self, book, queued):
        assert book.submit(queued, refresh=True) == queued
        assert book.connection.llen(f"rq:queue:{ledger.QUEUE}") == 1

    def test_a_record_that_expired_is_forgotten(self, book, queued):
        book.connection.delete(book._key("job-1"))
        assert book.records() == []
        assert book.connection.zcard(book.index) == 0

    def test_all_is_json_and_nothing_is_pickled(self, book, queued):
        task = book.connection.hget("rq:job:job-1-1", "data")
        assert json.loads(zlib.decompress(task))[0] == ledger.TASK
        for name, value in book.connection.hgetall(book._key("job-1")).items():
            assert name in (b"state", b"result_key") or json.loads(value) is not None


def test_a_job_of_a_newer_version_is_refused_by_name(backend, asked):
    def act(book):
        made = Record.of(asked("echo"), f"newer-{os.urandom(4).hex()}", book.now_s())
        return book.submit(replace(made, version=SCHEMA_VERSION + 1), False)

    error = ended(backend, backend._call(act).job_id).error
    assert f"newer analytics_kit: its record has version {SCHEMA_VERSION + 1}" in error.message
    assert "Upgrade" in error.hint


def test_a_killed_task_fails_with_its_cause_and_the_next_one_runs(backend, asked):
    error = ended(backend, backend.submit(asked("die")).job_id).error
    assert type(error.error()) is WorkerLostError
    assert "SIGKILL" in error.message
    assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED


def test_tasks_run_in_forked_processes_of_their_own(backend, asked):
    first, second = (ended(backend, backend.submit(asked("parent")).job_id).result for _ in range(2))
    assert first["pid"] != second["pid"]
    assert first["parent"] == second["parent"]


class TestSecrets:
    def test_are_not_told(self, named, redis_url, asked):
        secret = redis_url.split("@")[0].rpartition(":")[2]
        info = ended(named, named.submit(asked("crash")).job_id)
        assert secret not in repr([named.health(), named.queue_status(), info, named, named.list()])
        assert named.health()["broker"]["address"] == "redis://" + redis_url.partition("@")[2]

    def test_are_in_no_command_line(self, named, redis_url):
        secret = redis_url.split("@")[0].rpartition(":")[2]
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        lines = [" ".join(process.cmdline()) for process in processes]
        assert any("analytics_kit.backends.worker" in line for line in lines)
        assert any("redis-server" in line for line in lines)
        assert not [line for line in lines if secret in line]

    @pytest.mark.parametrize(
        "url", ["redis://:hu/sh@127.0.0.1:1/0", "redis://127.0.0.1:hush/0", "redis://h:1/0?ssl=hush"]
    )
    def test_are_not_in_what_is_said_of_a_bad_url(self, url):
        with pytest.raises(SettingsError, match="can't be read") as caught:
            RedisBackend(url, Settings.of())
        assert not {"hush", "hu/sh"} & set(str(caught.value).replace("@", " ").split())


class TestWorkers:
    def test_a_redis_without_workers_is_said_on_the_job(self, redis_url, workers, asked):
        url = redis_url.removesuffix("/0") + "/5"
        backend = RedisBackend(url, Settings.of())
        job_id = backend.submit(asked("echo")).job_id
        info = backend.get(job_id)
        assert (info.status, info.progress.fraction) == (JobStatus.QUEUED, 0.0)
        assert "No worker listens" in info.notice
        assert "analytics-kit worker" in info.notice
        health = backend.health()
        assert (health["status"], health["ready"], health["workers"]) == ("degraded", False, 0)
        with workers(url):
            info = ended(backend, job_id)
        assert (info.status, info.notice) == (JobStatus.COMPLETED, "")
        backend.close()

    def test_sigterm_lets_the_running_job_finish(self, redis_url, workers, asked, gate):
        url = redis_url.removesuffix("/0") + "/6"
        backend = RedisBackend(url, Settings.of())
        with workers(url, n=2) as process:
            job_id = backend.submit(asked("gated", gate=gate)).job_id
            until(lambda: backend.get(job_id).progress.fraction, "the job runs")
            process.send_signal(signal.SIGTERM)
            until(lambda: backend.queue_status()["workers"] == 1, "the idle worker has gone")
            gate.touch()
            assert process.wait(30) == 0
        assert backend.get(job_id).status is JobStatus.COMPLETED
        backend.close()

    def test_a_killed_worker_takes_its_task_along_and_that_is_said(self, redis_url, workers, asked, gate):
        url = redis_url.removesuffix("/0") + "/7"
        backend = RedisBackend(url, Settings.of())
        with workers(url) as process:
            pid = ended(backend, backend.submit(asked("parent")).job_id).result["parent"]
            job_id = backend.submit(asked("gated", gate=gate)).job_id
            until(lambda: backend.get(job_id).progress.fraction, "the job runs")
            horses = psutil.Process(pid).children()
            assert horses
            os.kill(pid, signal.SIGKILL)
            assert type(ended(backend, job_id).error.error()) is WorkerLostError
            until(lambda: not any(alive(horse.pid) for horse in horses), "the task's process is gone")
            assert process.wait(30) == 1
            assert backend.queue_status()["workers"] == 0
        backend.close()

    def test_a_second_signal_leaves_no_job_running(self, redis_url, workers, asked, gate):
        url = redis_url.removesuffix("/0") + "/9"
        backend = RedisBackend(url, Settings.of())
        with workers(url) as process:
            job_id = backend.submit(asked("gated", gate=gate)).job_id
            until(lambda: backend.get(job_id).progress.fraction, "the job runs")
            (worker,) = psutil.Process(process.pid).children()
            process.send_signal(signal.SIGTERM)
            time.sleep(1.5)  # rq takes a second signal within a second for the first one
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert not alive(worker.pid)
            assert type(ended(backend, job_id).error.error()) is WorkerLostError
        backend.close()

    def test_workers_end_when_the_command_is_killed(self, redis_url, workers):
        with workers(redis_url.removesuffix("/0") + "/8", n=2) as process:
            pids = [child.pid for child in psutil.Process(process.pid).children()]
            assert len(pids) == 2
            process.kill()
            until(lambda: not any(map(alive, pids)), "the workers have gone")


def test_a_broker_that_is_gone_is_an_error_and_health_says_down(tmp_path):
    backend = RedisBackend(f"unix://{tmp_path}/nothing", Settings.of())
    with pytest.raises(BrokerUnavailableError, match="can't be used"):
        backend.get("x")
    assert backend.health()["status"] == "down"
    with backend.changes() as changes:
        assert changes.wait(0.05), "a reader polls when nothing can be heard"


def test_the_embedded_server_can_be_reached_by_its_owner_only(own):
    path = Path(own._address.removeprefix("unix://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    told = own._call(lambda book: book.connection.info("server"))
    assert told["tcp_port"] == 0
