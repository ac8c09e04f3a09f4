"""What is done about steps that nobody has in hand, though the ledger says so, and what must not trouble others?"""

import logging
import time

import pytest

from analytics_kit.backends.record import Attempt, Record, RecordState
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.keys import ACTIVE_KEY, DELAYED_KEY, RECOVERY_TURN_KEY
from analytics_kit.backends.redis.recovery import reconcile
from analytics_kit.backends.redis.rq_queue import QUEUE_KEY
from analytics_kit.backends.step_runner import run_step
from analytics_kit.errors import BrokerUnavailableError, WorkerLostError
from analytics_kit.model import Failure, JobRequest, JobStatus
from analytics_kit.settings import Settings
from tests.processes import until

BEGIN = Attempt("job-1")


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended", 60)


@pytest.fixture
def running(store):
    request = JobRequest("tests.backends.sample_steps.echo", {}, "key", "/s.zip", retries=1)
    store.jobs.submit(Record.of(request, "job-1", store.jobs.now_s()), False)
    store.jobs.connection.delete(QUEUE_KEY)
    store.claim(BEGIN, "w1")
    store.change_state(BEGIN, RecordState.RUNNING)
    return store


def reconcile_after(store, after_s=0.0):
    """Run one round of recovery, as if so many seconds had passed."""
    now_s = store.jobs.now_s() + after_s
    store.jobs.connection.delete(RECOVERY_TURN_KEY)
    reconcile(store.jobs.connection, "tests.backends.sample_steps", clock=lambda connection: now_s)


def beat(store, hand):
    store.jobs.connection.sadd("rq:workers:analytics", "rq:worker:w1")
    store.jobs.connection.hset("rq:worker:w1", mapping={"state": "busy", "hand": hand})


def test_a_worker_that_is_silent_for_a_while_is_dead(running):
    reconcile_after(running)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "a machine that wakes up finds all workers silent"
    reconcile_after(running, 3.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN._replace(number=2): "later"}]


def test_a_worker_that_is_heard_of_again_was_not_dead(running):
    reconcile_after(running)
    beat(running, BEGIN.rq_job_id)
    reconcile_after(running, 3.5)
    running.jobs.connection.delete("rq:worker:w1")
    reconcile_after(running, 4.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}]


def test_a_worker_that_lives_and_has_forgotten_the_step_loses_it(running):
    beat(running, "")
    reconcile_after(running)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "it may not have said so yet"
    reconcile_after(running, 5.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN._replace(number=2): "later"}]


def test_a_step_that_waits_for_a_job_whose_record_has_gone_is_forgotten(running):
    running.retry_or_fail(BEGIN, Failure("WorkerLostError", "gone"))
    running.jobs.connection.delete(running.jobs.keys.record("job-1"))
    reconcile_after(running, 5)
    assert not running.jobs.connection.exists(DELAYED_KEY, ACTIVE_KEY, f"{running.jobs.keys.record('job-1')}:flight")


def test_a_record_that_can_not_be_read_troubles_no_other(running, asked, caplog):
    running.jobs.connection.hset(running.jobs.keys.record("job-1"), "state", "dreaming")
    running.jobs.submit(Record.of(asked("echo", key="other"), "job-2", running.jobs.now_s()), False)
    with caplog.at_level(logging.WARNING):
        assert [record.job_id for record in running.jobs.records()] == ["job-2"]
        reconcile_after(running, 60)
    assert "job-1 can't be read" in caplog.text
    assert running.jobs.connection.exists(running.jobs.keys.record("job-1")), "nor is it thrown away"


def test_a_step_that_has_just_ended_may_still_queue_what_comes_next(running):
    assert running.is_wanted(BEGIN)
    running.jobs.connection.hdel(f"{running.jobs.keys.record('job-1')}:flight", "begin")
    assert running.is_wanted(BEGIN)
    running.change_state(Attempt("job-1", "", 0), RecordState.FAILED)
    assert not running.is_wanted(BEGIN)


def test_a_worker_may_take_its_own_step_twice(running):
    """The answer to the first time was lost."""
    assert running.claim(BEGIN, "w1")[0].job_id == "job-1"


def test_a_broker_that_is_away_for_too_long_fails_no_job(running):
    class Away(AttemptStore):
        def change_state(self, *_, **__):
            raise BrokerUnavailableError("away")

    away = Away(running.jobs.connection, running.jobs.keys.namespace)
    with pytest.raises(BrokerUnavailableError):
        run_step(away, running.jobs.get("job-1"), BEGIN)
    assert running.jobs.get("job-1").state is RecordState.RUNNING


class TestWithWorkers:
    @pytest.fixture
    def server(self, redis_server):
        with redis_server() as server:
            yield server

    @pytest.fixture
    def backend(self, server, workers):
        backend = RedisBackend(server.url, Settings.of(), "tests.backends.sample_steps")
        with workers(server.url):
            yield backend
        backend.close()

    def test_a_process_that_ends_well_before_its_work_is_done(self, backend, asked):
        error = ended(backend, backend.submit(asked("slip_away")).job_id).error
        assert type(error.error()) is WorkerLostError
        assert "exit code 0 before its work was done" in error.message

    def test_a_job_whose_files_can_not_be_removed_troubles_no_other(self, backend, asked, gate):
        bad = backend.submit(asked("gated", gate=gate, discard_fails=True)).job_id
        until(lambda: backend.get(bad).progress.fraction, "the job runs")
        backend.cancel(bad)
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED
        until(lambda: "can't be removed" in "\n".join(backend.log(bad)), "it is said")
        until(lambda: not backend._jobs.needs_cleanup(bad), "and not tried for ever")

    def test_a_server_that_takes_no_writes_for_a_while(self, server, backend, asked, gate):
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        with connect(server.url) as client:
            client.config_set("maxmemory", 1)
            gate.touch()
            time.sleep(2.0)  # the task wants to say that it is done, the worker that it lives
            client.config_set("maxmemory", 0)
        assert ended(backend, job_id).status is JobStatus.COMPLETED
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED
