"""Progress is told not too often, never falls, and comes with rate and time left."""

import pytest

from analytics_kit.backends.progress import INTERVAL_S, ProgressReporter
from analytics_kit.model import Progress


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock():
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def reporter(told, clock):
    return ProgressReporter(told.append, Progress(), clock)


def at(done, phase="processing"):
    return Progress(phase, done, 100, fraction=done / 100)


def test_at_most_one_word_in_an_interval_and_the_last_is_kept(reporter, told, clock):
    for done in range(50):
        reporter.report(at(done))
        clock.now += INTERVAL_S / 10
    assert 5 <= len(told) <= 6
    reporter.flush()
    assert told[-1].done == 49
    count = len(told)
    reporter.flush()
    assert len(told) == count


@pytest.mark.parametrize("now", [0.0, 0.05, 1000.0, 19385.7, 19387.123456789])
def test_a_new_phase_is_told_at_once(reporter, told, clock, now):
    """Whatever the clock says: 19385.7 - (19385.7 - 0.1) is less than 0.1."""
    clock.now = now
    reporter.report(at(0, "planning"))
    reporter.report(at(1, "processing"))
    reporter.report(at(2, "processing"))
    assert [progress.phase for progress in told] == ["planning", "processing"]


def test_the_fraction_never_falls_nor_passes_one(reporter, told, clock):
    for done in (30, 20, 150, 10):
        reporter.report(at(done))
        clock.now += 1
    assert [progress.fraction for progress in told] == [0.3, 0.3, 1.0, 1.0]


def test_a_second_attempt_starts_from_what_was_told(told, clock):
    reporter = ProgressReporter(told.append, Progress("processing", 60, 100, fraction=0.6), clock)
    reporter.report(at(5))
    assert told[0].fraction == 0.6


def test_counts_never_fall_and_are_kept_where_nobody_counts(told, clock):
    reporter = ProgressReporter(told.append, Progress(rows=7, files=1), clock)
    for rows, files in ((3, 0), (9, 2), (None, None)):
        reporter.report(Progress("processing", rows=rows, files=files))
        clock.now += 1
    assert [(progress.rows, progress.files) for progress in told] == [(7, 1), (9, 2), (9, 2)]


def test_without_counts_there_are_none(reporter, told):
    reporter.report(at(5))
    assert (told[0].rows, told[0].files) == (None, None)


def test_rate_and_time_left(reporter, told, clock):
    reporter.report(at(0))
    clock.now += 2
    reporter.report(at(20))
    assert told[0].rate_per_s is None
    assert told[0].eta_s is None
    assert told[1].rate_per_s == 10.0
    assert told[1].eta_s == pytest.approx(8.0)


def test_a_refusal_reaches_the_task(clock):
    def refuse(progress):
        raise RuntimeError("unwanted")

    with pytest.raises(RuntimeError, match="unwanted"):
        ProgressReporter(refuse, Progress(), clock).report(at(1))
