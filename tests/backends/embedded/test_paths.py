"""Folders, socket and locks of the embedded broker."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from analytics_kit.backends.embedded.paths import (
    SOCKET_PATH_BYTES,
    BrokerPresence,
    acquire_lock,
    broker_paths,
    create_folder,
    is_locked,
    locked,
    paths_of,
)
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings


@pytest.fixture
def paths(tmp_path):
    paths = broker_paths(Settings.of(home=tmp_path / "home"))
    yield paths
    if paths.socket_folder.is_dir():
        paths.socket_folder.rmdir()


def test_broker_paths_differ_by_home_and_store(tmp_path):
    def key(**settings):
        return broker_paths(Settings.of(**settings)).data_folder.name

    assert key(home=tmp_path) == key(home=tmp_path)
    assert key(home=tmp_path) != key(home=tmp_path / "other")
    assert key(home=tmp_path) != key(home=tmp_path, store="memory://x")


def test_names_on_disk_are_those_that_other_versions_look_for(paths):
    names = {"start.lock", "owner.lock", "server.lock", "address", "log"}
    files = (paths.start_lock, paths.owner_lock, paths.server_lock, paths.address, paths.log)
    assert {path.name for path in files} == names
    assert {path.parent for path in files} == {paths.data_folder}
    assert paths.data_folder.parent.name == "broker"
    assert paths.socket == paths.socket_folder / "s"
    assert paths.socket_folder.name.startswith("ak-")
    assert paths.socket_folder.name.endswith(paths.data_folder.name)


def test_socket_path_with_deep_folders_is_short_enough(tmp_path, monkeypatch):
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        deep = tmp_path / ("deep" * 30)
        deep.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(deep))
    paths = broker_paths(Settings.of(home=tmp_path))
    assert len(os.fsencode(paths.socket)) <= SOCKET_PATH_BYTES


def test_create_folder_gives_access_to_the_owner_only(paths):
    create_folder(paths.data_folder)
    create_folder(paths.socket_folder)
    for folder in (paths.data_folder, paths.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_create_folder_refuses_a_folder_that_others_can_use(paths):
    paths.socket_folder.mkdir(mode=0o700)
    paths.socket_folder.chmod(0o755)
    with pytest.raises(BrokerUnavailableError, match="only you can use") as caught:
        create_folder(paths.socket_folder)
    assert "mode to 700" in caught.value.hint


def test_create_folder_refuses_a_link_instead_of_a_folder(paths, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    paths.socket_folder.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(BrokerUnavailableError, match="only you can use"):
            create_folder(paths.socket_folder)
    finally:
        paths.socket_folder.unlink()


def test_create_folder_in_a_home_that_is_a_file_raises(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerUnavailableError, match="can't be created") as caught:
        create_folder(broker_paths(Settings.of(home=tmp_path / "file" / "home")).data_folder)
    assert "ANALYTICS_KIT_HOME" in caught.value.hint


def test_lock_has_one_holder(tmp_path):
    lock = tmp_path / "lock"
    assert not is_locked(lock)
    descriptor = acquire_lock(lock, 0)
    assert descriptor is not None
    assert is_locked(lock)
    assert acquire_lock(lock, 0) is None
    with locked(lock, 0) as is_acquired:
        assert not is_acquired
    os.close(descriptor)
    assert not is_locked(lock)
    with locked(lock, 0) as is_acquired:
        assert is_acquired
        assert is_locked(lock)
    assert not is_locked(lock)


def test_queue_has_a_broker_of_its_own_and_the_default_one_that_of_before(tmp_path):
    def key(**settings):
        return broker_paths(Settings.of(home=tmp_path, **settings)).data_folder.name

    assert key() == key(queue="ak") != key(queue="lab")


@pytest.fixture
def present(paths):
    """The presence of a broker whose files are there."""
    create_folder(paths.data_folder)
    create_folder(paths.socket_folder)
    for path in (paths.socket, paths.owner_lock, paths.server_lock):
        path.touch()
    yield BrokerPresence(paths)
    paths.socket.unlink(missing_ok=True)


def test_presence_is_complete_until_a_file_is_removed_or_replaced(paths, present):
    assert present.is_complete
    assert present.has_data
    paths.owner_lock.rename(paths.data_folder / "other")
    assert not present.is_complete
    paths.owner_lock.touch()
    assert not present.is_complete
    (paths.data_folder / "other").replace(paths.owner_lock)
    assert present.is_complete
    paths.socket.unlink()
    assert not present.is_complete
    assert present.has_data
    shutil.rmtree(paths.data_folder)
    assert not present.has_data


def test_presence_touches_the_socket_before_it_looks_old(paths, present, monkeypatch):
    os.utime(paths.socket, (1, 1))
    present.renew()
    assert paths.socket.stat().st_mtime == 1
    monkeypatch.setattr("analytics_kit.backends.embedded.paths.TOUCH_INTERVAL_S", -1.0)
    present.renew()
    assert paths.socket.stat().st_mtime > 1


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_socket_folder_is_below_a_folder_that_exists(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = broker_paths(Settings.of(home=tmp_path)).socket_folder
    assert folder.parent.is_dir()
    assert os.access(folder.parent, os.W_OK)


def test_socket_is_in_the_data_folder_where_no_folder_is_for_temporary_files(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)

    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    paths = paths_of(Path("/home/ann/.local/share/analytics_kit/broker/0123456789ab"))
    assert paths.socket_folder == paths.data_folder
