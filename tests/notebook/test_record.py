"""A job as text and HTML: one state word, a labelled progress bar, cause and hint, nothing random, all escaped."""

import re
from datetime import UTC, datetime

import pytest

from analytics_kit.model import Failure, JobInfo, JobStatus, Progress
from analytics_kit.notebook import record

WORDS = [str(status) for status in JobStatus]


def info(status, **known):
    base = {"job_id": "0f0f", "source": "/data/<b>study.zip", "result_key": "k", "created_at": datetime.now(UTC)}
    return JobInfo(status=status, **base | known)


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("render", [record.text, record.html])
def test_exactly_one_state_word(status, render):
    known = {"error": Failure("BadArchiveError", "torn", "mend it")} if status is JobStatus.FAILED else {}
    told = render(info(status, progress=Progress("processing", 1, 2, fraction=0.5), **known))
    assert re.findall("|".join(WORDS), told) == [str(status)]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_progress_is_a_labelled_element(status):
    told = record.html(info(status, progress=Progress("processing", 1, 4, fraction=0.257)))
    assert re.search(r"<label>.*<progress value='26' max='100'[^>]*>26%</progress>.*</label>", told)


def test_a_job_that_waits_for_its_workers_to_start_says_so():
    waiting = info(JobStatus.QUEUED, progress=Progress("compiling"))
    assert record.text(waiting).endswith("study.zip: queued, compiling")
    assert "queued, compiling <progress" in record.html(waiting)
    assert record.text(info(JobStatus.QUEUED)).endswith("study.zip: queued")


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_what_has_ended_has_no_bar(status):
    assert "<progress" not in record.html(info(status))


def test_a_completed_job_says_what_came_out():
    result = {"summary": {"trials": 1200, "rows_kept": 33704, "issues": 2}}
    assert record.text(info(JobStatus.COMPLETED, result=result)).endswith("1,200 trials, 33,704 events, 2 issues")


def test_a_failed_job_says_why_and_what_to_do():
    told = record.html(info(JobStatus.FAILED, error=Failure("BadArchiveError", "<torn>", "mend & try")))
    assert "BadArchiveError: &lt;torn&gt;" in told
    assert "mend &amp; try" in told


def test_a_notice_is_shown():
    for render in (record.text, record.html):
        assert "No worker" in render(info(JobStatus.QUEUED, notice="No worker listens"))


def test_user_text_is_escaped():
    hostile = "<script>x</script>"
    told = record.html(
        info(
            JobStatus.RUNNING, source=f"/d/{hostile}.zip", notice=hostile,
            error=Failure(hostile, hostile, hostile), progress=Progress(phase=hostile),
        )
    )  # fmt: skip
    assert "<script" not in told


def test_a_settled_record_holds_nothing_random():
    first, second = (
        info(JobStatus.COMPLETED, job_id=job_id, created_at=datetime(2026, 1, day, tzinfo=UTC))
        for day, job_id in ((1, "aaaa"), (2, "bbbb"))
    )
    assert record.settled(first) == record.settled(second)


@pytest.mark.parametrize(("flag", "static"), [("1", True), ("0", False), ("true", True)])
def test_the_setting_decides(monkeypatch, flag, static):
    monkeypatch.setenv("ANALYTICS_KIT_STATIC", flag)
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5")
    assert record.is_static() is static


@pytest.mark.parametrize(
    ("kernel", "server", "static"),
    [(None, "", False), (True, "", False), (False, "", True), (False, "voila/0.5.13", False)],
)
def test_a_front_end_is_who_takes_input(monkeypatch, kernel, server, static):
    """`kernel` is whether the cell's request allows input; None means that there is no kernel."""

    class Shell:
        kernel = None

    if kernel is not None:
        Shell.kernel = type("Kernel", (), {"get_parent": lambda self: {"content": {"allow_stdin": kernel}}})()
    monkeypatch.delenv("ANALYTICS_KIT_STATIC", raising=False)
    monkeypatch.setenv("SERVER_SOFTWARE", server)
    monkeypatch.setattr("IPython.get_ipython", lambda: Shell())
    assert record.is_static() is static
