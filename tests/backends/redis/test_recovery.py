"""Recovery of steps that are neither queued nor worked on, on a clock of the test and with real workers."""

import logging
import time

import pytest

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.backends.redis.recovery import run_recovery
from analytics_kit.backends.redis.rq_queue import DEFAULT_QUEUE_NAME, RqKeys, publish_heartbeat, waiting_ids
from analytics_kit.backends.step_runner import run_step
from analytics_kit.errors import BrokerUnavailableError, WorkerLostError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.redis.step_cases import BEGIN, FAILURE
from tests.backends.waiting import wait_for_end
from tests.processes import until

KEYS = QueueKeys()
RQ_KEYS = RqKeys(DEFAULT_QUEUE_NAME)

NEXT = BEGIN._replace(number=2)


@pytest.fixture(autouse=True)
def _running(running, connection):
    """Worker w1 has claimed the first step, so that it is no longer in rq's queue."""
    connection.delete(RQ_KEYS.queue)


@pytest.fixture
def recover_after(jobs, connection):
    """recover_after(seconds) → one round of recovery, as if so many seconds had passed."""

    def round_of_recovery(after_s=0.0):
        now_s = jobs.now_s() + after_s
        connection.delete(KEYS.recovery_turn)
        run_recovery(connection, "tests.backends.sample_steps", clock=lambda connection: now_s)

    return round_of_recovery


def heartbeat(connection, rq_job_id):
    """Publish a heartbeat of worker w1 with the rq job that it runs."""
    connection.sadd("rq:workers:analytics", "rq:worker:w1")
    publish_heartbeat(connection, "rq:worker:w1", "busy", rq_job_id)


def test_worker_without_heartbeat_for_a_while_is_dead(store, recover_after):
    recover_after()
    assert store.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "when a machine wakes up, all workers look dead"
    recover_after(3.5)
    assert store.pending_steps(["job-1"]) == [{NEXT: "later"}]


def test_worker_with_a_new_heartbeat_was_not_dead(store, connection, recover_after):
    recover_after()
    heartbeat(connection, BEGIN.rq_job_id)
    recover_after(3.5)
    connection.delete("rq:worker:w1")
    recover_after(4.5)
    assert store.pending_steps(["job-1"]) == [{BEGIN: "w1"}]


def test_live_worker_that_does_not_run_the_step_loses_it(store, connection, recover_after):
    heartbeat(connection, "")
    recover_after()
    assert store.pending_steps(["job-1"]) == [{BEGIN: "w1"}], "its next heartbeat may name the step"
    recover_after(5.5)
    assert store.pending_steps(["job-1"]) == [{NEXT: "later"}]


def test_delayed_step_of_a_job_without_record_is_removed(store, jobs, connection, recover_after):
    store.retry_or_fail(BEGIN, FAILURE)
    connection.delete(jobs.keys.record("job-1"))
    recover_after(5)
    assert not connection.exists(KEYS.delayed, KEYS.active, jobs.keys.pending("job-1"))


def test_unreadable_record_is_listed_as_failed_and_does_not_stop_the_recovery_of_others(
    jobs, connection, recover_after, make_request, caplog
):
    connection.hset(jobs.keys.record("job-1"), "state", "dreaming")
    jobs.submit(Record.of(make_request("echo", key="other"), "job-2", jobs.now_s()), False)
    connection.delete(RQ_KEYS.queue)
    with caplog.at_level(logging.WARNING):
        assert {record.job_id: record.state for record in jobs.records()} == {"job-1": "failed", "job-2": "queued"}
        recover_after()
        recover_after(6)
    assert "job-1 can't be read" in caplog.text
    assert "can't be read" in jobs.get("job-1").error.message
    assert connection.ttl(jobs.keys.record("job-1")) > 0
    assert not connection.exists(jobs.keys.pending("job-1"))
    assert "job-2-begin-2" in waiting_ids(connection), "the other job is recovered"


def test_broker_that_is_away_for_too_long_fails_no_job(jobs, connection):
    class Away(AttemptStore):
        def change_state(self, *_, **__):
            raise BrokerUnavailableError("away")

    away = Away(connection, jobs.keys.namespace)
    with pytest.raises(BrokerUnavailableError):
        run_step(away, jobs.get("job-1"), BEGIN)
    assert jobs.get("job-1").state is RecordState.RUNNING


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

    def test_process_that_exits_with_0_before_its_step_is_done_is_lost(self, backend, make_request):
        error = wait_for_end(backend, backend.submit(make_request("exit_silently")).job_id).error
        assert type(error.error()) is WorkerLostError
        assert "exit code 0 before its work was done" in error.message

    def test_files_that_can_not_be_removed_delay_no_other_job(self, backend, make_request, gate):
        bad = backend.submit(make_request("gated", gate=gate, discard_fails=True)).job_id
        until(lambda: backend.get(bad).progress.fraction, "the job runs")
        backend.cancel(bad)
        assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED
        until(lambda: "can't be removed" in "\n".join(backend.log(bad)), "the log says so")
        until(lambda: not backend._jobs.needs_cleanup(bad), "it is not tried for ever")

    def test_job_completes_after_the_server_took_no_writes_for_a_while(self, server, backend, make_request, gate):
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        with connect(server.url) as client:
            client.config_set("maxmemory", 1)
            gate.touch()
            time.sleep(2.0)  # meanwhile the step ends and the worker's heartbeat is due
            client.config_set("maxmemory", 0)
        assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
        assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED


def test_server_clock_that_is_set_back_delays_no_step(store, connection, recover_after):
    store.retry_or_fail(BEGIN, FAILURE)
    connection.zincrby(KEYS.delayed, 8 * 86_400, connection.zrange(KEYS.delayed, 0, -1)[0])
    recover_after()
    assert store.pending_steps(["job-1"]) == [{NEXT: "queued"}]


def test_server_clock_that_is_set_back_hides_no_dead_worker(store, recover_after):
    recover_after(8 * 86_400)
    recover_after()
    recover_after(3.5)
    assert store.pending_steps(["job-1"]) == [{NEXT: "later"}]


def test_turn_that_would_last_until_a_time_before_the_clock_was_set_back_ends(store, connection):
    store.retry_or_fail(BEGIN, FAILURE)
    connection.set(KEYS.recovery_turn, b"", px=8 * 86_400_000)
    run_recovery(connection, "tests.backends.sample_steps")
    assert connection.pttl(KEYS.recovery_turn) <= 1000
    connection.set(KEYS.recovery_turn, b"", px=900)
    run_recovery(connection, "tests.backends.sample_steps")
    assert connection.exists(KEYS.recovery_turn)
