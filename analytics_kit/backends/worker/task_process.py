"""In which process does a task run? In one forked from the worker, which does further tasks while it stays small.

A fork with all that tasks need loaded costs 30 ms: page tables, then a copy of each page that is written to. A
process that has just done one task does the next without. It is ended, and a new one forked, when it has grown, has
done many tasks, was killed, or there is nothing to do.
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

from analytics_kit.backends.redis.job_store import Connection
from analytics_kit.backends.step_runner import resolve
from analytics_kit.backends.worker import entry as perform

MOST_TASKS = 200
ROOM_BYTES = 300 * 1024**2
"""A process that holds so much more than a new one would is not kept."""


class TaskProcess:
    """The worker's side of such a process."""

    def __init__(self, worker: str, connection: Connection, output: int) -> None:
        self._pipe, theirs = socket.socketpair()
        self._tasks = 0
        self._most_bytes = psutil.Process().memory_info().rss + ROOM_BYTES
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            self._pipe.close()
            _serve(theirs, parent, worker, connection, output)
        theirs.close()
        self._handle = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    def begin(self, function: str, arguments: Sequence[Any]) -> bool:
        """Give it a task; False when it is gone."""
        self._tasks += 1
        try:
            self._pipe.sendall(json.dumps([function, list(arguments)]).encode() + b"\n")
        except OSError:
            self.end()
            return False
        return True

    def ended_within(self, limit_s: float) -> int | None:
        """0 when the task is done, the wait status when the process has ended, None while it works."""
        ends = time.monotonic() + limit_s
        while True:
            left_s = max(0.0, ends - time.monotonic())
            watched: list[Any] = [self._pipe] if self._handle is None else [self._pipe, self._handle]
            select.select(watched, [], [], left_s)
            self._pipe.setblocking(False)
            try:
                if self._pipe.recv(1):
                    return 0
            except BlockingIOError:
                pass
            except OSError:
                time.sleep(0.001)  # its end is closed: it is just ending
            finally:
                self._pipe.setblocking(True)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._close()
                return status
            if time.monotonic() >= ends:
                return None

    @property
    def is_fit(self) -> bool:
        """Whether it may do another task."""
        if self._tasks >= MOST_TASKS or self._pipe.fileno() < 0:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self.pid).memory_info().rss < self._most_bytes)
        return False

    def kill(self) -> None:
        """Kill it and what it started; just after the fork it is still in the worker's own group."""
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it, which has nothing to do, and wait until it is gone."""
        if self._pipe.fileno() < 0:
            return
        self._close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _close(self) -> None:
        self._pipe.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _serve(pipe: socket.socket, parent: int, worker: str, connection: Connection, output: int) -> None:
    """Do tasks in the forked process, which ends when its worker does."""
    os.setpgrp()
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream in (1, 2):
        os.dup2(output, stream)
    faulthandler.enable()
    random.seed()
    os.environ["RQ_WORKER_ID"] = worker
    perform.connection = connection
    try:
        for line in pipe.makefile("rb"):
            function, arguments = json.loads(line)
            resolve(function)(*arguments)
            sys.stdout.flush()
            pipe.sendall(b"1")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


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
