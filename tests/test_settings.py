"""Settings: argument > environment > .env > default, understood, and never shown where secret."""

import os
from pathlib import Path

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings, settings_environment, without_secrets


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Remove the settings of the environment, and of a `.env` file."""
    for name in list(os.environ):
        if name.startswith(("REDIS_", "ANALYTICS_KIT_", "JUPYTERHUB_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_nothing_named_means_no_broker_url():
    assert Settings.of().broker_url() is None


def test_an_argument_wins_over_the_environment_and_that_over_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("ANALYTICS_KIT_WORKERS=2\nREDIS_HOST=from-file\nOTHER_TOOL=x\n")
    assert Settings.of().workers == 2
    assert Settings.of().redis_host == "from-file"
    monkeypatch.setenv("ANALYTICS_KIT_WORKERS", "3")
    assert Settings.of().workers == 3
    assert Settings.of(workers=4).workers == 4


def test_plain_words_of_the_environment_mean_nothing(monkeypatch):
    for name in ("HOME", "WORKERS", "STORE", "TOKEN", "NAMESPACE", "BACKEND"):
        monkeypatch.setenv(name, "99")
    assert Settings.of() == Settings.of()
    assert Settings.of().workers is None
    assert str(Settings.of().home).endswith("analytics_kit")


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "7000", "REDIS_DB": "3"}, "redis://h:7000/3"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "a/b@c"}, "redis://:a%2Fb%40c@h:6379/0"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_PORT": "6380"}, "redis://localhost:6380/0"),
        ({"REDIS_PORT": "tcp://10.0.0.7:6379"}, "redis://10.0.0.7:6379/0"),
        ({"REDIS_PORT": "tcp://10.0.0.7:6379", "REDIS_HOST": "mine"}, "redis://mine:6379/0"),
        ({"REDIS_URL": "rediss://u:p@h:1/2", "REDIS_HOST": "other"}, "rediss://u:p@h:1/2"),
    ],
)
def test_broker_url(monkeypatch, environment, url):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.of().broker_url() == url


def test_an_empty_variable_is_not_set(monkeypatch):
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "ANALYTICS_KIT_WORKERS"):
        monkeypatch.setenv(name, "")
    assert Settings.of().broker_url() is None
    assert Settings.of().workers is None


def test_an_error_names_the_variable(monkeypatch):
    monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "cloud")
    with pytest.raises(SettingsError, match="ANALYTICS_KIT_BACKEND") as caught:
        Settings.of()
    assert "README" in caught.value.hint


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"REDIS_HOST=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env in this folder is not UTF-8"):
        Settings.of()


def test_secrets_are_never_printed(monkeypatch):
    monkeypatch.setenv("REDIS_PASSWORD", "hush-1")
    monkeypatch.setenv("ANALYTICS_KIT_TOKEN", "hush-2")
    settings = Settings.of("redis://user:hush-3@host:1/0")
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "hush" not in shown
    assert without_secrets("redis://user:hush-3@host:1/0?password=hush-4#hush") == "redis://host:1/0"


def test_an_error_names_the_setting_and_not_its_value(monkeypatch):
    monkeypatch.setenv("REDIS_PORT", "hush")
    with pytest.raises(SettingsError, match=r"redis_port|REDIS_PORT") as caught:
        Settings.of()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", ":hush@localhost:1", "hush@host:6379"])
def test_a_url_of_another_kind_is_refused(url):
    with pytest.raises(SettingsError, match="names no broker or server") as caught:
        Settings.of(url)
    assert "hush" not in str(caught.value)


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(SettingsError, match=r"'wrokers'\. Did you mean 'workers'"):
        Settings.of(wrokers=2)


def test_backend_names_in_place_of_a_url():
    assert Settings.of("local").backend == "local"
    assert Settings.of("embedded").backend == "embedded"
    assert Settings.of("unix:///run/redis.sock").backend == "redis"


def test_source_folders_are_separated_by_colons(monkeypatch):
    monkeypatch.setenv("ANALYTICS_KIT_SOURCES", "/data:/studies")
    assert [str(path) for path in Settings.of().sources] == ["/data", "/studies"]


@pytest.mark.parametrize(("text", "limit_gb"), [(None, 50), ("0.5", 0.5), ("inf", float("inf")), ("", 50)])
def test_the_limit_of_the_store(monkeypatch, text, limit_gb):
    if text is not None:
        monkeypatch.setenv("ANALYTICS_KIT_STORE_LIMIT_GB", text)
    assert Settings.of().store_limit_gb == limit_gb


@pytest.mark.parametrize("text", ["0", "-1", "nan", "much"])
def test_an_impossible_limit_names_the_variable(monkeypatch, text):
    monkeypatch.setenv("ANALYTICS_KIT_STORE_LIMIT_GB", text)
    with pytest.raises(SettingsError, match="ANALYTICS_KIT_STORE_LIMIT_GB"):
        Settings.of()


@pytest.mark.parametrize("limit_gb", [None, float("inf"), 0.5])
def test_a_child_process_gets_the_settings_of_its_parent(monkeypatch, tmp_path, limit_gb):
    given = Settings.of(
        home=tmp_path, store="memory://s", store_limit_gb=limit_gb, sources=(Path("/data"), Path("/studies"))
    )
    for name, value in settings_environment(given).items():
        monkeypatch.setenv(name, value)
    child = Settings.of()
    assert (child.home, child.store_url(), child.sources) == (given.home, given.store_url(), given.sources)
    assert child.store_limit_gb == (float("inf") if limit_gb is None else limit_gb)


def test_jupyterhub_names_the_namespace(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ann/b c")
    assert Settings.of().namespace == "ann_b_c"


@pytest.mark.parametrize("name", ["lab", "lab-2.test_x", "AK"])
def test_queue_is_a_plain_name(name):
    assert Settings.of(queue=name).queue == name
    assert Settings.of().queue == "ak"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "*", "ä", "x" * 65, "rq", "analytics"])
def test_queue_of_another_name_is_refused(name):
    with pytest.raises(SettingsError, match="ANALYTICS_KIT_QUEUE"):
        Settings.of(queue=name)


def test_short_secret_is_refused_and_not_shown():
    with pytest.raises(SettingsError, match="ANALYTICS_KIT_SECRET") as caught:
        Settings.of(secret="hunter2")
    assert "hunter2" not in str(caught.value)


def test_queue_secret_and_stores_reach_child_processes(monkeypatch):
    settings = Settings.of(queue="lab", secret="0123456789abcdef", stores=("/a b", "s3://x"))
    assert "0123456789abcdef" not in repr(settings)
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    child = Settings.of()
    assert (child.queue, child.stores) == ("lab", ("/a b", "s3://x"))
    assert child.secret.get_secret_value() == "0123456789abcdef"


def test_stores_are_separated_by_spaces(monkeypatch):
    monkeypatch.setenv("ANALYTICS_KIT_STORES", "/a s3://x")
    assert Settings.of().stores == ("/a", "s3://x")
