"""The board hears of all jobs, does what is pressed, and takes in what is uploaded."""

import math
from types import SimpleNamespace

import pytest

from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.model import JobStatus
from analytics_kit.notebook.board import Board
from analytics_kit.settings import Settings
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload
from analytics_kit.watcher import Watcher
from tests.fake_backend import Fake
from tests.processes import until

SUMMARY = {"participants": 1, "trials": 3, "rows_kept": 9, "issues": 0, "events": {"keyboard": 9}}
COMPLETED = {"status": JobStatus.COMPLETED, "result": {"store": "", "prefix": "", "summary": SUMMARY}}


class Jobs:
    """A client whose backend is as the test says."""

    called = "client"

    def __init__(self, home):
        self.backend, self.settings = Fake(), Settings.of(home=home, upload_limit_gb=0.001)
        self.watcher = Watcher(self.backend)
        self.listen_all = self.watcher.listen_all
        self.joined = None

    def receive(self, name, size_bytes):
        return Upload(self.settings, name, size_bytes)

    def submit(self, source):
        if self.backend.away:
            raise BrokerUnavailableError(self.backend.away)
        info = self.joined or self.backend.put(source=source)
        return SimpleNamespace(shown=lambda: info)


class Page:
    """What a front end would get."""

    def __init__(self):
        self.shown, self.told = {"html": "", "said": ""}, []

    def send(self, content):
        self.told.append(content)

    def close(self):
        pass


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.fixture
def page():
    return Page()


@pytest.fixture
def board(jobs, page):
    board = Board(jobs)
    board._refresh()
    board._live, board._stop = page, board._listen()
    yield board
    board.close()
    until(lambda: jobs.watcher._thread is None, "the watcher has ended")


def press(board, do, buffers=(), **content):
    board._hear({"do": do, **content}, buffers)


def test_jobs_come_change_and_go(board, page, jobs):
    one = jobs.backend.put(source="/d/one.zip")
    until(lambda: "one.zip" in page.shown["html"], "a new job is there")
    jobs.backend.end(SimpleNamespace(id=one.job_id))
    until(lambda: "1 completed" in page.shown["html"], "it has ended")
    assert page.shown["said"] == "one.zip: completed"
    jobs.backend.delete(one.job_id)
    until(lambda: "No jobs yet." in page.shown["html"], "it is gone")


def test_a_board_that_is_shown_again_begins_with_what_is_there_now(jobs):
    """Another panel keeps the watcher going meanwhile; nobody keeps its list of all jobs up to date."""
    job, told = jobs.backend.put(), []
    stop_other = jobs.watcher.listen(job.job_id, lambda heard: None)
    stop = jobs.listen_all(told.append)
    until(lambda: told, "the first board is told")
    stop()
    jobs.watcher._list_at = math.inf  # as if listing were so dear that it is not due again
    asked = jobs.backend.asked
    until(lambda: jobs.backend.asked > asked + 1, "the watcher has gone on")
    new = jobs.backend.put()
    told.clear()
    stop = jobs.listen_all(told.append)
    until(lambda: told, "the second board is told")
    stop()
    stop_other()
    assert new.job_id in [info.job_id for info in told[0]]
    until(lambda: jobs.watcher._thread is None, "the watcher has ended")


def test_a_broker_that_is_away_is_said_and_what_was_known_stays(board, page, jobs):
    jobs.backend.put(source="/d/one.zip")
    until(lambda: "one.zip" in page.shown["html"], "the job is there")
    jobs.backend.away = "Redis <is> away"
    jobs.backend.knock()
    until(lambda: "Reconnecting …: Redis &lt;is&gt; away" in page.shown["html"], "it is said")
    assert "one.zip" in page.shown["html"]
    jobs.backend.away = None
    until(lambda: "Reconnecting" not in page.shown["html"], "it is back")


def test_code_names_the_client_that_has_the_job(board, page, jobs):
    job = jobs.backend.put(source="/d/one.zip", **COMPLETED)
    press(board, "open", job=job.job_id)
    code = f"result = client.get_job(&quot;{job.job_id}&quot;).result()"
    until(lambda: code in page.shown["html"], "the code is shown")


def test_a_job_is_opened_cancelled_retried_and_found(board, page, jobs):
    job = jobs.backend.put(source="/d/one.zip")
    press(board, "open", job=job.job_id)
    until(lambda: f'data-key="open {job.job_id}"' in page.shown["html"], "it is open")
    press(board, "log", job=job.job_id)
    until(lambda: f"log of {job.job_id}" in page.shown["html"], "its log is open")
    press(board, "cancel", job=job.job_id)
    until(lambda: "1 cancelled" in page.shown["html"], "it is cancelled")
    press(board, "retry", job=job.job_id)
    until(lambda: "1 queued" in page.shown["html"], "there is a new one")
    assert [info.status for info in jobs.backend.list()] == [JobStatus.CANCELLED, JobStatus.QUEUED]
    press(board, "find", value="two")
    until(lambda: "No job is like that." in page.shown["html"], "the filter holds")


def test_what_does_not_work_is_said(board, page, jobs):
    job = jobs.backend.put()
    jobs.backend.away = "Redis is away"
    press(board, "cancel", job=job.job_id)
    until(lambda: "Cancel did not work: Redis is away" in page.shown["html"], "it is said")


def test_an_upload_becomes_a_job(board, page, jobs):
    press(board, "upload", token="t", name="../new.zip", size=10)
    press(board, "piece", [memoryview(b"0123")], token="t", at=0)
    press(board, "piece", [memoryview(b"456789")], token="t", at=4)
    assert [told["arrived"] for told in page.told] == [0, 4, 10]
    assert page.told[-1]["done"]
    (job,) = jobs.backend.list()
    assert job.source.endswith("/new.zip")
    with open(job.source, "rb") as file:  # noqa: PTH123
        assert file.read() == b"0123456789"
    until(lambda: f'data-key="open {job.job_id}"' in page.shown["html"], "the new job is open")


def test_an_upload_that_is_too_large_is_refused_with_the_setting_that_allows_it(board, page, jobs):
    press(board, "upload", token="t", name="big.zip", size=2_000_000)
    (told,) = page.told
    assert "ANALYTICS_KIT_UPLOAD_LIMIT_GB" in told["error"]
    assert jobs.backend.list() == []


@pytest.mark.parametrize("why", ["an equal study has a job", "it can't be submitted"])
def test_a_copy_that_no_job_needs_is_not_kept(board, page, jobs, why):
    if why == "an equal study has a job":
        jobs.joined = jobs.backend.put(source="/d/equal.zip")
    press(board, "upload", token="t", name="new.zip", size=4)
    if why == "it can't be submitted":
        jobs.backend.away = "Redis is away"
    press(board, "piece", [memoryview(b"0123")], token="t", at=0)
    assert Store.of(jobs.settings).files("uploads") == []
    if jobs.joined:
        assert page.told[-1]["done"]
        until(lambda: f'data-key="open {jobs.joined.job_id}"' in page.shown["html"], "the other job is open")
    else:
        assert "Redis is away" in page.told[-1]["error"]


@pytest.mark.parametrize("end", ["abandoned", "closed", "out of place"])
def test_an_upload_that_ends_early_leaves_nothing(board, page, jobs, end):
    press(board, "upload", token="t", name="new.zip", size=10)
    press(board, "piece", [memoryview(b"0123")], token="t", at=0)
    if end == "abandoned":
        press(board, "abandon", token="t")
    elif end == "closed":
        board.close()
    else:
        press(board, "piece", [memoryview(b"89")], token="t", at=8)
        assert "out of order" in page.told[-1]["error"]
    press(board, "piece", [memoryview(b"4567")], token="t", at=4)
    assert Store.of(jobs.settings).files("uploads") == []
    assert jobs.backend.list() == []
