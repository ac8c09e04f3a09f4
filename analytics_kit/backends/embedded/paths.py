"""Where does this installation's own broker live, and who holds it?

A folder below home keeps the append-only file, the log, the address of the socket and three locks: `start` is held by
who starts or stops the broker, `owner` by the supervisor and `server` by the server, each as long as it lives.
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

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import SCHEMA_VERSION
from analytics_kit.settings import Settings

if sys.platform != "win32":
    import fcntl

SOCKET_PATH_BYTES = 100
"""macOS takes 103, Linux 107."""


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """Folders and files of one broker: `folder` stays, `runtime` has the socket."""

    folder: Path
    runtime: Path

    @property
    def start_lock(self) -> Path:
        """Held by who starts or stops the broker."""
        return self.folder / "start.lock"

    @property
    def owner_lock(self) -> Path:
        """Held by the supervisor; holds its process id."""
        return self.folder / "owner.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server, also when its supervisor is gone."""
        return self.folder / "server.lock"

    @property
    def address(self) -> Path:
        """Holds the path of the socket in use; a client with another environment would look elsewhere."""
        return self.folder / "address"

    @property
    def log(self) -> Path:
        """What server, supervisor and workers say."""
        return self.folder / "log"

    @property
    def socket(self) -> Path:
        """Where a new server would listen."""
        return self.runtime / "s"


def place_of(settings: Settings) -> RuntimePaths:
    """The place for these settings: one per user, host, environment, schema version, home and store."""
    if sys.platform == "win32":
        raise BrokerUnavailableError("The embedded broker needs Linux or macOS.")
    home = settings.home.expanduser().absolute()
    parts = [os.getuid(), socket.gethostname(), sys.prefix, SCHEMA_VERSION, home, settings.store_url()]
    key = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return RuntimePaths(home / "broker" / key, _runtime(key))


def places_of(settings: Settings) -> list[RuntimePaths]:
    """The places of all brokers that were ever started for this home, whatever the store."""
    folder = place_of(settings).folder.parent
    keys = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [RuntimePaths(folder / key, _runtime(key)) for key in keys]


def prepare(place: RuntimePaths) -> None:
    """Make both folders, for their owner only. Raises BrokerUnavailableError when they can't be had."""
    for folder in (place.folder, place.runtime):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError as error:
            raise BrokerUnavailableError(
                f"The folder {folder} of the embedded broker can't be made: {error.strerror}.",
                hint="Set ANALYTICS_KIT_HOME to a folder that can be written.",
            ) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise BrokerUnavailableError(
                f"{folder} is not a folder that only you can use; the embedded broker would not be safe in it.",
                hint=f"Remove {folder}, or give it back to its owner with mode 700.",
            )


def taken(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    with contextlib.suppress(OSError), lock.open("rb") as file:
        return not _flock(file.fileno(), fcntl.LOCK_SH)
    return False


def take(lock: Path, limit_s: float) -> int | None:
    """The descriptor of the lock, now ours until it is closed everywhere; None when others keep it that long."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    ends = time.monotonic() + limit_s
    while not _flock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= ends:
            os.close(descriptor)
            return None
        time.sleep(0.01)
    return descriptor


@contextlib.contextmanager
def held(lock: Path, limit_s: float) -> Iterator[bool]:
    """Hold the lock for the length of the `with` block; False when it could not be had."""
    descriptor = take(lock, limit_s)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BrokerUnavailableError(
            f"Files can't be locked where the embedded broker is kept: {error.strerror}.",
            hint="Set ANALYTICS_KIT_HOME to a folder on a local disk.",
        ) from error
    return True


def _runtime(key: str) -> Path:
    ours = f"ak-{os.getuid()}-{key}"
    xdg = os.environ.get("XDG_RUNTIME_DIR")
    candidates = [Path(tempfile.gettempdir()) / ours, Path("/tmp") / ours]  # noqa: S108 - prepare() checks the owner
    if xdg and Path(xdg).is_dir() and os.access(xdg, os.W_OK) and Path(xdg).stat().st_uid == os.getuid():
        candidates.insert(0, Path(xdg) / f"ak-{key}")
    return next((path for path in candidates if len(os.fsencode(path / "s")) <= SOCKET_PATH_BYTES), candidates[-1])
