"""One job in the states that the tests of stores begin with."""

import pytest

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.model import JobRequest
from tests.backends.redis.step_cases import BEGIN, SPLIT


@pytest.fixture
def queued(jobs):
    """The record of a job that was submitted."""
    request = JobRequest("tests.backends.sample_steps.echo", {"a": 1}, "key", "/s.zip", 5, ("t",), "ann")
    return jobs.submit(Record.of(request, "job-1", jobs.now_s()), False)


@pytest.fixture
def running(store, queued):
    """Its first step is run by worker w1."""
    store.claim(BEGIN, "w1")
    store.change_state(BEGIN, RecordState.RUNNING)


@pytest.fixture
def split_job(store, connection, running):
    """It is split into three shards, of which two are pending, one for each worker."""
    connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
    store.split(BEGIN, SPLIT)
