"""A job is a future: waited for from threads, event loops and callbacks, by Ctrl-C and through a broker's absence."""

import asyncio
import itertools
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
from analytics_kit.watcher import Watcher
from tests.processes import later, until

LIMIT_S = 30
WATCHER = "analytics_kit watcher"
_ids = itertools.count()


def test_wait_returns_at_the_end_and_the_watcher_stops(job, fake, watcher, stored_result):
    assert not job.wait(0)
    assert watcher._thread is None, "no thread is needed to look once"
    assert not job.wait(0.05)
    later(fake.end, job, result=stored_result())
    assert job.wait(LIMIT_S)
    assert job.done()
    assert not job.running()
    assert not job.cancelled()
    assert job.exception() is None
    assert job.result().summary == {"trials": 1}


def test_waiting_ends_in_time_although_the_broker_hangs(job, fake, monkeypatch):
    answers = threading.Event()

    def hang(*_):
        answers.wait(LIMIT_S)
        return fake.infos[job.id]

    monkeypatch.setattr(fake, "get", hang)
    monkeypatch.setattr(fake, "get_many", lambda ids: {job.id: hang()})
    seen = list(job.follow(0.05))
    assert not answers.is_set()
    assert [info.notice for info in seen] == ["The broker does not answer."]
    with pytest.raises(TimeoutError, match="it goes on"):
        job.result(0.05)
    answers.set()
    until(lambda: not [each for each in threading.enumerate() if each.name == "analytics_kit read"], "reading ends")


def test_error_of_reading_is_raised_by_whoever_waits(job, fake):
    del fake.infos[job.id]
    with pytest.raises(ak.JobNotFoundError):
        job.wait(LIMIT_S)


def test_a_late_update_takes_nothing_back(job, fake):
    late = fake.infos[job.id]
    fake.change(job, status=JobStatus.RUNNING, progress=Progress(fraction=0.5))
    assert job.progress.fraction == 0.5
    assert job.update(late).progress.fraction == 0.5
    fake.end(job)
    assert job.done()
    job.update(late)
    assert job.done()


def test_follow_yields_each_change_once(job, fake, stored_result):
    later(fake.change, job, status=JobStatus.RUNNING, progress=Progress("processing", fraction=0.5), after_s=0.2)
    later(fake.end, job, after_s=0.5)
    seen = [(info.status, info.progress.fraction) for info in job.follow(LIMIT_S)]
    assert seen == [("queued", 0.0), ("running", 0.5), ("completed", 1.0)]


def test_a_failure_is_raised_with_its_hint_and_the_end_of_the_workers_log(job, fake):
    log = "\n".join(f"line {number}" for number in range(40))
    fake.end(job, JobStatus.FAILED, error=Failure("BadArchiveError", "torn", "mend it", log))
    assert job.wait()
    for call in (job.result, lambda: (_ for _ in ()).throw(job.exception())):
        with pytest.raises(ak.BadArchiveError, match="torn\nHint: mend it") as caught:
            call()
        (note,) = caught.value.__notes__
        assert note.splitlines()[1:] == [f"  line {number}" for number in range(20, 40)]
    fake.end(other := Job(job.watcher, fake.put()), JobStatus.FAILED, error=Failure("KeyError", "odd"))
    assert not hasattr(other.exception(), "__notes__")


def test_a_cancelled_job_raises_for_result_and_exception(job):
    assert job.cancel()
    assert job.cancelled()
    assert job.cancel(), "a second cancel returns the same"
    for call in (job.result, job.exception):
        with pytest.raises(ak.JobCancelledError, match=f"Job {job.id} was cancelled"):
            call()


def test_a_timeout_ends_the_waiting_only(job):
    with pytest.raises(TimeoutError, match=f"Job {job.id} is still queued; it goes on"):
        job.result(0.05)
    assert job.status == "queued"


class TestCallbacks:
    def test_of_an_ended_job_are_called_at_once(self, job, fake, caplog):
        fake.end(job)
        called = []
        job.add_done_callback(called.append)
        assert called == [job]
        job.add_done_callback(lambda job: 1 / 0)
        assert "ZeroDivisionError" in caplog.text


class TestAwait:
    def test_returns_the_result_while_the_loop_goes_on(self, job, fake, stored_result):
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

        later(fake.end, job, result=stored_result(), after_s=0.3)
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

    def test_gather(self, watcher, fake, stored_result):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]

        async def main():
            return await asyncio.gather(*jobs, jobs[0])

        for number, job in enumerate(reversed(jobs)):
            later(fake.end, job, result=stored_result(str(number)), after_s=0.1 * (number + 1))
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


class TestBrokerAway:
    def test_polling_gives_the_last_known_state(self, job, fake):
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

    def test_waiting_goes_on_with_a_notice(self, job, fake, stored_result):
        notices = []
        fake.away = "down"
        for info in job.follow(LIMIT_S):
            notices.append(info.notice)
            if info.notice:
                fake.away = None
            elif not info.status.final:
                fake.end(job, result=stored_result())
        assert notices == ["Reconnecting …: down", "", ""]
        assert job.result().summary == {"trials": 1}

    def test_everything_that_waits_goes_on(self, watcher, fake, stored_result):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        called = threading.Event()
        jobs[0].add_done_callback(lambda job: called.set())
        fake.away = "down"
        for job in jobs:
            fake.end(job, result=stored_result())
        later(setattr, fake, "away", None, after_s=0.5)

        async def main():
            return await jobs[1]

        assert asyncio.run(main()).summary == {"trials": 1}
        assert set(ak.as_completed(jobs, LIMIT_S)) == set(jobs)
        assert called.wait(LIMIT_S)

    def test_a_timeout_names_the_absence(self, job, fake):
        fake.away = "down"
        with pytest.raises(TimeoutError, match="Reconnecting …: down"):
            job.result(0.05)


class TestDeletedJob:
    def test_ends_the_waiting(self, job, fake):
        later(fake.infos.pop, job.id, after_s=0.3)
        with pytest.raises(ak.JobNotFoundError, match=job.id):
            job.wait(LIMIT_S)
        assert job.id in repr(job)


class TestInThisProcess:
    """With the local backend, from verb to verb."""

    @pytest.fixture
    def jobs(self, tmp_path):
        backend = LocalBackend(Settings.of())
        yield lambda step, **arguments: self.submit(backend, step, arguments)
        backend.close()

    @staticmethod
    def submit(backend, step, arguments):
        request = JobRequest(f"tests.backends.sample_steps.{step}", arguments, f"key-{next(_ids)}", "/data/study.zip")
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


def test_delete_removes_an_uploaded_copy_whose_display_text_is_not_its_location(tmp_path):
    """A store may be named by a URL with a secret in it, which the text for people leaves out."""
    study = ak.sample_study(tmp_path / "study.zip", participants=1, trials=1)
    store = f"file://{tmp_path}/store?token=secret"
    with ak.connect("local", home=tmp_path / "home", store=store) as client:
        upload = client.receive("study.zip", study.stat().st_size)
        upload.write(0, study.read_bytes())
        location = upload.finish()
        job = client.submit(location)
        assert "secret" not in job.info().source
        assert job.info().source != location
        assert job.exception(60) is None
        uploads = tmp_path / "store?token=secret" / "uploads"
        assert [path.name for path in uploads.rglob("*.zip")] == ["study.zip"]
        job.delete()
        assert not list(uploads.rglob("*.zip"))


CTRL_C = """
import sys, threading, time
import analytics_kit as ak
client = ak.connect("local", home={home!r})
from analytics_kit.job import Job
from analytics_kit.model import JobRequest
backend = client.backend
request = JobRequest("tests.backends.sample_steps.gated", {{"gate": {gate!r}}}, "key", "study.zip")
job = Job(client._watcher, backend.submit(request))
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
