"""Measure the HTTP API on the embedded broker: polls of 100 jobs, a known study, an upload."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings
from benchmarks.jobs import Row, p95

JOBS, CLIENTS, POLLS = 100, 64, 50
UPLOAD_BYTES = 1_000_000_000
BLOCK_BYTES = 1 << 20


class ApiConnection:
    """One connection to the server."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> bytes:
        """Request a path and return the body of the response."""
        self._connection.request("GET", f"/api/analytics{path}", headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status in (200, 202), (path, response.status, body)
        return body

    def upload(self, path: Path) -> None:
        """Upload a study."""
        headers = {"Content-Type": "application/zip", "Content-Length": str(path.stat().st_size)}
        with path.open("rb") as file:
            self._connection.request("POST", "/api/analytics/upload/zip-data", file, self._headers | headers)
            response = self._connection.getresponse()
            assert response.status == 202, response.read()
            response.read()

    def seconds(self, path: str) -> float:
        """Return the seconds that a request takes."""
        start = time.perf_counter()
        self.get(path)
        return time.perf_counter() - start


@contextmanager
def server(data: Path, home: Path) -> Iterator[tuple[int, str]]:
    """Yield port and token of a server with an embedded broker; stop both afterwards."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS", "ANALYTICS_KIT"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "analytics_kit.cli", "serve", "--data", str(data), "--port", "0"],
        env=environment | {"ANALYTICS_KIT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        output = process.stderr.readline() + process.stderr.readline()
        found = re.search(r":(\d+)/.*Token: (\S+)", output, re.DOTALL)
        assert found is not None, output
        yield int(found[1]), found[2]
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()
        embedded.stop(Settings.of(home=home))


def written_mb_per_s(folder: Path) -> float:
    """Return the disk's speed in MB/s: as many bytes written and synced."""
    block = os.urandom(BLOCK_BYTES)
    start = time.perf_counter()
    with (folder / "probe").open("wb") as file:
        for _ in range(UPLOAD_BYTES // BLOCK_BYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    (folder / "probe").unlink()
    return UPLOAD_BYTES / 1e6 / seconds


def rows(folder: Path) -> Iterator[Row]:
    """Measure everything about the server."""
    data = folder / "served"
    data.mkdir()
    for number in range(JOBS):
        with zipfile.ZipFile(data / f"s{number}.zip", "w") as archive:
            lines = "".join(f"10:00:00,{t / 100},{number},{t}\n" for t in range(1, 100))
            archive.writestr(
                "1_participant_session/A_B_trial_1/Mouse Movement.csv", f"Time,running_time,x,y\n{lines}"
            )
    with server(data, folder / "server") as (port, token):
        one = ApiConnection(port, token)
        jobs = [json.loads(one.get(f"/s{number}/zip-data"))["job_id"] for number in range(JOBS)]
        while (status := json.loads(one.get("/queue-status")))["queued"] + status["running"]:
            time.sleep(0.2)
        polls = [one.seconds(f"/jobs/{job}") for _ in range(10) for job in jobs]
        yield "poll of one of 100 jobs, p95", _ms(polls), "< 10 ms", p95(polls) < 0.01
        known = [one.seconds(f"/s{number}/zip-data") for _ in range(3) for number in range(JOBS)]
        yield "GET zip-data of a known study, p95", _ms(known), "< 50 ms", p95(known) < 0.05
        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(lambda first: _poll(ApiConnection(port, token), jobs, first), range(CLIENTS)))
        rate = CLIENTS * POLLS / (time.perf_counter() - start)
        yield f"polls a second, {CLIENTS} clients", f"{rate:.0f}", "≥ 200", rate >= 200
        big = folder / "big.zip"
        with zipfile.ZipFile(big, "w") as archive, archive.open("recording.mp4", "w", force_zip64=True) as member:
            for _ in range(UPLOAD_BYTES // BLOCK_BYTES):
                member.write(os.urandom(BLOCK_BYTES))
        disk = written_mb_per_s(folder)
        start = time.perf_counter()
        one.upload(big)
        speed = big.stat().st_size / 1e6 / (time.perf_counter() - start)
        goal = min(200.0, disk)
        yield (
            "upload of 1 GB",
            f"{speed:.0f} MB/s, the disk {disk:.0f}",
            "≥ 200 MB/s or the disk",
            speed >= 0.9 * goal,
        )


def _poll(connection: ApiConnection, jobs: list[str], first: int) -> None:
    for number in range(first, first + POLLS):
        connection.get(f"/jobs/{jobs[number % len(jobs)]}")


def _ms(values: list[float]) -> str:
    return f"{1000 * p95(values):.1f} ms (median {1000 * median(values):.1f})"
