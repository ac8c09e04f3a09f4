"""Several jobs waited for together, as they end or for all results."""

import time

import pytest

import analytics_kit as ak
from analytics_kit.job import Job
from analytics_kit.model import Failure, JobStatus
from analytics_kit.watcher import Watcher
from tests.fake_backend import FakeBackend
from tests.processes import later, until

LIMIT_S = 30


class TestSeveralJobs:
    def test_as_completed_yields_each_job_once_as_it_ends(self, watcher, fake):
        first, second, third = jobs = [Job(watcher, fake.put()) for _ in range(3)]
        fake.end(second)
        later(fake.end, third, JobStatus.FAILED, error=Failure("KeyError", "x"))
        later(fake.end, first, after_s=0.4)
        assert list(ak.as_completed([*jobs, first, Job(watcher, fake.get(second.id))])) == [second, third, first]
        assert not watcher._listeners

    def test_as_completed_raises_after_its_timeout(self, watcher, fake):
        ended, going = Job(watcher, fake.put()), Job(watcher, fake.put())
        fake.end(ended)
        waiting = ak.as_completed([going, ended], timeout=0)
        assert next(waiting) == ended
        with pytest.raises(TimeoutError, match="1 of 2 jobs have not ended; they go on"):
            next(waiting)
        assert not watcher._listeners

    def test_no_jobs_give_an_empty_answer(self):
        assert list(ak.as_completed([])) == []
        assert ak.gather() == []

    def test_as_completed_takes_jobs_of_several_clients(self, watcher, fake):
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

    def test_gather_gives_the_results_in_order(self, watcher, fake, stored_result):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        for number, job in enumerate(reversed(jobs)):
            later(fake.end, job, result=stored_result(str(number)), after_s=0.1 * (number + 1))
        results = ak.gather(*jobs, jobs[0], timeout=LIMIT_S)
        assert [result.provenance["n"] for result in results] == ["2", "1", "0", "2"]

    def test_gather_raises_the_first_failure_in_order(self, watcher, fake, stored_result):
        jobs = [Job(watcher, fake.put()) for _ in range(3)]
        fake.end(jobs[2], JobStatus.FAILED, error=Failure("KeyError", "third"))
        later(fake.end, jobs[0], result=stored_result())
        later(fake.end, jobs[1], JobStatus.FAILED, error=Failure("NoEventsError", "second"))
        with pytest.raises(ak.NoEventsError, match="second"):
            ak.gather(*jobs)

    def test_gather_raises_after_its_timeout(self, job):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            ak.gather(job, job, timeout=0.2)
        assert time.monotonic() - begun < 5
