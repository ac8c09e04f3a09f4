"""Run one RQ worker, whose death is noticed within seconds and which does not outlive its pool.

A worker is started as a program of its own, and imports and compiles what steps need before it forks, so that no job
waits for that.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import redis
from rq import Queue, Worker, worker_registration
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import WorkerStatus

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.machine import MemoryShare, memory_share, pool_size
from analytics_kit.backends.record import Attempt
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore, retry_until_available
from analytics_kit.backends.redis.cleanup import queue_cleanup
from analytics_kit.backends.redis.connection import (
    Connection,
    connect,
    queue_of,
    server_time_s,
    socket_url,
    translate_errors,
)
from analytics_kit.backends.redis.intake import Intake
from analytics_kit.backends.redis.recovery import run_recovery
from analytics_kit.backends.redis.server_errors import cause_of, is_wrong_type, message_of
from analytics_kit.backends.worker.limits import LimitMonitor, cause_of_death, read_tail
from analytics_kit.backends.worker.task_process import TaskProcess
from analytics_kit.code_version import code_version, read_code_version
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import Failure
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.visible_text import LINES, visible

HEARTBEAT_INTERVAL_S = 1.0
LIMIT_CHECK_INTERVAL_S = 0.2
WORKER_TTL_S = 17
"""rq waits WORKER_TTL_S - 15 = 2 seconds for work before it sends a heartbeat."""
WORKER_KEY_TTL_S = 5
EXECUTION_TTL_S = 10
REGISTRY_INTERVAL_S = 30.0
REFUSED_WAIT_S = 1.0
"""Pause of an idle worker after the server has refused a command."""


class StepWorker(Worker):
    """An rq worker that executes steps in a reused process and enforces the limits of their jobs.

    It replaces what rq does around its "work horse", the process that executes a job, and how rq takes jobs: rq would
    run any function that a message names, and end a worker at a message that it can't read.
    """

    max_connection_wait_time = 2.0

    def __init__(self, connection: Connection, name: str, code: str, share: MemoryShare | None = None) -> None:
        self._share = share
        self.current: tuple[AttemptStore, Attempt] | None = None
        """The attempt that is being executed; every heartbeat publishes it."""
        self._process: TaskProcess | None = None
        self._message: rq_queue.QueueMessage | None = None
        self._intake = Intake(connection)
        self._tidied_at = 0.0
        self._logged: set[str] = set()
        super().__init__(
            [rq_queue.open_queue(connection)],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=WORKER_TTL_S - 15,
            log_job_description=False,
        )
        self._code = code
        self._started_at = server_time_s(connection)
        self._output = _output_file()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Renew the worker's key and its registration, both of which expire while the machine sleeps."""
        if pipeline is None:
            # At once, so that nobody takes this worker for one of another application.
            with self.connection.pipeline() as pipe, self._surviving_refusals():
                self.heartbeat(pipeline=pipe)
                pipe.execute()
            return
        super().heartbeat(WORKER_KEY_TTL_S, pipeline)
        rq_job_id = "" if self.current is None else self.current[1].rq_job_id
        rq_queue.publish_heartbeat(pipeline, self.key, self.get_state(), rq_job_id, code_version(), self._started_at)
        worker_registration.register(self, pipeline)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return for how many seconds rq takes an execution to be alive without a heartbeat."""
        return EXECUTION_TTL_S

    def check_for_suspension(self, burst: bool) -> None:
        """Do nothing: `rq suspend` is for the workers of whoever calls it."""

    def subscribe(self) -> None:
        """Do nothing: this worker takes no commands of rq's, which anybody could send."""

    def run_maintenance_tasks(self) -> None:
        """End the idle task process and recover lost steps; rq calls this while the queue is empty.

        What rq does here is left out: it would also fail jobs of other applications, and call functions they name.
        """
        self._end_idle_process()
        self.last_cleaned_at = now()  # type: ignore[assignment]  # rq declares it as None
        with self._surviving_refusals():
            if time.monotonic() - self._tidied_at > REGISTRY_INTERVAL_S:
                self._tidied_at = time.monotonic()
                rq_queue.tidy(self.connection, server_time_s(self.connection))
            run_recovery(self.connection, self._code)

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Publish what the worker does."""
        with self._surviving_refusals():
            super().set_state(state, pipeline)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a message of this package and send heartbeats meanwhile; without a timeout, None if none waits."""
        self.set_state(WorkerStatus.IDLE)
        wait_s = 1.0
        while True:
            try:
                self.heartbeat()
                if self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()
                if taken := self._intake.take(timeout):
                    job, self._message = taken
                    self.heartbeat()
                    return job, self.queues[0]
                if timeout is None:
                    return None
            except (redis.ConnectionError, redis.TimeoutError) as error:
                self.log.error("Worker %s: no Redis server answers: %s", self.name, error)
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, self.max_connection_wait_time)
            except redis.ResponseError as error:
                self._log_refusal(error)
                time.sleep(REFUSED_WAIT_S)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Have the task process do what the message asks; whatever a message holds, the worker goes on."""
        try:
            super().execute_job(job, queue)
        except (redis.ResponseError, ValueError, KeyError, TypeError, AttributeError):
            self.log.exception("Worker %s: message %s was dropped.", self.name, job.id)
            self.kill_horse()
            self.wait_for_horse()
            self._process, self._horse_pid, self.current = None, 0, None
            self.executions.clear()
            with self._surviving_refusals():
                self._mend_own_keys()
                rq_queue.forget_taken(self.connection, job.id)

    @contextlib.contextmanager
    def _surviving_refusals(self) -> Iterator[None]:
        """Log what the server refuses, so that the worker is still there when it no longer does."""
        try:
            yield
        except redis.ResponseError as error:
            self._log_refusal(error)

    def _mend_own_keys(self) -> None:
        """Remove the keys that rq has for this worker if they hold something else: it could do nothing any more."""
        for key, expected in ((self.key, b"hash"), (self.executions_key, b"set")):
            if self.connection.type(key) not in (expected, b"none"):
                self.connection.delete(key)

    def _log_refusal(self, error: redis.ResponseError) -> None:
        if is_wrong_type(error):
            self._mend_own_keys()
        cause = cause_of(error, queue_of(self.connection))
        text = message_of(error) if cause is None else f"Redis {cause.text}. {cause.hint}"
        if text not in self._logged:
            self._logged.add(text)
            self.log.error("Worker %s: %s", self.name, text)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Give the message to the task process if there is one, else to a new one."""
        assert self._message is not None  # noqa: S101  it came with the job
        function, arguments = self._message
        self._output.truncate(0)
        if self._process is None or not self._process.call(function, arguments):
            self._process = TaskProcess(self.name, self.connection, self._output.fileno(), self._code)
            self._process.call(function, arguments)
        self._horse_pid = self._process.pid

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Any) -> None:
        """Send heartbeats and enforce limits until the job is done or its process is dead, and record the outcome."""
        monitor = None
        assert self._message is not None  # noqa: S101  it came with the job
        if (step := self._message.attempt) is not None:
            attempts, attempt = self.current = AttemptStore(self.connection, step[0]), step[1]
            monitor = retry_until_available(lambda: LimitMonitor(attempts, attempt, self.horse_pid, self._share))
        heartbeat_at = 0.0
        assert self._process is not None  # noqa: S101  fork_work_horse() has set it
        while (status := self._process.wait(LIMIT_CHECK_INTERVAL_S)) is None:
            with contextlib.suppress(redis.RedisError):
                if monitor is not None and monitor.check():
                    self.kill_horse()
                if time.monotonic() - heartbeat_at > HEARTBEAT_INTERVAL_S:
                    self.maintain_heartbeats(job, execution)
                    heartbeat_at = time.monotonic()
                    run_recovery(self.connection, self._code)
        self._horse_pid = 0
        if status or not self._process.is_reusable:
            self._end_idle_process()
        self.executions.pop(execution.id, None)
        retry_until_available(lambda: self._record_outcome(job, execution, status, monitor))
        self.current = None
        retry_until_available(self.heartbeat)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kill the task process."""
        if self._process is not None:
            self._process.kill()

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Wait until the killed task process has ended."""
        if self._process is not None:
            self._process.end()
        return None, None, None

    def _end_idle_process(self) -> None:
        if self._process is not None and not self._horse_pid:
            self._process.end()
            self._process = None

    def _record_outcome(self, job: Job, execution: Any, status: int, monitor: LimitMonitor | None) -> None:
        """Log the output of the process, retry or fail a step that it did not finish, and remove rq's traces."""
        output = read_tail(self._output)
        if output:
            print(visible(output, keep=LINES), file=sys.stderr, flush=True)
        if monitor is not None and self.current is not None:
            attempts, attempt = self.current
            attempts.append_log(attempt.job_id, (f"{attempt.step}: {line}" for line in output.splitlines()))
            if not monitor.must_end and (status or attempts.is_held_by(attempt, self.name)):
                error = cause_of_death(status, monitor.kernel_killed)
                attempts.retry_or_fail(attempt, Failure.of(error, output))
            if attempts.release(attempt, wrote_late=monitor.must_end):
                queue_cleanup(attempts, attempt.job_id, self._code)
        with self.connection.pipeline() as pipe:
            self.cleanup_execution(job, pipe, execution)
            rq_queue.forget_done(pipe, job)
            pipe.execute()


def _output_file() -> IO[bytes]:
    """Return an unnamed file for the output of steps; in memory where there is no folder for temporary files."""
    try:
        file: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115  the worker keeps it open
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        file = os.fdopen(os.memfd_create("output of steps"), "a+b")
    # Else the output of a step would lie behind as many zeros as the steps before it had written.
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def exit_when_closed(pipe: int) -> None:
    """End this process, and with it its forks, as soon as the other end of the pipe is closed."""

    def wait_and_exit() -> None:
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True, name="exit when closed").start()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker until a signal arrives; `pool.start_worker` passes the arguments."""
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.worker")
    parser.add_argument("--code", required=True, help="dotted name of the module with the work")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--socket", type=Path, help="socket of the Redis server; default: the settings name it")
    # Pools of earlier versions, which run on while the package is upgraded, pass `--owner`.
    parser.add_argument(
        "--keep-alive-pipe", "--owner", type=int, help="descriptor of a pipe whose closing ends the worker"
    )
    parser.add_argument("--workers", type=int, help="number of workers that share the memory; default: what fits")
    arguments = parser.parse_args(argv)
    settings = Settings.of()
    # Only this user can write to the server's socket, so nothing there is signed.
    secret = None if arguments.socket or settings.secret is None else settings.secret.get_secret_value()
    url = socket_url(arguments.socket) if arguments.socket else settings.broker_url()
    if url is None:
        raise BrokerUnavailableError("No Redis server is named.", hint="Set REDIS_URL.")
    with translate_errors(without_secrets(url), settings.queue):
        if arguments.keep_alive_pipe is not None:
            exit_when_closed(arguments.keep_alive_pipe)
        share = memory_share(arguments.workers or pool_size())
        connection = connect(url, queue=settings.queue, secret=secret)
        worker = StepWorker(connection, arguments.name, arguments.code, share)
        resolve(f"{arguments.code}.warm")()
        if read_code_version() != code_version():
            print("analytics_kit was upgraded while the worker was starting.", file=sys.stderr)
            return 1
        gc.collect()
        gc.freeze()  # else a collection in a forked process touches, and so copies, all that was loaded here
        try:
            worker.work(logging_level="WARNING", date_format="%Y-%m-%d %H:%M:%S")
        except SystemExit:  # rq raises it at the second signal
            if worker.current is not None:
                attempts, attempt = worker.current
                attempts.return_to_queue(attempt, "its worker got a second signal to stop")
            raise
    return 0
