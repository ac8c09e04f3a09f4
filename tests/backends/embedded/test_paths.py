"""Folders, socket and locks of the embedded broker."""

import os
import stat

import pytest

from analytics_kit.backends.embedded.paths import (
    SOCKET_PATH_BYTES,
    acquire_lock,
    broker_paths,
    create_folders,
    is_locked,
    locked,
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


def test_create_folders_gives_access_to_the_owner_only(paths):
    create_folders(paths)
    for folder in (paths.data_folder, paths.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_create_folders_refuses_a_folder_that_others_can_use(paths):
    paths.socket_folder.mkdir(mode=0o700)
    paths.socket_folder.chmod(0o755)
    with pytest.raises(BrokerUnavailableError, match="only you can use") as caught:
        create_folders(paths)
    assert "mode to 700" in caught.value.hint


def test_create_folders_refuses_a_link_instead_of_a_folder(paths, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    paths.socket_folder.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(BrokerUnavailableError, match="only you can use"):
            create_folders(paths)
    finally:
        paths.socket_folder.unlink()


def test_create_folders_in_a_home_that_is_a_file_raises(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerUnavailableError, match="can't be created") as caught:
        create_folders(broker_paths(Settings.of(home=tmp_path / "file" / "home")))
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
