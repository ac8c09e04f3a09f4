"""Name the folders, socket and lock files of the embedded broker, and lock them.

The data folder, below the home folder, keeps the append-only file, the log, the address of the socket and three
lock files: `start.lock` is held while the broker is started or stopped, `owner.lock` by the supervisor and
`server.lock` by the server, each for as long as the process lives.

The folder of the socket is one that others empty: at logout, or when its files are old. `BrokerPresence` notices.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analytics_kit.backends.redis.keys import DEFAULT_QUEUE
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import SCHEMA_VERSION
from analytics_kit.settings import Settings

if sys.platform != "win32":
    import fcntl

SOCKET_PATH_BYTES = 100
"""Longest path of a socket; macOS allows 103 bytes, Linux 107."""
LOCK_POLL_S = 0.01
TOUCH_INTERVAL_S = 3600.0


@dataclass(frozen=True, slots=True)
class BrokerPaths:
    """Folders and files of one broker.

    Their names on disk are shared with other versions of the package: each must be able to find and stop a broker
    that another has started.

    Parameters
    ----------
    data_folder
        Folder of everything that outlives the broker.
    socket_folder
        Folder of the socket, which is removed when the broker ends.
    """

    data_folder: Path
    socket_folder: Path

    @property
    def start_lock(self) -> Path:
        """Lock of the process that starts or stops the broker."""
        return self.data_folder / "start.lock"

    @property
    def owner_lock(self) -> Path:
        """Lock of the supervisor; the file contains its process id."""
        return self.data_folder / "owner.lock"

    @property
    def server_lock(self) -> Path:
        """Lock of the server, which may outlive its supervisor."""
        return self.data_folder / "server.lock"

    @property
    def replace_lock(self) -> Path:
        """Lock of the process that waits to start the broker anew."""
        return self.data_folder / "replace.lock"

    @property
    def version(self) -> Path:
        """File with process id, version and hash of code of the supervisor that wrote it."""
        return self.data_folder / "version"

    @property
    def address(self) -> Path:
        """File with the path of the socket in use; `socket` may differ in a client with another environment."""
        return self.data_folder / "address"

    @property
    def log(self) -> Path:
        """Output of the server, the supervisor and the workers."""
        return self.data_folder / "log"

    @property
    def socket(self) -> Path:
        """Socket of a server that this process would start."""
        return self.socket_folder / "s"


def broker_paths(settings: Settings) -> BrokerPaths:
    """Return the paths for these settings.

    There is one broker per user, host, environment, schema version, home, store and queue.
    """
    if sys.platform == "win32":
        raise BrokerUnavailableError("The embedded broker needs Linux or macOS.")
    home = settings.home
    parts = [os.getuid(), socket.gethostname(), sys.prefix, SCHEMA_VERSION, home, settings.store_url()]
    if settings.queue != DEFAULT_QUEUE:
        parts.append(settings.queue)
    key = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return paths_of(home / "broker" / key)


def paths_of(data_folder: Path) -> BrokerPaths:
    """Return the paths of the broker with this data folder; its socket's folder is where one can be made now."""
    return BrokerPaths(data_folder, _socket_folder(data_folder))


def all_broker_paths(settings: Settings) -> list[BrokerPaths]:
    """Return the paths of every broker that was ever started for this home, whatever its store."""
    folder = broker_paths(settings).data_folder.parent
    keys = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [paths_of(folder / key) for key in keys]


def create_folder(folder: Path) -> None:
    """Create a folder with access for its owner only.

    Raises BrokerUnavailableError when it can't be created or is open to other users.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise BrokerUnavailableError(
            f"The folder {folder} of the embedded broker can't be created: {error.strerror}.",
            hint="Set ANALYTICS_KIT_HOME to a writable folder.",
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BrokerUnavailableError(
            f"{folder} is not a folder that only you can use, so the embedded broker would not be safe in it.",
            hint=f"Remove {folder}, or make yourself its owner and set its mode to 700.",
        )


class BrokerPresence:
    """Notices when files of a running broker are removed or replaced, and keeps them from looking old.

    Parameters
    ----------
    paths
        Paths of a broker that runs.
    """

    def __init__(self, paths: BrokerPaths) -> None:
        self._data_folder = _identity(paths.data_folder), paths.data_folder
        self._files = [(_identity(path), path) for path in (paths.socket, paths.owner_lock, paths.server_lock)]
        self._touch = (paths.socket_folder, paths.socket)
        self._touched_at = time.monotonic()

    @property
    def has_data(self) -> bool:
        """Whether the data folder is there. Without it nothing can be kept."""
        identity, path = self._data_folder
        return _identity(path) == identity

    @property
    def is_complete(self) -> bool:
        """Whether the socket and the lock files are those that the broker has open."""
        return all(_identity(path) == identity for identity, path in self._files)

    def renew(self) -> None:
        """Touch the socket and its folder now and then: what cleans folders for temporary files removes old ones."""
        if time.monotonic() - self._touched_at > TOUCH_INTERVAL_S:
            self._touched_at = time.monotonic()
            for path in self._touch:
                with contextlib.suppress(OSError):
                    os.utime(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_locked(lock: Path) -> bool:
    """Return whether a living process holds the lock."""
    with contextlib.suppress(OSError), lock.open("rb") as file:
        return not _flock(file.fileno(), fcntl.LOCK_SH)
    return False


def acquire_lock(lock: Path, timeout_s: float) -> int | None:
    """Return a descriptor that holds the lock until every copy of it is closed; None after the timeout."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout_s
    while not _flock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(LOCK_POLL_S)
    return descriptor


@contextlib.contextmanager
def locked(lock: Path, timeout_s: float) -> Iterator[bool]:
    """Hold the lock during the `with` block; yields False when it was not acquired within the timeout."""
    descriptor = acquire_lock(lock, timeout_s)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _flock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BrokerUnavailableError(
            f"Files can't be locked in the folder of the embedded broker: {error.strerror}.",
            hint="Set ANALYTICS_KIT_HOME to a folder on a local disk.",
        ) from error
    return True


def _socket_folder(data_folder: Path) -> Path:
    """Return the first candidate, in the order of preference, that can be made and is short enough for a socket.

    The last one is the data folder itself, for machines without a folder for temporary files.
    """
    key = data_folder.name
    name = f"ak-{os.getuid()}-{key}"
    candidates = []
    xdg = os.environ.get("XDG_RUNTIME_DIR")
    with contextlib.suppress(OSError):
        if xdg and Path(xdg).stat().st_uid == os.getuid():
            candidates.append(Path(xdg) / f"ak-{key}")
    with contextlib.suppress(OSError):  # there is no usable folder
        candidates.append(Path(tempfile.gettempdir()) / name)
    # Others may write to these folders, so create_folder() checks who owns the one below them.
    candidates += [Path("/tmp") / name, Path("/var/tmp") / name, data_folder]  # noqa: S108
    short = [path for path in candidates if len(os.fsencode(path / "s")) <= SOCKET_PATH_BYTES]
    usable = (path for path in short if path == data_folder or os.access(path.parent, os.W_OK | os.X_OK))
    return next(usable, (short or candidates)[-1])
