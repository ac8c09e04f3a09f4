"""Measure the HTTP API on the embedded broker: polls of 100 jobs, a known study, an upload."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
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
from analytics_kit.study.sample.study import sample_study
from benchmarks.jobs import Row, p95

JOBS, CLIENTS, POLLS = 100, 64, 50
UPLOAD_BYTES = 1_000_000_000
BLOCK_BYTES = 1 << 20
SLOW_CLIENTS = 200
SETTLE_S = 10


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
        sample_study(data / "sample.zip", participants=8, trials=6)
        sample = json.loads(one.get("/sample/zip-data?async=false"))["job_id"]
        yield from slow_rows(port, token, sample)
        one = ApiConnection(port, token)
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


@contextmanager
def slow_clients(port: int, request: str) -> Iterator[None]:
    """Hold connections that have sent `request`, or a part of one, and read nothing."""
    wires = []
    try:
        for _ in range(SLOW_CLIENTS):
            wires.append(wire := socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            wire.connect(("127.0.0.1", port))
            wire.sendall(request.encode())
        yield
    finally:
        for wire in wires:
            wire.close()


def slow_rows(port: int, token: str, job: str) -> Iterator[Row]:
    """Measure polls beside clients that are slow to ask and slow to read."""
    lines = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    api = "/api/analytics"
    post = f"POST {api}/slow/zip-data HTTP/1.1\r\n{lines}Content-Type: application/zip\r\n"
    requests = {
        "half a head": f"GET {api}/health/live HTTP/1.1\r\nHost: x\r\nX-More: ",
        "half a body": f"{post}Content-Length: 5000\r\n\r\nPK\x03\x04",
        "half an upload": f"{post}Content-Length: 5000000\r\n\r\nPK\x03\x04",
        "a table that they don't read": f"GET {api}/jobs/{job}/result?table=mouse_movement&format=csv HTTP/1.1\r\n"
        f"{lines}\r\n",
    }
    for what, request in requests.items():
        with slow_clients(port, request):
            time.sleep(SETTLE_S)  # making the tables' first pieces is work, not waiting
            connection = ApiConnection(port, token)
            polls = [connection.seconds(f"/jobs/{job}") for _ in range(500)]
        yield f"poll beside {SLOW_CLIENTS} clients with {what}, p95", _ms(polls), "< 20 ms", p95(polls) < 0.02


def _poll(connection: ApiConnection, jobs: list[str], first: int) -> None:
    for number in range(first, first + POLLS):
        connection.get(f"/jobs/{jobs[number % len(jobs)]}")


def _ms(values: list[float]) -> str:
    return f"{1000 * p95(values):.1f} ms (median {1000 * median(values):.1f})"
