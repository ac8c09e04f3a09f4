"""A job is a future: waited for from threads, event loops and callbacks, by Ctrl-C and through a broker's absence."""

import asyncio
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import analytics_kit as ak
from analytics_kit.backends.local import LocalBackend
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.job import Job
from analytics_kit.model import Failure, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings
from analytics_kit.study.store.store import Store
from analytics_kit.watcher import Watcher
from tests.fake_backend import FakeBackend
from tests.processes import until

LIMIT_S = 30
WATCHER = "analytics_kit watcher"
_ids = itertools.count()


@pytest.fixture
def fake():
    backend = FakeBackend()
    yield backend
    backend.away = None
    for job_id in list(backend.infos):  # nobody waits for what is gone
        del backend.infos[job_id]


@pytest.fixture
def watcher(fake):
    yield (watcher := Watcher(fake))
    until(lambda: fake.notify() or watcher._thread is None, "the watcher ends when nobody listens")


@pytest.fixture
def job(watcher, fake):
    return Job(watcher, fake.put())


@pytest.fixture
def table(tmp_path):
    """table() → what a completed job answers; its result can be opened."""

    def make(folder="a"):
        Store(str(tmp_path)).commit(
            folder, {"schema_version": 1, "summary": {"trials": 1}, "provenance": {"n": folder}}
        )
        return {"store": str(tmp_path), "prefix": folder, "summary": {}}

    return make


def later(act, *arguments, after_s=0.1, **more):
    timer = threading.Timer(after_s, act, arguments, more)
    timer.daemon = True
    timer.start()


def test_waiting_hears_of_the_end_and_the_watcher_ends(job, fake, watcher, table):
    assert not job.wait(0)
    assert watcher._thread is None, "no thread is needed to look once"
    assert not job.wait(0.05)
    later(fake.end, job, result=table())
    assert job.wait(LIMIT_S)
    assert job.done()
    assert not job.running()
    assert not job.cancelled()
    assert job.exception() is None
    assert job.result().summary == {"trials": 1}


def test_many_waiters_share_one_thread_and_one_question(fake, watcher):
    jobs = [Job(watcher, fake.put()) for _ in range(50)]
    ended, threads = [], []
    for job in jobs:
        thread = threading.Thread(target=lambda job=job: ended.append(job.wait(LIMIT_S)))
        thread.start()
        threads.append(thread)
    until(lambda: len(watcher._listeners) == 50, "all listen")
    assert [thread.name for thread in threading.enumerate()].count(WATCHER) == 1
    before = fake.read_count
    for job in jobs:
        fake.end(job)
    for thread in threads:
        thread.join(LIMIT_S)
    assert ended == [True] * 50
    assert fake.read_count - before < 50


def test_what_is_heard_late_takes_nothing_back(job, fake):
    late = fake.infos[job.id]
    fake.change(job, status=JobStatus.RUNNING, progress=Progress(fraction=0.5))
    assert job.progress.fraction == 0.5
    assert job.learn(late).progress.fraction == 0.5
    fake.end(job)
    assert job.done()
    job.learn(late)
    assert job.done()


def test_follow_gives_each_change_once(job, fake, table):
    later(fake.change, job, status=JobStatus.RUNNING, progress=Progress("processing", fraction=0.5), after_s=0.2)
    later(fake.end, job, after_s=0.5)
    seen = [(info.status, info.progress.fraction) for info in job.follow(LIMIT_S)]
    assert seen == [("queued", 0.0), ("running", 0.5), ("completed", 1.0)]


def test_a_failure_is_raised_with_its_hint_and_the_end_of_the_workers_log(job, fake):
    log = "\n".join(f"line {number}" for number in range(40))
    fake.end(job, JobStatus.FAILED, error=Failure("BadArchiveError", "torn", "mend it", log))
    assert job.wait()
    for ask in (job.result, lambda: (_ for _ in ()).throw(job.exception())):
        with pytest.raises(ak.BadArchiveError, match="torn\nHint: mend it") as caught:
            ask()
        (note,) = caught.value.__notes__
        assert note.splitlines()[1:] == [f"  line {number}" for number in range(20, 40)]
    fake.end(other := Job(job.watcher, fake.put()), JobStatus.FAILED, error=Failure("KeyError", "odd"))
    assert not hasattr(other.exception(), "__notes__")


def test_a_cancelled_job_raises_for_result_and_exception(job):
    assert job.cancel()
    assert job.cancelled()
    assert job.cancel(), "whoever asks again is told the same"
    for ask in (job.result, job.exception):
        with pytest.raises(ak.JobCancelledError, match=f"Job {job.id} was cancelled"):
            ask()


def test_a_time_out_ends_the_waiting_only(job):
    with pytest.raises(TimeoutError, match=f"Job {job.id} is still queued; it goes on"):
        job.result(0.05)
    assert job.status == "queued"


class TestCallbacks:
    def test_are_called_once_each_in_order_on_the_watchers_thread(self, job, fake):
        called, told = [], threading.Event()
        for name in ("a", "b"):
            job.add_done_callback(lambda job, name=name: called.append((name, job, threading.current_thread().name)))
        job.add_done_callback(lambda job: told.set())
        fake.change(job, status=JobStatus.RUNNING)
        fake.end(job)
        assert told.wait(LIMIT_S)
        fake.end(job, size_bytes=1)
        assert job.wait(LIMIT_S)
        assert called == [("a", job, WATCHER), ("b", job, WATCHER)]

    def test_of_an_ended_job_are_called_now(self, job, fake, caplog):
        fake.end(job)
        called = []
        job.add_done_callback(called.append)
        assert called == [job]
        job.add_done_callback(lambda job: 1 / 0)
        assert "ZeroDivisionError" in caplog.text

    @pytest.mark.parametrize("raised", [ValueError("odd"), SystemExit(3)])
    def test_that_raise_are_logged_and_harm_nobody(self, job, fake, caplog, raised):
        def bad(job):
            raise raised

        told = threading.Event()
        with caplog.at_level(logging.ERROR, "analytics_kit.watcher"):
            job.add_done_callback(bad)
            job.add_done_callback(lambda job: told.set())
            fake.end(job)
            assert told.wait(LIMIT_S)
        assert f"A callback of job {job.id} raised" in caplog.text
        assert type(raised).__name__ in caplog.text

    def test_may_wait_for_another_job(self, job, fake):
        other, waited = Job(job.watcher, fake.put()), threading.Event()
        job.add_done_callback(lambda job: other.wait() and waited.set())
        fake.end(job)
        later(fake.end, other, after_s=0.3)
        assert waited.wait(LIMIT_S)

    def test_that_wait_do_not_hold_up_who_waits_elsewhere(self, job, fake):
        release, other = threading.Event(), Job(job.watcher, fake.put())
        job.add_done_callback(lambda job: release.wait(LIMIT_S))
        fake.end(job)
        later(fake.end, other, after_s=0.3)
        try:
            assert other.wait(10)
        finally:
            release.set()


class TestAwait:
    def test_gives_the_result_while_the_loop_goes_on(self, job, fake, table):
        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.01)

            ticking = asyncio.create_task(tick())
            result = await job
            ticking.cancel()
            return result, ticks

        later(fake.end, job, result=table(), after_s=0.3)
        result, ticks = asyncio.run(main())
        assert result.summary == {"trials": 1}
        assert ticks > 5

    def test_raises_what_result_raises(self, job, fake):
        async def main():
            await job

        later(fake.end, job, JobStatus.FAILED, error=Failure("NoEventsError", "empty"))
        with pytest.raises(ak.NoEventsError):
            asyncio.run(main())
        with pytest.raises(ak.NoEventsError):
            asyncio.run(main())  # of a job that has ended, in another loop

    def test_gather(self, watcher, fake, table):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]

        async def main():
            return await asyncio.gather(*jobs, jobs[0])

        for number, job in enumerate(reversed(jobs)):
            later(fake.end, job, result=table(str(number)), after_s=0.1 * (number + 1))
        assert [result.provenance["n"] for result in asyncio.run(main())] == ["2", "1", "0", "2"]

    def test_wait_for_ends_the_waiting_only(self, job, watcher):
        async def main():
            await asyncio.wait_for(job, 0.1)

        with pytest.raises(TimeoutError):
            asyncio.run(main())
        assert job.status == "queued"
        assert not watcher._listeners

    def test_cancelling_does_not_cancel_the_job(self, job, watcher):
        async def main():
            waiting = asyncio.ensure_future(job)
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(main())
        assert job.status == "queued"
        assert not watcher._listeners


class TestTogether:
    def test_as_completed_gives_each_once_as_it_ends(self, watcher, fake):
        first, second, third = jobs = [Job(watcher, fake.put()) for _ in range(3)]
        fake.end(second)
        later(fake.end, third, JobStatus.FAILED, error=Failure("KeyError", "x"))
        later(fake.end, first, after_s=0.4)
        assert list(ak.as_completed([*jobs, first, Job(watcher, fake.get(second.id))])) == [second, third, first]
        assert not watcher._listeners

    def test_as_completed_in_time(self, watcher, fake):
        ended, going = Job(watcher, fake.put()), Job(watcher, fake.put())
        fake.end(ended)
        waiting = ak.as_completed([going, ended], timeout=0)
        assert next(waiting) == ended
        with pytest.raises(TimeoutError, match="1 of 2 jobs have not ended; they go on"):
            next(waiting)
        assert not watcher._listeners

    def test_nothing(self):
        assert list(ak.as_completed([])) == []
        assert ak.gather() == []

    def test_jobs_of_several_clients(self, watcher, fake):
        elsewhere = FakeBackend()
        there = Watcher(elsewhere)
        jobs = [Job(watcher, fake.put()), Job(there, elsewhere.put())]
        later(elsewhere.end, jobs[1])
        later(fake.end, jobs[0], after_s=0.4)
        assert list(ak.as_completed(jobs, LIMIT_S)) == jobs[::-1]
        until(lambda: elsewhere.notify() or there._thread is None, "the other watcher ends too")

    def test_a_job_that_was_deleted_has_ended(self, watcher, fake):
        job = Job(watcher, fake.put())
        later(fake.infos.pop, job.id)
        assert list(ak.as_completed([job], LIMIT_S)) == [job]
        with pytest.raises(ak.JobNotFoundError):
            job.result()

    def test_gather_gives_the_results_in_order(self, watcher, fake, table):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        for number, job in enumerate(reversed(jobs)):
            later(fake.end, job, result=table(str(number)), after_s=0.1 * (number + 1))
        results = ak.gather(*jobs, jobs[0], timeout=LIMIT_S)
        assert [result.provenance["n"] for result in results] == ["2", "1", "0", "2"]

    def test_gather_raises_the_first_failure_in_order(self, watcher, fake, table):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        fake.end(jobs[2], JobStatus.FAILED, error=Failure("KeyError", "third"))
        later(fake.end, jobs[0], result=table())
        later(fake.end, jobs[1], JobStatus.FAILED, error=Failure("NoEventsError", "second"))
        with pytest.raises(ak.NoEventsError, match="second"):
            ak.gather(*jobs)

    def test_gather_in_time(self, job):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            ak.gather(job, job, timeout=0.2)
        assert time.monotonic() - begun < 5


class TestABrokerThatIsAway:
    def test_polling_tells_what_was_known_last(self, job, fake):
        fake.change(job, status=JobStatus.RUNNING, progress=Progress("processing", fraction=0.5))
        assert job.progress.fraction == 0.5
        fake.away = "Redis at redis://h:1/0 can't be used: refused."
        assert (job.status, job.progress.fraction, job.done(), job.running()) == ("running", 0.5, False, True)
        notice = "Reconnecting …: Redis at redis://h:1/0 can't be used: refused."
        assert job.info().notice == notice
        assert notice in repr(job)
        assert not job.wait(0.05)
        with pytest.raises(BrokerUnavailableError):
            job.cancel()
        with pytest.raises(BrokerUnavailableError):
            job.delete()
        fake.away = None
        assert job.info().notice == ""

    def test_waiting_goes_on_and_says_so(self, job, fake, table):
        notices = []
        fake.away = "down"
        for info in job.follow(LIMIT_S):
            notices.append(info.notice)
            if info.notice:
                fake.away = None
            elif not info.status.final:
                fake.end(job, result=table())
        assert notices == ["Reconnecting …: down", "", ""]
        assert job.result().summary == {"trials": 1}

    def test_everything_that_waits_goes_on(self, watcher, fake, table):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        called = threading.Event()
        jobs[0].add_done_callback(lambda job: called.set())
        fake.away = "down"
        for job in jobs:
            fake.end(job, result=table())
        later(setattr, fake, "away", None, after_s=0.5)

        async def main():
            return await jobs[1]

        assert asyncio.run(main()).summary == {"trials": 1}
        assert set(ak.as_completed(jobs, LIMIT_S)) == set(jobs)
        assert called.wait(LIMIT_S)

    def test_a_time_out_says_that_it_is_away(self, job, fake):
        fake.away = "down"
        with pytest.raises(TimeoutError, match="Reconnecting …: down"):
            job.result(0.05)


class TestAJobThatIsGone:
    def test_ends_the_waiting(self, job, fake):
        later(fake.infos.pop, job.id, after_s=0.3)
        with pytest.raises(ak.JobNotFoundError, match=job.id):
            job.wait(LIMIT_S)
        assert job.id in repr(job)

    def test_missed_once_is_not_gone(self, job, fake, watcher):
        told = threading.Event()
        job.add_done_callback(lambda job: told.set())
        info = fake.infos.pop(job.id)
        before = fake.read_count
        until(lambda: fake.read_count > before, "it is missed once")
        fake.infos[job.id] = info
        assert not told.wait(0.2)
        fake.end(job)
        assert told.wait(LIMIT_S)
        assert job.done()


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


class TestInThisProcess:
    """With the local backend, from verb to verb."""

    @pytest.fixture
    def jobs(self, tmp_path):
        backend = LocalBackend(Settings.of())
        yield lambda deed, **arguments: self.made(backend, deed, arguments)
        backend.close()

    @staticmethod
    def made(backend, deed, arguments):
        request = JobRequest(f"tests.backends.sample_steps.{deed}", arguments, f"key-{next(_ids)}", "/data/study.zip")
        return Job(Watcher(backend), backend.submit(request))

    def test_retry_is_a_new_job(self, jobs):
        job = jobs("fail")
        assert isinstance(job.exception(LIMIT_S), ak.BadArchiveError)
        again = job.retry()
        assert again != job
        assert again.info().retry_of == job.id
        assert again.wait(LIMIT_S)
        assert job.status == again.status == "failed"
        assert "sample_steps.py" in again.exception().__notes__[0]

    def test_log_is_text(self, jobs):
        job = jobs("fail")
        job.wait(LIMIT_S)
        lines = job.log().splitlines()
        assert lines[0].endswith(" queued")
        assert "BadArchiveError: the ZIP is torn" in lines[-2]

    def test_delete_forgets_the_job(self, jobs):
        job = jobs("fail")
        job.wait(LIMIT_S)
        job.delete()
        assert job.status == "failed"  # what was known of it
        with pytest.raises(ak.JobNotFoundError):
            job.log()
        with pytest.raises(ak.JobNotFoundError):
            job.delete()

    def test_delete_cancels_first(self, jobs, tmp_path):
        gate = tmp_path / "gate"
        job = jobs("gated", gate=str(gate))
        until(job.running, "it runs")
        waiting = Job(job.watcher, job.watcher.backend.get(job.id))
        job.delete()
        assert job.status == "cancelled"
        gate.touch()
        with pytest.raises(ak.JobNotFoundError):
            waiting.wait(LIMIT_S)


def test_delete_removes_the_tables(tmp_path):
    study = ak.sample_study(tmp_path / "study.zip", participants=1, trials=1)
    with ak.connect("local", home=tmp_path / "home") as client:
        job, kept = client.submit(study), client.submit(study, idle_gap_s=0.2)
        client.gather(job, kept)
        result = job.result()
        job.delete()
        with pytest.raises(ak.ResultExpiredError):
            job.result()
        with pytest.raises(ak.ResultExpiredError):
            _ = result.trials
        with pytest.raises(ak.JobNotFoundError):
            client.get_job(job.id)
        assert list(client.jobs()["job_id"]) == [kept.id]
        assert len(kept.result().trials) == 4
        folders = [path.parent.parent.name for path in (tmp_path / "home").rglob("manifest.json")]
        assert folders == [kept.id]
        assert list(client.as_completed([kept])) == [kept]
        again = client.submit(study)
        assert again != job
        assert again.wait(LIMIT_S)


CTRL_C = """
import sys, threading, time
import analytics_kit as ak
client = ak.connect("local", home={home!r})
from analytics_kit.job import Job
from analytics_kit.model import JobRequest
backend = client.backend
job = Job(client._watcher, backend.submit(JobRequest("tests.backends.sample_steps.gated", {{"gate": {gate!r}}}, "key", "study.zip")))
while not job.progress.fraction:
    time.sleep(0.01)
print("waiting", flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print(job.status, flush=True)
open({gate!r}, "w").close()
print(job.wait(20), job.status, flush=True)
"""


@pytest.mark.parametrize(
    "wait", ["job.wait()", "job.result()", "job.exception(60)", "ak.gather(job)", "list(ak.as_completed([job]))"]
)
def test_ctrl_c_ends_the_waiting_at_once_and_not_the_job(tmp_path, wait):
    code = CTRL_C.format(home=str(tmp_path), gate=str(tmp_path / "gate"), wait=wait)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)  # let it begin to wait; before that Ctrl-C ends it just the same
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "running\n", process.stderr.read()
        assert time.monotonic() - begun < 1
        assert process.stdout.readline() == "True completed\n"
        assert process.stderr.read() == ""
    assert process.returncode == 0
