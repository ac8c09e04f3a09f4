"""Workers run the steps of their own module, whoever wrote the job."""

import pytest

from analytics_kit.backends.dotted_names import step_function
from analytics_kit.backends.record import RecordState
from analytics_kit.backends.worker import entry
from analytics_kit.errors import JobFailedError
from tests.backends import sample_steps

CODE = "tests.backends.sample_steps"


@pytest.fixture
def perform(connection, jobs, monkeypatch):
    """perform() → do the first step of job-1 in this process, as a task process does."""
    monkeypatch.setattr(entry, "connection", connection)
    monkeypatch.setattr(entry, "code", CODE)
    monkeypatch.setenv("RQ_WORKER_ID", "w1")
    return lambda: entry.perform(jobs.keys.namespace, "job-1", "begin", 1)


@pytest.fixture
def submit(jobs, make_request):
    from analytics_kit.backends.record import Record

    def make(step="echo"):
        jobs.submit(Record.of(make_request(step), "job-1", jobs.now_s()), False)

    return make


def test_step_of_the_module_is_run(jobs, submit, perform):
    submit()
    perform()
    assert jobs.get("job-1").state is RecordState.COMPLETED


@pytest.mark.parametrize(
    "task",
    ["os.system", "builtins.eval", "shutil.rmtree", f"{CODE}.discard", f"{CODE}._wait_for", f"{CODE}.nothing", ""],
)
def test_function_that_is_no_step_of_the_module_is_not_run(jobs, connection, submit, perform, task):
    submit()
    connection.hset(jobs.keys.record("job-1"), "task", f'"{task}"')
    perform()
    record = jobs.get("job-1")
    assert record.state is RecordState.FAILED
    assert "none of the steps that the workers here run" in record.error.message


def test_functions_that_a_split_names_are_steps_of_the_module_too():
    assert step_function(CODE, f"{CODE}.process_one") is sample_steps.process_one
    with pytest.raises(JobFailedError, match=r"os\.system"):
        step_function(CODE, "os.system")


def test_present_and_older_names_of_the_steps_are_run():
    import analytics_kit.worker_tasks as tasks

    assert step_function("analytics_kit.tasks", "analytics_kit.tasks.process_part") is tasks.process_shard
    assert (
        step_function("analytics_kit.worker_tasks", "analytics_kit.worker_tasks.merge_shards") is tasks.merge_shards
    )


def test_record_that_can_not_be_read_fails_its_job(jobs, connection, submit, perform):
    submit()
    connection.hset(jobs.keys.record("job-1"), "arguments", "[1")
    perform()
    assert "can't be read" in jobs.get("job-1").error.message
    assert connection.hget(jobs.keys.record("job-1"), "state") == b"failed"
