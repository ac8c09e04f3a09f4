"""Where the embedded broker lives, and who may hold it."""

import os
import stat

import pytest

from analytics_kit.backends.embedded import paths as place
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings


@pytest.fixture
def where(tmp_path):
    found = place.place_of(Settings.of(home=tmp_path / "home"))
    yield found
    if found.runtime.is_dir():
        found.runtime.rmdir()


def test_one_place_per_home_and_store(tmp_path):
    def key(**settings):
        return place.place_of(Settings.of(**settings)).folder.name

    assert key(home=tmp_path) == key(home=tmp_path)
    assert key(home=tmp_path) != key(home=tmp_path / "other")
    assert key(home=tmp_path) != key(home=tmp_path, store="memory://x")


def test_the_socket_path_is_short_enough_for_the_system(tmp_path, monkeypatch):
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        deep = tmp_path / ("deep" * 30)
        deep.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(deep))
    found = place.place_of(Settings.of(home=tmp_path))
    assert len(os.fsencode(found.socket)) <= place.SOCKET_PATH_BYTES


def test_folders_are_for_their_owner_only(where):
    place.prepare(where)
    for folder in (where.folder, where.runtime):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_can_use_is_refused(where):
    where.runtime.mkdir(mode=0o700)
    where.runtime.chmod(0o755)
    with pytest.raises(BrokerUnavailableError, match="only you can use") as caught:
        place.prepare(where)
    assert "mode 700" in caught.value.hint


def test_a_link_in_place_of_the_folder_is_refused(where, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    where.runtime.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(BrokerUnavailableError, match="only you can use"):
            place.prepare(where)
    finally:
        where.runtime.unlink()


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerUnavailableError, match="can't be made") as caught:
        place.prepare(place.place_of(Settings.of(home=tmp_path / "file" / "home")))
    assert "ANALYTICS_KIT_HOME" in caught.value.hint


def test_a_lock_has_one_holder(tmp_path):
    lock = tmp_path / "lock"
    assert not place.taken(lock)
    held = place.take(lock, 0)
    assert held is not None
    assert place.taken(lock)
    assert place.take(lock, 0) is None
    with place.held(lock, 0) as ours:
        assert not ours
    os.close(held)
    assert not place.taken(lock)
    with place.held(lock, 0) as ours:
        assert ours
        assert place.taken(lock)
    assert not place.taken(lock)
