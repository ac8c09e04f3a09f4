"""Progress is throttled, never falls, and gets a rate and a remaining time."""

import pytest

from analytics_kit.backends.progress import INTERVAL_S, ProgressReporter
from analytics_kit.model import Progress


@pytest.fixture
def published():
    return []


@pytest.fixture
def clock():
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def reporter(published, clock):
    return ProgressReporter(published.append, Progress(), clock)


def at(done, phase="processing"):
    return Progress(phase, done, 100, fraction=done / 100)


def test_reports_within_an_interval_are_withheld_except_the_last(reporter, published, clock):
    for done in range(50):
        reporter.report(at(done))
        clock.now += INTERVAL_S / 10
    assert 5 <= len(published) <= 6
    reporter.flush()
    assert published[-1].done == 49
    count = len(published)
    reporter.flush()
    assert len(published) == count


@pytest.mark.parametrize("now", [0.0, 0.05, 1000.0, 19385.7, 19387.123456789])
def test_new_phase_is_published_at_once(reporter, published, clock, now):
    """Whatever the clock says: 19385.7 - (19385.7 - 0.1) is less than 0.1."""
    clock.now = now
    reporter.report(at(0, "planning"))
    reporter.report(at(1, "processing"))
    reporter.report(at(2, "processing"))
    assert [progress.phase for progress in published] == ["planning", "processing"]


def test_fraction_never_falls_nor_exceeds_one(reporter, published, clock):
    for done in (30, 20, 150, 10):
        reporter.report(at(done))
        clock.now += 1
    assert [progress.fraction for progress in published] == [0.3, 0.3, 1.0, 1.0]


def test_later_attempt_starts_from_the_published_fraction(published, clock):
    reporter = ProgressReporter(published.append, Progress("processing", 60, 100, fraction=0.6), clock)
    reporter.report(at(5))
    assert published[0].fraction == 0.6


def test_counts_never_fall_and_are_kept_when_not_reported(published, clock):
    reporter = ProgressReporter(published.append, Progress(rows=7, files=1), clock)
    for rows, files in ((3, 0), (9, 2), (None, None)):
        reporter.report(Progress("processing", rows=rows, files=files))
        clock.now += 1
    assert [(progress.rows, progress.files) for progress in published] == [(7, 1), (9, 2), (9, 2)]


def test_counts_that_were_never_reported_stay_none(reporter, published):
    reporter.report(at(5))
    assert (published[0].rows, published[0].files) == (None, None)


def test_rate_and_remaining_time_are_derived(reporter, published, clock):
    reporter.report(at(0))
    clock.now += 2
    reporter.report(at(20))
    assert published[0].rate_per_s is None
    assert published[0].eta_s is None
    assert published[1].rate_per_s == 10.0
    assert published[1].eta_s == pytest.approx(8.0)


def test_error_of_publish_reaches_the_step(clock):
    def refuse(progress):
        raise RuntimeError("unwanted")

    with pytest.raises(RuntimeError, match="unwanted"):
        ProgressReporter(refuse, Progress(), clock).report(at(1))
