"""Attempts at steps: only the newest may change a record, lost ones are retried, shards end in one merge."""

import pytest

from analytics_kit.backends.record import MERGE_STEP, Attempt, ChangeRefusedError, RecordState
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.backends.redis.rq_queue import publish_heartbeat, waiting_ids
from analytics_kit.model import Progress
from tests.backends.redis.step_cases import BEGIN, FAILURE, SPLIT, shard

KEYS = QueueKeys()


class TestAttempts:
    def test_replaced_attempt_is_refused_every_change(self, store, jobs, running):
        store.return_to_queue(BEGIN, "its worker ended")
        for call in (
            lambda: store.change_state(BEGIN, RecordState.COMMITTING),
            lambda: store.publish_progress(BEGIN, Progress(done=5)),
            lambda: store.change_state(BEGIN, RecordState.FAILED),
            lambda: store.split(BEGIN, SPLIT),
            lambda: store.claim(BEGIN, "w9"),
        ):
            with pytest.raises(ChangeRefusedError):
                call()
        new = BEGIN._replace(number=2)
        store.claim(new, "w2")
        store.publish_progress(new, Progress(done=6))
        assert (jobs.get("job-1").state, jobs.get("job-1").progress.done) == (RecordState.RUNNING, 6)

    def test_claim_by_a_second_worker_is_refused(self, store, queued):
        store.claim(BEGIN, "w1")
        with pytest.raises(ChangeRefusedError):
            store.claim(BEGIN, "w2")

    def test_lost_attempt_is_retried_after_a_delay_until_retries_are_used_up(self, store, jobs, connection, running):
        for number in (1, 2):
            store.retry_or_fail(BEGIN._replace(number=number), FAILURE)
            new = BEGIN._replace(number=number + 1)
            assert store.pending_steps(["job-1"]) == [{new: "later"}]
            ((_, due),) = connection.zrange(KEYS.delayed, 0, -1, withscores=True)
            assert due - jobs.now_s() == pytest.approx((1, 4)[number - 1], abs=0.5)
            store.queue_due(new)
            assert connection.zcard(KEYS.delayed) == 0
            store.claim(new, "w1")
        assert jobs.get("job-1").state is RecordState.RUNNING
        store.retry_or_fail(BEGIN._replace(number=3), FAILURE)
        assert (jobs.get("job-1").state, jobs.get("job-1").error) == (RecordState.FAILED, FAILURE)

    def test_loss_of_a_replaced_attempt_changes_nothing(self, store, jobs, running):
        store.retry_or_fail(BEGIN, FAILURE)
        steps = store.pending_steps(["job-1"])
        store.retry_or_fail(BEGIN, FAILURE)
        assert store.pending_steps(["job-1"]) == steps
        assert jobs.get("job-1").state is RecordState.RUNNING

    def test_return_to_queue_counts_as_no_loss(self, store, jobs, running):
        for number in range(1, 6):
            store.return_to_queue(BEGIN._replace(number=number), "its worker was stopped")
        assert store.pending_steps(["job-1"]) == [{BEGIN._replace(number=6): "queued"}]
        store.claim(BEGIN._replace(number=6), "w1")
        store.retry_or_fail(BEGIN._replace(number=6), FAILURE)
        assert jobs.get("job-1").state is RecordState.RUNNING

    def test_lost_commit_is_retried_and_only_the_new_attempt_completes(self, store, jobs, running):
        store.change_state(BEGIN, RecordState.COMMITTING)
        store.retry_or_fail(BEGIN, FAILURE)
        new = BEGIN._replace(number=2)
        store.queue_due(new)
        assert store.claim(new, "w2")[0].state is RecordState.COMMITTING
        with pytest.raises(ChangeRefusedError):
            store.change_state(BEGIN, RecordState.COMPLETED, result={"by": 1})
        store.change_state(new, RecordState.COMPLETED, result={"by": 2})
        assert jobs.get("job-1").result == {"by": 2}
        assert jobs.needs_cleanup("job-1"), "what the lost attempt wrote has to be removed"

    def test_attempt_whose_step_has_just_ended_is_still_wanted(self, store, jobs, connection, running):
        """It may have to queue what comes next."""
        assert store.is_wanted(BEGIN)
        connection.hdel(jobs.keys.pending("job-1"), "begin")
        assert store.is_wanted(BEGIN)
        store.change_state(Attempt("job-1", "", 0), RecordState.FAILED)
        assert not store.is_wanted(BEGIN)

    def test_claim_by_the_same_worker_is_repeatable(self, store, running):
        """The answer to the first claim may have been lost."""
        assert store.claim(BEGIN, "w1")[0].job_id == "job-1"


class TestShards:
    def test_as_many_shards_are_pending_as_workers_are_registered(self, store, connection, split_job):
        assert store.pending_steps(["job-1"]) == [{shard(0): "queued", shard(1): "queued"}]
        assert waiting_ids(connection)[1:] == ["job-1-part-0-1", "job-1-part-1-1"]
        store.claim(shard(0), "w1")
        store.finish_shard(shard(0))
        assert store.pending_steps(["job-1"]) == [{shard(1): "queued", shard(2): "queued"}]

    def test_last_finished_shard_queues_the_merge_once(self, store, connection, split_job):
        for number in (1, 0, 2):
            store.claim(shard(number), "w1")
            store.finish_shard(shard(number))
            with pytest.raises(ChangeRefusedError):
                store.finish_shard(shard(number))
        assert store.pending_steps(["job-1"]) == [{Attempt("job-1", MERGE_STEP): "queued"}]
        assert waiting_ids(connection)[0] == "job-1-merge-1", "a job that is nearly done comes first"
        assert waiting_ids(connection).count("job-1-merge-1") == 1
        assert store.claim(Attempt("job-1", MERGE_STEP), "w2")[1] == {0: 1, 1: 1, 2: 1}

    def test_merge_gets_the_winning_attempts(self, store, split_job):
        store.claim(shard(0), "w1")
        store.return_to_queue(shard(0), "its worker ended")
        for attempt in (shard(0, 2), shard(1), shard(2)):
            store.claim(attempt, "w1")
            store.finish_shard(attempt)
        assert store.claim(Attempt("job-1", MERGE_STEP), "w2")[1] == {0: 2, 1: 1, 2: 1}

    def test_progress_is_the_sum_of_the_shards_and_never_falls(self, store, jobs, split_job):
        store.publish_progress(shard(0), Progress(done=90, total=100))
        store.publish_progress(shard(1), Progress(done=30, total=100))
        progress = jobs.get("job-1").progress
        assert (progress.phase, progress.done, progress.total, progress.unit) == ("processing", 120, 300, "bytes")
        assert progress.fraction == pytest.approx(0.95 * 0.4)
        assert progress.rate_per_s > 0
        assert progress.eta_s > 0
        store.return_to_queue(shard(0), "its worker ended")
        store.publish_progress(shard(0, 2), Progress(done=10, total=100))
        assert jobs.get("job-1").progress.done == 120
        store.publish_progress(shard(1), Progress(done=100, total=100))
        store.publish_progress(shard(0, 2), Progress(done=100, total=100))
        assert jobs.get("job-1").progress.done == 200

    def test_rows_and_files_are_summed_and_a_retried_shard_counts_once(self, store, jobs, split_job):
        def counts():
            progress = jobs.get("job-1").progress
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

    def test_shard_without_row_counts_leaves_those_of_others(self, store, jobs, connection, split_job):
        connection.hset(jobs.keys.shard_progress("job-1"), "part-1", "30")  # as before rows were counted
        store.publish_progress(shard(0), Progress(done=90, total=100, rows=7))
        progress = jobs.get("job-1").progress
        assert (progress.done, progress.rows, progress.files) == (120, 7, None)

    def test_cancel_removes_queued_shards_and_leaves_claimed_ones_to_their_workers(
        self, store, connection, jobs, split_job
    ):
        store.claim(shard(0), "w1")
        assert jobs.cancel("job-1")
        assert "job-1-part-1-1" not in waiting_ids(connection)
        assert store.pending_steps(["job-1"]) == [{shard(0): "w1"}]
        assert not store.is_wanted(shard(0))
        for call in (
            lambda: store.finish_shard(shard(0)),
            lambda: store.publish_progress(shard(0), Progress()),
            lambda: store.claim(shard(1), "w2"),
        ):
            with pytest.raises(ChangeRefusedError):
                call()
        assert store.release(shard(0)), "the last worker has to queue the clean-up"
        store.mark_cleaned_up("job-1")
        assert not jobs.needs_cleanup("job-1")

    def test_only_the_last_release_asks_for_cleanup(self, store, jobs, split_job):
        for number in (0, 1):
            store.claim(shard(number), f"w{number}")
        jobs.cancel("job-1")
        assert not store.release(shard(1))
        assert store.release(shard(0))


class TestRefusals:
    """Two pools live: a, with two workers, and b."""

    WORKERS = ("a-1-1-0f0f", "a-1-2-0f0f", "b-2-1-0f0f")

    @pytest.fixture(autouse=True)
    def _pools(self, connection, queued):
        for name in self.WORKERS:
            connection.sadd("rq:workers:analytics", f"rq:worker:{name}")
            publish_heartbeat(connection, f"rq:worker:{name}", "idle", "")

    def refuse(self, store, attempt, worker, patience_s=0.0):
        store.claim(attempt, worker)
        is_refused = store.is_refused_by_all(attempt, patience_s)
        store.return_to_queue(attempt, "not here")
        return is_refused

    def test_step_is_refused_by_all_once_each_pool_has_refused_it(self, store):
        assert not self.refuse(store, BEGIN, self.WORKERS[0])
        assert not self.refuse(store, BEGIN._replace(number=2), self.WORKERS[1])  # of the same pool
        assert self.refuse(store, BEGIN._replace(number=3), self.WORKERS[2])

    def test_step_is_offered_on_until_the_last_pool_has_refused_it_for_long_enough(self, store):
        for number, worker in enumerate(self.WORKERS, 1):
            assert not self.refuse(store, BEGIN._replace(number=number), worker, patience_s=60.0)

    def test_workers_that_are_gone_do_not_count(self, store, connection):
        connection.delete(f"rq:worker:{self.WORKERS[2]}")
        assert self.refuse(store, BEGIN, self.WORKERS[0])

    def test_refusals_are_of_one_step(self, store, connection):
        self.refuse(store, BEGIN, self.WORKERS[0])
        new = BEGIN._replace(number=2)
        store.claim(new, self.WORKERS[2])
        store.change_state(new, RecordState.RUNNING)
        store.split(new, SPLIT)
        assert not self.refuse(store, shard(0), self.WORKERS[2])
        assert store.jobs.get("job-1").state is RecordState.RUNNING
