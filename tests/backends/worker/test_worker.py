"""One worker in this process, which forks a task process as it does anywhere."""

import os
import signal
import warnings

import pytest

from analytics_kit.backends.record import Attempt, Record, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.worker import worker as worker_module
from analytics_kit.backends.worker.worker import StepWorker
from analytics_kit.errors import BrokerUnavailableError

CODE = "tests.backends.sample_steps"
FIRST_SEEN = "rq:queue:analytics:intermediate:first_seen"


def tidy():
    """The housekeeping function of a worker whose module is this one."""
    with open(os.environ["PID_FILE"], "a") as file:  # noqa: PTH123
        print(os.getpid(), file=file)


@pytest.fixture
def connection(redis_url):
    """A database that only these tests use."""
    with connect(redis_url.removesuffix("/0") + "/10") as connection:
        connection.flushdb()
        yield connection
        connection.flushdb()


@pytest.fixture
def worker(connection):
    worker = StepWorker(connection, "w1", CODE)
    yield worker
    worker.wait_for_horse()  # the idle task process
    worker._output.close()


@pytest.fixture
def work(worker):
    """work() → have the worker do all that is queued."""

    def run():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # a fork in a process with threads, those of pytest
                worker.work(burst=True, logging_level="WARNING")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    return run


@pytest.fixture
def attempts(connection):
    return AttemptStore(connection, "ann")


def test_worker_executes_steps_and_leaves_nothing_of_rq(work, attempts, connection, make_request):
    for number in range(2):
        record = Record.of(make_request("echo", x=number), f"job-{number}", attempts.jobs.now_s())
        attempts.jobs.submit(record, refresh=False)
    work()
    records = attempts.jobs.get_many(["job-0", "job-1"])
    assert [record.state for record in records] == [RecordState.COMPLETED] * 2
    assert [record.result for record in records] == [{"arguments": {"x": 0}}, {"arguments": {"x": 1}}]
    assert not [*connection.scan_iter("rq:job:*"), *connection.scan_iter("rq:queue:*")]


def test_worker_executes_a_housekeeping_function_and_leaves_nothing_of_rq(
    worker, work, connection, tmp_path, monkeypatch
):
    path = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(path))
    worker._code = __name__
    rq_queue.put_function(connection, rq_queue.SWEEP_FUNCTION, "os.whatever a message names")
    [rq_job_id] = rq_queue.waiting_ids(connection)
    connection.set(f"{FIRST_SEEN}:{rq_job_id}", b"1", ex=60)  # as another worker's maintenance does
    work()
    assert {*path.read_text().split()} != {str(os.getpid())}
    assert not [*connection.scan_iter("rq:job:*"), *connection.scan_iter("rq:queue:*")]


def test_worker_whose_task_process_dies_fails_a_job_without_retries(work, attempts, make_request):
    attempts.jobs.submit(Record.of(make_request("exit_silently"), "job-1", attempts.jobs.now_s()), refresh=False)
    work()
    record = attempts.jobs.get("job-1")
    assert record.state is RecordState.FAILED
    assert "exit code 0 before its work was done" in record.error.message


def test_heartbeat_publishes_the_attempt_that_is_executed(worker, attempts, connection):
    worker.register_birth()
    worker.current = attempts, Attempt("job-1", "begin", 2)
    worker.heartbeat()
    assert rq_queue.live_workers(connection)["w1"].rq_job_id == "job-1-begin-2"
    worker.current = None
    worker.heartbeat()
    assert rq_queue.live_workers(connection)["w1"].rq_job_id == ""
    worker.register_death()


def test_main_without_a_named_redis_raises(monkeypatch):
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrokerUnavailableError, match="No Redis server is named"):
        worker_module.main(["--code", CODE])


@pytest.mark.parametrize("name", ["key", "executions_key"])
def test_worker_whose_own_key_holds_something_else_goes_on(worker, work, attempts, connection, make_request, name):
    for number in range(2):
        record = Record.of(make_request("echo"), f"job-{number}", attempts.jobs.now_s())
        attempts.jobs.submit(record, refresh=False)
    taken = worker._intake.take

    def damage_first(timeout_s):
        if (message := taken(timeout_s)) is not None and message[0].id == "job-0-begin-1":
            connection.delete(getattr(worker, name))
            connection.zadd(getattr(worker, name), {b"\xff": 1})
        return message

    worker._intake.take = damage_first
    work()
    assert attempts.jobs.get("job-1").state is RecordState.COMPLETED
    assert attempts.jobs.get("job-0").state in (RecordState.QUEUED, RecordState.COMPLETED)


@pytest.mark.parametrize("has_folder", [True, False])
def test_output_of_a_step_is_not_preceded_by_what_the_steps_before_it_wrote(monkeypatch, has_folder):
    if not has_folder:
        monkeypatch.setattr(worker_module.tempfile, "TemporaryFile", _no_folder)
    with worker_module._output_file() as output:
        for text in ("of the first step", "of the second step"):
            output.truncate(0)
            os.write(output.fileno(), text.encode())  # as the task process does, which shares the file
            assert worker_module.read_tail(output) == text


def _no_folder(mode):
    raise FileNotFoundError
