"""Execute steps in a process that is forked from the worker and reused while it stays small.

A fork with everything loaded that steps need costs 30 ms: page tables, then a copy of each page that is written to. A
process that has just executed a step executes the next one without a fork. It is replaced by a new one when it has
grown, has executed many steps or was killed, and it ends when there is nothing to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from analytics_kit.backends.dotted_names import resolve
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.worker import entry

MAX_CALLS = 200
MAX_GROWTH_BYTES = 300 * 1024**2
"""A process that uses this much more memory than the worker did at the fork is not reused."""
PR_SET_PDEATHSIG = 1


class TaskProcess:
    """The worker's handle of the forked process.

    Parameters
    ----------
    worker
        Name of the worker, under which the process claims steps.
    connection
        Connection to the broker, which the process uses after the fork.
    code
        Dotted name of the module with the work.
    output
        Descriptor that standard output and standard error of the process go to.
    """

    def __init__(self, worker: str, connection: Connection, output: int, code: str = "") -> None:
        self._pipe, child_pipe = socket.socketpair()
        self._calls = 0
        self._max_bytes = psutil.Process().memory_info().rss + MAX_GROWTH_BYTES
        parent_pid = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            self._pipe.close()
            _serve(child_pipe, parent_pid, worker, connection, output, code)
        child_pipe.close()
        self._pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    def call(self, function: str, arguments: Sequence[Any]) -> bool:
        """Have the process call a function, given by its dotted name; return False when the process is gone."""
        self._calls += 1
        try:
            self._pipe.sendall(json.dumps([function, list(arguments)]).encode() + b"\n")
        except OSError:
            self.end()
            return False
        return True

    def wait(self, timeout_s: float) -> int | None:
        """Return 0 when the call has returned, the wait status when the process has ended, None after the timeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            readable: list[Any] = [self._pipe] if self._pidfd is None else [self._pipe, self._pidfd]
            select.select(readable, [], [], left_s)
            self._pipe.setblocking(False)
            try:
                if self._pipe.recv(1):
                    return 0
            except BlockingIOError:
                pass
            except OSError:
                time.sleep(0.001)  # the other end is closed: the process is about to end
            finally:
                self._pipe.setblocking(True)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._close()
                return status
            if time.monotonic() >= deadline:
                return None

    @property
    def is_reusable(self) -> bool:
        """Whether the process lives and may execute another step."""
        if self._calls >= MAX_CALLS or self._pipe.fileno() < 0:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self.pid).memory_info().rss < self._max_bytes)
        return False

    def kill(self) -> None:
        """Kill the process and the processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            else:  # just forked: still in the worker's process group
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let the process end, and wait until it has; it must be idle or killed."""
        if self._pipe.fileno() < 0:
            return
        self._close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _close(self) -> None:
        self._pipe.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _serve(pipe: socket.socket, parent_pid: int, worker: str, connection: Connection, output: int, code: str) -> None:
    """Answer calls in the forked process until the pipe is closed. Never returns."""
    os.setpgrp()
    die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream in (1, 2):
        os.dup2(output, stream)
    faulthandler.enable()
    random.seed()
    os.environ["RQ_WORKER_ID"] = worker
    entry.connection, entry.code = connection, code
    try:
        for line in pipe.makefile("rb"):
            function, arguments = json.loads(line)
            resolve(function)(*arguments)
            with contextlib.suppress(OSError):  # the disk is full; what a step has printed is not worth a failure
                sys.stdout.flush()
            pipe.sendall(b"1")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def die_with_parent(parent_pid: int) -> None:
    """Have this forked process killed when its parent dies, however the parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it has died before the call
            os._exit(1)
        return
    threading.Thread(target=_exit_when, args=(lambda: os.getppid() != parent_pid,), daemon=True).start()


def _exit_when(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.5)
    os._exit(1)
