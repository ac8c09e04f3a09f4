"""Who owns the embedded server and its workers, and ends them when nobody needs them?

Started by embedded.py as `python -m analytics_kit.backends.embedded.supervisor`, detached from the notebook. However it
ends, what it started ends too: the server through a watcher, the workers through pipes that close with it.
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
from analytics_kit.backends.embedded.paths import RuntimePaths, held, take
from analytics_kit.backends.redis import job_store as ledger
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.backend import connect, socket_url
from analytics_kit.backends.redis.recovery import rebuild_queue, reconcile, return_all_to_queue
from analytics_kit.backends.worker.pool import Pool

TICK_S = 0.25
OWNER_WAIT_S = 20.0
SERVER_WAIT_S = 60.0

# The server outlives a SIGKILL of its parent, this little process does not outlive the pipe.
WATCHER = """
import os, signal, subprocess, sys, threading
config = sys.stdin.buffer.read()
server = subprocess.Popen([sys.argv[1], "-"], stdin=subprocess.PIPE, pass_fds=[int(sys.argv[3])])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)  # not before the server is there: it would inherit this
server.stdin.write(config); server.stdin.close()
os.close(int(sys.argv[3]))
ended = threading.Event()
def follow_owner():
    os.read(int(sys.argv[2]), 1)
    server.terminate()
    if not ended.wait(10):
        server.kill()
threading.Thread(target=follow_owner, daemon=True).start()
code = server.wait()
ended.set()
sys.exit(code)
"""


def start_server(binary: str, place: RuntimePaths, lock: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server, which holds `lock`, under a watcher, which ends it when the returned descriptor is closed."""
    config = (
        f"port 0\nunixsocket {_quoted(place.socket)}\nunixsocketperm 700\ndir {_quoted(place.folder)}\n"
        'appendonly yes\nsave ""\nmaxmemory-policy noeviction\nloglevel warning\n'
    )
    read_end, write_end = os.pipe()
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WATCHER, binary, str(read_end), str(lock)],
        pass_fds=[read_end, lock],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(read_end)
    if watcher.stdin is not None:
        watcher.stdin.write(os.fsencode(config))
        watcher.stdin.close()
    return watcher, write_end


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(argv: Sequence[str] | None = None) -> int:
    """Own the broker of one place until it is idle or told to stop."""
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.embedded.supervisor")
    for name in ("--binary", "--code"):
        parser.add_argument(name, required=True)
    for name in ("--folder", "--runtime"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--ready", "--workers"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--idle", type=float, required=True)
    chosen = parser.parse_args(argv)
    if os.fork():
        # Our starter waits for this process only, and never has to bury the other.
        os._exit(0)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    place = RuntimePaths(chosen.folder, chosen.runtime)
    owner = take(place.owner_lock, OWNER_WAIT_S)
    if owner is None:
        print("Another supervisor owns this broker and does not end.", file=sys.stderr)
        return 1
    os.ftruncate(owner, 0)
    os.write(owner, str(os.getpid()).encode())
    end_server(place)
    server_lock = take(place.server_lock, OWNER_WAIT_S)
    assert server_lock is not None  # noqa: S101 - end_server() has waited for it
    watcher, pipe = start_server(chosen.binary, place, server_lock)
    os.close(server_lock)
    try:
        connection = _answering(place, watcher)
        rebuild_queue(connection)
        rq_queue.publish_pool_state(connection, phase="starting")
        place.address.write_text(str(place.socket))
        os.write(chosen.ready, b"1")
        os.close(chosen.ready)
        while True:
            pool = Pool(
                connection, chosen.code, chosen.workers, "embedded", os.environ, place.socket, place.folder, place.log
            )
            try:
                with contextlib.suppress(redis.ConnectionError):
                    keep(connection, place, pool, stopping, chosen.idle)
            finally:
                # Without an address nobody new comes while the workers end.
                place.address.unlink(missing_ok=True)
                pool.stop()
            with contextlib.suppress(redis.RedisError):
                return_all_to_queue(connection, "the embedded broker was stopped")
                if not stopping.is_set() and connection.scard(ledger.ACTIVE_KEY):  # who was here already submitted
                    place.address.write_text(str(place.socket))
                    continue
            break
    finally:
        os.close(pipe)
        watcher.wait()
        place.socket.unlink(missing_ok=True)
        with held(place.start_lock, 0) as ours, contextlib.suppress(OSError):
            if ours:  # else somebody is about to start a server in it, or to do this
                place.runtime.rmdir()
    return 0


def keep(connection: redis.Redis, place: RuntimePaths, pool: Pool, stopping: threading.Event, idle_s: float) -> None:
    """Keep the pool up until told to stop, or until nothing was submitted or running for `idle_s`."""
    submitted, busy_at = connection.get(ledger.SUBMISSIONS_KEY), time.monotonic()
    while not stopping.wait(TICK_S):
        with contextlib.suppress(redis.ResponseError):  # no room, or it takes no writes: that may pass
            pool.tick()
            reconcile(connection, pool.code)
        count = connection.get(ledger.SUBMISSIONS_KEY)
        if connection.scard(ledger.ACTIVE_KEY) or connection.scard(ledger.CLEANUP_KEY) or count != submitted:
            submitted, busy_at = count, time.monotonic()
        elif time.monotonic() - busy_at > idle_s:
            with held(place.start_lock, 0) as ours:
                if (
                    ours
                    and not connection.scard(ledger.ACTIVE_KEY)
                    and connection.get(ledger.SUBMISSIONS_KEY) == submitted
                ):
                    place.address.unlink(missing_ok=True)
                    return


def _answering(place: RuntimePaths, watcher: subprocess.Popen[bytes]) -> redis.Redis:
    connection = connect(socket_url(place.socket))
    ends = time.monotonic() + SERVER_WAIT_S
    while True:
        try:
            connection.ping()
            return connection
        except redis.ConnectionError:
            if watcher.poll() is not None or time.monotonic() > ends:
                raise
            time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
