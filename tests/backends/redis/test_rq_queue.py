"""Messages in rq's queue, and what rq keeps of workers."""

from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.redis.rq_queue import (
    SWEEP_FUNCTION,
    WorkerState,
    clear,
    count_registered,
    count_workers,
    live_workers,
    message_of,
    publish_heartbeat,
    put_function,
    read_workers,
    remove_worker,
    rq_keys,
    tidy,
    waiting_ids,
)
from tests.backends.redis.step_cases import shard


def put(jobs, *attempts):
    with jobs.connection.pipeline() as pipe:
        jobs.queue.put(attempts, pipe)
        pipe.execute()


def message(connection, rq_job_id):
    return message_of(Job.fetch(rq_job_id, connection, JSONSerializer), connection)


def test_message_of_a_step_names_its_attempt(jobs, connection):
    put(jobs, shard(3, 2))
    assert message(connection, "job-1-part-3-2").attempt == (jobs.keys.namespace, shard(3, 2))


def test_message_of_an_older_version_names_its_attempt(connection):
    put_function(connection, "analytics_kit.backends.perform.perform", "ann", "job-1", "part-3", "2")
    (rq_job_id,) = waiting_ids(connection)
    assert message(connection, rq_job_id).attempt == ("ann", shard(3, 2))


def test_function_is_queued_ahead_of_steps_and_names_no_attempt(jobs, connection):
    put(jobs, shard(0))
    put_function(connection, SWEEP_FUNCTION, "tests.backends.sample_steps")
    first, second = waiting_ids(connection)
    assert second == "job-1-part-0-1"
    assert message(connection, first).attempt is None


def test_worker_without_heartbeat_is_registered_but_not_live(connection):
    connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
    publish_heartbeat(connection, "rq:worker:w1", "busy", "job-1-begin-1")
    assert live_workers(connection) == {"w1": WorkerState("busy", "job-1-begin-1")}
    assert count_workers(connection) == (1, 1)
    assert count_registered(connection) == 2


def test_removed_worker_leaves_nothing(jobs, connection):
    put(jobs, shard(0))
    connection.sadd("rq:workers", "rq:worker:w1")
    connection.sadd("rq:workers:analytics", "rq:worker:w1")
    connection.sadd("rq:worker:w1:executions", "job-1-part-0-1:x", "unknown:y")
    publish_heartbeat(connection, "rq:worker:w1", "busy", "job-1-part-0-1")
    # Another worker's maintenance saw the message between taking it and beginning with it.
    connection.set("rq:queue:analytics:intermediate:first_seen:job-1-part-0-1", b"1")
    remove_worker(connection, "w1")
    assert not list(connection.scan_iter("rq:queue:analytics:*"))
    assert count_registered(connection) == 0
    assert not list(connection.scan_iter("rq:worker*"))
    assert not connection.exists("rq:job:job-1-part-0-1")


def test_clear_removes_the_keys_of_rq_only(jobs, connection):
    put(jobs, shard(0))
    connection.set("other", b"")
    clear(connection)
    assert connection.keys() == [b"other"]


def test_tidy_removes_what_dead_workers_took_and_puts_back_what_is_foreign(jobs, connection):
    keys = rq_keys(connection)
    put(jobs, shard(0))
    connection.lmove(keys.queue, keys.intermediate)
    connection.rpush(keys.intermediate, "foreign")
    connection.zadd(keys.started, {"job-1-part-1-1:x": 1, "foreign-2:y": 1})
    connection.sadd(keys.listeners, "rq:worker:dead")
    tidy(connection, 1000.0)
    assert connection.lrange(keys.intermediate, 0, -1) == [b"job-1-part-0-1", b"foreign"], "they may just be taken"
    tidy(connection, 1061.0)
    assert not connection.exists(keys.intermediate, keys.listeners, "rq:job:job-1-part-0-1")
    assert connection.lrange(keys.queue, 0, -1) == [b"foreign"]
    assert connection.zrange(keys.started, 0, -1) == [b"foreign-2:y"]


def test_worker_of_another_application_is_none_of_ours(connection):
    connection.sadd("rq:workers:analytics", "rq:worker:theirs", "rq:worker:young")
    connection.hset("rq:worker:theirs", mapping={"state": "idle", "birth": "1", "last_heartbeat": "2"})
    connection.hset("rq:worker:young", mapping={"state": "started", "birth": "1", "last_heartbeat": "1"})
    assert read_workers(connection) == ({}, ["theirs"])
    assert count_workers(connection) == (0, 0)
