"""Messages and records of a queue with a secret: only what was signed with it is done."""

import json
import time
from dataclasses import replace

import pytest

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.intake import Intake
from analytics_kit.backends.redis.signature import MAX_AGE_S, Signatures
from analytics_kit.code_version import CodeVersion
from analytics_kit.errors import JobFailedError, SettingsError
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
from tests.backends.redis.step_cases import BEGIN

SECRET = "a secret that Redis never sees"


@pytest.fixture
def open_store(redis_url):
    """open_store(secret, queue="ak") → the attempts of a namespace, as a process with that secret has them."""
    opened = []

    def make(secret, queue="ak"):
        connection = connect(redis_url.removesuffix("/0") + "/3", queue=queue, secret=secret)
        opened.append(connection)
        return AttemptStore(connection, "signed")

    make(None).jobs.connection.flushdb()
    yield make
    opened[0].flushdb()
    for connection in opened:
        connection.close()


def submit(store, job_id="job-1", **limits):
    arguments = {"source": "/s.zip", "x": [1.5, None]}
    request = JobRequest("tests.backends.sample_steps.echo", arguments, "key", "/s.zip", **limits)
    return store.jobs.submit(Record.of(request, job_id, store.jobs.now_s()), False)


def take(store):
    """Return the attempt that a worker with the store's secret gets to do."""
    taken = Intake(store.jobs.connection).take(None)
    return None if taken is None else taken[1].attempt[1]


def test_signed_job_is_done(open_store):
    submit(open_store(SECRET), time_limit_s=2.5)
    worker = open_store(SECRET)
    assert take(worker) == BEGIN
    assert worker.claim(BEGIN, "w1")[0].arguments == {"source": "/s.zip", "x": [1.5, None]}


def test_signed_job_is_done_by_a_worker_without_a_secret(open_store):
    submit(open_store(SECRET))
    assert take(open_store(None)) == BEGIN


@pytest.mark.parametrize("secret", [None, "another secret of the same length"])
def test_message_without_a_signature_of_the_queue_is_refused(open_store, secret, caplog):
    submit(open_store(secret))
    assert take(open_store(SECRET)) is None
    assert "not signed with this queue's ANALYTICS_KIT_SECRET" in caplog.text


@pytest.mark.parametrize("secret", [None, "another secret of the same length"])
def test_record_without_a_signature_of_the_queue_is_refused(open_store, secret):
    submit(open_store(secret))
    with pytest.raises(JobFailedError, match="not signed with this queue's secret"):
        open_store(SECRET).claim(BEGIN, "w1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "tests.backends.sample_steps.fail"),
        ("arguments", {"source": "/etc/passwd"}),
        ("result_key", "other"),
        ("retries", 1000),
        ("time_limit_s", 1e9),
        ("memory_limit_mb", 1e9),
        ("created_at", 1.0),
        ("version", 2),
        ("signature", "forged"),
        ("signature", None),
    ],
)
def test_changed_record_is_refused(open_store, field, value):
    store = open_store(SECRET)
    submit(store)
    text = value if field == "result_key" else json.dumps(value)
    store.jobs.connection.hset(store.jobs.keys.record("job-1"), field, text)
    with pytest.raises(JobFailedError, match="not signed"):
        store.claim(BEGIN, "w1")


def test_signed_record_that_is_copied_to_another_job_is_refused(open_store):
    store = open_store(SECRET)
    submit(store)
    keys, connection = store.jobs.keys, store.jobs.connection
    connection.hset(keys.record("job-2"), mapping=connection.hgetall(keys.record("job-1")) | {b"job_id": b'"job-2"'})
    connection.hset(keys.pending("job-2"), "begin", "1 0 queued")
    with pytest.raises(JobFailedError, match="not signed"):
        store.claim(BEGIN._replace(job_id="job-2"), "w1")


def test_record_of_another_queue_is_refused(open_store):
    submit(open_store(SECRET, queue="lab"))
    connection = open_store(SECRET).jobs.connection
    for key in connection.keys("lab:signed:job:*"):
        connection.copy(key, key.replace(b"lab:", b"ak:"))
    with pytest.raises(JobFailedError, match="not signed"):
        open_store(SECRET).claim(BEGIN, "w1")


def test_signature_is_valid_as_long_as_records_are_kept(open_store):
    store = open_store(SECRET)
    record = submit(store)
    assert store.jobs.is_signed(record, record.created_at + MAX_AGE_S)
    assert not store.jobs.is_signed(record, record.created_at + MAX_AGE_S + 1)


def test_message_that_is_too_old_is_refused(open_store, monkeypatch):
    submit(open_store(SECRET))
    now_s = time.time()
    monkeypatch.setattr(rq_queue.time, "time", lambda: now_s + MAX_AGE_S + 1)
    assert take(open_store(SECRET)) == BEGIN._replace(number=2), "its step, which is still wanted, is queued anew"


def test_replayed_message_of_an_ended_job_does_nothing(open_store):
    store = open_store(SECRET)
    submit(store)
    connection = store.jobs.connection
    message = connection.dump("rq:job:job-1-begin-1")
    assert take(store) == BEGIN
    store.claim(BEGIN, "w1")
    store.jobs.cancel("job-1")
    connection.delete("rq:job:job-1-begin-1")
    connection.restore("rq:job:job-1-begin-1", 0, message)
    connection.rpush("rq:queue:analytics", "job-1-begin-1")
    assert take(store) == BEGIN, "the message itself is genuine"
    with pytest.raises(Exception, match="refused"):
        store.claim(BEGIN, "w2")
    assert store.jobs.get("job-1").state is RecordState.CANCELLED


def test_message_that_is_moved_to_another_id_is_refused(open_store):
    store = open_store(SECRET)
    submit(store)
    connection = store.jobs.connection
    connection.rename("rq:job:job-1-begin-1", "rq:job:job-1-begin-7")
    connection.delete("rq:queue:analytics")
    connection.rpush("rq:queue:analytics", "job-1-begin-7")
    assert take(store) == BEGIN._replace(number=2), "it is not run; its step is queued anew"


def test_housekeeping_message_is_signed(open_store):
    rq_queue.put_function(open_store(SECRET).jobs.connection, rq_queue.SWEEP_FUNCTION, "code")
    taken = Intake(open_store(SECRET).jobs.connection).take(None)
    assert taken[1] == (rq_queue.SWEEP_FUNCTION, ("code",))
    rq_queue.put_function(open_store(None).jobs.connection, rq_queue.SWEEP_FUNCTION, "code")
    assert Intake(open_store(SECRET).jobs.connection).take(None) is None


def test_step_that_a_process_without_the_secret_queued_again_is_queued_at_once_and_said(open_store):
    store = open_store(SECRET)
    submit(store)
    assert take(store) == BEGIN
    open_store(None).return_to_queue(BEGIN, "for another worker")
    assert take(store) == BEGIN._replace(number=3), "the unsigned attempt was refused, and the step is queued anew"
    store.claim(BEGIN._replace(number=3), "w1")
    record = store.jobs.get("job-1")
    assert "has no ANALYTICS_KIT_SECRET" in record.notice
    assert record.state is RecordState.QUEUED


def test_unsigned_message_takes_no_step_from_its_worker(open_store):
    store = open_store(SECRET)
    submit(store)
    assert take(store) == BEGIN
    store.claim(BEGIN, "w1")
    store.jobs.connection.delete("rq:job:job-1-begin-1")
    open_store(None).requeue(BEGIN)
    assert take(store) is None
    assert store.is_held_by(BEGIN, "w1")


def test_changed_record_of_an_ended_job_is_not_signed_anew(open_store):
    store = open_store(SECRET)
    submit(store)
    store.jobs.cancel("job-1")
    key = store.jobs.keys.record("job-1")
    store.jobs.connection.hset(key, mapping={"arguments": json.dumps({"source": "/etc/passwd"}), "tags": '["P07"]'})
    assert store.jobs.amend("job-1", lambda record: replace(record, tags=()), str)
    record = store.jobs.get("job-1")
    assert not record.tags
    assert not store.jobs.is_signed(record, store.jobs.now_s())


def test_changed_record_is_not_retried(open_store, redis_url):
    store = open_store(SECRET)
    submit(store)
    store.jobs.cancel("job-1")
    url = redis_url.removesuffix("/0") + "/3"
    backend = RedisBackend(url, Settings.of(namespace="signed", secret=SECRET), "tests.backends.sample_steps")
    assert backend.retry("job-1").retry_of == "job-1"
    store.jobs.connection.hset(store.jobs.keys.record("job-1"), "arguments", json.dumps({"source": "/etc/passwd"}))
    with pytest.raises(SettingsError, match="not signed with this queue's secret"):
        backend.retry("job-1")
    backend.close()


def test_secret_is_in_no_repr_and_not_in_redis(open_store):
    store = open_store(SECRET)
    record = submit(store)
    connection = store.jobs.connection
    assert SECRET not in repr([connection, connection.signatures, store, record, Signatures(SECRET)])
    everything = b"".join(connection.dump(key) for key in connection.scan_iter())
    assert SECRET.encode() not in everything


def test_job_that_other_code_takes_over_is_signed_anew(open_store):
    store = open_store(SECRET)
    submit(store)
    record, _ = store.claim(BEGIN, "w1")
    store.take_over(record, BEGIN, CodeVersion("9.9", "c0de"), "another key")
    taken = store.jobs.get("job-1")
    assert taken.result_key == "another key"
    assert store.jobs.is_signed(taken, store.jobs.now_s())
