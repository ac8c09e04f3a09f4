"""Own the server and the workers of an embedded broker, and end them when they have been idle.

Started by `backend.py` as `python -m analytics_kit.backends.embedded.supervisor`, detached from the notebook. However
the supervisor ends, its processes end too: the server through its guard, the workers through pipes that are closed.

When the folder of the socket is removed, no new client can connect. The supervisor then starts server and workers
again, with a socket where one can be made; running steps are returned to the queue.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import redis

from analytics_kit.backends.embedded.backend import (
    BROKER_START_TIMEOUT_S,
    end_server,
    is_in_use,
    running_socket,
    start_supervisor,
)
from analytics_kit.backends.embedded.installation import InstallationWatch, record_version
from analytics_kit.backends.embedded.paths import (
    BrokerPaths,
    BrokerPresence,
    acquire_lock,
    create_folder,
    locked,
    paths_of,
)
from analytics_kit.backends.redis.connection import connect, queue_keys, socket_url
from analytics_kit.backends.redis.pool_state import count_running, publish_pool_state
from analytics_kit.backends.redis.recovery import rebuild_queue, return_all_to_queue, run_recovery
from analytics_kit.backends.worker.pool import STOP_GRACE_S, Pool
from analytics_kit.settings import Settings

SUPERVISION_INTERVAL_S = 0.25
LOCK_TIMEOUT_S = 20.0
SERVER_START_TIMEOUT_S = 60.0
WATCH_INTERVAL_S = 2.0
"""The files of the installation are looked at this often, which takes about 2 ms."""
PRIVATE_IDLE_S = 5.0
"""A broker whose home is not the one that the user's processes share ends this long after its last client and job."""
LOST_GRACE_S = 1.0
"""Running steps get this long to finish when no client can connect any more."""
GUARD = Path(__file__).with_name("server_guard.py")


class PoolEnd(Enum):
    """Why the workers were ended, and so what is to be done next."""

    FINISHED = "finished"
    """They were idle, or a signal arrived, or nothing can be kept any more."""
    NEEDED = "needed"
    """They were idle, but a job came meanwhile."""
    LOST = "lost"
    """The socket or a lock file was removed."""
    OUTDATED = "outdated"
    """Another version was installed, and no job runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the broker until it is idle or a signal arrives, and return the exit code."""
    arguments = _parse(argv)
    if os.fork():
        os._exit(0)  # the client waits for this process, and never has to reap the one that goes on
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watch = InstallationWatch()
    paths = BrokerPaths(arguments.data_folder, arguments.socket_folder)
    owner_lock = _own(paths)
    if owner_lock is None and running_socket(paths):
        _report_ready(arguments)
        return 0
    while owner_lock is not None:
        os.ftruncate(owner_lock, 0)
        os.write(owner_lock, str(os.getpid()).encode())
        record_version(paths)
        end = _serve(paths, arguments, stop_requested, watch)
        if end is PoolEnd.OUTDATED:
            os.close(owner_lock)
            _start_successor(paths, arguments)
        if end is not PoolEnd.LOST:
            return 0
        print("The socket or a lock of the broker was removed; it is made again.", file=sys.stderr, flush=True)
        os.close(owner_lock)
        owner_lock = acquire_lock(paths.owner_lock, 0)  # another process may have started a broker meanwhile
        paths = paths_of(arguments.data_folder)
        create_folder(paths.socket_folder)
    print("Another supervisor owns this broker and does not end.", file=sys.stderr)
    return 1


def _own(paths: BrokerPaths) -> int | None:
    """Return the owner's lock; None when another supervisor has it and serves, or does not end."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while (lock := acquire_lock(paths.owner_lock, SUPERVISION_INTERVAL_S)) is None:
        if running_socket(paths) or time.monotonic() > deadline:
            return None
    return lock


def _start_successor(paths: BrokerPaths, arguments: argparse.Namespace) -> None:
    """Start a supervisor of the version that is installed now, for the jobs that wait."""
    with locked(paths.start_lock, BROKER_START_TIMEOUT_S) as is_acquired:
        if is_acquired and running_socket(paths) is None:  # else a client was quicker
            create_folder(paths.socket_folder)
            start_supervisor(
                paths, arguments.code, arguments.workers, arguments.idle, arguments.is_private, os.environ
            )


def _serve(
    paths: BrokerPaths, arguments: argparse.Namespace, stop_requested: threading.Event, watch: InstallationWatch
) -> PoolEnd:
    """Run the server and its workers until they are idle or have to stop; the caller holds the owner's lock."""
    end_server(paths)
    server_lock = acquire_lock(paths.server_lock, LOCK_TIMEOUT_S)
    assert server_lock is not None  # noqa: S101  end_server() has waited for it
    guard, pipe = start_server(arguments.binary, paths, server_lock)
    os.close(server_lock)
    try:
        connection = _connect_when_ready(paths, guard)
        presence = BrokerPresence(paths)
        rebuild_queue(connection)
        publish_pool_state(connection, phase="starting")
        _write_address(paths)
        _report_ready(arguments)
        while (end := _run_pool(connection, paths, presence, arguments, stop_requested, watch)) is PoolEnd.NEEDED:
            _write_address(paths)
        return end
    finally:
        os.close(pipe)
        guard.wait()
        paths.socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError), locked(paths.start_lock, 0) as is_acquired:
            if is_acquired:  # else another process is about to start a server in the folder, or to remove it
                paths.socket_folder.rmdir()


def _write_address(paths: BrokerPaths) -> None:
    paths.address.write_bytes(os.fsencode(paths.socket))


def _report_ready(arguments: argparse.Namespace) -> None:
    """Tell the client that waits for the start; only once."""
    if arguments.ready is not None:
        with contextlib.suppress(OSError):  # it does not wait any more
            os.write(arguments.ready, b"1")
        os.close(arguments.ready)
        arguments.ready = None


def start_server(binary: str, paths: BrokerPaths, lock: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server under its guard.

    Parameters
    ----------
    lock
        Descriptor of `paths.server_lock`, which the server inherits.

    Returns
    -------
    process, pipe
        The guard, and the descriptor whose closing ends the server.
    """
    config = (
        f"port 0\nunixsocket {_quoted(paths.socket)}\nunixsocketperm 700\ndir {_quoted(paths.data_folder)}\n"
        'appendonly yes\nsave ""\nmaxmemory-policy noeviction\nloglevel warning\n'
    )
    read_end, write_end = os.pipe()
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), binary, str(read_end), str(lock)],
        pass_fds=[read_end, lock],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(read_end)
    assert guard.stdin is not None  # noqa: S101  it is a pipe
    guard.stdin.write(os.fsencode(config))
    guard.stdin.close()
    return guard, write_end


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.embedded.supervisor")
    for name in ("--binary", "--code"):
        parser.add_argument(name, required=True)
    for name in ("--data-folder", "--socket-folder"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--ready", "--workers"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--private", dest="is_private", action="store_true")
    return parser.parse_args(argv)


def _connect_when_ready(paths: BrokerPaths, guard: subprocess.Popen[bytes]) -> redis.Redis:
    connection = connect(socket_url(paths.socket), queue=Settings.of().queue)
    deadline = time.monotonic() + SERVER_START_TIMEOUT_S
    while True:
        try:
            connection.ping()
            return connection
        except redis.ConnectionError:
            if guard.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _run_pool(
    connection: redis.Redis,
    paths: BrokerPaths,
    presence: BrokerPresence,
    arguments: argparse.Namespace,
    stop_requested: threading.Event,
    watch: InstallationWatch,
) -> PoolEnd:
    """Run workers until they are idle or have to stop, and return why."""
    pool = Pool(
        connection, arguments.code, arguments.workers, "embedded", os.environ, paths.socket, paths.data_folder,
        paths.log,
    )  # fmt: skip
    end, reason = PoolEnd.FINISHED, "the embedded broker was stopped"
    try:
        with contextlib.suppress(redis.ConnectionError):
            end = run_until_idle(
                connection, paths, presence, pool, stop_requested, arguments.idle, arguments.is_private, watch
            )
    finally:
        with contextlib.suppress(OSError):
            paths.address.unlink()  # without it no client connects while the workers end
        pool.stop(LOST_GRACE_S if end is PoolEnd.LOST else STOP_GRACE_S)
    if end is PoolEnd.LOST:
        reason = "the socket of the embedded broker was removed"
    with contextlib.suppress(redis.RedisError):
        return_all_to_queue(connection, reason)
        # A client that was connected already may have submitted a job.
        if end is PoolEnd.FINISHED and presence.has_data and not stop_requested.is_set():
            return PoolEnd.NEEDED if connection.scard(queue_keys(connection).active) else end
        if end is PoolEnd.OUTDATED and not connection.scard(queue_keys(connection).active):
            return PoolEnd.FINISHED  # the next client starts the installed version
    return end


def run_until_idle(
    connection: redis.Redis,
    paths: BrokerPaths,
    presence: BrokerPresence,
    pool: Pool,
    stop_requested: threading.Event,
    idle_s: float,
    is_private: bool,
    watch: InstallationWatch,
) -> PoolEnd:
    """Maintain the pool until `stop_requested` is set, or no job was submitted or running for `idle_s` seconds.

    A private broker ends already a few seconds after its last client. Also ends when files that the broker needs are
    removed, and once no job runs after another version was installed.
    """
    keys = queue_keys(connection)
    submitted, busy_at = None, time.monotonic()
    used_at = looked_at = busy_at
    is_outdated = False
    while not stop_requested.wait(SUPERVISION_INTERVAL_S):
        if not presence.has_data:
            break
        if not presence.is_complete:
            return PoolEnd.LOST
        presence.renew()
        # Out of memory or read-only, or a key holds something else: this may pass, or recovery mends it.
        with contextlib.suppress(redis.ResponseError):
            pool.maintain()
            run_recovery(connection, pool.code)
            if not is_outdated and time.monotonic() - looked_at > WATCH_INTERVAL_S:
                looked_at, is_outdated = time.monotonic(), watch.has_changed()
            if is_outdated and not count_running(connection):
                return PoolEnd.OUTDATED
            count = connection.get(keys.submissions)
            if connection.scard(keys.active) or connection.scard(keys.cleanup) or count != submitted:
                submitted, busy_at = count, time.monotonic()
            if not is_private or is_in_use(connection):
                used_at = time.monotonic()
            if time.monotonic() - busy_at > idle_s or time.monotonic() - used_at > PRIVATE_IDLE_S:
                with locked(paths.start_lock, 0) as is_acquired:
                    if (
                        is_acquired
                        and not connection.scard(keys.active)
                        and connection.get(keys.submissions) == submitted
                    ):
                        with contextlib.suppress(OSError):
                            paths.address.unlink()
                        break
    return PoolEnd.FINISHED


if __name__ == "__main__":
    sys.exit(main())
