"""How is a number of workers kept up?"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.job_store import Connection
from analytics_kit.backends.redis.recovery import recover_worker

GRACE_S = 5.0
"""A running task gets this long when the pool is stopped."""
COMPILING_AFTER_S = 3.0
"""Workers that take longer than this to come up are compiling, not merely importing."""
QUICK_S = 10.0
"""A worker that died younger than this makes the next one wait."""
BACK_OFF_LIMIT_S = 30.0


@dataclass
class Slot:
    """One place in the pool: the process in it, the pipe that keeps it, and when the next may start."""

    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started_at: float = 0.0
    back_off_s: float = 0.0
    next_at: float = 0.0


@dataclass
class Pool:
    """The workers. The first one comes up alone, so that what it compiles is there for the others.

    Parameters
    ----------
    code : dotted name of the module whose `warm` they call before they work.
    name : how the workers' names begin.
    environment, socket, cwd : what they are started with; without a socket the environment names the Redis.
    log : where to look when they do not start; what the pool does is told to clients only with it.
    """

    connection: Connection
    code: str
    size: int
    name: str
    environment: Mapping[str, str]
    socket: Path | None = None
    cwd: Path | None = None
    log: Path | None = None
    slots: list[Slot] = field(default_factory=list)
    stopping: bool = False
    ended_badly: bool = False
    """Whether one that was told to end did not end well."""
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _begun_at: float = field(default_factory=time.monotonic)
    _ready: bool = False
    _compiling: bool = False

    def tick(self) -> None:
        """Start who is missing, and have done again what was lost with who is dead."""
        now = time.monotonic()
        if not self._ready:
            self._wait_for_first(now)
        for _ in range(len(self.slots), self.size if self._ready else 1):
            self.slots.append(Slot())
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, now)
            if slot.process is None and now >= slot.next_at and not self.stopping:
                # The token: in a container process ids are the same after a restart.
                slot.name = f"{self.name}-{os.getpid()}-{next(self._number)}-{secrets.token_hex(2)}"
                slot.process, slot.pipe = spawn(self.code, slot.name, self.environment, self.socket, self.cwd)
                slot.started_at = now

    @property
    def living(self) -> list[subprocess.Popen[bytes]]:
        """The processes that have not ended."""
        return [slot.process for slot in self.slots if slot.process is not None and slot.process.poll() is None]

    def terminate(self) -> None:
        """Tell all to end: the first time they finish the task they have, the second time they hand it back."""
        self.stopping = True
        for process in self.living:
            process.send_signal(signal.SIGTERM)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End all: running tasks get `grace_s`."""
        self.terminate()
        ends = time.monotonic() + grace_s
        for slot in self.slots:
            if slot.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(max(0.0, ends - time.monotonic()))
                os.close(slot.pipe)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(1)
                slot.process.kill()
                slot.process.wait()

    def _wait_for_first(self, now: float) -> None:
        names = {slot.name for slot in self.slots}
        if names & rq_queue.live_workers(self.connection).keys():
            self._ready = True
            if self.log is not None:
                rq_queue.publish_pool_state(self.connection)
        elif self.log is not None and not self._compiling and now - self._begun_at > COMPILING_AFTER_S:
            self._compiling = True
            rq_queue.publish_pool_state(self.connection, phase="compiling")

    def _bury(self, slot: Slot, now: float) -> None:
        self.ended_badly |= self.stopping and slot.process is not None and slot.process.returncode != 0
        os.close(slot.pipe)
        slot.process = None
        recover_worker(self.connection, slot.name, self.code)
        quick = now - slot.started_at < QUICK_S
        slot.back_off_s = min(max(slot.back_off_s * 2, 0.5), BACK_OFF_LIMIT_S) if quick else 0.0
        slot.next_at = now + slot.back_off_s
        if not self._ready and self.log is not None:
            rq_queue.publish_pool_state(self.connection, notice=f"The workers do not start; see {self.log}.")


def spawn(
    code: str, name: str, environment: Mapping[str, str], socket_path: Path | None = None, cwd: Path | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """A new worker process, and the pipe's end that keeps it alive: it ends when that is closed."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "analytics_kit.backends.worker.worker", "--code", code, "--name", name]
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
