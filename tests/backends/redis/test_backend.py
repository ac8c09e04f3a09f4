"""What holds for jobs on a Redis: atomic records, plain JSON, no secrets, and words about who is missing."""

import os
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.embedded.paths import place_of
from analytics_kit.backends.record import Record
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError, SettingsError
from analytics_kit.model import SCHEMA_VERSION, JobStatus
from analytics_kit.settings import Settings
from tests.processes import alive, until


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended")


@pytest.fixture(params=["named", "own"])
def backend(request):
    """Both backends that have workers."""
    return request.getfixturevalue(request.param)


def test_a_job_of_a_newer_version_is_left_to_newer_workers_and_that_is_said(named, asked):
    def act(store):
        made = Record.of(asked("echo"), f"newer-{os.urandom(4).hex()}", store.now_s())
        return store.submit(replace(made, version=SCHEMA_VERSION + 1), False)

    job_id = named._call(act).job_id
    said = f"newer analytics_kit: its record has version {SCHEMA_VERSION + 1}"
    until(lambda: said in named.get(job_id).notice, "it is said")  # a worker that was held up may seem away before
    assert "Upgrade" in named.get(job_id).notice
    assert named.get(job_id).status is JobStatus.QUEUED
    assert named.cancel(job_id)


def test_tasks_run_in_a_forked_process_that_is_kept_while_there_is_work(backend, asked):
    first, second = (ended(backend, backend.submit(asked("parent")).job_id).result for _ in range(2))
    assert first["parent"] == second["parent"] != first["pid"] == second["pid"]
    until(lambda: not alive(first["pid"]), "it has gone when there was nothing to do")
    third = ended(backend, backend.submit(asked("parent")).job_id).result
    assert third["parent"] == first["parent"]
    assert third["pid"] != first["pid"]


def test_a_process_that_has_grown_does_no_further_task(backend, asked):
    first, second = (ended(backend, backend.submit(asked("grow", mb=mb)).job_id).result for mb in (400, 0))
    assert first["pid"] != second["pid"]


def test_the_queue_is_read_once_for_all_jobs_and_only_where_one_is_queued(store, asked, redis_url, monkeypatch):
    asks, positions = [], JobStore.positions
    monkeypatch.setattr(JobStore, "positions", lambda store: asks.append(1) or positions(store))
    backend = RedisBackend(
        redis_url.removesuffix("/0") + "/3", Settings.of(namespace=store.namespace), "tests.backends.sample_steps"
    )
    ids = [backend.submit(asked("echo")).job_id for _ in range(20)]
    assert not asks
    places = {job_id: place for place, job_id in enumerate(ids, 1)}
    for act in (lambda: backend.get_many(ids), lambda: {info.job_id: info for info in backend.list()}):
        assert {job_id: info.queue_position for job_id, info in act().items()} == places
        assert len(asks) == 1
        asks.clear()
    for job_id in ids:
        backend.cancel(job_id)
    assert len(backend.get_many(ids)) == len(backend.list()) == 20
    assert not asks
    backend.close()


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
        assert any("analytics_kit.backends.worker.worker" in line for line in lines)
        assert any("redis-server" in line for line in lines)
        assert not [line for line in lines if secret in line]

    @pytest.mark.parametrize(
        "url", ["redis://:hu/sh@127.0.0.1:1/0", "redis://127.0.0.1:hush/0", "redis://h:1/0?ssl=hush"]
    )
    def test_are_not_in_what_is_said_of_a_bad_url(self, url):
        with pytest.raises(SettingsError, match="can't be read") as caught:
            RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        assert not {"hush", "hu/sh"} & set(str(caught.value).replace("@", " ").split())


class TestWorkers:
    def test_a_redis_without_workers_is_said_on_the_job(self, redis_url, workers, asked):
        url = redis_url.removesuffix("/0") + "/5"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
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

    def test_workers_end_when_the_command_is_killed(self, redis_url, workers):
        with workers(redis_url.removesuffix("/0") + "/8", n=2) as process:
            pids = [child.pid for child in psutil.Process(process.pid).children()]
            assert len(pids) == 2
            process.kill()
            until(lambda: not any(map(alive, pids)), "the workers have gone")


def test_a_broker_that_is_gone_is_an_error_and_health_says_down(tmp_path):
    backend = RedisBackend(f"unix://{tmp_path}/nothing", Settings.of(), "tests.backends.sample_steps")
    with pytest.raises(BrokerUnavailableError, match="can't be used"):
        backend.get("x")
    assert backend.health()["status"] == "down"
    with backend.changes() as changes:
        assert changes.wait(0.05), "a reader polls when nothing can be heard"


def test_the_embedded_server_can_be_reached_by_its_owner_only(own):
    path = Path(own._address.removeprefix("unix://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    told = own._call(lambda store: store.connection.info("server"))
    assert told["tcp_port"] == 0


def test_a_job_that_says_nothing_for_long_may_be_stuck(named, asked, gate, monkeypatch):
    monkeypatch.setattr("analytics_kit.backends.redis.backend.QUIET_S", 0.5)
    job_id = named.submit(asked("stuck", gate=gate)).job_id
    until(lambda: "it may be stuck" in named.get(job_id).notice, "it is said")
    gate.touch()
    assert ended(named, job_id).notice == ""


def test_down_ends_all_brokers_of_a_home(tmp_path):
    several = [Settings.of(home=tmp_path / "home", store=str(tmp_path / name), workers=1) for name in "ab"]
    backends = [EmbeddedBackend(settings, "tests.backends.sample_steps") for settings in several]
    pids = [int(place_of(settings).owner_lock.read_text()) for settings in several]
    assert len(set(pids)) == 2
    assert embedded.stop(several[0])
    until(lambda: not any(map(alive, pids)), "both have gone")
    for backend in backends:
        backend.close()


def test_namespaces_keep_users_apart_and_one_worker_serves_them(named, redis_url, asked):
    ann, bob = (
        RedisBackend(redis_url, Settings.of(namespace=name), "tests.backends.sample_steps") for name in ("ann", "bob")
    )
    request = asked("parent", tags=("mine",))
    first, second = (ended(backend, backend.submit(request).job_id) for backend in (ann, bob))
    assert first.job_id != second.job_id, "what one asks for is not joined by another"
    assert [info.job_id for info in ann.list()] == [first.job_id]
    assert [info.job_id for info in bob.list()] == [second.job_id]
    assert (first.owner, first.tags) == ("ann", ("mine",))
    with pytest.raises(JobNotFoundError):
        ann.get(second.job_id)
    assert first.result["parent"] == second.result["parent"]
    for backend in (ann, bob):
        backend.close()


def test_closing_a_backend_that_somebody_listens_to_is_no_trouble(redis_url):
    backend, ready = RedisBackend(redis_url, Settings.of(), "tests.backends.sample_steps"), threading.Event()
    troubles = []

    def listen():
        try:
            with backend.changes() as changes:
                for _ in range(4):
                    ready.set()
                    changes.wait(0.3)
        except Exception as error:
            troubles.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait()
    time.sleep(0.05)  # it waits for word
    backend.close()
    listener.join()
    assert not troubles
