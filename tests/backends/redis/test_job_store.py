"""Is every change of a record in Redis atomic, legal, made by who holds the newest attempt, and plain JSON?"""

import json
import zlib

import pytest

from analytics_kit.backends.record import MERGE, RECORD_TTL_S, Attempt, Record, RecordState, StaleAttemptError
from analytics_kit.backends.redis import job_store as ledger
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY
from analytics_kit.backends.worker.entry import SWEEP_FUNCTION, queue_function
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import Failure, JobRequest, Progress, Split

BEGIN = Attempt("job-1")
SPLIT = Split(
    shards=3,
    total=300,
    shard_task="tests.backends.sample_steps.fan_part",
    merge_task="tests.backends.sample_steps.fan_merge",
)
FAILURE = Failure("WorkerLostError", "gone")


def shard(index, number=1):
    return Attempt("job-1", f"part-{index}", number)


def waiting(store):
    return [task.decode() for task in store.connection.lrange(store.queue.key, 0, -1)]


@pytest.fixture
def queued(store):
    request = JobRequest("tests.backends.sample_steps.echo", {"a": 1}, "key", "/s.zip", 5, ("t",), "ann")
    return store.submit(Record.of(request, "job-1", store.now_s()), False)


@pytest.fixture
def running(store, queued):
    store.claim(BEGIN, "w1")
    store.change_state(BEGIN, RecordState.RUNNING)


@pytest.fixture
def fanned(store, running):
    store.connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
    store.split(BEGIN, SPLIT)


class TestRecords:
    def test_a_job_is_written_and_queued_in_one(self, store, queued):
        assert store.get("job-1") == queued
        assert store.connection.smembers(ACTIVE_KEY) == {f"{store.namespace}:job-1".encode()}
        assert waiting(store) == ["job-1-begin-1"]
        assert store.pending_steps(["job-1"]) == [{BEGIN: "queued"}]

    def test_a_legal_way_sets_times_and_lifetimes(self, store, queued, running):
        store.change_state(BEGIN, RecordState.COMMITTING)
        assert store.connection.ttl(store._key("job-1")) == -1
        store.change_state(BEGIN, RecordState.COMPLETED, result={"x": 1})
        done = store.get("job-1")
        assert (done.state, done.result) == (RecordState.COMPLETED, {"x": 1})
        assert queued.created_at <= done.started_at <= done.ended_at
        for key in ("", ":log"):
            assert 0 < store.connection.ttl(store._key("job-1") + key) <= RECORD_TTL_S
        assert not store.connection.exists(ACTIVE_KEY, CLEANUP_KEY, f"{store._key('job-1')}:flight")

    @pytest.mark.parametrize("to", [RecordState.COMMITTING, RecordState.COMPLETED, RecordState.QUEUED])
    def test_an_illegal_change_is_refused_and_changes_nothing(self, store, queued, to):
        with pytest.raises(StaleAttemptError) as caught:
            store.change_state(BEGIN, to, result={"x": 1})
        assert caught.value.state is RecordState.QUEUED
        assert store.get("job-1") == queued

    def test_a_final_state_is_final(self, store, queued):
        store.change_state(BEGIN, RecordState.FAILED)
        for to in RecordState:
            with pytest.raises(StaleAttemptError):
                store.change_state(Attempt("job-1", "", 0), to)
        with pytest.raises(StaleAttemptError):
            store.publish_progress(BEGIN, Progress(done=5))
        assert not store.cancel("job-1")

    def test_progress_of_a_queued_job_is_refused(self, store, queued):
        with pytest.raises(StaleAttemptError):
            store.publish_progress(BEGIN, Progress(done=5))

    def test_an_answer_that_was_lost_makes_no_second_job(self, store, queued):
        assert store.submit(queued, refresh=True) == queued
        assert len(waiting(store)) == 1

    def test_a_record_that_expired_is_forgotten(self, store, queued):
        store.connection.delete(store._key("job-1"))
        assert store.records() == []
        assert store.connection.zcard(store.index) == 0

    def test_all_is_json_and_nothing_is_pickled(self, store, fanned):
        (task,) = list(store.connection.scan_iter("rq:job:*begin*"))
        assert json.loads(zlib.decompress(store.connection.hget(task, "data")))[0] == ledger.STEP_FUNCTION
        for name, value in store.connection.hgetall(store._key("job-1")).items():
            assert name in (b"state", b"result_key") or json.loads(value) is not None

    def test_the_log_tells_what_happened(self, store, fanned):
        said = [line.split(" ", 2)[2] for line in store.log("job-1")]
        assert said == ["queued", "begin taken by w1", "started", "split into 3 parts"]


class TestAttempts:
    def test_one_that_was_replaced_can_write_nothing(self, store, running):
        store.return_to_queue(BEGIN, "its worker ended")
        for act in (
            lambda: store.change_state(BEGIN, RecordState.COMMITTING),
            lambda: store.publish_progress(BEGIN, Progress(done=5)),
            lambda: store.change_state(BEGIN, RecordState.FAILED),
            lambda: store.split(BEGIN, SPLIT),
            lambda: store.claim(BEGIN, "w9"),
        ):
            with pytest.raises(StaleAttemptError):
                act()
        new = BEGIN._replace(number=2)
        store.claim(new, "w2")
        store.publish_progress(new, Progress(done=6))
        assert (store.get("job-1").state, store.get("job-1").progress.done) == (RecordState.RUNNING, 6)

    def test_a_step_is_taken_by_one_worker_only(self, store, queued):
        store.claim(BEGIN, "w1")
        with pytest.raises(StaleAttemptError):
            store.claim(BEGIN, "w2")

    def test_a_lost_one_is_done_again_after_a_while_and_not_for_ever(self, store, running):
        for number in (1, 2):
            store.retry_or_fail(BEGIN._replace(number=number), FAILURE, 2)
            new = BEGIN._replace(number=number + 1)
            assert store.pending_steps(["job-1"]) == [{new: "later"}]
            ((_, due),) = store.connection.zrange(DELAYED_KEY, 0, -1, withscores=True)
            assert due - store.now_s() == pytest.approx((1, 4)[number - 1], abs=0.5)
            store.queue_due(new)
            assert store.connection.zcard(DELAYED_KEY) == 0
            store.claim(new, "w1")
        assert store.get("job-1").state is RecordState.RUNNING
        store.retry_or_fail(BEGIN._replace(number=3), FAILURE, 2)
        assert (store.get("job-1").state, store.get("job-1").error) == (RecordState.FAILED, FAILURE)

    def test_a_late_word_of_a_loss_changes_nothing(self, store, running):
        store.retry_or_fail(BEGIN, FAILURE, 2)
        store.retry_or_fail(BEGIN, FAILURE, 0)
        assert store.get("job-1").state is RecordState.RUNNING

    def test_handing_back_is_no_loss(self, store, running):
        for number in range(1, 6):
            store.return_to_queue(BEGIN._replace(number=number), "told to end")
        assert store.pending_steps(["job-1"]) == [{BEGIN._replace(number=6): "queued"}]
        store.claim(BEGIN._replace(number=6), "w1")
        store.retry_or_fail(BEGIN._replace(number=6), FAILURE, 1)
        assert store.get("job-1").state is RecordState.RUNNING

    def test_a_commit_is_taken_again(self, store, running):
        store.change_state(BEGIN, RecordState.COMMITTING)
        store.retry_or_fail(BEGIN, FAILURE, 1)
        new = BEGIN._replace(number=2)
        store.queue_due(new)
        assert store.claim(new, "w2")[0].state is RecordState.COMMITTING
        with pytest.raises(StaleAttemptError):
            store.change_state(BEGIN, RecordState.COMPLETED, result={"by": 1})
        store.change_state(new, RecordState.COMPLETED, result={"by": 2})
        assert store.get("job-1").result == {"by": 2}
        assert store.needs_cleanup("job-1"), "what the lost attempt wrote has to go"


class TestParts:
    def test_as_many_as_there_are_workers_are_in_flight_at_a_time(self, store, fanned):
        assert store.pending_steps(["job-1"]) == [{shard(0): "queued", shard(1): "queued"}]
        assert waiting(store)[1:] == ["job-1-part-0-1", "job-1-part-1-1"]
        store.claim(shard(0), "w1")
        store.finish_shard(shard(0))
        assert store.pending_steps(["job-1"]) == [{shard(1): "queued", shard(2): "queued"}]

    def test_whoever_ends_the_last_one_queues_the_merge_once(self, store, fanned):
        for number in (1, 0, 2):
            store.claim(shard(number), "w1")
            store.finish_shard(shard(number))
            with pytest.raises(StaleAttemptError):
                store.finish_shard(shard(number))
        assert store.pending_steps(["job-1"]) == [{Attempt("job-1", MERGE): "queued"}]
        assert waiting(store)[0] == "job-1-merge-1", "a job that is nearly done goes first"
        assert waiting(store).count("job-1-merge-1") == 1
        assert store.claim(Attempt("job-1", MERGE), "w2")[1] == {0: 1, 1: 1, 2: 1}

    def test_the_merge_is_told_which_attempts_count(self, store, fanned):
        store.claim(shard(0), "w1")
        store.return_to_queue(shard(0), "its worker ended")
        for attempt in (shard(0, 2), shard(1), shard(2)):
            store.claim(attempt, "w1")
            store.finish_shard(attempt)
        assert store.claim(Attempt("job-1", MERGE), "w2")[1] == {0: 2, 1: 1, 2: 1}

    def test_progress_is_the_sum_of_the_parts_and_never_falls(self, store, fanned):
        store.publish_progress(shard(0), Progress(done=90, total=100))
        store.publish_progress(shard(1), Progress(done=30, total=100))
        told = store.get("job-1").progress
        assert (told.phase, told.done, told.total, told.unit) == ("processing", 120, 300, "bytes")
        assert told.fraction == pytest.approx(0.95 * 0.4)
        assert told.rate_per_s > 0
        assert told.eta_s > 0
        store.return_to_queue(shard(0), "its worker ended")
        store.publish_progress(shard(0, 2), Progress(done=10, total=100))
        assert store.get("job-1").progress.done == 120
        store.publish_progress(shard(1), Progress(done=100, total=100))
        store.publish_progress(shard(0, 2), Progress(done=100, total=100))
        assert store.get("job-1").progress.done == 200

    def test_rows_and_files_are_summed_and_those_of_a_part_done_again_count_once(self, store, fanned):
        def counts():
            progress = store.get("job-1").progress
            return progress.rows, progress.files

        assert counts() == (None, None)
        store.publish_progress(shard(0), Progress(done=90, total=100, rows=3_000_000_001, files=4))
        store.publish_progress(shard(1), Progress(done=30, total=100, rows=5, files=1))
        assert counts() == (3_000_000_006, 5)
        store.return_to_queue(shard(0), "its worker ended")
        store.publish_progress(shard(0, 2), Progress(done=10, total=100, rows=1, files=0))
        assert counts() == (3_000_000_006, 5)
        store.publish_progress(shard(0, 2), Progress(done=100, total=100, rows=3_000_000_002, files=5))
        assert counts() == (3_000_000_007, 6)

    def test_parts_that_do_not_count_leave_the_others_rows_alone(self, store, fanned):
        store.connection.hset(
            f"{store._key('job-1')}:told", "part-1", "30"
        )  # as it was written before rows were counted
        store.publish_progress(shard(0), Progress(done=90, total=100, rows=7))
        progress = store.get("job-1").progress
        assert (progress.done, progress.rows, progress.files) == (120, 7, None)

    def test_a_cancelled_job_takes_back_what_waits_and_leaves_what_runs_to_its_worker(self, store, fanned):
        store.claim(shard(0), "w1")
        assert store.cancel("job-1")
        assert "job-1-part-1-1" not in waiting(store)
        assert store.pending_steps(["job-1"]) == [{shard(0): "w1"}]
        assert not store.is_wanted(shard(0))
        for act in (
            lambda: store.finish_shard(shard(0)),
            lambda: store.publish_progress(shard(0), Progress()),
            lambda: store.claim(shard(1), "w2"),
        ):
            with pytest.raises(StaleAttemptError):
                act()
        assert store.release(shard(0)), "the last one out sees that it is tidied up"
        store.mark_cleaned_up("job-1")
        assert not store.needs_cleanup("job-1")

    def test_only_the_last_one_out_tidies_up(self, store, fanned):
        for number in (0, 1):
            store.claim(shard(number), f"w{number}")
        store.cancel("job-1")
        assert not store.release(shard(1))
        assert store.release(shard(0))


class TestPositions:
    def submit(self, store, name):
        store.submit(
            Record.of(JobRequest("tests.backends.sample_steps.echo", {}, name, "/s.zip"), name, store.now_s()), False
        )

    def test_only_queued_jobs_count_in_the_order_of_the_queue(self, store, fanned):
        for name in ("job-2", "job-3", "job-4"):
            self.submit(store, name)
        store.claim(shard(0), "w1")
        store.return_to_queue(shard(0), "its worker ended")  # a part of a running job, at the head
        queue_function(store.connection, SWEEP_FUNCTION, "tests.backends.sample_steps")
        store.claim(Attempt("job-3"), "w1")
        store.return_to_queue(Attempt("job-3"), "another may be able to")  # now before job-2
        for taken in ("job-1-begin-1", "job-3-begin-1"):  # by the workers that claimed them
            store.connection.lrem(store.queue.key, 0, taken)
        assert waiting(store)[0] == "job-3-begin-2"
        assert store.queue_positions() == {"job-3": 1, "job-2": 2, "job-4": 3}

    def test_a_running_job_that_is_begun_once_more_is_not_queued(self, store, running):
        store.connection.delete(store.queue.key)
        self.submit(store, "job-2")
        store.return_to_queue(BEGIN, "its worker ended")
        assert waiting(store) == ["job-1-begin-2", "job-2-begin-1"]
        assert store.queue_positions() == {"job-2": 1}

    def test_one_that_waits_for_its_next_try_has_none(self, store, queued):
        store.connection.delete(store.queue.key)
        store.claim(BEGIN, "w1")
        store.return_to_queue(BEGIN, "no worker can", delay_s=60.0)
        assert store.queue_positions() == {}


class TestDelete:
    def test_is_told_on_the_channel(self, store, queued):
        store.cancel("job-1")
        with store.connection.pubsub() as heard:
            heard.subscribe(store.channel)
            assert heard.get_message(timeout=10)["type"] == "subscribe"
            store.delete("job-1")
            assert heard.get_message(timeout=10)["data"] == b"job-1"

    def test_of_a_job_that_has_not_ended_is_refused(self, store, running):
        with pytest.raises(SettingsError, match="is running"):
            store.delete("job-1")

    def test_leaves_no_key(self, store, fanned):
        store.cancel("job-1")
        store.delete("job-1")
        with pytest.raises(JobNotFoundError):
            store.get("job-1")
        assert not list(store.connection.scan_iter(f"ak:{store.namespace}:*"))
        assert not store.connection.exists(ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY)

    def test_of_an_unknown_job_is_an_error(self, store):
        for act in (store.delete, store.cancel):
            with pytest.raises(JobNotFoundError):
                act("nonesuch")
