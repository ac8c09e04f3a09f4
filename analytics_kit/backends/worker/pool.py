"""Keep a number of workers running: for `analytics-kit worker`, and for the embedded broker."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.connection import Connection, connect, translate_errors
from analytics_kit.backends.redis.pool_state import publish_pool_state
from analytics_kit.backends.redis.recovery import recover_worker
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings, settings_environment, without_secrets

STOP_GRACE_S = 5.0
"""Running steps get this long to finish when the pool is stopped."""
COMPILING_AFTER_S = 3.0
"""A first worker that takes longer than this to start is compiling kernels, not merely importing."""
EARLY_DEATH_S = 10.0
"""The successor of a worker that died younger than this is delayed."""
MAX_RESTART_DELAY_S = 30.0
MAINTENANCE_INTERVAL_S = 0.2
REPEATED_SIGNAL_S = 1.0
"""A second signal within this time is the first one, sent twice by a terminal or a service manager."""


@dataclass
class PooledWorker:
    """One of the workers of a pool and its successors: the present process, and when the next one may start."""

    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    """Descriptor whose closing ends the process."""
    started_at: float = 0.0
    restart_delay_s: float = 0.0
    start_at: float = 0.0


@dataclass
class Pool:
    """A number of worker processes. The first one starts alone, so that the others find what it has compiled.

    Parameters
    ----------
    connection
        Connection to the broker.
    code
        Dotted name of the module with the work; workers call its `warm` before they take steps.
    size
        Number of workers.
    name
        Prefix of the workers' names.
    environment, socket, cwd
        Environment, broker's socket and working directory of the workers; without a socket the environment names
        the Redis server.
    log
        File to refer users to when the workers do not start. Only a pool with a log publishes its state to clients.
    """

    connection: Connection
    code: str
    size: int
    name: str
    environment: Mapping[str, str]
    socket: Path | None = None
    cwd: Path | None = None
    log: Path | None = None
    workers: list[PooledWorker] = field(default_factory=list)
    is_stopping: bool = False
    has_failed: bool = False
    """Whether a worker ended with an error after `terminate`."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _opened_at: float = field(default_factory=time.monotonic)
    _is_ready: bool = False
    _is_compiling: bool = False

    def maintain(self) -> None:
        """Start missing workers and requeue the steps of dead ones."""
        now = time.monotonic()
        if not self._is_ready:
            self._check_first_worker(now)
        for _ in range(len(self.workers), self.size if self._is_ready else 1):
            self.workers.append(PooledWorker())
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is not None:
                self._recover(worker, now)
            if worker.process is None and now >= worker.start_at and not self.is_stopping:
                # The random part: in a container, process ids are the same after a restart.
                worker.name = f"{self.name}-{os.getpid()}-{next(self._numbers)}-{secrets.token_hex(2)}"
                worker.process, worker.pipe = start_worker(
                    self.code, worker.name, self.environment, self.socket, self.cwd, self.size
                )
                worker.started_at = now

    @property
    def live_processes(self) -> list[subprocess.Popen[bytes]]:
        """Processes of the workers that have not ended."""
        return [
            worker.process for worker in self.workers if worker.process is not None and worker.process.poll() is None
        ]

    def terminate(self) -> None:
        """Signal all workers to stop: they finish their step at the first signal and return it at the second."""
        self.is_stopping = True
        for process in self.live_processes:
            process.send_signal(signal.SIGTERM)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End all workers; running steps get `grace_s` seconds to finish."""
        self.terminate()
        deadline = time.monotonic() + grace_s
        for worker in self.workers:
            if worker.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, deadline - time.monotonic()))
                os.close(worker.pipe)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(1)
                worker.process.kill()
                worker.process.wait()

    def _check_first_worker(self, now: float) -> None:
        names = {worker.name for worker in self.workers}
        if names & rq_queue.live_workers(self.connection).keys():
            self._is_ready = True
            if self.log is not None:
                publish_pool_state(self.connection)
        elif self.log is not None and not self._is_compiling and now - self._opened_at > COMPILING_AFTER_S:
            self._is_compiling = True
            publish_pool_state(self.connection, phase="compiling")

    def _recover(self, worker: PooledWorker, now: float) -> None:
        """Requeue the step of a dead worker, and set when its successor may start."""
        self.has_failed |= self.is_stopping and worker.process is not None and worker.process.returncode != 0
        os.close(worker.pipe)
        worker.process = None
        recover_worker(self.connection, worker.name, self.code)
        died_early = now - worker.started_at < EARLY_DEATH_S
        delay_s = min(max(worker.restart_delay_s * 2, 0.5), MAX_RESTART_DELAY_S) if died_early else 0.0
        worker.restart_delay_s, worker.start_at = delay_s, now + delay_s
        if not self._is_ready and self.log is not None:
            publish_pool_state(self.connection, notice=f"The workers do not start; see {self.log}.")


def start_worker(
    code: str,
    name: str,
    environment: Mapping[str, str],
    socket_path: Path | None = None,
    cwd: Path | None = None,
    workers: int | None = None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a worker process.

    Returns
    -------
    process, pipe
        The second is a descriptor whose closing ends the process; the system closes it when this process ends.
    """
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "analytics_kit.backends.worker", "--code", code, "--name", name]
    command += ["--keep-alive-pipe", str(read_end), *(["--socket", str(socket_path)] if socket_path else [])]
    command += ["--workers", str(workers)] if workers else []
    try:
        process = subprocess.Popen(
            command,
            pass_fds=[read_end],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**environment, "POLARS_MAX_THREADS": "1"},
            cwd=cwd,
        )
    except OSError:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    return process, write_end


def run_workers(settings: Settings, n: int, code: str) -> int:
    """Keep workers running until SIGTERM or Ctrl-C: `analytics-kit worker`.

    The first signal lets running steps finish, a second one returns them to the queue.

    Parameters
    ----------
    settings
        They must name a Redis server.
    n
        Number of workers.
    code
        Dotted name of the module with the work.

    Returns
    -------
    int
        Exit code: 1 if a worker ended with an error after the signal, else 0.

    Raises
    ------
    BrokerUnavailableError
        No Redis server is named, or it can't be used.
    """
    url = settings.broker_url()
    if url is None:
        raise BrokerUnavailableError(
            "No Redis server is named that the workers could take jobs from.",
            hint="Set REDIS_URL; without it, the notebook starts its own workers.",
        )
    secret = None if settings.secret is None else settings.secret.get_secret_value()
    connection = connect(url, queue=settings.queue, secret=secret)
    with translate_errors(without_secrets(url), settings.queue):
        connection.ping()
    environment = {**os.environ, **settings_environment(settings), "REDIS_URL": url}
    pool = Pool(connection, code, n, socket.gethostname(), environment)
    last_signal_at = 0.0

    def stop(number: int, frame: object) -> None:
        nonlocal last_signal_at
        if time.monotonic() - last_signal_at > REPEATED_SIGNAL_S:
            last_signal_at = time.monotonic()
            action = (
                "Returning the running steps to the queue"
                if pool.is_stopping
                else "Finishing the running steps; a second signal returns them to the queue"
            )
            os.write(2, f"{action}. Unfinished jobs wait for other workers.\n".encode())
            pool.terminate()

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not pool.is_stopping or pool.live_processes:
            with contextlib.suppress(redis.RedisError):
                pool.maintain()
            time.sleep(MAINTENANCE_INTERVAL_S)
        with contextlib.suppress(redis.RedisError):
            pool.maintain()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        pool.stop(0.0)
        connection.close()
    return int(pool.has_failed)
