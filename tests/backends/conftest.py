"""The four backends, with tasks of the tests' own (sample_steps.py)."""

import itertools
import os
from pathlib import Path

import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.backends.local import LocalBackend
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend, connect
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
from tests.api_server import ApiServer
from tests.backends.http_backend import PROGRAM, connected

_keys = itertools.count()


@pytest.fixture(scope="module")
def named(redis_url, workers):
    """The backend of a Redis that was named, with one worker."""
    with workers(redis_url):
        backend = RedisBackend(redis_url, Settings.of(namespace="contract"), "tests.backends.sample_steps")
        yield backend
        backend.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The backend of an embedded broker with one worker."""
    settings = Settings.of(home=tmp_path_factory.mktemp("own") / "home", workers=1)
    backend = EmbeddedBackend(settings, "tests.backends.sample_steps")
    yield backend
    backend.close()
    embedded.stop(settings)


@pytest.fixture(scope="module")
def here():
    """The backend of this process."""
    backend = LocalBackend(Settings.of())
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def far(tmp_path_factory, redis_server, workers):
    """The backend of a server that is asked over HTTP, which has a Redis and one worker."""
    folder = tmp_path_factory.mktemp("far")
    with redis_server() as broker, workers(broker.url):
        known = {"ANALYTICS_KIT_BACKEND": "redis", "REDIS_URL": broker.url}
        with ApiServer(folder, PROGRAM, **known) as server:
            backend = connected(server.url, folder / "mine")
            backend._jobs = JobStore(connect(broker.url), "ann")
            yield backend
            backend._jobs.connection.close()
            backend.close()


@pytest.fixture(params=["here", "named", "own", "far"])
def backend(request):
    """Each backend in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def gate(tmp_path):
    """The file for which gated tasks wait; it is there after the test, whatever happens."""
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture
def asked():
    """asked("echo", **arguments) → a request for a result nobody asked for before."""

    def make(deed, key=None, refresh=False, tags=(), retries=0, time_limit_s=None, memory_limit_mb=None, **arguments):
        return JobRequest(
            task=f"tests.backends.sample_steps.{deed}",
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
    """Records and steps of a namespace that no worker is told of, in a database of its own."""
    store = AttemptStore(connect(redis_url.removesuffix("/0") + "/3"), f"store-{os.urandom(4).hex()}")
    store.connection.flushdb()
    yield store
    store.connection.flushdb()
    store.connection.close()
