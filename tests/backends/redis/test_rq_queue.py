"""Messages in rq's queue, and what rq keeps of workers."""

from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.redis.rq_queue import (
    WorkerState,
    attempt_of,
    clear,
    count_registered,
    count_workers,
    live_workers,
    publish_heartbeat,
    put_function,
    remove_worker,
    waiting_ids,
)
from tests.backends.redis.step_cases import shard


def put(jobs, *attempts):
    with jobs.connection.pipeline() as pipe:
        jobs.queue.put(attempts, pipe)
        pipe.execute()


def message(connection, rq_job_id):
    return Job.fetch(rq_job_id, connection, JSONSerializer)


def test_message_of_a_step_names_its_attempt(jobs, connection):
    put(jobs, shard(3, 2))
    assert attempt_of(message(connection, "job-1-part-3-2")) == (jobs.keys.namespace, shard(3, 2))


def test_message_of_an_older_version_names_its_attempt(connection):
    put_function(connection, "analytics_kit.backends.perform.perform", "ann", "job-1", "part-3", "2")
    (rq_job_id,) = waiting_ids(connection)
    assert attempt_of(message(connection, rq_job_id)) == ("ann", shard(3, 2))


def test_function_is_queued_ahead_of_steps_and_names_no_attempt(jobs, connection):
    put(jobs, shard(0))
    put_function(connection, "tests.backends.sample_steps.tidy")
    first, second = waiting_ids(connection)
    assert second == "job-1-part-0-1"
    assert attempt_of(message(connection, first)) is None


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
