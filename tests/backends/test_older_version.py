"""Records, queued jobs and results of the version before the present names of modules and functions.

`older_version/redis.json` holds the keys of a Redis server and `older_version/files.zip` the studies, the store and a
saved result, all written by commit bc41ca9: a completed job, a failed one, one split into four shards of which one is
done, a queued one, and a cancelled one whose clean-up is queued. `{root}` stands for the folder of the files.
"""

import base64
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import redis
from pandas.testing import assert_frame_equal
from rq.job import Job
from rq.serializers import JSONSerializer

import analytics_kit as ak
from analytics_kit.backends.dotted_names import FUNCTIONS_ON_THE_WIRE, present_name, resolve, wire_name
from analytics_kit.backends.record import split_fields
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.cleanup import queue_cleanup
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.rq_queue import live_workers, waiting_ids
from analytics_kit.client import PROCESS_STUDY, WORKER_TASKS
from analytics_kit.code_version import code_version
from analytics_kit.model import JobRequest, Split
from analytics_kit.settings import Settings
from analytics_kit.worker_tasks import MERGE_TASK, SHARD_TASK
from tests.processes import until

FIXTURE = Path(__file__).with_name("older_version")
METRICS = ["completion_time_s", "path_length_px", "keystroke_count"]
TIMES = ("created_at", "started_at", "ended_at", "told_at")


@pytest.fixture(scope="module")
def content():
    """The keys, ids and expected summaries that the older version wrote."""
    return json.loads((FIXTURE / "redis.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder with the older version's studies and store."""
    root = tmp_path_factory.mktemp("older")
    with zipfile.ZipFile(FIXTURE / "files.zip") as archive:
        archive.extractall(root)
    return root


@pytest.fixture(scope="module")
def url(redis_server, content, root):
    """A server with the older version's keys; times are moved up to now, so that nothing has expired."""
    with redis_server() as server:
        with connect(server.url) as connection:
            for name, key in content["keys"].items():
                write_key(connection, name, key["type"], key["value"], root, time.time() - content["written_at"])
        yield server.url


@pytest.fixture(scope="module")
def client(url, root):
    """A client of the present version."""
    with ak.connect(url, home=str(root / "home"), store=str(root / "store"), namespace="ann") as client:
        yield client


@pytest.fixture(scope="module")
def worked(url, root, client, workers):
    """The client, while a worker of the present version runs what was queued."""
    environment = {"ANALYTICS_KIT_HOME": str(root / "home"), "ANALYTICS_KIT_STORE": str(root / "store")}
    with workers(url, "analytics_kit.worker_tasks", **environment):
        yield client


def write_key(connection, name, of_type, value, root, shift_s):
    def raw(text):
        if isinstance(text, dict):
            return base64.b64decode(text["base64"])
        return text.replace("{root}", str(root)).encode()

    if of_type == "string":
        connection.set(name, raw(value))
    elif of_type == "list":
        connection.rpush(name, *map(raw, value))
    elif of_type == "set":
        connection.sadd(name, *map(raw, value))
    elif of_type == "zset":
        connection.zadd(name, {raw(member): score + shift_s for member, score in value})
    else:
        fields = {field: raw(text) for field, text in value.items()}
        if name.startswith("ak:"):
            fields |= {field: str(float(fields[field]) + shift_s) for field in TIMES if field in fields}
        connection.hset(name, mapping=fields)


def test_every_older_name_has_a_function_today():
    functions = [name for name in FUNCTIONS_ON_THE_WIRE.values() if name != "analytics_kit.tasks"]
    assert all(callable(resolve(name)) for name in functions)
    assert all(wire_name(present_name(name)) == name for name in FUNCTIONS_ON_THE_WIRE.values())


def test_present_jobs_are_written_with_the_older_names(redis_server):
    """So that workers of the older version can run them, such as those of an embedded broker during an upgrade."""
    with redis_server() as server:
        backend = RedisBackend(server.url, Settings.of(namespace="ann"), WORKER_TASKS)
        request = JobRequest(PROCESS_STUDY, {"source": "s.zip"}, "key", "s.zip")
        job_id = backend.submit(request).job_id
        with redis.Redis.from_url(server.url) as connection:
            assert json.loads(connection.hget(f"ak:ann:job:{job_id}", "task")) == "analytics_kit.tasks.process_study"
            queued = Job.fetch(f"{job_id}-begin-1", connection, JSONSerializer)
            assert queued.func_name == "analytics_kit.backends.perform.perform"
            split = split_fields(Split(3, 300, SHARD_TASK, MERGE_TASK))
            assert (split["part"], split["merge"]) == (
                "analytics_kit.tasks.process_part", "analytics_kit.tasks.merge_parts",
            )  # fmt: skip
            assert backend.cancel(job_id)
            queue_cleanup(AttemptStore(connection, "ann"), job_id, WORKER_TASKS)
            cleanup = Job.fetch(waiting_ids(connection)[0], connection, JSONSerializer)
            assert (cleanup.func_name, cleanup.args[-1]) == (
                "analytics_kit.backends.perform.discard",
                "analytics_kit.tasks",
            )
        backend.close()


def test_pool_of_the_older_version_can_start_workers(redis_server):
    """Such a pool runs on while the package is upgraded, and replaces workers that die."""
    with redis_server() as server, connect(server.url) as connection:
        read_end, write_end = os.pipe()
        command = [sys.executable, "-P", "-m", "analytics_kit.backends.worker", "--code", "analytics_kit.tasks"]
        process = subprocess.Popen(
            [*command, "--name", "older", "--owner", str(read_end)],
            pass_fds=[read_end],
            env=os.environ | {"REDIS_URL": server.url},
        )
        os.close(read_end)
        try:
            until(lambda: "older" in live_workers(connection) or process.poll() is not None, "the worker listens")
            assert process.poll() is None
        finally:
            os.close(write_end)
        assert process.wait(10) == 1


def test_jobs_are_listed_with_their_status(client, content):
    listed = {info.job_id: str(info.status) for info in client.backend.list()}
    assert listed == {
        content["jobs"]["completed"]: "completed",
        content["jobs"]["failed"]: "failed",
        content["jobs"]["split"]: "running",
        content["jobs"]["queued"]: "queued",
        content["jobs"]["cancelled"]: "cancelled",
    }
    assert client.get_job(content["jobs"]["completed"]).info().tags == ("first",)
    assert client.get_job(content["jobs"]["split"]).progress.done == 11_683


def test_a_completed_job_has_its_result(client, content, root):
    job = client.get_job(content["jobs"]["completed"])
    result = job.result()
    assert result.summary == content["summaries"]["completed"]
    expected = client.process(root / "studies" / "completed.zip", metrics=METRICS)
    assert_frame_equal(result.trials, expected.trials)
    assert_frame_equal(ak.load(root / "saved").trials, expected.trials)


def test_a_completed_job_is_not_joined(client, content, root):
    """Its record does not say which code made its numbers."""
    job = client.submit(root / "studies" / "completed.zip", metrics=METRICS)
    assert job.id != content["jobs"]["completed"]
    assert job.cancel()
    job.delete()


def test_a_failed_job_has_its_error_and_its_log(client, content):
    job = client.get_job(content["jobs"]["failed"])
    error = job.exception()
    assert type(error) is ak.BadArchiveError
    assert "it has no directory at its end" in error.message
    lines = job.log().splitlines()
    assert [line.split(" ", 2)[2] for line in lines[:5]] == [
        "queued",
        "begin taken by worker-1",
        "started",
        "planning",
        "failed",
    ]
    assert "analytics_kit/study/archive.py" in job.log()


def test_a_queued_job_is_run(worked, content, root):
    job = worked.get_job(content["jobs"]["queued"])
    result = job.result(60)
    assert result.summary == content["summaries"]["queued"]
    assert_frame_equal(result.trials, worked.process(root / "studies" / "small.zip", metrics=METRICS).trials)
    assert "is retried" not in job.log(), "the older version's message was run, not replaced by recovery"


def test_a_split_job_is_continued_and_merged_with_the_shard_that_was_done(worked, content, root):
    job = worked.get_job(content["jobs"]["split"])
    result = job.result(60)
    assert result.summary == content["summaries"]["split"]
    assert_frame_equal(result.trials, worked.process(root / "studies" / "large.zip", metrics=METRICS).trials)
    assert job.log().count("part-0 taken by") == 1, "it is not done again"
    assert result.provenance["code"] == f"{code_version().code} and unknown"
    assert "is retried" not in job.log(), "the older version's messages were run, not replaced by recovery"
    assert "part-3 taken by" in job.log()


def test_the_files_of_a_cancelled_job_are_removed_by_the_queued_cleanup(worked, content, root):
    job_id = content["jobs"]["cancelled"]
    with zipfile.ZipFile(FIXTURE / "files.zip") as archive:
        assert any(job_id in name for name in archive.namelist()), "it has left files"
    until(lambda: not list(root.glob(f"store/results/*/{job_id}")), "its files are gone")
    assert worked.get_job(job_id).status is ak.JobStatus.CANCELLED


def test_a_failed_job_is_retried_by_its_older_task_name(worked, content):
    job = worked.get_job(content["jobs"]["failed"]).retry()
    assert type(job.exception(60)) is ak.BadArchiveError
