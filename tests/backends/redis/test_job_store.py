"""Records in Redis: changes are atomic and legal, contents are plain JSON, and clients see what is queued."""

import json
import zlib

import pytest

from analytics_kit.backends.dotted_names import wire_name
from analytics_kit.backends.record import RECORD_TTL_S, Attempt, ChangeRefusedError, Record, RecordState
from analytics_kit.backends.redis.cleanup import queue_sweep
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.backends.redis.rq_queue import DEFAULT_QUEUE_NAME, STEP_FUNCTION, RqKeys, waiting_ids
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import JobRequest, Progress
from tests.backends.redis.step_cases import BEGIN, shard

KEYS = QueueKeys()
RQ_KEYS = RqKeys(DEFAULT_QUEUE_NAME)


class TestRecords:
    def test_submit_writes_record_and_rq_job_together(self, store, jobs, connection, queued):
        assert jobs.get("job-1") == queued
        assert connection.smembers(KEYS.active) == {f"{jobs.keys.namespace}:job-1".encode()}
        assert waiting_ids(connection) == ["job-1-begin-1"]
        assert store.pending_steps(["job-1"]) == [{BEGIN: "queued"}]

    def test_legal_changes_set_times_and_expiry(self, store, jobs, connection, queued, running):
        store.change_state(BEGIN, RecordState.COMMITTING)
        assert connection.ttl(jobs.keys.record("job-1")) == -1
        store.change_state(BEGIN, RecordState.COMPLETED, result={"x": 1})
        done = jobs.get("job-1")
        assert (done.state, done.result) == (RecordState.COMPLETED, {"x": 1})
        assert queued.created_at <= done.started_at <= done.ended_at
        for key in ("", ":log"):
            assert 0 < connection.ttl(jobs.keys.record("job-1") + key) <= RECORD_TTL_S
        assert not connection.exists(KEYS.active, KEYS.cleanup, f"{jobs.keys.record('job-1')}:flight")

    @pytest.mark.parametrize("to", [RecordState.COMMITTING, RecordState.COMPLETED, RecordState.QUEUED])
    def test_illegal_change_is_refused_and_changes_nothing(self, store, jobs, queued, to):
        with pytest.raises(ChangeRefusedError) as caught:
            store.change_state(BEGIN, to, result={"x": 1})
        assert caught.value.state is RecordState.QUEUED
        assert jobs.get("job-1") == queued

    def test_final_state_refuses_every_change(self, store, jobs, queued):
        store.change_state(BEGIN, RecordState.FAILED)
        for to in RecordState:
            with pytest.raises(ChangeRefusedError):
                store.change_state(Attempt("job-1", "", 0), to)
        with pytest.raises(ChangeRefusedError):
            store.publish_progress(BEGIN, Progress(done=5))
        assert not jobs.cancel("job-1")

    def test_progress_of_a_queued_job_is_refused(self, store, queued):
        with pytest.raises(ChangeRefusedError):
            store.publish_progress(BEGIN, Progress(done=5))

    def test_submit_repeated_with_the_same_id_makes_no_second_job(self, connection, jobs, queued):
        assert jobs.submit(queued, refresh=True) == queued
        assert len(waiting_ids(connection)) == 1

    def test_expired_record_leaves_the_index(self, jobs, connection, queued):
        connection.delete(jobs.keys.record("job-1"))
        assert jobs.records() == []
        assert connection.zcard(jobs.keys.index) == 0

    def test_rq_message_and_record_are_json(self, jobs, connection, split_job):
        [rq_job] = connection.scan_iter("rq:job:*begin*")
        assert json.loads(zlib.decompress(connection.hget(rq_job, "data")))[0] == wire_name(STEP_FUNCTION)
        for name, value in connection.hgetall(jobs.keys.record("job-1")).items():
            assert name in (b"state", b"result_key") or json.loads(value) is not None

    def test_log_lists_what_happened_in_order(self, jobs, split_job):
        lines = [line.split(" ", 2)[2] for line in jobs.log("job-1")]
        assert lines == ["queued", "begin taken by w1", "started", "split into 3 shards"]


class TestPositions:
    def submit(self, jobs, name):
        jobs.submit(
            Record.of(JobRequest("tests.backends.sample_steps.echo", {}, name, "/s.zip"), name, jobs.now_s()),
            False,
        )

    def test_only_queued_jobs_have_positions_in_the_order_of_the_queue(self, store, jobs, connection, split_job):
        for name in ("job-2", "job-3", "job-4"):
            self.submit(jobs, name)
        store.claim(shard(0), "w1")
        store.return_to_queue(shard(0), "its worker ended")  # a shard of a running job, at the head
        queue_sweep(connection, "tests.backends.sample_steps")
        store.claim(Attempt("job-3"), "w1")
        store.return_to_queue(Attempt("job-3"), "another may be able to")  # now before job-2
        for taken in ("job-1-begin-1", "job-3-begin-1"):  # by the workers that claimed them
            connection.lrem(RQ_KEYS.queue, 0, taken)
        assert waiting_ids(connection)[0] == "job-3-begin-2"
        assert jobs.queue_positions() == {"job-3": 1, "job-2": 2, "job-4": 3}

    def test_running_job_whose_first_step_is_retried_has_no_position(self, store, jobs, connection, running):
        connection.delete(RQ_KEYS.queue)
        self.submit(jobs, "job-2")
        store.return_to_queue(BEGIN, "its worker ended")
        assert waiting_ids(connection) == ["job-1-begin-2", "job-2-begin-1"]
        assert jobs.queue_positions() == {"job-2": 1}

    def test_delayed_job_has_no_position(self, store, jobs, connection, queued):
        connection.delete(RQ_KEYS.queue)
        store.claim(BEGIN, "w1")
        store.return_to_queue(BEGIN, "no worker can", delay_s=60.0)
        assert jobs.queue_positions() == {}


class TestDelete:
    def test_delete_is_published(self, jobs, connection, queued):
        jobs.cancel("job-1")
        with connection.pubsub() as channel:
            channel.subscribe(jobs.keys.channel)
            assert channel.get_message(timeout=10)["type"] == "subscribe"
            jobs.delete("job-1")
            assert channel.get_message(timeout=10)["data"] == b"job-1"

    def test_delete_of_a_running_job_is_refused(self, jobs, running):
        with pytest.raises(SettingsError, match="is running"):
            jobs.delete("job-1")

    def test_delete_leaves_no_key(self, jobs, connection, split_job):
        jobs.cancel("job-1")
        jobs.delete("job-1")
        with pytest.raises(JobNotFoundError):
            jobs.get("job-1")
        assert not list(connection.scan_iter(f"ak:{jobs.keys.namespace}:*"))
        assert not connection.exists(KEYS.active, KEYS.cleanup, KEYS.delayed)

    def test_delete_and_cancel_of_an_unknown_job_raise(self, jobs):
        for call in (jobs.delete, jobs.cancel):
            with pytest.raises(JobNotFoundError):
                call("nonesuch")
