"""What every backend does: in this process, on a named Redis server, on an embedded one, over HTTP."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from analytics_kit.errors import BadArchiveError, JobFailedError, JobNotFoundError
from analytics_kit.model import JobStatus
from tests.backends.waiting import observe_end, wait_for_commit, wait_for_fraction
from tests.processes import LIMIT_S, until


def shows_records(backend):
    """Return whether jobs are shown as recorded; HTTP shortens results and leaves out folders and tracebacks."""
    return backend.name != "http"


def test_job_runs_and_returns_its_result(backend, make_request):
    before = datetime.now(UTC)
    queued = backend.submit(make_request("echo", tags=("a", "ü"), text="<b>\u2028", number=1.5))
    assert queued.status in (JobStatus.QUEUED, JobStatus.RUNNING)
    info = observe_end(backend, queued.job_id)
    assert info.status is JobStatus.COMPLETED
    if shows_records(backend):
        assert info.result == {"arguments": {"text": "<b>\u2028", "number": 1.5}}
        assert (info.source, info.owner) == ("/data/study.zip", "ann")
    assert (info.progress.phase, info.progress.fraction) == ("completed", 1.0)
    assert before <= info.created_at <= info.started_at <= info.ended_at
    assert (info.source.rpartition("/")[2], info.size_bytes, info.tags) == ("study.zip", 12, ("a", "ü"))
    assert (info.backend, info.error, info.notice) == (backend.name, None, "")


def test_ids_are_unique_and_random(backend, make_request):
    ids = {backend.submit(make_request("echo")).job_id for _ in range(20)}
    assert len(ids) == 20
    assert {len(job_id) for job_id in ids} == {16}


def test_progress_is_published_while_the_job_runs(backend, make_request, gate):
    job_id = backend.submit(make_request("gated", gate=gate)).job_id
    info = wait_for_fraction(backend, job_id, 0.4)
    assert info.status is JobStatus.RUNNING
    assert info.started_at is not None
    assert info.ended_at is None
    assert (info.progress.phase, info.progress.done, info.progress.total) == ("processing", 40, 100)
    gate.touch()
    assert observe_end(backend, job_id).status is JobStatus.COMPLETED


def test_queued_jobs_have_their_position_in_the_queue(backend, make_request, gate):
    running = backend.submit(make_request("gated", gate=gate)).job_id
    assert wait_for_fraction(backend, running, 0.4).queue_position is None
    queued = [backend.submit(make_request("echo")).job_id for _ in range(4)]
    assert [backend.get(job_id).queue_position for job_id in queued] == [1, 2, 3, 4]
    backend.cancel(queued[1])
    found = backend.get_many([*queued, running])
    assert [found[job_id].queue_position for job_id in (*queued, running)] == [1, None, 2, 3, None]
    listed = {info.job_id: info.queue_position for info in backend.list()}
    assert [listed[job_id] for job_id in (*queued, running)] == [1, None, 2, 3, None]
    assert [info.queue_position for info in backend.list(JobStatus.QUEUED)] == [3, 2, 1]
    gate.touch()
    assert observe_end(backend, queued[3]).queue_position is None


def test_fraction_never_falls(backend, make_request):
    job_id = backend.submit(make_request("report_in_steps")).job_id
    seen = []
    with backend.changes() as changes:
        while not (info := backend.get(job_id)).status.final:
            seen.append(info.progress.fraction)
            changes.wait(1)
    assert seen == sorted(seen)
    assert 0.3 in seen


def test_change_is_observed_without_polling(backend, make_request, gate):
    job_id = backend.submit(make_request("gated", gate=gate)).job_id
    wait_for_fraction(backend, job_id, 0.4)
    with backend.changes() as changes:
        changes.wait(0.01)  # changes from before
        opener = threading.Timer(0.05, gate.touch)
        opener.start()
        while not backend.get(job_id).status.final:
            assert changes.wait(LIMIT_S), "the end was not observed"
        opener.join()


def test_failed_job_has_its_error_as_data(backend, make_request):
    info = observe_end(backend, backend.submit(make_request("fail")).job_id)
    assert info.status is JobStatus.FAILED
    assert info.result is None
    assert (info.error.type, info.error.message, info.error.hint) == (
        "BadArchiveError", "the ZIP is torn: ünïcode <b>", "mend it",
    )  # fmt: skip
    assert type(info.error.error()) is BadArchiveError
    if shows_records(backend):
        assert "sample_steps.py" in info.error.log
        assert "sample_steps.py" in info.error.traceback
        assert info.error.traceback.endswith("BadArchiveError: the ZIP is torn: ünïcode <b>\nHint: mend it\n")


@pytest.mark.parametrize(
    ("step_name", "message"),
    [
        ("crash", "KeyError: 'odd'"),
        ("not_json", "returned a dict that JSON can't hold"),
        ("not_a_number", "returned a dict that JSON can't hold"),
        ("return_none", "returned NoneType, expected a dict"),
        ("no_such_step", "no_such_step"),
        ("not_callable", "sample_steps.not_callable"),
        ("exit_process", "SystemExit: 3"),
    ],
)
def test_job_that_fails_in_any_way_names_the_cause(backend, make_request, step_name, message):
    info = observe_end(backend, backend.submit(make_request(step_name)).job_id)
    assert info.status is JobStatus.FAILED
    error = info.error.error()
    assert isinstance(error, JobFailedError)
    assert message in str(error)


def test_job_runs_after_one_that_failed(backend, make_request):
    backend.submit(make_request("exit_process"))
    assert observe_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED


def test_same_request_joins_a_queued_running_or_completed_job(backend, make_request, gate):
    first = backend.submit(make_request("gated", key="one", gate=gate))
    second = backend.submit(make_request("echo", key="two"))  # waits behind the first
    assert backend.submit(make_request("echo", key="two")).job_id == second.job_id
    wait_for_fraction(backend, first.job_id, 0.4)
    assert backend.submit(make_request("gated", key="one", gate=gate)).job_id == first.job_id
    gate.touch()
    observe_end(backend, first.job_id)
    assert backend.submit(make_request("gated", key="one", gate=gate)).job_id == first.job_id
    again = backend.submit(make_request("echo", key="one", refresh=True))
    assert again.job_id != first.job_id
    assert backend.submit(make_request("echo", key="one")).job_id == again.job_id
    observe_end(backend, again.job_id)


def test_joining_adds_tags(backend, make_request):
    first = backend.submit(make_request("echo", key="tagged", tags=("a", "b")))
    assert backend.submit(make_request("echo", key="tagged", tags=("b", "c"))).tags == ("a", "b", "c")
    assert observe_end(backend, first.job_id).tags == ("a", "b", "c")
    backend.submit(make_request("echo", key="tagged", tags=("d",)))
    assert backend.get(first.job_id).tags == ("a", "b", "c", "d")


def test_joining_at_the_same_time_adds_all_tags(backend, make_request):
    job_id, ready = backend.submit(make_request("echo", key="crowd")).job_id, threading.Barrier(8)

    def join(number):
        ready.wait()
        backend.submit(make_request("echo", key="crowd", tags=(f"t{number}",)))

    threads = [threading.Thread(target=join, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(backend.get(job_id).tags) == [f"t{number}" for number in range(8)]


def test_failed_job_is_not_joined(backend, make_request):
    first = observe_end(backend, backend.submit(make_request("fail", key="bad")).job_id)
    second = backend.submit(make_request("fail", key="bad"))
    assert second.job_id != first.job_id
    observe_end(backend, second.job_id)


@pytest.mark.parametrize("end", ["fail", "cancelled"])
def test_rejoin_returns_the_newest_job_even_if_failed_or_cancelled(backend, make_request, gate, end):
    blocker = backend.submit(make_request("gated", gate=gate)).job_id
    request = make_request("echo" if end == "cancelled" else end)
    first = backend.submit(replace(request, rejoin=True)).job_id
    if end == "cancelled":
        backend.cancel(first)
    gate.touch()
    observe_end(backend, blocker)
    info = observe_end(backend, first)
    assert backend.submit(replace(request, rejoin=True)) == info
    again = backend.retry(first)
    assert backend.submit(replace(request, rejoin=True)).job_id == again.job_id, "the newest job is joined"
    observe_end(backend, again.job_id)
    assert backend.submit(replace(request, rejoin=True, refresh=True)).job_id != again.job_id


def test_same_request_from_many_threads_makes_one_job(backend, make_request):
    request, ids, ready = make_request("echo"), [], threading.Barrier(8)

    def submit():
        ready.wait()
        ids.append(backend.submit(request).job_id)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_jobs_are_listed_newest_first_and_by_status(backend, make_request):
    ids = [backend.submit(make_request(step_name)).job_id for step_name in ("echo", "fail", "echo")]
    for job_id in ids:
        observe_end(backend, job_id)
    assert [info.job_id for info in backend.list()][:3] == ids[::-1]
    assert next(info.job_id for info in backend.list(JobStatus.FAILED)) == ids[1]
    assert {info.status for info in backend.list(JobStatus.FAILED)} == {JobStatus.FAILED}


def test_unknown_job_raises(backend):
    with pytest.raises(JobNotFoundError, match="'nonesuch'"):
        backend.get("nonesuch")


def test_committing_is_shown_as_running(backend, make_request, gate):
    job_id = backend.submit(make_request("committing", gate=gate)).job_id
    wait_for_commit(backend, job_id)
    assert backend.get(job_id).status is JobStatus.RUNNING
    assert backend.queue_status()["running"] == 1
    gate.touch()
    assert observe_end(backend, job_id).status is JobStatus.COMPLETED


def test_queue_status_counts(backend, make_request, gate):
    before = backend.queue_status()
    running = backend.submit(make_request("gated", gate=gate)).job_id
    waiting = backend.submit(make_request("echo")).job_id
    wait_for_fraction(backend, running, 0.4)
    now = backend.queue_status()
    assert now["backend"] == backend.name
    assert (now["running"], now["queued"], now["workers"]) == (1, 1, 1)
    assert until(lambda: backend.queue_status()["workers_busy"], "the worker is busy") == 1
    gate.touch()
    observe_end(backend, waiting)
    after = backend.queue_status()
    assert after["completed"] == before["completed"] + 2
    assert (after["running"], after["queued"]) == (0, 0)


def test_health_is_ok_when_jobs_can_run(backend):
    health = backend.health()
    assert {
        "status": "ok",
        "live": True,
        "ready": True,
        "backend": backend.name,
        "reason": "",
    }.items() <= health.items()
