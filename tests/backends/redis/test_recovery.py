"""What is done about steps that nobody has in hand, though the ledger says so, and what must not trouble others?"""

import logging
import time

import pytest

from analytics_kit.backends.record import Attempt, Record, RecordState
from analytics_kit.backends.redis import recovery as reconcile
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend, connect
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, DELAYED_KEY
from analytics_kit.backends.step_runner import run
from analytics_kit.backends.worker import entry as perform
from analytics_kit.errors import BrokerUnavailableError, OutOfMemoryError, WorkerLostError
from analytics_kit.model import JobRequest, JobStatus
from analytics_kit.settings import Settings
from tests.processes import until

BEGIN = Attempt("job-1")


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended", 60)


@pytest.fixture
def running(store):
    request = JobRequest("tests.backends.sample_steps.echo", {}, "key", "/s.zip", retries=1)
    store.submit(Record.of(request, "job-1", store.now_s()), False)
    store.connection.delete(store.queue.key)
    store.claim(BEGIN, "w1")
    store.change_state(BEGIN, RecordState.RUNNING)
    return store


def look(store, monkeypatch, after_s=0.0):
    """One look, as if so many seconds had passed since the last one."""
    before = reconcile._now_s(store.connection) + after_s

    class Clocked(reconcile._Round):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.now_s = before

    monkeypatch.setattr(reconcile, "_Round", Clocked)
    store.connection.delete(reconcile.TURN)
    reconcile.reconcile(store.connection, "tests.backends.sample_steps")
    monkeypatch.undo()


def beat(store, hand):
    store.connection.sadd("rq:workers:analytics", "rq:worker:w1")
    store.connection.hset("rq:worker:w1", mapping={"state": "busy", "hand": hand})


def test_a_worker_that_is_silent_for_a_while_is_dead(running, monkeypatch):
    look(running, monkeypatch)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "a machine that wakes up finds all workers silent"
    look(running, monkeypatch, 3.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN._replace(number=2): "later"}]


def test_a_worker_that_is_heard_of_again_was_not_dead(running, monkeypatch):
    look(running, monkeypatch)
    beat(running, BEGIN.rq_job_id)
    look(running, monkeypatch, 3.5)
    running.connection.delete("rq:worker:w1")
    look(running, monkeypatch, 4.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}]


def test_a_worker_that_lives_and_has_forgotten_the_step_loses_it(running, monkeypatch):
    beat(running, "")
    look(running, monkeypatch)
    assert running.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "it may not have said so yet"
    look(running, monkeypatch, 5.5)
    assert running.pending_steps(["job-1"]) == [{BEGIN._replace(number=2): "later"}]


def test_a_step_that_waits_for_a_job_whose_record_has_gone_is_forgotten(running, monkeypatch):
    perform.retry_or_fail(running, BEGIN, WorkerLostError("gone"))
    running.connection.delete(running._key("job-1"))
    look(running, monkeypatch, 5)
    assert not running.connection.exists(DELAYED_KEY, ACTIVE_KEY, f"{running._key('job-1')}:flight")


def test_a_record_that_can_not_be_read_troubles_no_other(running, monkeypatch, asked, caplog):
    running.connection.hset(running._key("job-1"), "state", "dreaming")
    running.submit(Record.of(asked("echo", key="other"), "job-2", running.now_s()), False)
    with caplog.at_level(logging.WARNING):
        assert [record.job_id for record in running.records()] == ["job-2"]
        look(running, monkeypatch, 60)
    assert "job-1 can't be read" in caplog.text
    assert running.connection.exists(running._key("job-1")), "nor is it thrown away"


def test_a_step_that_has_just_ended_may_still_queue_what_comes_next(running):
    assert running.is_wanted(BEGIN)
    running.connection.hdel(f"{running._key('job-1')}:flight", "begin")
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

    away = Away(running.connection, running.namespace)
    with pytest.raises(BrokerUnavailableError):
        run(away, running.get("job-1"), BEGIN)
    assert running.get("job-1").state is RecordState.RUNNING


def test_only_a_kill_can_be_the_kernels(tmp_path):
    assert type(perform.cause(9, True)) is OutOfMemoryError
    assert type(perform.cause(9, False)) is WorkerLostError
    assert type(perform.cause(3 << 8, True)) is WorkerLostError
    assert "exit code 3" in perform.cause(3 << 8, True).message
    counts = tmp_path / "vmstat"
    counts.write_text("pgfault 7\noom_kill 12\n")
    assert perform.kernel_kills(counts) == 12
    assert perform.kernel_kills(tmp_path / "nowhere") == 0


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
