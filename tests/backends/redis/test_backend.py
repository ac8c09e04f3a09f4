"""The Redis backend: worker processes, secrets, namespaces, and notices about what is missing."""

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
from analytics_kit.backends.embedded.paths import broker_paths
from analytics_kit.backends.record import Record
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError, SettingsError
from analytics_kit.model import RECORD_VERSION, JobStatus
from analytics_kit.settings import Settings
from tests.backends.waiting import wait_for_end
from tests.processes import alive, until


@pytest.fixture(params=["redis_backend", "embedded_backend"])
def backend(request):
    """Both backends that have workers."""
    return request.getfixturevalue(request.param)


def test_job_of_a_newer_version_stays_queued_with_a_notice(redis_backend, make_request):
    jobs = redis_backend._jobs
    record = Record.of(make_request("echo"), f"newer-{os.urandom(4).hex()}", jobs.now_s())
    job_id = jobs.submit(replace(record, version=RECORD_VERSION + 1), False).job_id
    reason = f"newer analytics_kit: its record has version {RECORD_VERSION + 1}"
    # A worker that is slow to start may seem to be missing before.
    until(lambda: reason in redis_backend.get(job_id).notice, "the notice says so")
    assert "Upgrade" in redis_backend.get(job_id).notice
    assert redis_backend.get(job_id).status is JobStatus.QUEUED
    assert redis_backend.cancel(job_id)


def test_task_process_is_kept_while_there_is_work(backend, make_request):
    first, second = (wait_for_end(backend, backend.submit(make_request("parent")).job_id).result for _ in range(2))
    assert first["parent"] == second["parent"] != first["pid"] == second["pid"]
    until(lambda: not alive(first["pid"]), "it ends when there is no work")
    third = wait_for_end(backend, backend.submit(make_request("parent")).job_id).result
    assert third["parent"] == first["parent"]
    assert third["pid"] != first["pid"]


def test_task_process_that_has_grown_is_replaced(backend, make_request):
    first, second = (
        wait_for_end(backend, backend.submit(make_request("keep_memory", mb=mb)).job_id).result for mb in (400, 0)
    )
    assert first["pid"] != second["pid"]


def test_queue_is_read_once_for_all_jobs_and_only_if_one_is_queued(store, make_request, redis_url, monkeypatch):
    reads, positions = [], JobStore.queue_positions
    monkeypatch.setattr(JobStore, "queue_positions", lambda jobs: reads.append(1) or positions(jobs))
    backend = RedisBackend(
        redis_url.removesuffix("/0") + "/3",
        Settings.of(namespace=store.jobs.keys.namespace),
        "tests.backends.sample_steps",
    )
    ids = [backend.submit(make_request("echo")).job_id for _ in range(20)]
    assert not reads
    expected = {job_id: position for position, job_id in enumerate(ids, 1)}
    for call in (lambda: backend.get_many(ids), lambda: {info.job_id: info for info in backend.list()}):
        assert {job_id: info.queue_position for job_id, info in call().items()} == expected
        assert len(reads) == 1
        reads.clear()
    for job_id in ids:
        backend.cancel(job_id)
    assert len(backend.get_many(ids)) == len(backend.list()) == 20
    assert not reads
    backend.close()


class TestSecrets:
    def test_password_is_not_in_what_clients_see(self, redis_backend, redis_url, make_request):
        secret = redis_url.split("@")[0].rpartition(":")[2]
        info = wait_for_end(redis_backend, redis_backend.submit(make_request("crash")).job_id)
        assert secret not in repr(
            [redis_backend.health(), redis_backend.queue_status(), info, redis_backend, redis_backend.list()]
        )
        assert redis_backend.health()["broker"]["address"] == "redis://" + redis_url.partition("@")[2]

    def test_password_is_in_no_command_line(self, redis_backend, redis_url):
        secret = redis_url.split("@")[0].rpartition(":")[2]
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        lines = [" ".join(process.cmdline()) for process in processes]
        assert any("analytics_kit.backends.worker" in line for line in lines)
        assert any("redis-server" in line for line in lines)
        assert not [line for line in lines if secret in line]

    @pytest.mark.parametrize(
        "url", ["redis://:hu/sh@127.0.0.1:1/0", "redis://127.0.0.1:hush/0", "redis://h:1/0?ssl=hush"]
    )
    def test_password_is_not_in_the_error_about_a_bad_url(self, url):
        with pytest.raises(SettingsError, match="can't be read") as caught:
            RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        assert not {"hush", "hu/sh"} & set(str(caught.value).replace("@", " ").split())


class TestWorkers:
    def test_job_on_a_redis_without_workers_has_a_notice(self, redis_url, workers, make_request):
        url = redis_url.removesuffix("/0") + "/5"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        job_id = backend.submit(make_request("echo")).job_id
        info = backend.get(job_id)
        assert (info.status, info.progress.fraction) == (JobStatus.QUEUED, 0.0)
        assert "No worker listens" in info.notice
        assert "analytics-kit worker" in info.notice
        health = backend.health()
        assert (health["status"], health["ready"], health["workers"]) == ("degraded", False, 0)
        with workers(url):
            info = wait_for_end(backend, job_id)
        assert (info.status, info.notice) == (JobStatus.COMPLETED, "")
        backend.close()

    def test_workers_end_when_their_command_is_killed(self, redis_url, workers):
        with workers(redis_url.removesuffix("/0") + "/8", n=2) as process:
            pids = [child.pid for child in psutil.Process(process.pid).children()]
            assert len(pids) == 2
            process.kill()
            until(lambda: not any(map(alive, pids)), "the workers have gone")


def test_unreachable_broker_raises_and_health_is_down(tmp_path):
    backend = RedisBackend(f"unix://{tmp_path}/nothing", Settings.of(), "tests.backends.sample_steps")
    with pytest.raises(BrokerUnavailableError, match="can't be used"):
        backend.get("x")
    assert backend.health()["status"] == "down"
    with backend.changes() as changes:
        assert changes.wait(0.05), "a reader polls when it can't subscribe"


def test_embedded_server_listens_on_a_socket_of_its_owner_only(embedded_backend):
    path = Path(embedded_backend._address.removeprefix("unix://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert embedded_backend._jobs.connection.info("server")["tcp_port"] == 0


def test_job_without_progress_for_long_has_a_notice(redis_backend, make_request, gate, monkeypatch):
    monkeypatch.setattr("analytics_kit.backends.redis.backend.QUIET_S", 0.5)
    job_id = redis_backend.submit(make_request("stuck", gate=gate)).job_id
    until(lambda: "the job may be stuck" in redis_backend.get(job_id).notice, "the notice says so")
    gate.touch()
    assert wait_for_end(redis_backend, job_id).notice == ""


def test_stop_ends_all_brokers_of_a_home(tmp_path):
    several = [Settings.of(home=tmp_path / "home", store=str(tmp_path / name), workers=1) for name in "ab"]
    backends = [EmbeddedBackend(settings, "tests.backends.sample_steps") for settings in several]
    pids = [int(broker_paths(settings).owner_lock.read_text()) for settings in several]
    assert len(set(pids)) == 2
    assert embedded.stop(several[0])
    until(lambda: not any(map(alive, pids)), "both have gone")
    for backend in backends:
        backend.close()


def test_namespaces_separate_users_and_share_workers(redis_backend, redis_url, make_request):
    ann, bob = (
        RedisBackend(redis_url, Settings.of(namespace=name), "tests.backends.sample_steps") for name in ("ann", "bob")
    )
    request = make_request("parent", tags=("mine",))
    first, second = (wait_for_end(backend, backend.submit(request).job_id) for backend in (ann, bob))
    assert first.job_id != second.job_id, "a request of one user does not join a job of another"
    assert [info.job_id for info in ann.list()] == [first.job_id]
    assert [info.job_id for info in bob.list()] == [second.job_id]
    assert (first.owner, first.tags) == ("ann", ("mine",))
    with pytest.raises(JobNotFoundError):
        ann.get(second.job_id)
    assert first.result["parent"] == second.result["parent"]
    for backend in (ann, bob):
        backend.close()


def test_close_while_a_thread_waits_for_changes_raises_nothing_there(redis_url):
    backend, ready = RedisBackend(redis_url, Settings.of(), "tests.backends.sample_steps"), threading.Event()
    errors = []

    def listen():
        try:
            with backend.changes() as changes:
                for _ in range(4):
                    ready.set()
                    changes.wait(0.3)
        except Exception as error:
            errors.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait()
    time.sleep(0.05)  # let it wait for changes
    backend.close()
    listener.join()
    assert not errors
