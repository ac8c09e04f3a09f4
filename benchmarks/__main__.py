"""`make bench`: measure everything and print a table; exits 1 when a goal is missed. README.md lists the parts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from benchmarks import agreement, figures, jobs, measures, panels, recovery, server, studies, thinning
from benchmarks.jobs import Row

ROUNDS = 5


def seconds(call: Callable[[], object]) -> float:
    """Return the duration of a call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def afresh(what: str, path: Path, scratch: Path) -> float:
    """Return how long `what` takes in a new process, in seconds, as in a notebook just opened."""
    command = [sys.executable, "-m", "benchmarks.once", what, str(path), str(scratch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def against_pandas(what: str, path: Path, goal: float, scratch: Path) -> Row:
    """Measure `process()`, with the store written, against a loop of read_csv."""
    runs = [[afresh(what, path, scratch) for what in ("process", "pandas_loop")] for _ in range(ROUNDS)]
    ours, theirs = map(min, zip(*runs, strict=True))  # alternately, the quickest of each
    ratio = theirs / ours
    return what, f"{ours:.2f} s, pandas loop {theirs:.2f} s: {ratio:.1f} times faster", f"≥ {goal:.0f}", ratio >= goal


@contextmanager
def broker(home: Path) -> Iterator[ak.Client]:
    """Yield a client of an embedded broker of its own, which is stopped afterwards."""
    client = ak.connect("embedded", home=home)
    try:
        yield client
    finally:
        client.close()
        embedded.stop(client.settings)


def latency(folder: Path) -> Iterator[Row]:
    """Measure `submit`, cold and warm, and the time to a small result."""
    big = studies.large_files(folder)
    with broker(folder / "cold") as client:  # once, so that kernels are compiled
        client.submit(studies.twenty_members(folder, 0)).result()
    cold = afresh("submit", big, folder / "cold")
    size = big.stat().st_size / 1e6
    yield f"submit() of {size:.0f} MB, cold (broker start, imports)", f"{cold:.2f} s", "< 2 s", cold < 2
    with broker(folder / "cold") as client:
        for job_id in client.jobs()["job_id"]:
            client.get_job(job_id).wait()
        quarter = studies.sample_study(folder / "quarter.zip", participants=100, trials=3, trial_s=135)
        size = quarter.stat().st_size / 1e6
        warm = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            job = client.submit(quarter, refresh=True)
            warm.append(time.perf_counter() - start)
            job.wait()
        yield f"submit() of {size:.0f} MB, warm", f"{1000 * median(warm):.0f} ms", "< 100 ms", median(warm) < 0.1
        small = [studies.twenty_members(folder, seed) for seed in range(1, ROUNDS + 1)]
        times = [seconds(lambda path=path: client.submit(path).result()) for path in small]
        yield "submit → result, 20 members, warm", f"{1000 * median(times):.0f} ms", "< 300 ms", median(times) < 0.3


def memory(folder: Path) -> Iterator[Row]:
    """Measure the time to write a study of 2 GB raw, and a worker's peak memory for it."""
    start = time.perf_counter()
    path = studies.two_gigabytes(folder)
    wrote = time.perf_counter() - start
    peak = 0
    with broker(folder / "memory") as client:
        job = client.submit(path)
        watched = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not watched.wait(0.05):
                for process in psutil.process_iter(["name", "cmdline"]):
                    if "analytics_kit.backends.worker" in (process.info["cmdline"] or ()):
                        peak = max(peak, high_water(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        took = seconds(job.result)
        watched.set()
        watcher.join()
        raw = job.result().summary["raw_bytes"]
    gigabytes = raw / 1e9
    yield (
        f"sample_study() of {gigabytes:.1f} GB raw",
        f"{wrote / gigabytes:.0f} s a GB",
        "< 60 s",
        wrote / gigabytes < 60,
    )
    yield (
        f"worker's peak memory, {gigabytes:.1f} GB raw",
        f"{peak / 1e6:.0f} MB ({took:.0f} s)",
        "< 1 GB",
        0 < peak < 1e9,
    )


def high_water(pid: int) -> int:
    """Return the peak resident bytes of a process (Linux)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def speed(folder: Path) -> Iterator[Row]:
    """Measure against the loop that people write today."""
    yield against_pandas("4,800 members of 2.8 KB", studies.small_files(folder), 20, folder)
    yield against_pandas("32 trials of 200,000 rows", studies.large_files(folder), 4, folder)


PARTS = {
    "speed": speed,
    "latency": latency,
    "memory": memory,
    "jobs": jobs.rows,
    "recovery": recovery.rows,
    "panels": panels.rows,
    "figures": figures.rows,
    "measures": measures.rows,
    "agreement": agreement.rows,
    "server": server.rows,
}
VERDICTS = {True: "reached", False: "MISSED", None: "not measured"}


def main() -> int:
    """Measure and print; arguments select parts, or the one report without goals."""
    if sys.argv[1:] == ["thinning"]:
        with tempfile.TemporaryDirectory() as scratch:
            print(*thinning.report(Path(scratch)), sep="\n")
        return 0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in sys.argv[1:] or PARTS:
            for row in PARTS[name](Path(scratch)):
                print(*row[:3], VERDICTS[row[3]], sep=" | ", file=sys.stderr, flush=True)
                rows.append(row)
    table = Table("what", "measured", "goal", "", box=None)
    for what, measured, goal, reached in rows:
        table.add_row(what, measured, goal, VERDICTS[reached])
    Console(width=120).print(table)
    return 1 if any(row[-1] is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
