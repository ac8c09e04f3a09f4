"""One thread per backend watches jobs for all listeners, for as long as there are any."""

import logging
import os
import threading

import pytest

from analytics_kit.job import Job
from analytics_kit.model import JobStatus
from tests.processes import later, until

LIMIT_S = 30
WATCHER = "analytics_kit watcher"


def test_many_waiters_share_one_thread_and_one_request(fake, watcher):
    jobs = [Job(watcher, fake.put()) for _ in range(50)]
    ended, threads, earlier = [], [], set(threading.enumerate())
    for job in jobs:
        thread = threading.Thread(target=lambda job=job: ended.append(job.wait(LIMIT_S)))
        thread.start()
        threads.append(thread)
    until(lambda: len(watcher._listeners) == 50, "all listen")
    started = set(threading.enumerate()) - earlier  # the watcher of another test's client may still run
    assert [thread.name for thread in started].count(WATCHER) == 1
    before = fake.read_count
    for job in jobs:
        fake.end(job)
    for thread in threads:
        thread.join(LIMIT_S)
    assert ended == [True] * 50
    assert fake.read_count - before < 50


def test_an_error_of_the_backend_ends_the_waiting(job, fake, monkeypatch):
    def broken(job_ids):
        raise KeyError("odd")

    later(monkeypatch.setattr, fake, "get_many", broken)
    with pytest.raises(KeyError):
        job.wait(LIMIT_S)
    monkeypatch.undo()


def test_a_forked_process_has_a_watcher_of_its_own(job, fake, watcher):
    called = []
    job.add_done_callback(called.append)
    child = os.fork()
    if child == 0:
        later(fake.end, job)
        os._exit(0 if job.wait(LIMIT_S) and not called else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fake.end(job)
    until(lambda: called, "the callback is called here")


def test_a_job_missing_once_is_not_gone(job, fake, watcher):
    ended = threading.Event()
    job.add_done_callback(lambda job: ended.set())
    info = fake.infos.pop(job.id)
    before = fake.read_count
    until(lambda: fake.read_count > before, "it is missed once")
    fake.infos[job.id] = info
    assert not ended.wait(0.2)
    fake.end(job)
    assert ended.wait(LIMIT_S)
    assert job.done()


@pytest.mark.parametrize("raised", [ValueError("odd"), SystemExit(3)])
def test_a_callback_that_raises_is_logged_and_stops_no_other(job, fake, caplog, raised):
    def bad(job):
        raise raised

    ended = threading.Event()
    with caplog.at_level(logging.ERROR, "analytics_kit.watcher"):
        job.add_done_callback(bad)
        job.add_done_callback(lambda job: ended.set())
        fake.end(job)
        assert ended.wait(LIMIT_S)
    assert f"A callback of job {job.id} raised" in caplog.text
    assert type(raised).__name__ in caplog.text


def test_a_callback_that_blocks_does_not_delay_a_waiter_of_another_job(job, fake):
    release, other = threading.Event(), Job(job.watcher, fake.put())
    job.add_done_callback(lambda job: release.wait(LIMIT_S))
    fake.end(job)
    later(fake.end, other, after_s=0.3)
    try:
        assert other.wait(10)
    finally:
        release.set()


def test_a_callback_may_wait_for_another_job(job, fake):
    other, waited = Job(job.watcher, fake.put()), threading.Event()
    job.add_done_callback(lambda job: other.wait() and waited.set())
    fake.end(job)
    later(fake.end, other, after_s=0.3)
    assert waited.wait(LIMIT_S)


def test_callbacks_run_once_each_in_order_on_the_watchers_thread(job, fake):
    called, ended = [], threading.Event()
    for name in ("a", "b"):
        job.add_done_callback(lambda job, name=name: called.append((name, job, threading.current_thread().name)))
    job.add_done_callback(lambda job: ended.set())
    fake.change(job, status=JobStatus.RUNNING)
    fake.end(job)
    assert ended.wait(LIMIT_S)
    fake.end(job, size_bytes=1)
    assert job.wait(LIMIT_S)
    assert called == [("a", job, WATCHER), ("b", job, WATCHER)]
