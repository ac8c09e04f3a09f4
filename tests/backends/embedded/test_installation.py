"""Which installation a broker was started from, and when it has changed."""

import os

import pytest

from analytics_kit.backends.embedded import installation
from analytics_kit.backends.embedded.installation import (
    InstallationWatch,
    is_outdated,
    record_version,
    running_version,
)
from analytics_kit.backends.embedded.paths import BrokerPaths, acquire_lock
from analytics_kit.code_version import UNKNOWN_CODE, code_version


@pytest.fixture
def paths(tmp_path):
    return BrokerPaths(tmp_path, tmp_path)


@pytest.fixture
def owned(paths):
    """The paths of a broker whose supervisor this process is."""
    descriptor = acquire_lock(paths.owner_lock, 1)
    paths.owner_lock.write_text(str(os.getpid()))
    yield paths
    os.close(descriptor)


class TestRunningVersion:
    def test_without_a_supervisor_there_is_none(self, paths):
        record_version(paths)
        assert running_version(paths) is None
        assert not is_outdated(paths)

    def test_it_is_what_the_supervisor_recorded(self, owned):
        record_version(owned)
        assert running_version(owned) == code_version()
        assert not is_outdated(owned)

    @pytest.mark.parametrize("content", [None, "", "1\n0.1\nabc", "garbage"])
    def test_a_supervisor_that_recorded_nothing_is_of_an_older_version(self, owned, content):
        """Also one of an older version that runs after a newer one has left its file."""
        if content is not None:
            owned.version.write_text(content)
        assert running_version(owned) == UNKNOWN_CODE
        assert is_outdated(owned)

    def test_nothing_is_outdated_in_the_middle_of_an_upgrade(self, owned, monkeypatch):
        def fail():
            raise FileNotFoundError

        monkeypatch.setattr(installation, "read_code_version", fail)
        assert not is_outdated(owned)


class TestWatch:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A folder that stands for the package, and one that stands for where libraries are installed."""
        for name in ("package", "libraries"):
            (tmp_path / name).mkdir()
        (tmp_path / "package" / "a.py").write_text("1")
        monkeypatch.setattr(installation, "PACKAGE", tmp_path / "package")
        monkeypatch.setattr(installation.sys, "path", [str(tmp_path / "libraries")])
        return tmp_path / "package"

    def test_a_change_counts_once_it_is_over(self, package):
        watch = InstallationWatch()
        assert not watch.has_changed()
        (package / "a.py").write_text("22")
        assert not watch.has_changed()
        (package / "b.py").write_text("3")
        assert not watch.has_changed(), "it is still going on"
        assert watch.has_changed()

    def test_files_that_python_writes_are_no_change(self, package):
        watch = InstallationWatch()
        (package / "__pycache__").mkdir()
        (package / "__pycache__" / "a.py").write_text("")
        assert [watch.has_changed() for _ in range(2)] == [False, False]

    def test_a_package_that_is_being_replaced_is_waited_for(self, package, monkeypatch):
        watch = InstallationWatch()
        (package / "a.py").unlink()

        def fail():
            raise FileNotFoundError

        with monkeypatch.context() as patch:
            patch.setattr(installation, "read_code_version", fail)
            assert [watch.has_changed() for _ in range(3)] == [False, False, False]

    def test_another_library_counts_if_numbers_depend_on_it(self, package, monkeypatch):
        watch, libraries = InstallationWatch(), package.parent / "libraries"
        (libraries / "unrelated-1.dist-info").mkdir()
        assert [watch.has_changed() for _ in range(3)] == [False, False, False]
        (libraries / "numpy-9.dist-info").mkdir()
        monkeypatch.setattr(installation, "read_code_version", lambda: code_version()._replace(code="other"))
        assert [watch.has_changed() for _ in range(2)] == [False, True]
