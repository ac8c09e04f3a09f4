"""The process that a worker forks and reuses."""

import os
import signal
import tempfile
import warnings

import pytest

from analytics_kit.backends.worker import task_process
from analytics_kit.backends.worker.task_process import TaskProcess
from tests.processes import alive, until

LIMIT_S = 30


def write_pid(path):
    """Called in the task process."""
    with open(path, "a") as file:  # noqa: PTH123
        print(os.getpid(), file=file)


def print_and_fail(text):
    os.write(1, text.encode())  # not print(): pytest has replaced sys.stdout
    raise ValueError(text)


def sleep_long():
    signal.pause()


@pytest.fixture
def output():
    with tempfile.TemporaryFile("a+b") as file:
        yield file


@pytest.fixture
def process(output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork in a process with threads, those of pytest
        process = TaskProcess("worker", None, output.fileno())
    yield process
    process.kill()
    process.end()


def test_calls_run_in_one_process(process, tmp_path):
    path = tmp_path / "pids"
    for _ in range(2):
        assert process.call(f"{__name__}.write_pid", [str(path)])
        assert process.wait(LIMIT_S) == 0
        assert process.is_reusable
    assert path.read_text().split() == [str(process.pid)] * 2


def test_call_that_raises_ends_the_process_and_keeps_its_output(process, output):
    process.call(f"{__name__}.print_and_fail", ["out of order"])
    status = until(lambda: process.wait(0.1), "the process has ended")
    assert os.waitstatus_to_exitcode(status) == 1
    output.seek(0)
    assert output.read() == b"out of order"
    assert not process.is_reusable
    assert not process.call(f"{__name__}.sleep_long", [])


def test_wait_returns_none_until_the_process_is_killed(process):
    process.call(f"{__name__}.sleep_long", [])
    assert process.wait(0.05) is None
    process.kill()
    assert process.wait(LIMIT_S) == signal.SIGKILL
    assert not alive(process.pid)


def test_process_that_has_done_many_calls_or_has_grown_is_not_reusable(process, tmp_path, monkeypatch):
    process.call(f"{__name__}.write_pid", [str(tmp_path / "pids")])
    assert process.wait(LIMIT_S) == 0
    monkeypatch.setattr(task_process, "MAX_CALLS", 1)
    assert not process.is_reusable
    monkeypatch.undo()
    assert process.is_reusable
    process._max_bytes = 1
    assert not process.is_reusable


def test_end_of_an_idle_process_waits_until_it_is_gone(process):
    process.end()
    assert not alive(process.pid)
    process.end()  # a second time does nothing
