"""Messages are taken from a queue that other applications may use as well."""

import time

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.intake import Intake
from analytics_kit.backends.redis.rq_queue import STEP_FUNCTION, SWEEP_FUNCTION
from tests.backends.redis.step_cases import shard

KEYS = rq_queue.RqKeys(rq_queue.DEFAULT_QUEUE_NAME)


@pytest.fixture
def intake(connection):
    return Intake(connection)


def put(jobs, *attempts):
    with jobs.connection.pipeline() as pipe:
        jobs.queue.put(attempts, pipe)
        pipe.execute()


def waiting(connection):
    return connection.lrange(KEYS.queue, 0, -1)


def test_messages_are_taken_in_their_order(jobs, intake):
    put(jobs, shard(0), shard(1))
    taken = [intake.take(None)[1].attempt[1] for _ in range(2)]
    assert taken == [shard(0), shard(1)]
    assert intake.take(None) is None


def test_message_that_comes_while_it_waits_is_taken(jobs, intake):
    assert intake.take(0.05) is None
    put(jobs, shard(0))
    assert intake.take(5)[1].attempt[1] == shard(0)


@pytest.mark.parametrize("serializer", [None, JSONSerializer], ids=["pickle", "JSON"])
def test_foreign_messages_stay_and_ours_behind_them_are_taken(jobs, connection, intake, serializer, caplog):
    foreign = Queue(KEYS.name, connection=connection, serializer=serializer)
    ids = [foreign.enqueue("os.system", "touch /nowhere/it").id.encode() for _ in range(3)]
    put(jobs, shard(0))
    begun = time.monotonic()
    assert intake.take(5)[1].attempt[1] == shard(0)
    assert intake.take(0.1) is None
    assert time.monotonic() - begun < 4, "it does not wait for what is foreign"
    assert waiting(connection) == ids
    assert connection.lrange(KEYS.intermediate, 0, -1) == [b"job-1-part-0-1"]
    assert all(Job.fetch(each.decode(), connection, serializer).get_status() == "queued" for each in ids)
    assert caplog.text.count("Another application uses the queue") == 1
    assert rq_queue.count_foreign(connection) == 3
    assert ["Another application uses" in text for text in rq_queue.read_refusals(connection)] == [True]


def test_foreign_message_is_looked_at_five_times_a_second_and_no_more(connection, intake):
    Queue(KEYS.name, connection=connection).enqueue("os.getpid")
    calls_before = connection.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    assert intake.take(0.5) is None
    assert connection.info("commandstats")["cmdstat_evalsha"]["calls"] - calls_before <= 5


def test_foreign_message_whose_id_looks_like_ours_stays(jobs, connection, intake):
    Queue(KEYS.name, connection=connection).enqueue("os.getpid", job_id="nightly-begin-1")
    put(jobs, shard(0))
    assert intake.take(5)[1].attempt[1] == shard(0)
    assert intake.take(None) is None
    assert waiting(connection) == [b"nightly-begin-1"]


def test_queue_without_foreign_messages_is_waited_for_again(connection, intake):
    foreign = Queue(KEYS.name, connection=connection)
    job = foreign.enqueue("os.getpid")
    assert intake.take(None) is None
    assert intake._is_shared
    foreign.remove(job)
    assert intake.take(None) is None
    assert not intake._is_shared


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("os.system", ["touch /nowhere/it"], "names the function 'os.system'"),
        (STEP_FUNCTION, ["ann"], "its arguments"),
        (STEP_FUNCTION, ["ann", "job-1", "begin", {"x": 1}], "its arguments"),
        (STEP_FUNCTION, ["ann", "job-1", "begin", "one"], "names no step"),
        (STEP_FUNCTION, ["ann", "job-1", "../../etc", 1], "names no step"),
        (SWEEP_FUNCTION, [], "its arguments"),
    ],
)
def test_message_that_only_looks_like_ours_is_removed_and_not_run(
    connection, intake, caplog, function, arguments, reason
):
    queue = Queue(KEYS.name, connection=connection, serializer=JSONSerializer)
    queue.enqueue_call(function, args=arguments, job_id="job-1-begin-1", description="job-1")
    assert intake.take(None) is None
    assert reason in caplog.text
    assert any(reason in text for text in rq_queue.read_refusals(connection))
    assert not connection.exists(KEYS.queue, KEYS.intermediate, "rq:job:job-1-begin-1")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"not JSON", b"{}", b'["a"]', b'["a", null, {}, []]', b""])
def test_message_of_garbage_is_removed(jobs, connection, intake, content):
    put(jobs, shard(0), shard(1))
    connection.hset("rq:job:job-1-part-0-1", "data", content)
    assert intake.take(5)[1].attempt[1] == shard(1)
    assert waiting(connection) == []


@pytest.mark.parametrize(
    ("field", "value"), [("created_at", b"yesterday"), ("timeout", b"x"), ("status", b"odd"), ("origin", b"\xff")]
)
def test_message_that_rq_can_not_read_is_removed_so_that_its_step_is_queued_again(
    jobs, connection, intake, field, value
):
    put(jobs, shard(0), shard(1))
    connection.hset("rq:job:job-1-part-0-1", field, value)
    assert intake.take(5)[1].attempt[1] == shard(1)
    assert waiting(connection) == []
    assert not connection.exists("rq:job:job-1-part-0-1")


def test_entries_that_are_no_text_and_ids_without_a_message_are_removed(jobs, connection, intake):
    connection.rpush(KEYS.queue, b"\xff\xfe", "gone-begin-1")
    put(jobs, shard(0))
    assert intake.take(5)[1].attempt[1] == shard(0)
    assert waiting(connection) == []
    assert connection.lrange(KEYS.intermediate, 0, -1) == [b"job-1-part-0-1"]


def test_message_whose_key_holds_something_else_stays(jobs, connection, intake):
    connection.set("rq:job:odd", b"x")
    connection.rpush(KEYS.queue, "odd")
    put(jobs, shard(0))
    assert intake.take(5)[1].attempt[1] == shard(0)
    assert waiting(connection) == [b"odd"]
