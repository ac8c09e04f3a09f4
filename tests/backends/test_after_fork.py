"""Each backend in a process that was forked from one that has used it."""

import pytest

from analytics_kit import process_fork
from analytics_kit.backends.local import LocalBackend
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.job import Job
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from analytics_kit.watcher import Watcher
from tests.backends.waiting import wait_for_end
from tests.forks import in_fork
from tests.processes import until


@pytest.fixture(autouse=True)
def _no_polars(monkeypatch):
    """Other tests may have used polars in this process."""
    monkeypatch.setattr(process_fork, "_has_polars_threads", lambda: False)


def test_backend_works_in_a_forked_process(backend, make_request):
    done = backend.submit(make_request("echo")).job_id
    wait_for_end(backend, done)
    request = make_request("echo", x=2)

    def submit_and_wait():
        job = Job(Watcher(backend), backend.submit(request))
        return [job.wait(20), str(job.status), str(backend.get(done).status)]

    assert in_fork(submit_and_wait) == [True, "completed", "completed"]
    assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED


@pytest.fixture
def local(gate, make_request):
    """A local backend whose thread is busy with a job, which another waits for."""
    backend = LocalBackend(Settings.of("local"))
    request = make_request("gated", gate=gate)
    running = backend.submit(request).job_id
    until(lambda: backend.get(running).progress.fraction, "the job runs")
    waiting = backend.submit(make_request("echo")).job_id
    yield backend, request, running, waiting
    gate.touch()
    wait_for_end(backend, waiting)
    backend.close()


def test_unended_jobs_of_the_local_backend_stay_with_the_parent(local):
    backend, _, running, waiting = local
    for job_id in (running, waiting):
        name, message = in_fork(lambda job_id=job_id: Job(Watcher(backend), backend.get(job_id)).wait(5))
        assert name == JobNotFoundError.__name__
        assert f"Job {job_id} runs in the process that this one was forked from" in message
    assert {info.job_id for info in backend.list()} == {running, waiting}


def test_request_does_not_join_a_job_of_the_parent(local, gate):
    backend, request, running, _ = local
    gate.touch()

    def submit():
        info = backend.submit(request)
        return [info.job_id != running, str(wait_for_end(backend, info.job_id).status)]

    assert in_fork(submit) == [True, "completed"]


def test_locks_held_during_the_fork_do_not_hold_the_child(local):
    backend = local[0]
    watcher = Watcher(backend)
    with backend._changed, watcher._lock:
        assert in_fork(lambda: [backend.queue_status()["queued"], watcher.listen("x", print) is not None]) == [
            0,
            True,
        ]


def test_forked_process_without_the_threads_of_polars_refuses_to_process(monkeypatch, make_request):
    monkeypatch.setattr(process_fork, "_has_polars_threads", lambda: True)
    backend = LocalBackend(Settings.of("local"))
    request = make_request("echo")
    name, message = in_fork(lambda: backend.submit(request).job_id)
    assert name == SettingsError.__name__
    assert "forked from one that had used polars" in message
    assert '"spawn"' in message
    assert wait_for_end(backend, backend.submit(request).job_id).status is JobStatus.COMPLETED
    assert in_fork(lambda: in_fork(lambda: backend.submit(request).job_id)) == [name, message]
    backend.close()
