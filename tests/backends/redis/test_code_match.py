"""Which worker may run a step, by the code that it runs."""

from dataclasses import replace

import pytest

from analytics_kit.backends.record import MERGE_STEP, Attempt, ChangeRefusedError, Record, RecordState
from analytics_kit.backends.redis import code_match
from analytics_kit.backends.redis.code_match import settle_code
from analytics_kit.backends.redis.rq_queue import publish_heartbeat, waiting_ids
from analytics_kit.code_version import CodeVersion, result_key_of
from analytics_kit.model import CannotRunHere, JobRequest, Split
from tests.backends.redis.step_cases import BEGIN, SPLIT, shard

OLD, MINE, NEWER = (CodeVersion(version, version * 10) for version in ("1.0", "1.1", "1.2"))
EDITED = MINE._replace(code="edited")
STARTED, BEFORE, AFTER = 1000.0, 900.0, 1100.0


@pytest.fixture(autouse=True)
def _this_process_runs_mine(monkeypatch):
    monkeypatch.setattr(code_match, "code_version", lambda: MINE)


@pytest.fixture
def worker(connection):
    """worker(name, code) → a live worker with that code."""

    def start(name, code, started_at=STARTED):
        connection.sadd("rq:workers:analytics", f"rq:worker:{name}")
        publish_heartbeat(connection, f"rq:worker:{name}", "busy", "", code, started_at)

    start("w1", MINE)
    return start


@pytest.fixture
def submit(jobs):
    """submit(code, created_at) → the record of a queued job."""

    def put(code, created_at=AFTER, **changes):
        key = result_key_of("request", code.code) if code else "key"
        request = JobRequest(
            "tests.backends.sample_steps.echo",
            {},
            key,
            "/s.zip",
            owner="ann",
            request_key="request",
            submitted_by=code,
        )
        return jobs.submit(replace(Record.of(request, "job-1", created_at), **changes), False)

    return put


@pytest.fixture
def settle(connection, store, jobs, worker):
    """settle(attempt) → what worker w1 decides about a step that it claims."""

    def claim_and_settle(attempt=BEGIN):
        record, _ = store.claim(attempt, "w1")
        return settle_code(connection, store, record, attempt, "w1")

    return claim_and_settle


def test_a_job_of_the_same_code_is_run(submit, settle):
    record = submit(MINE)
    assert settle() == record


def test_a_job_that_names_no_code_is_run(submit, settle):
    submit(None)
    assert settle().processed_by is None


@pytest.mark.parametrize("code", [OLD, EDITED, NEWER])
def test_a_job_whose_code_a_living_worker_has_is_left_to_it(submit, settle, worker, code):
    submit(code, BEFORE)
    worker("w2", code)
    with pytest.raises(CannotRunHere, match=rf"is for workers of analytics_kit {code.version} \(code"):
        settle()


def test_a_job_of_newer_code_waits_with_a_notice_that_names_both(submit, settle, jobs):
    submit(NEWER, BEFORE)
    with pytest.raises(
        CannotRunHere, match=r"submitted by analytics_kit 1\.2 .*workers run analytics_kit 1\.1"
    ) as left:
        settle()
    assert "Upgrade analytics_kit" in str(left.value)
    assert jobs.get("job-1").processed_by is None


def test_a_job_of_an_edited_installation_waits_until_the_workers_are_restarted(submit, settle, worker):
    """Both have the same version, so what was started later is newer."""
    submit(EDITED, AFTER)
    with pytest.raises(CannotRunHere, match="restart them"):
        settle()
    worker("w1", MINE, started_at=AFTER + 1)
    settled = settle(BEGIN)
    assert settled.processed_by == MINE


class TestTakeOver:
    """A job of older code, of which no worker is left."""

    def test_it_goes_under_the_key_of_the_code_that_runs_it(self, submit, settle, jobs):
        submit(OLD)
        record = settle()
        stored = jobs.get("job-1")
        assert (record.processed_by, record.result_key) == (MINE, result_key_of("request", MINE.code))
        assert (stored.processed_by, stored.result_key) == (record.processed_by, record.result_key)
        assert "submitted by analytics_kit 1.0" in jobs.log("job-1")[-1]

    def test_only_clients_of_that_code_join_it(self, submit, settle, jobs):
        submit(OLD)
        settle()
        for code, joins in ((OLD, False), (MINE, True)):
            key = result_key_of("request", code.code)
            new = Record.of(JobRequest("t", {}, key, "s", submitted_by=code), f"job-{code.version[-1]}-new", AFTER)
            assert (jobs.submit(new, False).job_id == "job-1") is joins

    def test_its_notice_names_both(self, submit, settle, store, jobs):
        submit(OLD)
        settle()
        store.change_state(BEGIN, RecordState.RUNNING)
        notice = jobs.get("job-1").info("redis").notice
        assert "Submitted by analytics_kit 1.0" in notice
        assert "processed by analytics_kit 1.1" in notice

    def test_shards_that_other_code_has_done_are_done_again(self, submit, settle, store, jobs, connection, worker):
        submit(OLD)
        worker("w2", OLD)
        store.claim(BEGIN, "w2")
        store.change_state(BEGIN, RecordState.RUNNING)
        store.split(BEGIN, SPLIT)
        store.claim(shard(0), "w2")
        store.finish_shard(shard(0))
        store.claim(shard(1), "w2")
        connection.delete("rq:worker:w2")

        assert settle(shard(2)) is None, "the step has ended"
        again = Attempt("job-1", number=1001)
        assert store.pending_steps(["job-1"]) == [{again: "queued"}]
        assert waiting_ids(connection)[0] == again.rq_job_id
        assert not {shard(1).rq_job_id, shard(2).rq_job_id} & {*waiting_ids(connection)}
        with pytest.raises(ChangeRefusedError):  # a worker that was taken for dead
            store.finish_shard(shard(1))
        record, _ = store.claim(again, "w1")
        assert (record.split, record.processed_by) == (None, MINE)
        store.split(again, Split(2, 100, SPLIT.shard_task, SPLIT.merge_task))
        for number in (0, 1):
            step = shard(number, 1001)
            assert store.claim(step, "w1")[0].required_code == MINE
            store.finish_shard(step)
        assert store.claim(Attempt("job-1", MERGE_STEP, 1001), "w1")[1] == {0: 1001, 1: 1001}

    def test_one_that_was_committing_begins_anew_too(self, submit, settle, store, jobs):
        submit(OLD)
        store.claim(BEGIN, "w2")
        for state in (RecordState.RUNNING, RecordState.COMMITTING):
            store.change_state(BEGIN, state)
        store.return_to_queue(BEGIN, "its worker ended")
        record = settle(BEGIN._replace(number=2))
        assert record.state is jobs.get("job-1").state is RecordState.RUNNING

    def test_a_job_of_a_version_that_named_no_code_is_kept_from_its_workers(self, submit, settle, jobs):
        submit(None, version=3)
        settle()
        assert jobs.get("job-1").version > 3
        assert jobs.get("job-1").required_code == MINE
        assert jobs.get("job-1").result_key == "key"
