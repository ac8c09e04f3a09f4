"""A job in words: one state word, what matters in that state, nothing that depends on when it is asked for."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from analytics_kit import job_text as words
from analytics_kit.model import Failure, JobInfo, JobStatus, Progress

STATES = [str(status) for status in JobStatus]
FAILURE = Failure("BadArchiveError", "torn", "mend it")


def info(status, **known):
    base = {"job_id": "0f0f", "source": "/data/study.zip", "result_key": "k", "created_at": datetime.now(UTC)}
    return JobInfo(status=status, **base | known)


@pytest.mark.parametrize("status", JobStatus)
def test_exactly_one_state_word(status):
    error = FAILURE if status is JobStatus.FAILED else None
    for phase in ("processing", str(status)):
        told = words.text(info(status, progress=Progress(phase, 1, 2, fraction=0.5), error=error))
        assert re.findall("|".join(STATES), told) == [str(status)]


def test_a_running_job_says_what_it_does_and_how_far_it_is():
    running = info(JobStatus.RUNNING, progress=Progress("processing", 1, 4, fraction=0.257))
    assert words.text(running) == "study.zip: running, processing 25%"


def test_a_job_that_waits_for_its_workers_to_start_says_so():
    assert words.text(info(JobStatus.QUEUED, progress=Progress("compiling"))) == "study.zip: queued, compiling"
    assert words.text(info(JobStatus.QUEUED)) == "study.zip: queued"


def test_what_has_ended_says_nothing_of_its_last_phase():
    done = info(JobStatus.CANCELLED, progress=Progress("merging", 1, 2, fraction=0.5))
    assert words.text(done) == "study.zip: cancelled"


def test_a_completed_job_says_what_came_out():
    result = {"summary": {"trials": 1200, "rows_kept": 33704, "issues": 1}}
    done = info(JobStatus.COMPLETED, result=result)
    assert words.text(done) == "study.zip: completed, 1,200 trials, 33,704 events, 1 issue"
    assert words.text(replace(done, result={})) == "study.zip: completed"


def test_a_failed_job_says_why():
    assert words.text(info(JobStatus.FAILED, error=FAILURE)) == "study.zip: failed, BadArchiveError: torn"


def test_a_notice_comes_last():
    assert words.text(info(JobStatus.QUEUED, notice="No worker listens")) == "study.zip: queued (No worker listens)"


def test_the_text_holds_nothing_random():
    first, second = (
        info(JobStatus.COMPLETED, job_id=job_id, created_at=datetime(2026, 1, day, tzinfo=UTC))
        for day, job_id in ((1, "aaaa"), (2, "bbbb"))
    )
    assert words.text(first) == words.text(second)


@pytest.mark.parametrize(("source", "name"), [("/data/study.zip", "study.zip"), ("study", "study"), ("/", "/")])
def test_a_source_is_named_without_its_folder(source, name):
    assert words.name(info(JobStatus.QUEUED, source=source)) == name


@pytest.mark.parametrize(
    ("fraction", "percent"), [(0.0, 0), (0.29, 29), (0.57, 57), (0.999, 99), (0.9999, 99), (0.99999, 99), (1.0, 100)]
)
def test_only_all_is_100_percent(fraction, percent):
    assert words.floor_percent(Progress(fraction=fraction)) == percent


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"), (0, "0 s"), (0.01, "0.1 s"), (0.44, "0.4 s"), (0.949, "0.9 s"), (0.95, "1 s"), (59.4, "59 s"),
        (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_seconds_as_people_read_them(seconds, said):
    assert words.duration(seconds) == said


def test_numbers_and_sizes_as_people_read_them():
    assert [words.count(number, "trial") for number in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
    assert words.size(2_500_000) == "2.5 MB"
