"""A job as text: one status word, what matters in that status, and nothing that depends on the time."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from analytics_kit import job_text
from analytics_kit.model import Failure, JobInfo, JobStatus, Progress

STATUS_WORDS = [str(status) for status in JobStatus]
FAILURE = Failure("BadArchiveError", "torn", "mend it")


def info(status, **fields):
    base = {"job_id": "0f0f", "source": "/data/study.zip", "result_key": "k", "created_at": datetime.now(UTC)}
    return JobInfo(status=status, **base | fields)


@pytest.mark.parametrize("status", JobStatus)
def test_text_has_exactly_one_status_word(status):
    error = FAILURE if status is JobStatus.FAILED else None
    for phase in ("processing", str(status)):
        text = job_text.text(info(status, progress=Progress(phase, 1, 2, fraction=0.5), error=error))
        assert re.findall("|".join(STATUS_WORDS), text) == [str(status)]


def test_text_of_a_running_job_has_phase_and_percent():
    running = info(JobStatus.RUNNING, progress=Progress("processing", 1, 4, fraction=0.257))
    assert job_text.text(running) == "study.zip: running, processing 25%"


def test_text_of_a_queued_job_has_the_phase_of_its_workers():
    assert job_text.text(info(JobStatus.QUEUED, progress=Progress("compiling"))) == "study.zip: queued, compiling"
    assert job_text.text(info(JobStatus.QUEUED)) == "study.zip: queued"


def test_text_of_an_ended_job_has_no_phase():
    done = info(JobStatus.CANCELLED, progress=Progress("merging", 1, 2, fraction=0.5))
    assert job_text.text(done) == "study.zip: cancelled"


def test_text_of_a_completed_job_has_counts():
    result = {"summary": {"trials": 1200, "rows_kept": 33704, "issues": 1}}
    done = info(JobStatus.COMPLETED, result=result)
    assert job_text.text(done) == "study.zip: completed, 1,200 trials, 33,704 events, 1 issue"
    assert job_text.text(replace(done, result={})) == "study.zip: completed"


def test_text_of_a_failed_job_has_the_error():
    assert job_text.text(info(JobStatus.FAILED, error=FAILURE)) == "study.zip: failed, BadArchiveError: torn"


def test_text_ends_with_the_notice():
    assert (
        job_text.text(info(JobStatus.QUEUED, notice="No worker listens")) == "study.zip: queued (No worker listens)"
    )


def test_text_does_not_depend_on_id_or_time():
    first, second = (
        info(JobStatus.COMPLETED, job_id=job_id, created_at=datetime(2026, 1, day, tzinfo=UTC))
        for day, job_id in ((1, "aaaa"), (2, "bbbb"))
    )
    assert job_text.text(first) == job_text.text(second)


@pytest.mark.parametrize(("source", "name"), [("/data/study.zip", "study.zip"), ("study", "study"), ("/", "/")])
def test_name_has_no_folder(source, name):
    assert job_text.name(info(JobStatus.QUEUED, source=source)) == name


@pytest.mark.parametrize(
    ("fraction", "percent"), [(0.0, 0), (0.29, 29), (0.57, 57), (0.999, 99), (0.9999, 99), (0.99999, 99), (1.0, 100)]
)
def test_percent_is_100_only_for_finished_work(fraction, percent):
    assert job_text.floor_percent(Progress(fraction=fraction)) == percent


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "0 s"), (0, "0 s"), (0.01, "0.1 s"), (0.44, "0.4 s"), (0.949, "0.9 s"), (0.95, "1 s"), (59.4, "59 s"),
        (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_duration_has_at_most_two_units(seconds, expected):
    assert job_text.duration(seconds) == expected


def test_progress_facts_are_those_known_of_an_unfinished_job():
    progress = Progress(
        "processing", 1, 4, fraction=0.25, rows=1200, files=1, rate_per_s=4e6, eta_s=61.0, unit="bytes"
    )
    running = info(JobStatus.RUNNING, progress=progress)
    assert job_text.progress_facts(running) == ["1,200 rows", "1 file", "4.0 MB/s", "about 1 min 1 s left"]
    assert job_text.progress_facts(running, with_rate=False) == ["1,200 rows", "1 file"]
    assert job_text.progress_facts(info(JobStatus.QUEUED, queue_position=2)) == ["number 2 in the queue"]
    assert job_text.progress_facts(info(JobStatus.FAILED, progress=progress)) == []


def test_counts_and_sizes_are_formatted():
    assert [job_text.count(number, "trial") for number in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
    assert job_text.size(2_500_000) == "2.5 MB"


def test_queue_is_described_with_its_workers():
    assert job_text.queue_text("local", 1, 0) == "in this process, 1 worker, 0 busy"
    assert job_text.queue_text("http", 1_000, 999) == "on the server, 1,000 workers, 999 busy"
    assert job_text.queue_text("embedded", 2, 1) == "embedded queue, 2 workers, 1 busy"
