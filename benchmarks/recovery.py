"""How many seconds until a death is noticed and its work taken again, a cancelled process gone, a limit held?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.paths import broker_paths
from benchmarks import studies
from benchmarks.jobs import Row, broker

LIMIT_S = 60.0
SETTLED_S = 16.0


def until(condition: Callable[[], object], what: str) -> float:
    """Seconds until it holds."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > LIMIT_S:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.01)
    return time.perf_counter() - start


def running(client: ak.Client, path: Path, **limits: float) -> ak.Job:
    """A job whose parts are being worked on."""
    job = client.submit(path, refresh=True, **limits)
    until(lambda: job.progress.phase == "processing" and job.progress.done, "parts are at it")
    return job


def taken_again(job: ak.Job) -> float:
    """Seconds until a worker has a step in hand that had been lost, or was handed back."""

    def seen() -> bool:
        try:
            words = job.log().splitlines()
        except ak.BrokerUnavailableError:
            return False
        lost = [i for i, line in enumerate(words) if "is retried" in line]
        return any("taken by" in line for line in words[lost[0] :]) if lost else False

    return until(seen, "it is taken again")


def descendants(pid: int, depth: int) -> list[psutil.Process]:
    """Workers (1 below their supervisor) or the processes of tasks (2 below)."""
    found = [p for p in psutil.Process(pid).children() if "analytics_kit.backends.worker.worker" in p.cmdline()]
    return found if depth == 1 else [child for worker in found for child in worker.children()]


def deaths(folder: Path) -> Iterator[Row]:
    """On the embedded broker: who dies, and how long until the work goes on."""
    path = studies.half_a_gigabyte(folder)
    with broker(folder / "recovery", 2) as client:
        client.submit(path).result()

        def owner() -> int:
            return int(broker_paths(client.settings).owner_lock.read_text())

        def server() -> psutil.Process:
            family = psutil.Process(owner()).children(recursive=True)
            return next(p for p in family if p.name().startswith(("valkey", "redis")))

        victims: dict[str, Callable[[], list[psutil.Process]]] = {
            "process of a task": lambda: descendants(owner(), 2)[:1],
            "worker": lambda: descendants(owner(), 1)[:1],
            "all workers and their tasks": lambda: descendants(owner(), 1) + descendants(owner(), 2),
            "broker": lambda: [server()],
            "supervisor": lambda: [psutil.Process(owner())],
        }
        for name, find in victims.items():
            job = running(client, path)
            for victim in find():
                victim.kill()
            seconds = taken_again(job)
            job.result()
            yield f"{name} killed → work taken again", f"{seconds:.1f} s", "< 15 s", seconds < 15
        job = running(client, path)
        pids = [process.pid for process in descendants(owner(), 2)]
        job.cancel()
        seconds = until(lambda: not any(map(psutil.pid_exists, pids)), "its processes are gone")
        yield "cancelled → its processes are gone", f"{seconds:.2f} s", "< 1 s", seconds < 1
        store = folder / "recovery" / "store" / "results"
        seconds += until(lambda: not list(store.glob(f"*/{job.id}/*")), "its files are gone")
        yield "cancelled → its files are gone", f"{seconds:.2f} s", "< 5 s", seconds < 5
        for limits, late in (({"time_limit_s": 1.0}, 1.0), ({"memory_limit_mb": 150.0}, 0.0)):
            job = client.submit(path, refresh=True, **limits)
            job.wait()
            info = job.info()
            seconds = (info.ended_at - info.started_at).total_seconds() - late
            assert info.error is not None
            yield f"limit broken → {info.error.type}", f"{seconds:.2f} s", "< 1 s", seconds < 1


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A Redis with an append-only file on a socket."""
    folder.mkdir()
    config = f"port 0\nunixsocket {folder}/s\nunixsocketperm 700\ndir {folder}\nappendonly yes\n"
    process = subprocess.Popen([embedded.server_binary(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(config.encode())
    process.stdin.close()
    until((folder / "s").exists, "the server is there")
    try:
        yield f"unix://{folder}/s"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def worker_pool(url: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`analytics-kit worker` with one worker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analytics_kit.cli", "worker"],
        env=os.environ | {"REDIS_URL": url, "ANALYTICS_KIT_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def hosts(folder: Path) -> Iterator[Row]:
    """On a Redis that was named: a whole host dies, with and without another one."""
    path = studies.half_a_gigabyte(folder)
    home = folder / "hosts"
    with server(folder / "redis") as url, ak.connect(url, home=home) as client:
        begun = time.monotonic()
        job = client.submit(path, refresh=True)
        seconds = until(lambda: client.get_job(job.id).info().notice, "it is said")
        yield "no worker listens → said on the job", f"{seconds:.2f} s", "< 5 s", seconds < 5
        with worker_pool(url, home) as first, worker_pool(url, home):
            until(lambda: client.queue_status()["workers"] == 2, "both work")
            time.sleep(max(0.0, begun + SETTLED_S - time.monotonic()))  # a server just started gives workers time
            job.wait()
            job = client.submit(path, refresh=True)
            until(lambda: _has_a_part(job, first.pid), "the first one has a part in hand")
            _kill_all(first.pid)
            seconds = taken_again(job)
            yield "a host dies, another one lives → work taken again", f"{seconds:.1f} s", "< 15 s", seconds < 15
            job.result()
        with worker_pool(url, home) as only:
            job = running(client, path)
            _kill_all(only.pid)
        seconds = until(lambda: (job.status, "is retried" in job.log())[1], "it is noticed")
        yield "all hosts die → noticed by a client that asks", f"{seconds:.1f} s", "< 15 s", seconds < 15


def _has_a_part(job: ak.Job, pid: int) -> bool:
    """Whether the worker of this command has taken a part and not ended it."""
    words = [line.split() for line in job.log().splitlines()]
    taken = {line[2] for line in words if f"-{pid}-0-" in line[-1] and line[2].startswith("part-")}
    return bool(taken - {line[2] for line in words if line[-1] == "done"})


def _kill_all(pid: int) -> None:
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        process.kill()


def rows(folder: Path) -> Iterator[Row]:
    """All of it."""
    yield from deaths(folder)
    yield from hosts(folder)
