"""The four backends, with workers that run the steps of sample_steps.py."""

import itertools
import os
from pathlib import Path

import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.local import LocalBackend
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
from tests.api_server import ApiServer
from tests.backends.http_backend import PROGRAM, connected

_keys = itertools.count()


@pytest.fixture(scope="module")
def local_backend():
    """The backend of this process."""
    backend = LocalBackend(Settings.of())
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def redis_backend(redis_url, workers):
    """The backend of a Redis server that the settings name, with one worker."""
    with workers(redis_url):
        backend = RedisBackend(redis_url, Settings.of(namespace="contract"), "tests.backends.sample_steps")
        yield backend
        backend.close()


@pytest.fixture(scope="module")
def embedded_backend(tmp_path_factory):
    """The backend of an embedded broker, with one worker."""
    settings = Settings.of(home=tmp_path_factory.mktemp("embedded") / "home", workers=1)
    backend = EmbeddedBackend(settings, "tests.backends.sample_steps")
    yield backend
    backend.close()
    embedded.stop(settings)


@pytest.fixture(scope="module")
def http_backend(tmp_path_factory, redis_server, workers):
    """The backend of a server over HTTP, which has a Redis and one worker."""
    folder = tmp_path_factory.mktemp("http")
    with redis_server() as broker, workers(broker.url):
        environment = {"ANALYTICS_KIT_BACKEND": "redis", "REDIS_URL": broker.url}
        with ApiServer(folder, PROGRAM, **environment) as server:
            backend = connected(server.url, folder / "client")
            backend._jobs = JobStore(connect(broker.url), "ann")  # for what the contract does not show
            yield backend
            backend._jobs.connection.close()
            backend.close()


@pytest.fixture(params=["local_backend", "redis_backend", "embedded_backend", "http_backend"])
def backend(request):
    """Each backend in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def gate(tmp_path):
    """The file that gated steps wait for; it exists after the test in any case."""
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture
def make_request():
    """make_request("echo", **arguments) → a request to run a sample step, for a result key of its own."""

    def make(step, key=None, refresh=False, tags=(), retries=0, time_limit_s=None, memory_limit_mb=None, **arguments):
        return JobRequest(
            task=f"tests.backends.sample_steps.{step}",
            arguments={name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()},
            result_key=key or f"key-{next(_keys)}",
            source="/data/study.zip",
            size_bytes=12,
            tags=tags,
            owner="ann",
            refresh=refresh,
            retries=retries,
            time_limit_s=time_limit_s,
            memory_limit_mb=memory_limit_mb,
        )

    return make


@pytest.fixture
def store(redis_url):
    """The attempts of a namespace that no worker serves, in a database of its own."""
    connection = connect(redis_url.removesuffix("/0") + "/3")
    connection.flushdb()
    yield AttemptStore(connection, f"store-{os.urandom(4).hex()}")
    connection.flushdb()
    connection.close()


@pytest.fixture
def jobs(store):
    """Its records."""
    return store.jobs


@pytest.fixture
def connection(jobs):
    """Its connection."""
    return jobs.connection
