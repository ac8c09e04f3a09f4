"""Garbage in any key of a queue: one row says so, and nothing else is affected."""

import itertools
import json
import logging

import pytest

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.intake import Intake
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.backends.redis.recovery import rebuild_queue, return_all_to_queue, run_recovery
from analytics_kit.errors import BrokerUnavailableError, JobFailedError, JobNotFoundError, SettingsError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.redis.step_cases import BEGIN, SPLIT, shard

CODE = "tests.backends.sample_steps"
KEYS, RQ_KEYS = QueueKeys(), rq_queue.RqKeys(rq_queue.DEFAULT_QUEUE_NAME)
NOT_TEXT = b"\xff\xfe\x00"
WRONG_TYPES = {
    "string": lambda connection, key: connection.set(key, NOT_TEXT),
    "list": lambda connection, key: connection.rpush(key, NOT_TEXT),
    "set": lambda connection, key: connection.sadd(key, NOT_TEXT),
    "zset": lambda connection, key: connection.zadd(key, {NOT_TEXT: 1e300}),
    "hash": lambda connection, key: connection.hset(key, NOT_TEXT, NOT_TEXT),
    "stream": lambda connection, key: connection.xadd(key, {b"a": b"b"}),
}
VALUES = [NOT_TEXT, b"", b"{", b"null", b"[]", b'"x"', b"-1", b"1e999", b"NaN", b"[" * 100_000, b"9" * 400]
FIELDS = [name for name in Record.__dataclass_fields__ if name not in ("tags", "reported_at")]
SHARED = ["active", "cleanup", "delayed", "submissions", "pool", "recovery_turn", "suspects", "swept", "refused"]
OF_JOB = ["record", "pending", "shard_progress", "winners", "log"]


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def backend(redis_url, jobs):
    backend = RedisBackend(
        redis_url.removesuffix("/0") + "/3", Settings.of(namespace=jobs.keys.namespace), CODE, name="redis"
    )
    yield backend
    backend.close()


@pytest.fixture
def bystander(jobs, make_request):
    """A job that waits and is all right."""
    return jobs.submit(Record.of(make_request("echo", key="other"), "job-0", jobs.now_s()), False).job_id


@pytest.fixture
def split_job(store, connection, running):
    """A job that has shards, of which a worker has one, and that has reported; so it has all the keys."""
    connection.sadd(RQ_KEYS.listeners, "rq:worker:w1", "rq:worker:w2")
    rq_queue.publish_heartbeat(connection, "rq:worker:w1", "busy", shard(0).rq_job_id)
    store.split(BEGIN, SPLIT)
    store.claim(shard(0), "w1")
    connection.hset(store.jobs.keys.winners("job-1"), "7", "1")
    return "job-1"


def recover(connection, jobs, rounds=3):
    """Run some rounds of recovery, as if a minute had passed after each."""
    for number in range(rounds):
        now_s = jobs.now_s() + 60 * number
        connection.delete(KEYS.recovery_turn)
        run_recovery(connection, CODE, clock=lambda _, now_s=now_s: now_s)


def read_everything(backend, connection, jobs, job_id="job-1"):
    """Read all that can be read, as clients, the command line and workers do; return the listed jobs."""
    listed = {info.job_id: info for info in backend.list()}
    for name in ("job-0", job_id):
        if name in listed:
            assert backend.get(name).job_id == name
            assert backend.get_many([name])
            backend.log(name)
    for status in JobStatus:
        backend.list(status)
    backend.queue_status()
    assert backend.health()["status"] != "down"
    backend.warnings()
    backend.study_location("job-0")
    with backend.changes() as changes:
        connection.publish(jobs.keys.channel, NOT_TEXT)
        changes.wait(0.01)
    recover(connection, jobs)
    rq_queue.tidy(connection, jobs.now_s())
    while Intake(connection).take(None) is not None:  # as a worker would, and finds out later
        pass
    rebuild_queue(connection)
    return_all_to_queue(connection, "the end")
    return {info.job_id: info for info in backend.list()}


def assert_bystander_is_well(backend, connection, jobs, listed):
    assert listed["job-0"].status is JobStatus.QUEUED
    assert backend.cancel("job-0")
    assert backend.get("job-0").status is JobStatus.CANCELLED


@pytest.mark.parametrize(("name", "garbage"), [*itertools.product(SHARED, WRONG_TYPES)])
def test_shared_key_that_holds_something_else_harms_no_job(
    backend, connection, jobs, bystander, make_request, name, garbage
):
    key = getattr(KEYS, name)
    connection.delete(key)
    WRONG_TYPES[garbage](connection, key)
    listed = read_everything(backend, connection, jobs)
    assert backend.submit(make_request("echo")).status is JobStatus.QUEUED
    assert connection.sismember(KEYS.active, jobs.keys.member("job-0")), "recovery still knows the job"
    assert_bystander_is_well(backend, connection, jobs, listed)


@pytest.mark.parametrize("name", ["active", "cleanup", "delayed", "submissions"])
def test_submission_mends_a_shared_key(backend, connection, jobs, bystander, make_request, name):
    key = getattr(KEYS, name)
    connection.delete(key)
    WRONG_TYPES["hash"](connection, key)
    job_id = backend.submit(make_request("echo")).job_id
    assert {info.job_id for info in backend.list()} == {"job-0", job_id}
    assert connection.smembers(KEYS.active) == {jobs.keys.member(each).encode() for each in ("job-0", job_id)}


@pytest.mark.parametrize(
    "member", [NOT_TEXT, b"", b":", b"no-colon", b"ann:", b":job-1", b"a:b:c:d", b"ann:x:begin:y"]
)
def test_members_that_are_no_jobs_are_removed(backend, connection, jobs, bystander, member):
    connection.sadd(KEYS.active, member)
    connection.sadd(KEYS.cleanup, member)
    connection.zadd(KEYS.delayed, {member: 1})
    connection.zadd(jobs.keys.index, {member: 1})
    connection.set(KEYS.suspects, b'{"job-0": 1e300, "x": "y", "z": null}')
    listed = read_everything(backend, connection, jobs)
    assert not connection.exists(KEYS.delayed)
    assert_bystander_is_well(backend, connection, jobs, listed)


@pytest.mark.parametrize("garbage", [name for name in WRONG_TYPES if name != "zset"])
def test_list_of_jobs_that_holds_something_else_is_rebuilt(backend, connection, jobs, bystander, queued, garbage):
    connection.delete(jobs.keys.index)
    WRONG_TYPES[garbage](connection, jobs.keys.index)
    assert {info.job_id for info in backend.list()} == {"job-0", "job-1"}
    assert backend.queue_status()["queued"] == 2


@pytest.mark.parametrize(("name", "garbage"), [*itertools.product(OF_JOB, WRONG_TYPES)])
def test_key_of_a_job_that_holds_something_else_is_that_jobs_affair(
    backend, connection, jobs, bystander, split_job, name, garbage
):
    key = getattr(jobs.keys, name)(split_job)
    connection.delete(key)
    WRONG_TYPES[garbage](connection, key)
    listed = read_everything(backend, connection, jobs)
    if name == "record":
        assert listed[split_job].status is JobStatus.FAILED
        assert "can't be read" in listed[split_job].error.message
        assert isinstance(listed[split_job].error.error(), JobFailedError)
        assert not backend.cancel(split_job)
        with pytest.raises(SettingsError, match="can't be retried"):
            backend.retry(split_job)
        backend.delete(split_job)
        with pytest.raises(JobNotFoundError):
            backend.get(split_job)
        assert not connection.keys(f"{jobs.keys.record(split_job)}*")
    else:
        assert listed[split_job].status in (JobStatus.RUNNING, JobStatus.FAILED)
        assert backend.cancel(split_job) == (listed[split_job].status is JobStatus.RUNNING)
    assert_bystander_is_well(backend, connection, jobs, listed)


@pytest.mark.parametrize("field", FIELDS)
def test_field_of_garbage_makes_one_row_that_says_so(backend, connection, jobs, bystander, queued, field):
    key = jobs.keys.record("job-1")
    original = connection.hgetall(key)
    for value in VALUES:
        connection.delete(key)
        connection.hset(key, mapping=original | {field.encode(): value})
        listed = {info.job_id: info for info in backend.list()}
        assert listed.keys() == {"job-0", "job-1"}
        assert backend.get("job-1").status is listed["job-1"].status
        json.dumps({name: str(getattr(listed["job-1"], name)) for name in listed["job-1"].__dataclass_fields__})
    listed = read_everything(backend, connection, jobs)
    assert_bystander_is_well(backend, connection, jobs, listed)


@pytest.mark.parametrize("fields", [{}, {"state": "queued"}, {"job_id": '"other"'}, {NOT_TEXT: NOT_TEXT}])
def test_record_of_another_shape_is_listed_as_failed(backend, connection, jobs, bystander, queued, fields):
    if fields == {"job_id": '"other"'}:
        connection.hset(jobs.keys.record("job-1"), mapping=fields)
    else:
        connection.delete(jobs.keys.record("job-1"))
        connection.hset(jobs.keys.record("job-1"), mapping=fields or {"x": "y"})
    info = backend.get("job-1")
    assert info.status is JobStatus.FAILED
    assert info.created_at.year > 2020, "the list of jobs knows when it was submitted"
    listed = read_everything(backend, connection, jobs)
    assert_bystander_is_well(backend, connection, jobs, listed)


@pytest.mark.parametrize(
    "value", [NOT_TEXT, b"", b"1", b"1 0", b"x y z", b"1 0 ", b"-1 -1 w1", b"9999999999999 0 queued"]
)
def test_pending_steps_of_garbage_end_in_a_named_failure_or_a_retry(
    backend, connection, jobs, store, bystander, queued, value
):
    connection.hset(jobs.keys.pending("job-1"), "begin", value)
    listed = read_everything(backend, connection, jobs)
    if listed["job-1"].status is JobStatus.FAILED:
        assert "can't be read" in listed["job-1"].error.message
    else:
        assert listed["job-1"].status is JobStatus.QUEUED
    assert_bystander_is_well(backend, connection, jobs, listed)


def test_job_whose_record_can_not_be_read_is_failed_when_a_worker_takes_it(connection, jobs, store, queued):
    connection.hset(jobs.keys.record("job-1"), "arguments", b"[1")
    with pytest.raises(JobFailedError, match="can't be read"):
        store.claim(BEGIN, "w1")
    store.give_up("job-1")
    assert connection.hget(jobs.keys.record("job-1"), "state") == b"failed"
    assert not connection.sismember(KEYS.active, jobs.keys.member("job-1"))


def test_unreadable_job_of_a_newer_version_is_left_to_its_workers(backend, connection, jobs, store, queued):
    key = jobs.keys.record("job-1")
    connection.hset(key, mapping={"version": "99", "progress": '["another", "shape"]'})
    info = backend.get("job-1")
    assert info.status is JobStatus.QUEUED
    assert "newer analytics_kit (version 99)" in info.notice or "No worker" in info.notice
    recover(connection, jobs)
    store.give_up("job-1")
    assert connection.hget(key, "state") == b"queued"


def test_result_key_that_names_no_job_starts_a_new_one(backend, connection, jobs, make_request):
    newest = f"{jobs.keys.newest_prefix}key-g"
    for garbage in WRONG_TYPES.values():
        connection.delete(newest)
        garbage(connection, newest)
        assert backend.submit(make_request("echo", key="key-g")).status is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("name", "garbage"), [*itertools.product(["listeners", "intermediate", "started"], WRONG_TYPES)]
)
def test_keys_of_rq_that_hold_something_else_do_not_stop_reading(backend, connection, jobs, bystander, name, garbage):
    key = getattr(RQ_KEYS, name)
    connection.delete(key)
    WRONG_TYPES[garbage](connection, key)
    assert backend.get("job-0").status is JobStatus.QUEUED
    backend.queue_status()
    recover(connection, jobs)
    rebuild_queue(connection)


@pytest.mark.parametrize("garbage", [name for name in WRONG_TYPES if name != "list"])
def test_queue_that_holds_something_else_is_named(backend, connection, jobs, bystander, make_request, garbage):
    connection.delete(RQ_KEYS.queue)
    WRONG_TYPES[garbage](connection, RQ_KEYS.queue)
    assert backend.get("job-0").status is JobStatus.QUEUED
    with pytest.raises(BrokerUnavailableError, match="something else under a name") as caught:
        backend.submit(make_request("echo"))
    assert "ANALYTICS_KIT_QUEUE" in caught.value.hint


def test_workers_of_garbage_are_none(connection):
    connection.sadd(RQ_KEYS.listeners, NOT_TEXT, "no prefix", "rq:worker:string", "rq:worker:odd")
    connection.set("rq:worker:string", b"x")
    connection.hset("rq:worker:odd", mapping={"state": NOT_TEXT, "hand": NOT_TEXT})
    assert set(rq_queue.live_workers(connection)) <= {"odd"}
    rq_queue.clear(connection)


def test_turn_that_never_ends_does_not_stop_recovery(connection, jobs, queued):
    connection.set(KEYS.recovery_turn, b"")
    run_recovery(connection, CODE)
    assert 0 < connection.pttl(KEYS.recovery_turn) <= 1000


def test_namespaces_with_the_names_of_keys_keep_their_jobs(connection, make_request):
    for namespace in ("discard", "active", "jobs", "job"):
        store = AttemptStore(connection, namespace)
        store.jobs.submit(Record.of(make_request("echo"), f"job-{namespace}", store.jobs.now_s()), False)
    rebuild_queue(connection)
    for namespace in ("discard", "active", "jobs", "job"):
        (record,) = AttemptStore(connection, namespace).jobs.records()
        assert record.state is RecordState.QUEUED


@pytest.mark.parametrize("value", [b"x", b"", NOT_TEXT, b"1.5e400"])
def test_counts_of_garbage_do_not_keep_a_lost_step_from_being_retried(store, connection, jobs, queued, value):
    key = jobs.keys.record("job-1")
    connection.hset(key, mapping={"losses": value, "begun_anew": value})
    store.return_to_queue(BEGIN, "for another worker")
    assert store.pending_steps(["job-1"]) == [{BEGIN._replace(number=2): "queued"}]
    assert connection.hget(key, "losses") == b"1"


@pytest.mark.parametrize("fields", [{"refused begin w1": "x"}, {NOT_TEXT: NOT_TEXT}])
def test_refusals_of_garbage_do_not_keep_a_step_from_being_offered_to_others(store, connection, jobs, queued, fields):
    store.claim(BEGIN, "w1")
    connection.hset(jobs.keys.record("job-1"), mapping=fields)
    connection.sadd(RQ_KEYS.listeners, "rq:worker:w2")
    rq_queue.publish_heartbeat(connection, "rq:worker:w2", "idle", "")
    assert not store.is_refused_by_all(BEGIN, 0.0)
