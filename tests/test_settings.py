"""Settings: argument > environment > .env > default, understood, and never shown where secret."""

import os
from pathlib import Path

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings, settings_environment, user_path, without_secrets


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


@pytest.fixture
def no_user(monkeypatch, tmp_path):
    """A user without HOME and without an entry in passwd; returns the folder for temporary files."""
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_user_that_the_system_does_not_know_has_a_namespace_and_a_home_with_a_warning(no_user):
    with pytest.warns(RuntimeWarning, match=r"which may be emptied.*Set ANALYTICS_KIT_HOME"):
        settings = Settings.of()
    assert settings.namespace == f"uid-{os.getuid()}"
    assert settings.home == no_user / f"analytics_kit-{os.getuid()}"
    assert settings.home.stat().st_mode & 0o777 == 0o700
    assert Settings.of(home=no_user / "a").home == no_user / "a"


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_temporary_home_that_others_can_use_is_refused(no_user, mode):
    (no_user / f"analytics_kit-{os.getuid()}").mkdir()
    (no_user / f"analytics_kit-{os.getuid()}").chmod(mode)
    with pytest.raises(SettingsError, match="open to other users") as caught:
        Settings.of()
    assert "ANALYTICS_KIT_HOME" in caught.value.hint


def test_temporary_home_that_is_a_link_is_refused(no_user, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (no_user / f"analytics_kit-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="open to other users"):
        Settings.of()


def test_without_a_folder_for_temporary_files_the_missing_home_is_named(no_user):
    no_user.rmdir()
    with pytest.raises(SettingsError, match=r"No folder can be used for results.*HOME is not set"):
        Settings.of()


@pytest.mark.parametrize(("name", "text"), [("home", "~/kit"), ("store", "~/kit"), ("store", "file://~/kit")])
def test_tilde_is_the_folder_of_the_user(monkeypatch, tmp_path, name, text):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(getattr(Settings.of(**{name: text}), name)).endswith(f"{tmp_path}/kit")


@pytest.mark.parametrize(("name", "text"), [("home", "~/kit"), ("store", "~"), ("sources", "/data:~/kit")])
def test_tilde_without_a_folder_is_refused_by_name(no_user, name, text):
    with pytest.raises(SettingsError, match=r"~.* can't be found: ~ stands for no folder"):
        Settings.of(**({"home": no_user} | {name: text}))


def test_name_that_only_begins_with_a_tilde_is_a_name(tmp_path):
    assert user_path("~$study.zip") == Path("~$study.zip")
    assert Settings.of(store="~$store").store == str(tmp_path / "~$store")


def test_relative_paths_of_the_environment_are_resolved_once(monkeypatch, tmp_path):
    for name in ("HOME", "STORE", "SOURCES"):
        monkeypatch.setenv(f"ANALYTICS_KIT_{name}", f"relative-{name.lower()}")
    first = Settings.of()
    assert first.home == tmp_path / "relative-home"
    assert first.store == str(tmp_path / "relative-store")
    assert first.sources == (tmp_path / "relative-sources",)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert Settings.of() == first
    assert Settings.of(store="mine").store == str(tmp_path / "below" / "mine"), "an argument is of here and now"
    assert {first.store, str(first.home)} <= set(settings_environment(first).values())


def test_absolute_paths_need_no_present_folder(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert Settings.of(home=tmp_path, store=str(tmp_path)).home == tmp_path
