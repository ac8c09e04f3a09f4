"""Own the server and the workers of an embedded broker, and end them when they have been idle.

Started by `backend.py` as `python -m analytics_kit.backends.embedded.supervisor`, detached from the notebook. However
the supervisor ends, its processes end too: the server through its guard, the workers through pipes that are closed.
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
from pathlib import Path

import redis

from analytics_kit.backends.embedded.backend import end_server
from analytics_kit.backends.embedded.paths import BrokerPaths, acquire_lock, locked
from analytics_kit.backends.redis.connection import connect, queue_keys, socket_url
from analytics_kit.backends.redis.pool_state import publish_pool_state
from analytics_kit.backends.redis.recovery import rebuild_queue, return_all_to_queue, run_recovery
from analytics_kit.backends.worker.pool import Pool
from analytics_kit.settings import Settings

SUPERVISION_INTERVAL_S = 0.25
LOCK_TIMEOUT_S = 20.0
SERVER_START_TIMEOUT_S = 60.0
GUARD = Path(__file__).with_name("server_guard.py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the broker until it is idle or a signal arrives, and return the exit code."""
    arguments = _parse(argv)
    if os.fork():
        os._exit(0)  # the client waits for this process, and never has to reap the one that goes on
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    paths = BrokerPaths(arguments.data_folder, arguments.socket_folder)
    owner_lock = acquire_lock(paths.owner_lock, LOCK_TIMEOUT_S)
    if owner_lock is None:
        print("Another supervisor owns this broker and does not end.", file=sys.stderr)
        return 1
    os.ftruncate(owner_lock, 0)
    os.write(owner_lock, str(os.getpid()).encode())
    end_server(paths)
    server_lock = acquire_lock(paths.server_lock, LOCK_TIMEOUT_S)
    assert server_lock is not None  # noqa: S101  end_server() has waited for it
    guard, pipe = start_server(arguments.binary, paths, server_lock)
    os.close(server_lock)
    try:
        connection = _connect_when_ready(paths, guard)
        rebuild_queue(connection)
        publish_pool_state(connection, phase="starting")
        paths.address.write_text(str(paths.socket))
        os.write(arguments.ready, b"1")
        os.close(arguments.ready)
        while _run_pool(connection, paths, arguments, stop_requested):
            paths.address.write_text(str(paths.socket))
    finally:
        os.close(pipe)
        guard.wait()
        paths.socket.unlink(missing_ok=True)
        with locked(paths.start_lock, 0) as is_acquired, contextlib.suppress(OSError):
            if is_acquired:  # else another process is about to start a server in the folder, or to remove it
                paths.socket_folder.rmdir()
    return 0


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
    connection: redis.Redis, paths: BrokerPaths, arguments: argparse.Namespace, stop_requested: threading.Event
) -> bool:
    """Run workers until they are idle or have to stop; return whether jobs that came meanwhile need new ones."""
    pool = Pool(
        connection, arguments.code, arguments.workers, "embedded", os.environ, paths.socket, paths.data_folder,
        paths.log,
    )  # fmt: skip
    try:
        with contextlib.suppress(redis.ConnectionError):
            run_until_idle(connection, paths, pool, stop_requested, arguments.idle)
    finally:
        paths.address.unlink(missing_ok=True)  # without it no client connects while the workers end
        pool.stop()
    with contextlib.suppress(redis.RedisError):
        return_all_to_queue(connection, "the embedded broker was stopped")
        # A client that was connected already may have submitted a job.
        return not stop_requested.is_set() and bool(connection.scard(queue_keys(connection).active))
    return False


def run_until_idle(
    connection: redis.Redis, paths: BrokerPaths, pool: Pool, stop_requested: threading.Event, idle_s: float
) -> None:
    """Maintain the pool until `stop_requested` is set, or no job was submitted or running for `idle_s` seconds."""
    keys = queue_keys(connection)
    submitted, busy_at = None, time.monotonic()
    while not stop_requested.wait(SUPERVISION_INTERVAL_S):
        # Out of memory or read-only, or a key holds something else: this may pass, or recovery mends it.
        with contextlib.suppress(redis.ResponseError):
            pool.maintain()
            run_recovery(connection, pool.code)
            count = connection.get(keys.submissions)
            if connection.scard(keys.active) or connection.scard(keys.cleanup) or count != submitted:
                submitted, busy_at = count, time.monotonic()
            elif time.monotonic() - busy_at > idle_s:
                with locked(paths.start_lock, 0) as is_acquired:
                    if (
                        is_acquired
                        and not connection.scard(keys.active)
                        and connection.get(keys.submissions) == submitted
                    ):
                        paths.address.unlink(missing_ok=True)
                        return


if __name__ == "__main__":
    sys.exit(main())
