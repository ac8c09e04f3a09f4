"""Record from which installation an embedded broker was started, and notice when the installation has changed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from analytics_kit.backends.embedded.paths import BrokerPaths, is_locked
from analytics_kit.code_version import PACKAGE, UNKNOWN_CODE, CodeVersion, code_version, read_code_version


class FileState(NamedTuple):
    """What tells a changed file or folder from the former one."""

    path: str
    modified_ns: int
    size: int


def record_version(paths: BrokerPaths) -> None:
    """Record the version of this process, which is the supervisor."""
    paths.version.write_text("\n".join((str(os.getpid()), *code_version())))


def running_version(paths: BrokerPaths) -> CodeVersion | None:
    """Return the version of the running supervisor; None where none runs.

    A supervisor from before versions were recorded is unknown; what another one recorded is not taken for its own.
    """
    if not is_locked(paths.owner_lock):
        return None
    with contextlib.suppress(OSError, ValueError):
        pid, version, code = paths.version.read_text().split("\n")
        if pid == paths.owner_lock.read_text():
            return CodeVersion(version, code)
    return UNKNOWN_CODE


def is_outdated(paths: BrokerPaths) -> bool:
    """Return whether the running broker was started from another version than the one that is installed now."""
    running = running_version(paths)
    with contextlib.suppress(OSError):  # in the middle of an upgrade
        return running is not None and running != read_code_version()
    return False


class InstallationWatch:
    """Notice that the package, or a library that makes numbers, is not the one with which this process began."""

    def __init__(self) -> None:
        self._package, self._libraries = tuple(_package_files()), _library_folders()
        self._version = read_code_version()
        self._last_seen = (self._package, self._libraries)

    def has_changed(self) -> bool:
        """Return whether the installation has changed, but not since the last call: an upgrade takes a while."""
        seen = tuple(_package_files()), _library_folders()
        if seen == (self._package, self._libraries):
            self._last_seen = seen
            return False
        if seen != self._last_seen:
            self._last_seen = seen
            return False
        try:
            version = read_code_version()
        except OSError:  # it is being replaced, or was uninstalled
            return False
        if seen[0] == self._package and version == self._version:  # some other package was installed
            self._libraries = seen[1]
            return False
        return True


def _package_files() -> Iterator[FileState]:
    for folder, folders, names in os.walk(PACKAGE):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from _states(Path(folder, name) for name in sorted(names))


def _library_folders() -> tuple[FileState, ...]:
    """Return the state of the folders in which distributions appear and disappear."""
    return tuple(_states(Path(path) for path in sys.path if path and Path(path).is_dir()))


def _states(paths: Iterator[Path]) -> Iterator[FileState]:
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            yield FileState(str(path), status.st_mtime_ns, status.st_size)
