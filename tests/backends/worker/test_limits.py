"""Limits of a step's process, and the cause of its death."""

import io
import os
import signal

import pytest

from analytics_kit.backends.machine import Memory, MemoryShare
from analytics_kit.backends.record import Attempt, Record, RecordState
from analytics_kit.backends.worker.limits import (
    OUTPUT_BYTES,
    LimitMonitor,
    cause_of_death,
    count_oom_kills,
    read_tail,
)
from analytics_kit.errors import JobTimeoutError, OutOfMemoryError, WorkerLostError

BEGIN = Attempt("job-1")


@pytest.fixture
def claimed(store, make_request):
    """claimed(**limits) → the store with a job whose first step is claimed and running."""

    def claim(**limits):
        store.jobs.submit(Record.of(make_request("echo", **limits), "job-1", store.jobs.now_s()), refresh=False)
        store.claim(BEGIN, "w1")
        store.change_state(BEGIN, RecordState.RUNNING)
        return store

    return claim


def test_monitor_of_a_step_within_its_limits_lets_it_go_on(claimed):
    store = claimed(time_limit_s=60, memory_limit_mb=100_000)
    monitor = LimitMonitor(store, BEGIN, os.getpid())
    assert not monitor.check()
    assert not monitor.must_end
    assert store.jobs.get("job-1").state is RecordState.RUNNING


@pytest.mark.parametrize(
    ("limits", "error"), [({"time_limit_s": 1e-6}, JobTimeoutError), ({"memory_limit_mb": 1}, OutOfMemoryError)]
)
def test_monitor_of_a_step_over_its_limit_fails_the_job(claimed, limits, error):
    store = claimed(**limits)
    monitor = LimitMonitor(store, BEGIN, os.getpid())
    assert monitor.check()
    assert monitor.must_end
    record = store.jobs.get("job-1")
    assert record.state is RecordState.FAILED
    assert type(record.error.error()) is error


def test_monitor_of_a_cancelled_job_ends_the_step(claimed):
    store = claimed()
    monitor = LimitMonitor(store, BEGIN, os.getpid())
    store.jobs.cancel("job-1")
    assert monitor.check()
    assert store.jobs.get("job-1").state is RecordState.CANCELLED


def test_cause_of_death_is_the_kernel_only_for_a_kill():
    assert type(cause_of_death(signal.SIGKILL, True)) is OutOfMemoryError
    assert type(cause_of_death(signal.SIGKILL, False)) is WorkerLostError
    assert type(cause_of_death(3 << 8, True)) is WorkerLostError


@pytest.mark.parametrize(
    ("status", "text"),
    [(signal.SIGKILL, "possibly because memory ran out"), (signal.SIGSEGV, "SIGSEGV"), (3 << 8, "exit code 3")],
)
def test_cause_of_death_describes_how_the_process_ended(status, text):
    assert text in cause_of_death(status).message


def test_count_oom_kills_reads_the_counter_of_the_kernel(tmp_path):
    counters = tmp_path / "vmstat"
    counters.write_text("pgfault 7\noom_kill 12\n")
    assert count_oom_kills(counters) == 12
    counters.write_text("pgfault 7\n")
    assert count_oom_kills(counters) == 0
    assert count_oom_kills(tmp_path / "missing") == 0


def test_read_tail_returns_the_end_as_text():
    assert (
        read_tail(io.BytesIO(b"x" * OUTPUT_BYTES + b"the \xff end\n")) == "x" * (OUTPUT_BYTES - 10) + "the \ufffd end"
    )


GB = 1024**3
SHARE = MemoryShare(1024**2, 3, Memory(2 * GB, "the container or service (/sys/fs/cgroup/job/memory.max)"))


def test_monitor_of_a_step_over_its_share_fails_the_job_with_limit_and_origin(claimed):
    store = claimed()
    assert LimitMonitor(store, BEGIN, os.getpid(), SHARE).check()
    error = store.jobs.get("job-1").error.error()
    assert type(error) is OutOfMemoryError
    assert "more than the 1 MB that each of 3 worker(s) may use of the 2,048 MB of the container" in error.message
    assert "(/sys/fs/cgroup/job/memory.max)" in error.message
    assert "memory_limit_mb=" in error.hint


@pytest.mark.parametrize(
    ("limit_mb", "share", "must_end"),
    [(100_000, SHARE, False), (None, SHARE._replace(limit_bytes=1 << 60), False), (None, None, False)],
)
def test_monitor_of_a_step_within_limit_or_share_lets_it_go_on(claimed, limit_mb, share, must_end):
    assert LimitMonitor(claimed(memory_limit_mb=limit_mb), BEGIN, os.getpid(), share).check() is must_end
