"""The board follows all jobs, handles clicks and receives uploads."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import analytics_kit as ak
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.notebook.board import Board
from analytics_kit.settings import Settings
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload
from analytics_kit.watcher import Watcher
from tests.fake_backend import FakeBackend
from tests.processes import until

SUMMARY = {"participants": 1, "trials": 3, "rows_kept": 9, "issues": 0, "events": {"keyboard": 9}}
COMPLETED = {"status": JobStatus.COMPLETED, "result": {"store": "", "prefix": "", "summary": SUMMARY}}


class FakeClient:
    """A client with a backend that the test controls."""

    client_name = "client"

    def __init__(self, home):
        self.backend, self.settings = FakeBackend(), Settings.of(home=home, upload_limit_gb=0.001)
        self.watcher = Watcher(self.backend)
        self.listen_all = self.watcher.listen_all
        self.joined = None

    def receive(self, name, size_bytes):
        return Upload(self.settings, name, size_bytes)

    def submit(self, source):
        if self.backend.away:
            raise BrokerUnavailableError(self.backend.away)
        info = self.joined or self.backend.put(source=source)
        return SimpleNamespace(snapshot=lambda: info)


class FakeWidget:
    """Keeps what a front end would get."""

    def __init__(self):
        self.content, self.sent = {"html": "", "announcement": ""}, []

    def send(self, content):
        self.sent.append(content)

    def close(self):
        pass


@pytest.fixture
def jobs(tmp_path):
    return FakeClient(tmp_path)


@pytest.fixture
def widget():
    return FakeWidget()


@pytest.fixture
def board(jobs, widget):
    board = Board(jobs)
    board._refresh()
    board._widget, board._stop = widget, board._observe()
    yield board
    board.close()
    until(lambda: jobs.watcher._thread is None, "the watcher has ended")


def send(board, action, buffers=(), **content):
    """Send a message of the page."""
    board._on_message({"action": action, **content}, buffers)


def test_board_follows_jobs_that_come_change_and_go(board, widget, jobs):
    one = jobs.backend.put(source="/d/one.zip")
    until(lambda: "one.zip" in widget.content["html"], "a new job is there")
    jobs.backend.end(SimpleNamespace(id=one.job_id))
    until(lambda: "1 completed" in widget.content["html"], "it has ended")
    assert widget.content["announcement"] == "one.zip: completed"
    jobs.backend.delete(one.job_id)
    until(lambda: "No jobs yet." in widget.content["html"], "the job is not listed any more")


def test_board_displayed_again_starts_with_the_present_jobs(jobs):
    """Another panel keeps the watcher running meanwhile, but no board keeps its list of all jobs up to date."""
    job, calls = jobs.backend.put(), []
    stop_other = jobs.watcher.listen(job.job_id, lambda info: None)
    stop = jobs.listen_all(calls.append)
    until(lambda: calls, "the first board is notified")
    stop()
    jobs.watcher._list_at = math.inf  # as if listing were so slow that it is not due again
    reads = jobs.backend.read_count
    until(lambda: jobs.backend.read_count > reads + 1, "the watcher has read again")
    new = jobs.backend.put()
    calls.clear()
    stop = jobs.listen_all(calls.append)
    until(lambda: calls, "the second board is notified")
    stop()
    stop_other()
    assert new.job_id in [info.job_id for info in calls[0]]
    until(lambda: jobs.watcher._thread is None, "the watcher has ended")


def test_board_keeps_its_jobs_and_shows_the_error_while_the_broker_is_away(board, widget, jobs):
    jobs.backend.put(source="/d/one.zip")
    until(lambda: "one.zip" in widget.content["html"], "the job is there")
    jobs.backend.away = "Redis <is> away"
    jobs.backend.notify()
    until(lambda: "Reconnecting …: Redis &lt;is&gt; away" in widget.content["html"], "the board shows the error")
    assert "one.zip" in widget.content["html"]
    jobs.backend.away = None
    until(lambda: "Reconnecting" not in widget.content["html"], "it is back")


def test_code_to_load_a_result_names_the_client(board, widget, jobs):
    job = jobs.backend.put(source="/d/one.zip", **COMPLETED)
    send(board, "open", job=job.job_id)
    code = f"result = client.get_job(&quot;{job.job_id}&quot;).result()"
    until(lambda: code in widget.content["html"], "the code is shown")


def test_job_is_opened_cancelled_retried_and_found(board, widget, jobs):
    job = jobs.backend.put(source="/d/one.zip")
    send(board, "open", job=job.job_id)
    until(lambda: f'data-key="open {job.job_id}"' in widget.content["html"], "it is open")
    send(board, "log", job=job.job_id)
    until(lambda: f"log of {job.job_id}" in widget.content["html"], "its log is open")
    send(board, "cancel", job=job.job_id)
    until(lambda: "1 cancelled" in widget.content["html"], "it is cancelled")
    send(board, "retry", job=job.job_id)
    until(lambda: "1 queued" in widget.content["html"], "there is a new one")
    assert [info.status for info in jobs.backend.list()] == [JobStatus.CANCELLED, JobStatus.QUEUED]
    send(board, "find", value="two")
    until(lambda: "No job matches." in widget.content["html"], "the filter holds")


def test_failed_action_is_noted(board, widget, jobs):
    job = jobs.backend.put()
    jobs.backend.away = "Redis is away"
    send(board, "cancel", job=job.job_id)
    until(lambda: "Cancel did not work: Redis is away" in widget.content["html"], "the board shows the error")


def test_upload_becomes_a_job(board, widget, jobs):
    send(board, "upload", token="t", name="../new.zip", size=10)
    send(board, "piece", [memoryview(b"0123")], token="t", offset=0)
    send(board, "piece", [memoryview(b"456789")], token="t", offset=4)
    assert [reply["received"] for reply in widget.sent] == [0, 4, 10]
    assert widget.sent[-1]["done"]
    (job,) = jobs.backend.list()
    assert job.source.endswith("/new.zip")
    with open(job.source, "rb") as file:  # noqa: PTH123
        assert file.read() == b"0123456789"
    until(lambda: f'data-key="open {job.job_id}"' in widget.content["html"], "the new job is open")


def test_too_large_upload_is_refused_with_the_setting_that_allows_it(board, widget, jobs):
    send(board, "upload", token="t", name="big.zip", size=2_000_000)
    (reply,) = widget.sent
    assert "ANALYTICS_KIT_UPLOAD_LIMIT_GB" in reply["error"]
    assert jobs.backend.list() == []


@pytest.mark.parametrize("why", ["an equal study has a job", "it can't be submitted"])
def test_copy_that_no_job_needs_is_removed(board, widget, jobs, why):
    if why == "an equal study has a job":
        jobs.joined = jobs.backend.put(source="/d/equal.zip")
    send(board, "upload", token="t", name="new.zip", size=4)
    if why == "it can't be submitted":
        jobs.backend.away = "Redis is away"
    send(board, "piece", [memoryview(b"0123")], token="t", offset=0)
    assert Store.of(jobs.settings).files("uploads") == []
    if jobs.joined:
        assert widget.sent[-1]["done"]
        until(lambda: f'data-key="open {jobs.joined.job_id}"' in widget.content["html"], "the other job is open")
    else:
        assert "Redis is away" in widget.sent[-1]["error"]


@pytest.mark.parametrize("end", ["abandoned", "closed", "out of order"])
def test_upload_that_ends_early_leaves_no_file(board, widget, jobs, end):
    send(board, "upload", token="t", name="new.zip", size=10)
    send(board, "piece", [memoryview(b"0123")], token="t", offset=0)
    if end == "abandoned":
        send(board, "abandon", token="t")
    elif end == "closed":
        board.close()
    else:
        send(board, "piece", [memoryview(b"89")], token="t", offset=8)
        assert "out of order" in widget.sent[-1]["error"]
    send(board, "piece", [memoryview(b"4567")], token="t", offset=4)
    assert Store.of(jobs.settings).files("uploads") == []
    assert jobs.backend.list() == []


class TestWithoutFrontEnd:
    """A board in a notebook that runs without a front end, with a local backend."""

    LIMIT_S = 100
    CELLS = (
        "import analytics_kit as ak\njobs = [ak.submit(source) for source in {sources!r}]\nak.board()",
        "[job.wait() for job in jobs]",
        "ak.board()",
    )

    @pytest.fixture(scope="class")
    @staticmethod
    def sources(tmp_path_factory):
        """The paths of a study and of a file that is none."""
        folder = tmp_path_factory.mktemp("sources")
        (folder / "torn.zip").write_bytes(b"no ZIP at all")
        return [str(ak.sample_study(folder / "study.zip", participants=2, trials=1)), str(folder / "torn.zip")]

    @pytest.fixture(autouse=True)
    @staticmethod
    def _local_backend(tmp_path, monkeypatch):
        for name in [name for name in os.environ if name.startswith(("ANALYTICS_KIT_", "REDIS_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
        monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def run_notebook(self, sources):
        """Return the notebook with its outputs."""
        cells = [new_code_cell(cell.format(sources=sources), id=f"cell-{n}") for n, cell in enumerate(self.CELLS)]
        notebook = new_notebook(cells=cells)
        NotebookClient(notebook, timeout=self.LIMIT_S, kernel_name="python3", record_timing=False).execute()
        return notebook

    def test_two_runs_leave_equal_files_that_pass_strictly(self, sources, tmp_path):
        first, second = self.run_notebook(sources), self.run_notebook(sources)
        assert nbformat.writes(first) == nbformat.writes(second)
        (record,) = first.cells[0].outputs
        assert record.data["text/plain"].splitlines()[0] == "Jobs: 1 completed, 1 failed"
        assert first.cells[2].outputs[0].data == record.data
        nbformat.write(first, tmp_path / "board.ipynb")
        command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull]
        run = subprocess.run(
            [*command, tmp_path / "board.ipynb"], capture_output=True, text=True, timeout=self.LIMIT_S
        )
        assert run.returncode == 0, run.stdout
        assert f"{len(self.CELLS)} passed" in run.stdout
