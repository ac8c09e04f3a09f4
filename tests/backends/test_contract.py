"""What every backend holds: here in this process, on a Redis that was named, on one of our own, over HTTP."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from analytics_kit.errors import BadArchiveError, JobFailedError, JobNotFoundError
from analytics_kit.model import JobStatus
from tests.processes import LIMIT_S, until


def ended(backend, job_id):
    """The job once it has ended, by waiting for word of changes as every reader does."""
    with backend.changes() as changes:
        while not (info := backend.get(job_id)).status.final:
            changes.wait(1)
    return info


def tells_all(backend):
    """Whether jobs are told as they are recorded. Over HTTP a result is told in short, and no folder or trace."""
    return backend.name != "http"


def at(backend, job_id, fraction):
    """The job once it runs and is that far."""
    return until(lambda: (info := backend.get(job_id)).progress.fraction >= fraction and info, f"{fraction} is done")


def test_a_job_runs_and_its_result_is_told(backend, asked):
    before = datetime.now(UTC)
    queued = backend.submit(asked("echo", tags=("a", "ü"), text="<b>\u2028", number=1.5))
    assert queued.status in (JobStatus.QUEUED, JobStatus.RUNNING)
    info = ended(backend, queued.job_id)
    assert info.status is JobStatus.COMPLETED
    if tells_all(backend):
        assert info.result == {"heard": {"text": "<b>\u2028", "number": 1.5}}
        assert (info.source, info.owner) == ("/data/study.zip", "ann")
    assert (info.progress.phase, info.progress.fraction) == ("completed", 1.0)
    assert before <= info.created_at <= info.started_at <= info.ended_at
    assert (info.source.rpartition("/")[2], info.size_bytes, info.tags) == ("study.zip", 12, ("a", "ü"))
    assert (info.backend, info.error, info.notice) == (backend.name, None, "")


def test_ids_are_unique_and_random(backend, asked):
    ids = {backend.submit(asked("echo")).job_id for _ in range(20)}
    assert len(ids) == 20
    assert {len(job_id) for job_id in ids} == {16}


def test_progress_is_told_while_the_work_goes_on(backend, asked, gate):
    job_id = backend.submit(asked("gated", gate=gate)).job_id
    info = at(backend, job_id, 0.4)
    assert info.status is JobStatus.RUNNING
    assert info.started_at is not None
    assert info.ended_at is None
    assert (info.progress.phase, info.progress.done, info.progress.total) == ("processing", 40, 100)
    gate.touch()
    assert ended(backend, job_id).status is JobStatus.COMPLETED


def test_queued_jobs_tell_their_place(backend, asked, gate):
    running = backend.submit(asked("gated", gate=gate)).job_id
    assert at(backend, running, 0.4).queue_position is None
    queued = [backend.submit(asked("echo")).job_id for _ in range(4)]
    assert [backend.get(job_id).queue_position for job_id in queued] == [1, 2, 3, 4]
    backend.cancel(queued[1])
    found = backend.get_many([*queued, running])
    assert [found[job_id].queue_position for job_id in (*queued, running)] == [1, None, 2, 3, None]
    listed = {info.job_id: info.queue_position for info in backend.list()}
    assert [listed[job_id] for job_id in (*queued, running)] == [1, None, 2, 3, None]
    assert [info.queue_position for info in backend.list(JobStatus.QUEUED)] == [3, 2, 1]
    gate.touch()
    assert ended(backend, queued[3]).queue_position is None


def test_the_fraction_never_falls(backend, asked):
    job_id = backend.submit(asked("steps")).job_id
    seen = []
    with backend.changes() as changes:
        while not (info := backend.get(job_id)).status.final:
            seen.append(info.progress.fraction)
            changes.wait(1)
    assert seen == sorted(seen)
    assert 0.3 in seen


def test_a_change_is_heard_of_without_polling(backend, asked, gate):
    job_id = backend.submit(asked("gated", gate=gate)).job_id
    at(backend, job_id, 0.4)
    with backend.changes() as changes:
        changes.wait(0.01)  # what was there already
        opener = threading.Timer(0.05, gate.touch)
        opener.start()
        while not backend.get(job_id).status.final:
            assert changes.wait(LIMIT_S), "the end was not heard of"
        opener.join()


def test_a_failure_is_data(backend, asked):
    info = ended(backend, backend.submit(asked("refuse")).job_id)
    assert info.status is JobStatus.FAILED
    assert info.result is None
    assert (info.error.type, info.error.message, info.error.hint) == (
        "BadArchiveError", "the ZIP is torn: ünïcode <b>", "mend it",
    )  # fmt: skip
    assert type(info.error.error()) is BadArchiveError
    if tells_all(backend):
        assert "sample_steps.py" in info.error.log
        assert "sample_steps.py" in info.error.traceback
        assert info.error.traceback.endswith("BadArchiveError: the ZIP is torn: ünïcode <b>\nHint: mend it\n")


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("crash", "KeyError: 'odd'"),
        ("not_json", "returned a dict that JSON can't hold"),
        ("not_a_number", "returned a dict that JSON can't hold"),
        ("nothing", "returned NoneType, expected a dict"),
        ("no_such_deed", "AttributeError"),
        ("not_callable", "tests.backends.sample_steps.not_callable is a int, expected a function"),
        ("leave", "SystemExit: 3"),
    ],
)
def test_whatever_goes_wrong_has_its_cause(backend, asked, deed, said):
    info = ended(backend, backend.submit(asked(deed)).job_id)
    assert info.status is JobStatus.FAILED
    error = info.error.error()
    assert isinstance(error, JobFailedError)
    assert said in str(error)


def test_the_next_job_runs_after_one_that_failed(backend, asked):
    backend.submit(asked("leave"))
    assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED


def test_the_same_request_joins_while_it_waits_runs_and_is_done(backend, asked, gate):
    first = backend.submit(asked("gated", key="one", gate=gate))
    second = backend.submit(asked("echo", key="two"))  # waits behind the first
    assert backend.submit(asked("echo", key="two")).job_id == second.job_id
    at(backend, first.job_id, 0.4)
    assert backend.submit(asked("gated", key="one", gate=gate)).job_id == first.job_id
    gate.touch()
    ended(backend, first.job_id)
    assert backend.submit(asked("gated", key="one", gate=gate)).job_id == first.job_id
    again = backend.submit(asked("echo", key="one", refresh=True))
    assert again.job_id != first.job_id
    assert backend.submit(asked("echo", key="one")).job_id == again.job_id
    ended(backend, again.job_id)


def test_who_joins_brings_tags_along(backend, asked):
    first = backend.submit(asked("echo", key="tagged", tags=("a", "b")))
    assert backend.submit(asked("echo", key="tagged", tags=("b", "c"))).tags == ("a", "b", "c")
    assert ended(backend, first.job_id).tags == ("a", "b", "c")
    backend.submit(asked("echo", key="tagged", tags=("d",)))
    assert backend.get(first.job_id).tags == ("a", "b", "c", "d")


def test_who_joins_at_the_same_time_brings_all_tags_along(backend, asked):
    job_id, ready = backend.submit(asked("echo", key="crowd")).job_id, threading.Barrier(8)

    def join(number):
        ready.wait()
        backend.submit(asked("echo", key="crowd", tags=(f"t{number}",)))

    threads = [threading.Thread(target=join, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(backend.get(job_id).tags) == [f"t{number}" for number in range(8)]


def test_a_failed_job_is_not_joined(backend, asked):
    first = ended(backend, backend.submit(asked("refuse", key="bad")).job_id)
    second = backend.submit(asked("refuse", key="bad"))
    assert second.job_id != first.job_id
    ended(backend, second.job_id)


@pytest.mark.parametrize("end", ["refuse", "cancelled"])
def test_who_asks_for_it_is_given_the_last_job_whatever_became_of_it(backend, asked, gate, end):
    blocker = backend.submit(asked("gated", gate=gate)).job_id
    request = asked("echo" if end == "cancelled" else end)
    first = backend.submit(replace(request, rejoin=True)).job_id
    if end == "cancelled":
        backend.cancel(first)
    gate.touch()
    ended(backend, blocker)
    info = ended(backend, first)
    assert backend.submit(replace(request, rejoin=True)) == info
    again = backend.retry(first)
    assert backend.submit(replace(request, rejoin=True)).job_id == again.job_id, "the newest one is the last"
    ended(backend, again.job_id)
    assert backend.submit(replace(request, rejoin=True, refresh=True)).job_id != again.job_id


def test_threads_that_submit_the_same_at_once_get_one_job(backend, asked):
    request, ids, ready = asked("echo"), [], threading.Barrier(8)

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


def test_jobs_are_listed_newest_first_and_by_status(backend, asked):
    ids = [backend.submit(asked(deed)).job_id for deed in ("echo", "refuse", "echo")]
    for job_id in ids:
        ended(backend, job_id)
    assert [info.job_id for info in backend.list()][:3] == ids[::-1]
    assert next(info.job_id for info in backend.list(JobStatus.FAILED)) == ids[1]
    assert {info.status for info in backend.list(JobStatus.FAILED)} == {JobStatus.FAILED}


def test_an_unknown_job_is_an_error(backend):
    with pytest.raises(JobNotFoundError, match="'nonesuch'"):
        backend.get("nonesuch")


def test_committing_is_shown_as_running(backend, asked, gate):
    job_id = backend.submit(asked("committing", gate=gate)).job_id
    until(lambda: backend.get(job_id).status is JobStatus.RUNNING, "it runs")
    assert backend.queue_status()["running"] == 1
    gate.touch()
    assert ended(backend, job_id).status is JobStatus.COMPLETED


def test_queue_status_counts(backend, asked, gate):
    before = backend.queue_status()
    running = backend.submit(asked("gated", gate=gate)).job_id
    waiting = backend.submit(asked("echo")).job_id
    at(backend, running, 0.4)
    now = backend.queue_status()
    assert now["backend"] == backend.name
    assert (now["running"], now["queued"], now["workers"]) == (1, 1, 1)
    assert until(lambda: backend.queue_status()["workers_busy"], "the worker says that it is busy") == 1
    gate.touch()
    ended(backend, waiting)
    after = backend.queue_status()
    assert after["completed"] == before["completed"] + 2
    assert (after["running"], after["queued"]) == (0, 0)


def test_health_says_that_work_can_be_done(backend):
    health = backend.health()
    assert {
        "status": "ok",
        "live": True,
        "ready": True,
        "backend": backend.name,
        "reason": "",
    }.items() <= health.items()
