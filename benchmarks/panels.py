"""Measure how soon a notebook shows jobs and their changes, and how much panels and a board send."""

from __future__ import annotations

import queue
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings
from benchmarks import studies
from benchmarks.jobs import Row, p95

Message = dict[str, Any]
T = TypeVar("T", float, str)
ROUND = range(20)
PANELS = 50
JOBS = 1000
KERNELS = 5
LIMIT_S = 120
LONG_S = 300
LISTEN_S = 10
PAUSE_S = 1.2
"""Between jobs of a board, which sends four changes a second."""
UPDATES = ("comm_msg", "update_display_data")
FIFTY = """
import threading
from datetime import UTC, datetime
from analytics_kit.model import JobInfo, JobStatus, Progress
from analytics_kit.notebook.panel import JobPanel

class Busy:
    backend_notice, client_name = "", "ak"
    done = 0
    def __init__(self):
        self.callbacks = []
    def snapshot(self):
        progress = Progress("processing", fraction=self.done / 10**6, rows=self.done)
        return JobInfo("id", JobStatus.RUNNING, "study.zip", "key", datetime(2026, 1, 1, tzinfo=UTC), progress)
    def on_change(self, callback):
        self.callbacks.append(callback)
        return self.callbacks.clear

jobs = [Busy() for _ in range(PANELS)]
stop = threading.Event()

def report_often():
    while not stop.wait(0.02):
        for job in jobs:
            job.done += 1
            for callback in list(job.callbacks):
                callback(job.snapshot())

panels = [JobPanel(job) for job in jobs]
display(*panels)
threading.Thread(target=report_often, daemon=True).start()
"""


BUSY_BOARD = """
import threading
from datetime import UTC, datetime
from analytics_kit.model import JobInfo, JobStatus, Progress
from analytics_kit.notebook.board import Board

class Busy:
    notice, client_name = "", "ak"
    def __init__(self):
        self.backend = self
        self.done = 0
    def queue_status(self):
        return {"backend": "redis", "workers": 2, "workers_busy": 2}
    def list(self):
        progress = Progress("processing", fraction=self.done / 1000)
        made = datetime(2026, 1, 1, tzinfo=UTC)
        return [JobInfo(f"id{n}", JobStatus.RUNNING, f"{n}.zip", "key", made, progress) for n in range(JOBS)]
    def listen_all(self, report):
        def report_often():
            while not stop.wait(0.02):
                self.done += 1
                report(self.list())
        threading.Thread(target=report_often, daemon=True).start()
        return lambda: None

stop = threading.Event()
board = Board(Busy())
board
"""
FRESH = """
import time, analytics_kit as ak
client = ak.connect("embedded", home={home!r}, workers=1)
job = client.submit({path!r}, refresh=True)
print(time.time())
job
"""


class Notebook:
    """A kernel and the messages that a front end receives from it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.messages: list[Message] = []

    def run(self, code: str, cell: str = "cell", limit_s: float = LIMIT_S) -> list[Message]:
        """Run a cell and return its messages. What an earlier run of the cell displayed is closed."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(request)
        request_id = request["header"]["msg_id"]
        while (reply := self.client.get_shell_msg(timeout=limit_s))["parent_header"].get("msg_id") != request_id:
            pass
        assert reply["content"]["status"] == "ok", reply["content"]
        while True:
            message = self.next()
            if (
                message["parent_header"].get("msg_id") == request_id
                and message["content"].get("execution_state") == "idle"
            ):
                return [each for each in self.messages if each["parent_header"].get("msg_id") == request_id]

    def next(self, limit_s: float = LIMIT_S) -> Message:
        """Wait for the next message."""
        self.messages.append(self.client.get_iopub_msg(timeout=limit_s))
        return self.messages[-1]

    def seconds(self, seconds: float) -> list[Message]:
        """Return the messages of the next `seconds`."""
        start_time, start = time.monotonic(), len(self.messages)
        while (left := seconds - (time.monotonic() - start_time)) > 0:
            try:
                self.next(left)
            except queue.Empty:
                break
        return self.messages[start:]


@contextmanager
def kernel() -> Iterator[Notebook]:
    """Yield a kernel in which nothing has run."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(Path.cwd()))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_S)
        yield Notebook(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def notebook(home: Path) -> Iterator[Notebook]:
    """Yield a kernel with an embedded broker of its own; stop both afterwards."""
    try:
        with kernel() as session:
            session.run(
                f"import time, analytics_kit as ak; client = ak.connect('embedded', home={str(home)!r}, workers=1)"
            )
            yield session
    finally:
        embedded.stop(Settings.of("embedded", home=home))


def sent_at(message: Message) -> float:
    """Return when a message was sent, in seconds by this machine's clock."""
    return float(message["header"]["date"].timestamp())


def display(session: Notebook, path: Path) -> Iterator[Row]:
    """Measure a cell's request until both outputs are sent, and a cell that only shows text."""
    session.run(f"job = client.submit({str(path)!r}); job.wait()")
    session.run("job")  # loads the modules that display
    delays, bare = [], []
    for _ in ROUND:
        delays.append(_until_shown(session, "job", 2))
        bare.append(_until_shown(session, "display('text')", 1))
    yield (
        "display(job) → both outputs sent, p95",
        f"{1000 * p95(delays):.0f} ms (median {1000 * median(delays):.0f}; text alone {1000 * median(bare):.0f})",
        "< 200 ms",
        p95(delays) < 0.2,
    )


def _until_shown(session: Notebook, code: str, outputs: int) -> float:
    start_time = time.time()
    shown = [message for message in session.run(code) if message["msg_type"] == "display_data"]
    assert len(shown) == outputs
    return sent_at(shown[-1]) - start_time


def changes(session: Notebook, path: Path) -> Iterator[Row]:
    """Measure the end of a job in its record until its panel is updated."""
    delays = []
    for _ in ROUND:
        start = len(session.messages)
        session.run(f"job = client.submit({str(path)!r}, refresh=True); job")
        while not (updates := [each for each in session.messages[start:] if _shows(each, "✔ completed")]):
            session.next()
        delays.append(sent_at(updates[0]) - printed(session, "print(job.info().ended_at.timestamp())", float))
    yield (
        "end of a job → its panel is updated, p95",
        f"{1000 * p95(delays):.0f} ms (median {1000 * median(delays):.0f})",
        "< 300 ms",
        p95(delays) < 0.3,
    )


def _shows(message: Message, text: str) -> bool:
    return text in str(state(message).get("content"))


def fifty(session: Notebook) -> Iterator[Row]:
    """Count the most messages in one second while fifty jobs change fifty times a second each."""
    session.run(f"PANELS = {PANELS}{FIFTY}")
    messages = session.seconds(LISTEN_S)
    session.run("stop.set()")
    updates = [each for each in messages if each["msg_type"] in UPDATES]
    times = [sent_at(message) for message in updates]
    most = max(sum(start <= moment < start + 1 for moment in times) for start in times)
    drawn = {each["content"]["comm_id"] for each in updates if each["msg_type"] == "comm_msg"}
    yield (
        f"{PANELS} running jobs in {PANELS} panels",
        f"{most} messages in a second at most, {len(drawn)} panels drawn in {LISTEN_S} s",
        f"< 60, all {PANELS}",
        most < 60 and len(drawn) == PANELS,
    )


def busy_board(session: Notebook) -> Iterator[Row]:
    """Count the same for one board of fifty jobs."""
    session.run(f"JOBS = {PANELS}{BUSY_BOARD}")
    times = [sent_at(each) for each in session.seconds(LISTEN_S) if each["msg_type"] in UPDATES]
    session.run("stop.set(); board.close()")
    most = max(sum(start <= moment < start + 1 for moment in times) for start in times)
    yield f"a board of {PANELS} running jobs", f"{most} messages in a second at most", "< 10", most < 10


def thousand(session: Notebook, path: Path) -> Iterator[Row]:
    """Measure a board of many ended jobs: displaying against listing them, and updating one that ends."""
    session.run(f"jobs = [client.submit({str(path)!r}, refresh=True) for _ in range({JOBS})]")
    session.run("list(ak.as_completed(jobs)); None", limit_s=LONG_S)
    listed, delays = [], []
    for _ in ROUND:
        listed.append(
            printed(session, "start = time.time(); client.backend.list(); print(time.time() - start)", float)
        )
        delays.append(_until_shown(session, "client.board()", 2))
    ratio = median(delays) / median(listed)
    yield (
        f"board of {JOBS:,} jobs → both outputs sent, median",
        f"{1000 * median(delays):.0f} ms, listing them alone {1000 * median(listed):.0f}: {ratio:.1f} times",
        "< 2 times",
        ratio < 2,
    )
    session.run("client.board()", "board")
    drawn = next(
        each for each in reversed(session.messages) if each["msg_type"] == "comm_open" and "content" in state(each)
    )
    size = len(state(drawn)["content"]["html"].encode())
    yield f"HTML of a board of {JOBS:,} jobs", f"{size:,} bytes", "< 30,000", size < 30_000
    ended = []
    for _ in ROUND:
        session.seconds(PAUSE_S)
        start = len(session.messages)
        job_id = printed(session, f"job = client.submit({str(path)!r}, refresh=True); print(job.id)", str)
        row = re.compile(rf'<tr data-key="{job_id}"(?:(?!</tr>).)*✔ completed')
        while not (
            updates := [each for each in session.messages[start:] if row.search(str(state(each).get("content")))]
        ):
            session.next()
        ended.append(sent_at(updates[0]) - printed(session, "print(job.info().ended_at.timestamp())", float))
    yield (
        f"end of a job → its board of {JOBS:,} is updated, p95",
        f"{1000 * p95(ended):.0f} ms (median {1000 * median(ended):.0f})",
        "< 300 ms",
        p95(ended) < 0.3,
    )


def new_kernel(home: Path, path: Path) -> Iterator[Row]:
    """Measure the end of a new kernel's first cell until its job is displayed, with all imports."""
    delays = []
    for _ in range(KERNELS):
        with kernel() as session:
            messages = session.run(FRESH.format(home=str(home), path=str(path)))
        (ended,) = [float(each["content"]["text"]) for each in messages if each["msg_type"] == "stream"]
        _, record = [sent_at(each) for each in messages if each["msg_type"] == "display_data"]
        delays.append(record - ended)
    yield (
        "new kernel: end of the first cell → its job shown, median",
        f"{1000 * median(delays):.0f} ms (at most {1000 * max(delays):.0f})",
        "< 200 ms",
        median(delays) < 0.2,
    )


def printed(session: Notebook, code: str, kind: type[T]) -> T:
    """Return what a cell prints."""
    return kind(
        "".join(each["content"]["text"] for each in session.run(code) if each["msg_type"] == "stream").strip()
    )


def state(message: Message) -> Message:
    """Return the state that a widget's message sets."""
    return ((message["content"].get("data") or {}).get("state") or {}) if "comm" in message["msg_type"] else {}


def rows(folder: Path) -> Iterator[Row]:
    """Measure everything in this file."""
    path, home = studies.twenty_members(folder, 0), folder / "panels"
    with notebook(home) as session:
        yield from display(session, path)
        yield from changes(session, path)
        yield from fifty(session)
        yield from busy_board(session)
        yield from thousand(session, path)
        yield from new_kernel(home, path)
