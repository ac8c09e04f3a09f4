"""How does a worker process live: quick to notice death, and never left behind?

Each is started afresh (exec) and imports and compiles what tasks need before it forks, so that no job pays for it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from rq import Queue, Worker, worker_registration
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.record import Attempt
from analytics_kit.backends.redis.attempts import AttemptStore, retry_until_available
from analytics_kit.backends.redis.backend import connect, socket_url, translate_errors
from analytics_kit.backends.redis.job_store import QUEUE_NAME, STEP_FUNCTION
from analytics_kit.backends.redis.recovery import reconcile
from analytics_kit.backends.step_runner import resolve
from analytics_kit.backends.worker import entry as perform
from analytics_kit.backends.worker.limits import Watch
from analytics_kit.backends.worker.task_process import TaskProcess
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.settings import Settings, without_secrets

HEARTBEAT_S = 1.0
WATCH_S = 0.2
"""So often a task that runs is looked at."""
WORKER_TTL_S = 17
"""rq waits WORKER_TTL_S - 15 = 2 seconds for work, then beats its heart."""
KEY_TTL_S = 5
TASK_TTL_S = 10


class QuickWorker(Worker):
    """An rq worker that holds tasks to their jobs' limits, and whose death, or whose task's death, shows soon."""

    max_connection_wait_time = 2.0

    def __init__(self, connection: redis.Redis, name: str, code: str) -> None:
        self.in_hand: tuple[AttemptStore, Attempt] | None = None
        """The step that is being worked on, of which every heartbeat tells."""
        self._horse: TaskProcess | None = None
        super().__init__(
            [Queue(QUEUE_NAME, connection=connection, serializer=JSONSerializer)],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=WORKER_TTL_S - 15,
            log_job_description=False,
        )
        self._code = code
        self._output = tempfile.TemporaryFile("a+b")  # noqa: SIM115  as long as the worker lives

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Live on for KEY_TTL_S, and be listed: after a sleep of the machine the key and the listing were gone."""
        super().heartbeat(KEY_TTL_S, pipeline)
        to: Any = self.connection if pipeline is None else pipeline
        hand = "" if self.in_hand is None else self.in_hand[1].rq_job_id
        to.hset(self.key, mapping={"state": self.get_state(), "hand": hand})
        worker_registration.register(self, to)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """How long a task is taken to be alive without a word from its worker."""
        return TASK_TTL_S

    def clean_registries(self) -> None:
        """Look for what was lost, while there is nothing else to do."""
        self._rest()
        super().clean_registries()  # type: ignore[no-untyped-call]  # rq's
        reconcile(self.connection, self._code)

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Any) -> None:
        """Look after the process that does the task until it ends, and see to what it leaves."""
        watch = None
        if job.func_name == STEP_FUNCTION:
            namespace, *words = job.args
            book, ticket = self.in_hand = AttemptStore(self.connection, namespace), Attempt(*words)
            watch = retry_until_available(lambda: Watch(book, ticket, self.horse_pid))
        beat_at = 0.0
        assert self._horse is not None  # noqa: S101  forked just now
        while (status := self._horse.ended_within(WATCH_S)) is None:
            with contextlib.suppress(redis.RedisError):
                if watch is not None and watch.look():
                    self.kill_horse()
                if time.monotonic() - beat_at > HEARTBEAT_S:
                    self.maintain_heartbeats(job, execution)
                    beat_at = time.monotonic()
                    reconcile(self.connection, self._code)
        self._horse_pid = 0
        if status or not self._horse.is_fit:
            self._rest()
        self.executions.pop(execution.id, None)
        retry_until_available(lambda: self._see_to(job, execution, status, watch))
        self.in_hand = None
        retry_until_available(self.heartbeat)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kill the task's process."""
        if self._horse is not None:
            self._horse.kill()

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Wait until the task's process, which was killed, is gone."""
        if self._horse is not None:
            self._horse.end()
        return None, None, None

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Give the task to the process that did the last one, if it is fit, else to a new one."""
        self._output.truncate(0)
        if self._horse is None or not self._horse.begin(str(job.func_name), job.args):
            self._horse = TaskProcess(self.name, self.connection, self._output.fileno())
            self._horse.begin(str(job.func_name), job.args)
        self._horse_pid = self._horse.pid

    def _rest(self) -> None:
        """Let the process go that waits for another task."""
        if self._horse is not None and not self._horse_pid:
            self._horse.end()
            self._horse = None

    def _see_to(self, job: Job, execution: Any, status: int, watch: Watch | None) -> None:
        output = perform.rest_of(self._output)
        if output:
            print(output, file=sys.stderr, flush=True)
        if watch is not None and self.in_hand is not None:
            book, ticket = self.in_hand
            book.append_log(ticket.job_id, (f"{ticket.step}: {line}" for line in output.splitlines()))
            if not watch.over and (status or book.is_held_by(ticket, self.name)):
                perform.retry_or_fail(book, ticket, perform.cause(status, watch.kernel_killed), output)
            if book.release(ticket, wrote_late=watch.over):
                perform.queue_cleanup(book, ticket.job_id, self._code)
        with self.connection.pipeline() as pipe:
            self.cleanup_execution(job, pipe, execution)
            pipe.lrem(f"rq:queue:{QUEUE_NAME}:intermediate", 1, job.id)
            pipe.delete(job.key)
            pipe.execute()


def end_with_owner(pipe: int) -> None:
    """End this process, and so what it forked, when the pipe's other end is closed: its owner is gone."""

    def watch() -> None:
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="owner").start()


def main(argv: Sequence[str] | None = None) -> int:
    """Work until told to stop; see `spawn` for the arguments."""
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.worker.worker")
    parser.add_argument("--code", required=True)
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--owner", type=int)
    chosen = parser.parse_args(argv)
    url = socket_url(chosen.socket) if chosen.socket else Settings.of().broker_url()
    if url is None:
        raise BrokerUnavailableError("No Redis is named.", hint="Set REDIS_URL.")
    with translate_errors(without_secrets(url)):
        if chosen.owner is not None:
            end_with_owner(chosen.owner)
        worker = QuickWorker(connect(url), chosen.name, chosen.code)
        resolve(f"{chosen.code}.warm")()
        gc.collect()
        gc.freeze()  # else a collection in a forked process touches, and so copies, all that was loaded here
        try:
            worker.work(logging_level="WARNING", date_format="%Y-%m-%d %H:%M:%S")
        except SystemExit:
            if worker.in_hand is not None:
                book, ticket = worker.in_hand
                book.return_to_queue(ticket, "its worker was told twice to end")
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
