"""How does a worker process live: quick to notice death, and never left behind?

Each is started afresh (exec) and imports and compiles what tasks need before it forks, so that no job pays for it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from rq import Queue, Worker, worker_registration
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends import perform
from analytics_kit.backends.ledger import QUEUE
from analytics_kit.backends.redis import connect, socket_url, translated
from analytics_kit.backends.running import resolve
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings, without_secrets

HEARTBEAT_S = 1
WORKER_TTL_S = 20
"""rq waits WORKER_TTL_S - 15 = 5 seconds for work, then beats its heart."""
KEY_TTL_S = 15
TASK_TTL_S = 10
LATE_S = 15


class QuickWorker(Worker):
    """An rq worker whose death, or whose task's death, shows within seconds."""

    def __init__(self, connection: redis.Redis, name: str) -> None:
        super().__init__(
            [Queue(QUEUE, connection=connection, serializer=JSONSerializer)],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            job_monitoring_interval=HEARTBEAT_S,
            maintenance_interval=WORKER_TTL_S - 15,
            work_horse_killed_handler=perform.on_killed,
            exception_handlers=[perform.on_exception],
            log_job_description=False,
        )
        self._round_at = time.time()
        self.task: Job | None = None
        """The latest task taken; it may have ended."""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Live on for KEY_TTL_S, and be listed: after a sleep of the machine the key and the listing were gone."""
        super().heartbeat(KEY_TTL_S, pipeline)
        to: Any = self.connection if pipeline is None else pipeline
        to.hset(self.key, "state", self.get_state())
        worker_registration.register(self, to)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """How long a task is taken to be alive without a word from its worker."""
        return TASK_TTL_S

    def clean_registries(self) -> None:
        """Look for abandoned tasks; not right after a sleep of the machine, when all seem abandoned."""
        late = time.time() - self._round_at > LATE_S
        self._round_at = time.time()
        if not late:
            super().clean_registries()  # type: ignore[no-untyped-call]  # rq's

    def handle_job_failure(self, job: Job, *args: Any, **kwargs: Any) -> None:
        """Also tell the job's record; it may know better already."""
        super().handle_job_failure(job, *args, **kwargs)
        perform.lost(job, "rq could not carry out its task")

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Remember the task, which rq itself forgets when a second signal ends the worker."""
        self.task = job
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Do the task in the forked process, which ends when its worker does."""
        die_with(self.pid or 0)
        super().main_work_horse(job, queue)


def die_with(parent: int) -> None:
    """Have this forked process killed when its parent dies, however that dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_until, args=(lambda: os.getppid() != parent,), daemon=True).start()


def _until(gone: Callable[[], bool]) -> None:
    while not gone():
        time.sleep(0.5)
    os._exit(1)


def end_with_owner(pipe: int) -> None:
    """End this process, and so what it forked, when the pipe's other end is closed: its owner is gone."""

    def watch() -> None:
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="owner").start()


def main(argv: Sequence[str] | None = None) -> int:
    """Work until told to stop; see `spawn` for the arguments."""
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.worker")
    parser.add_argument("--warm", required=True)
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--owner", type=int)
    chosen = parser.parse_args(argv)
    url = socket_url(chosen.socket) if chosen.socket else Settings.of().broker_url()
    if url is None:
        raise BrokerUnavailableError("No Redis is named.", hint="Set REDIS_URL.")
    with translated(without_secrets(url)):
        if chosen.owner is not None:
            end_with_owner(chosen.owner)
        worker = QuickWorker(connect(url), chosen.name)
        resolve(chosen.warm)()
        try:
            worker.work(logging_level="WARNING", date_format="%Y-%m-%d %H:%M:%S")
        except SystemExit:
            if worker.task is not None:
                perform.lost(worker.task, "its worker was told twice to end")
            raise
    return 0


def spawn(
    warm: str, name: str, environment: Mapping[str, str], socket_path: Path | None = None, cwd: Path | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """A new worker process, and the pipe's end that keeps it alive: it ends when that is closed."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "analytics_kit.backends.worker", "--warm", warm, "--name", name]
    command += ["--owner", str(read_end), *(["--socket", str(socket_path)] if socket_path else [])]
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


def run_workers(settings: Settings, n: int, warm: str) -> int:
    """Run `n` workers on the Redis that is named until SIGTERM or Ctrl-C; 0 when all ended well.

    The first signal lets running jobs finish, a second one does not.
    """
    url = settings.broker_url()
    if url is None:
        raise BrokerUnavailableError(
            "No Redis is named, so there is none to work for.",
            hint="Set REDIS_URL; without it, the notebook starts its own workers.",
        )
    connection = connect(url)
    with translated(without_secrets(url)):
        connection.ping()
    environment = {**os.environ, **settings_environment(settings), "REDIS_URL": url}
    host, pid = socket.gethostname(), os.getpid()
    started = {f"{host}-{pid}-{i}": spawn(warm, f"{host}-{pid}-{i}", environment) for i in range(n)}

    def forward(number: int, frame: object) -> None:
        for process, _ in started.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    codes: list[int] = []
    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        living = dict(started)
        while living:
            time.sleep(0.2)
            for name in [name for name, (process, _) in living.items() if process.poll() is not None]:
                code = living.pop(name)[0].returncode
                codes.append(code)
                if code < 0:
                    with translated(without_secrets(url)):
                        perform.lost_with(connection, name, perform.death(-code))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for _, pipe in started.values():
            os.close(pipe)
        connection.close()
    return 0 if not any(codes) else 1


def settings_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that give a new process the same settings, but for the broker's."""
    home = str(settings.home.expanduser().absolute())
    told = {"ANALYTICS_KIT_HOME": home, "ANALYTICS_KIT_STORE": settings.store_url()}
    if settings.sources is not None:
        told["ANALYTICS_KIT_SOURCES"] = ":".join(str(path) for path in settings.sources)
    return told


if __name__ == "__main__":
    sys.exit(main())
