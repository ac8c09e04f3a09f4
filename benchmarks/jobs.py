"""Measure the queue: latencies, small jobs a second, the gain from a second worker, the cost of safety."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from benchmarks import studies

Row = tuple[str, str, str, bool | None]
"""What, measured, goal, and whether it was reached; None where it could not be measured."""
SMALL_JOBS = 500


@contextmanager
def broker(home: Path, workers: int) -> Iterator[ak.Client]:
    """Yield a client of an embedded broker of its own, once its workers are up; stop the broker afterwards."""
    client = ak.connect("embedded", home=home, workers=workers)
    try:
        while client.queue_status()["workers"] < workers:
            time.sleep(0.05)
        yield client
    finally:
        client.close()
        embedded.stop(client.settings)


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return sorted(values)[int(len(values) * 0.95) - 1]


def latencies(folder: Path) -> Iterator[Row]:
    """Measure submit to running, and the end of a job to its waiting client, one job at a time."""
    path = studies.twenty_members(folder, 0)
    starts, ends = [], []
    with broker(folder / "latency", 2) as client:
        client.submit(path, refresh=True).wait()
        for _ in range(100):
            job = client.submit(path, refresh=True)
            job.wait()
            seen = time.time()  # the broker's clock is this machine's
            info = job.info()
            starts.append((info.started_at - info.created_at).total_seconds())
            ends.append(seen - info.ended_at.timestamp())
    for what, values in (("submit → running, p95", starts), ("end → seen by a waiting client, p95", ends)):
        yield what, f"{1000 * p95(values):.0f} ms (median {1000 * median(values):.0f})", "< 50 ms", p95(values) < 0.05


def throughput(folder: Path) -> Iterator[Row]:
    """Measure many small jobs on two workers."""
    path = studies.twenty_members(folder, 0)
    with broker(folder / "throughput", 2) as client:
        client.submit(path, refresh=True).wait()
        start = time.perf_counter()
        jobs = [client.submit(path, refresh=True) for _ in range(SMALL_JOBS)]
        for _ in client.as_completed(jobs):
            pass
        rate = SMALL_JOBS / (time.perf_counter() - start)
    yield f"{SMALL_JOBS} jobs of 20 members on 2 workers", f"{rate:.0f} jobs/s", "≥ 40", rate >= 40


def second_worker(folder: Path) -> Iterator[Row]:
    """Measure a study of 16 shards with one worker and with two, alternately."""
    path = studies.sixteen_shards(folder)
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2):
        for workers in times:
            with broker(folder / f"workers-{workers}", workers) as client:
                job = client.submit(path, refresh=True)
                job.result()
                info = job.info()
                times[workers].append((info.ended_at - info.started_at).total_seconds())
    one, two = min(times[1]), min(times[2])
    shards = sum("done" in line.split() for line in job.log().splitlines())
    yield (
        f"a study of {shards} shards: two workers against one",
        f"{one:.1f} s and {two:.1f} s: {one / two:.2f} times",
        "≥ 1.6",
        one / two >= 1.6,
    )


def safety(folder: Path) -> Iterator[Row]:
    """Measure what record, recovery and limits cost a job of 500 MB: on the queue with one worker, and without."""
    path = studies.half_a_gigabyte(folder)
    on_queue, bare = [], []
    with broker(folder / "safety", 1) as client:
        for round_number in range(4):  # alternately; the first one of each only warms up
            job = client.submit(path, refresh=True, time_limit_s=600, memory_limit_mb=4000)
            job.result()
            info = job.info()
            on_queue.append((info.ended_at - info.started_at).total_seconds())
            bare.append(afresh_bare(path, folder / "bare" / str(round_number)))
    cost = min(on_queue[1:]) / min(bare[1:]) - 1
    yield (
        "record, recovery and limits, of a 500 MB job",
        f"{min(on_queue[1:]):.2f} s, the same steps bare {min(bare[1:]):.2f} s: {cost:+.1%}",
        "≤ 5 %",
        cost <= 0.05,
    )


def afresh_bare(path: Path, scratch: Path) -> float:
    """Return the seconds for plan, shards and merge, one after the other in a forked process, without a queue."""
    command = [sys.executable, "-m", "benchmarks.bare", str(path), str(scratch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fairness(folder: Path) -> Iterator[Row]:
    """Measure a small job while a large one has all workers, and alone."""
    large, small = studies.sixteen_shards(folder), studies.twenty_members(folder, 0)
    with broker(folder / "fairness", 2) as client:
        client.submit(small, refresh=True).wait()
        alone_s = _seconds_until_ended(client, small)
        job = client.submit(large, refresh=True)
        while job.progress.phase != "processing":
            time.sleep(0.01)
        beside_s = [_seconds_until_ended(client, small) for _ in range(5)]
        still_running = not job.done()
        job.wait()
        info = job.info()
        large_s = (info.ended_at - info.started_at).total_seconds()
    assert still_running, "the large job ended before the small ones"
    shard = large_s / 8
    yield (
        "a small job beside one of 16 shards",
        f"{max(beside_s):.2f} s at most, alone {alone_s:.2f} s, a shard {shard:.2f} s",
        "< 2 shards",
        max(beside_s) < 2 * shard,
    )


def _seconds_until_ended(client: ak.Client, path: Path) -> float:
    start = time.perf_counter()
    client.submit(path, refresh=True).wait()
    return time.perf_counter() - start


def rows(folder: Path) -> Iterator[Row]:
    """Measure everything in this file."""
    assert threading.active_count() < 10
    for measure in (latencies, throughput, second_worker, fairness, safety):
        yield from measure(folder)
