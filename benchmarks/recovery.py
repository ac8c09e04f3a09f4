"""Measure the seconds until a death is noticed and its step runs again, a cancelled process is gone, a limit acts."""

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
    """Return the seconds until the condition holds."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > LIMIT_S:
            raise TimeoutError(f"{LIMIT_S:g} s passed before {what}")
        time.sleep(0.01)
    return time.perf_counter() - start


def running(client: ak.Client, path: Path, **limits: float) -> ak.Job:
    """Return a job whose shards are being processed."""
    job = client.submit(path, refresh=True, **limits)
    until(lambda: job.progress.phase == "processing" and job.progress.done, "shards are processed")
    return job


def taken_again(job: ak.Job) -> float:
    """Return the seconds until a worker takes a step that was lost or given back."""

    def seen() -> bool:
        try:
            lines = job.log().splitlines()
        except ak.BrokerUnavailableError:
            return False
        lost = [i for i, line in enumerate(lines) if "is retried" in line]
        return any("taken by" in line for line in lines[lost[0] :]) if lost else False

    return until(seen, "it is taken again")


def descendants(pid: int, depth: int) -> list[psutil.Process]:
    """Return the workers (1 below their supervisor) or the task processes (2 below)."""
    found = [p for p in psutil.Process(pid).children() if "analytics_kit.backends.worker" in p.cmdline()]
    return found if depth == 1 else [child for worker in found for child in worker.children()]


def deaths(folder: Path) -> Iterator[Row]:
    """Kill each process of the embedded broker and measure how long until the work goes on."""
    path = studies.half_a_gigabyte(folder)
    with broker(folder / "recovery", 2) as client:
        client.submit(path).result()

        def owner() -> int:
            return int(broker_paths(client.settings).owner_lock.read_text())

        def server() -> psutil.Process:
            family = psutil.Process(owner()).children(recursive=True)
            return next(p for p in family if p.name().startswith(("valkey", "redis")))

        victims: dict[str, Callable[[], list[psutil.Process]]] = {
            "task process": lambda: descendants(owner(), 2)[:1],
            "worker": lambda: descendants(owner(), 1)[:1],
            "all workers and task processes": lambda: descendants(owner(), 1) + descendants(owner(), 2),
            "broker": lambda: [server()],
            "supervisor": lambda: [psutil.Process(owner())],
        }
        for name, find in victims.items():
            job = running(client, path)
            for victim in find():
                victim.kill()
            seconds = taken_again(job)
            job.result()
            yield f"{name} killed → step taken again", f"{seconds:.1f} s", "< 15 s", seconds < 15
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
    """Run a Redis with an append-only file on a socket; yield its URL."""
    folder.mkdir()
    config = f"port 0\nunixsocket {folder}/s\nunixsocketperm 700\ndir {folder}\nappendonly yes\n"
    process = subprocess.Popen([embedded.server_binary(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(config.encode())
    process.stdin.close()
    until((folder / "s").exists, "the server listens")
    try:
        yield f"unix://{folder}/s"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def worker_pool(url: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `analytics-kit worker` with one worker."""
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
    """Kill a whole host of a named Redis, with and without another one, and measure."""
    path = studies.half_a_gigabyte(folder)
    home = folder / "hosts"
    with server(folder / "redis") as url, ak.connect(url, home=home) as client:
        begun = time.monotonic()
        job = client.submit(path, refresh=True)
        seconds = until(lambda: client.get_job(job.id).info().notice, "the job has a notice")
        yield "no worker listens → notice on the job", f"{seconds:.2f} s", "< 5 s", seconds < 5
        with worker_pool(url, home) as first, worker_pool(url, home):
            until(lambda: client.queue_status()["workers"] == 2, "both workers listen")
            time.sleep(max(0.0, begun + SETTLED_S - time.monotonic()))  # a server just started gives workers time
            job.wait()
            job = client.submit(path, refresh=True)
            until(lambda: _has_a_part(job, first.pid), "the first one has a shard")
            _kill_all(first.pid)
            seconds = taken_again(job)
            yield "a host dies, another one lives → step taken again", f"{seconds:.1f} s", "< 15 s", seconds < 15
            job.result()
        with worker_pool(url, home) as only:
            job = running(client, path)
            _kill_all(only.pid)
        seconds = until(lambda: (job.status, "is retried" in job.log())[1], "it is noticed")
        yield "all hosts die → noticed by a client that reads the job", f"{seconds:.1f} s", "< 15 s", seconds < 15


def _has_a_part(job: ak.Job, pid: int) -> bool:
    """Return whether the worker of this command has taken a shard and not finished it."""
    entries = [line.split() for line in job.log().splitlines()]
    taken = {line[2] for line in entries if f"-{pid}-0-" in line[-1] and line[2].startswith("part-")}
    return bool(taken - {line[2] for line in entries if line[-1] == "done"})


def _kill_all(pid: int) -> None:
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        process.kill()


def rows(folder: Path) -> Iterator[Row]:
    """Measure everything in this file."""
    yield from deaths(folder)
    yield from hosts(folder)
