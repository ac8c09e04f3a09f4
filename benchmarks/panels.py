"""How soon does a notebook show a job and its changes, and how much do fifty panels send?"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from analytics_kit.backends import embedded
from analytics_kit.settings import Settings
from benchmarks import studies
from benchmarks.jobs import Row, p95

Message = dict[str, Any]
ROUNDS = 20
PANELS = 50
LIMIT_S = 120
HEARD_S = 10
FIFTY = """
import threading
from datetime import UTC, datetime
from analytics_kit.model import JobInfo, JobStatus, Progress
from analytics_kit.notebook.panel import JobPanel

class Busy:
    reason = ""
    done = 0
    def __init__(self):
        self.acts = []
    def shown(self):
        progress = Progress("processing", fraction=self.done / 10**6, rows=self.done)
        return JobInfo("id", JobStatus.RUNNING, "study.zip", "key", datetime(2026, 1, 1, tzinfo=UTC), progress)
    def on_change(self, act):
        self.acts.append(act)
        return self.acts.clear

jobs = [Busy() for _ in range(PANELS)]
stop = threading.Event()

def race():
    while not stop.wait(0.02):
        for job in jobs:
            job.done += 1
            for act in list(job.acts):
                act(job.shown())

panels = [JobPanel(job) for job in jobs]
display(*panels)
threading.Thread(target=race, daemon=True).start()
"""


class Notebook:
    """A kernel and what it sends, as a front end hears it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.heard: list[Message] = []

    def run(self, code: str) -> list[Message]:
        """Run a cell to its end, and give what was heard of it."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": "cell"})
        self.client.shell_channel.send(request)
        asked = request["header"]["msg_id"]
        while (reply := self.client.get_shell_msg(timeout=LIMIT_S))["parent_header"].get("msg_id") != asked:
            pass
        assert reply["content"]["status"] == "ok", reply["content"]
        while True:
            message = self.next()
            if (
                message["parent_header"].get("msg_id") == asked
                and message["content"].get("execution_state") == "idle"
            ):
                return [each for each in self.heard if each["parent_header"].get("msg_id") == asked]

    def next(self, limit_s: float = LIMIT_S) -> Message:
        """The next message."""
        self.heard.append(self.client.get_iopub_msg(timeout=limit_s))
        return self.heard[-1]

    def seconds(self, seconds: float) -> list[Message]:
        """What comes in so much time."""
        begun, start = time.monotonic(), len(self.heard)
        while (left := seconds - (time.monotonic() - begun)) > 0:
            try:
                self.next(left)
            except queue.Empty:
                break
        return self.heard[start:]


@contextmanager
def notebook(home: Path) -> Iterator[Notebook]:
    """A kernel with an embedded broker of its own; both are gone afterwards."""
    settings = Settings.of("embedded", home=home)
    manager = KernelManager()
    manager.start_kernel(cwd=str(Path.cwd()))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_S)
        book = Notebook(client)
        book.run(f"import analytics_kit as ak; client = ak.connect('embedded', home={str(home)!r}, workers=1)")
        yield book
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        embedded.stop(settings)


def sent_at(message: Message) -> float:
    """By the kernel's clock, which is this machine's, in seconds."""
    return float(message["header"]["date"].timestamp())


def display(book: Notebook, path: Path) -> Iterator[Row]:
    """From the cell's request until both outputs are out, beside a cell that only shows text."""
    book.run(f"job = client.submit({str(path)!r}); job.wait()")
    book.run("job")  # loads what draws
    took, bare = [], []
    for _ in range(ROUNDS):
        took.append(_until_shown(book, "job", 2))
        bare.append(_until_shown(book, "display('text')", 1))
    yield (
        "display(job) → both outputs sent, p95",
        f"{1000 * p95(took):.0f} ms (median {1000 * median(took):.0f}; text alone {1000 * median(bare):.0f})",
        "< 200 ms",
        p95(took) < 0.2,
    )


def _until_shown(book: Notebook, code: str, outputs: int) -> float:
    begun = time.time()
    shown = [message for message in book.run(code) if message["msg_type"] == "display_data"]
    assert len(shown) == outputs
    return sent_at(shown[-1]) - begun


def changes(book: Notebook, path: Path) -> Iterator[Row]:
    """From the end of a job in its record until the box has been told."""
    took = []
    for _ in range(ROUNDS):
        start = len(book.heard)
        book.run(f"job = client.submit({str(path)!r}, refresh=True); job")
        while not (told := [each for each in book.heard[start:] if _says(each, "✔ completed")]):
            book.next()
        ended = next(
            message["content"]["text"]
            for message in book.run("print(job.info().ended_at.timestamp())")
            if message["msg_type"] == "stream"
        )
        took.append(sent_at(told[0]) - float(ended))
    yield (
        "end of a job → its box is told, p95",
        f"{1000 * p95(took):.0f} ms (median {1000 * median(took):.0f})",
        "< 300 ms",
        p95(took) < 0.3,
    )


def _says(message: Message, words: str) -> bool:
    state = (message["content"].get("data") or {}).get("state") or {}
    return message["msg_type"] in ("comm_msg", "comm_open") and words in str(state.get("shown", ""))


def fifty(book: Notebook) -> Iterator[Row]:
    """The most messages in any one second while fifty jobs get on, each fifty times a second."""
    book.run(f"PANELS = {PANELS}{FIFTY}")
    heard = book.seconds(HEARD_S)
    book.run("stop.set()")
    updates = [each for each in heard if each["msg_type"] in ("comm_msg", "update_display_data")]
    times = [sent_at(message) for message in updates]
    most = max(sum(start <= moment < start + 1 for moment in times) for start in times)
    drawn = {each["content"]["comm_id"] for each in updates if each["msg_type"] == "comm_msg"}
    yield (
        f"{PANELS} running jobs in {PANELS} panels",
        f"{most} messages in a second at most, {len(drawn)} panels drawn in {HEARD_S} s",
        f"< 60, all {PANELS}",
        most < 60 and len(drawn) == PANELS,
    )


def rows(folder: Path) -> Iterator[Row]:
    """All of it."""
    path = studies.twenty_members(folder, 0)
    with notebook(folder / "panels") as book:
        yield from display(book, path)
        yield from changes(book, path)
        yield from fifty(book)
