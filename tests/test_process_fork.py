"""What a forked process renews, and what it refuses."""

import gc
import os
import subprocess
import sys
import weakref

import pytest

import analytics_kit as ak
from analytics_kit import process_fork
from analytics_kit.process_fork import renew_after_fork
from tests.forks import in_fork


class Counter:
    """Equal to any other, as two handles of one job are."""

    def __init__(self):
        self.count = 0
        renew_after_fork(self.renew)

    def renew(self):
        self.count += 1

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


def test_each_object_is_renewed_in_the_child_only():
    counters = [Counter(), Counter()]
    assert in_fork(lambda: [each.count for each in counters]) == [1, 1]
    assert [each.count for each in counters] == [0, 0]
    assert in_fork(lambda: in_fork(lambda: [each.count for each in counters])) == [2, 2]


def test_registering_keeps_no_object_alive():
    counter = Counter()
    key = id(counter)
    assert key in process_fork._methods
    gone = weakref.ref(counter)
    del counter
    gc.collect()
    assert gone() is None
    assert key not in process_fork._methods


def test_threads_of_polars_are_found_once_it_has_run_a_query():
    code = "import polars, os; from analytics_kit import process_fork as f; print(f._has_polars_threads()); "
    code += "polars.DataFrame({'a': [1, 2]}).lazy().filter(polars.col('a') > 1).collect(); "
    code += "polars.read_csv(b'a' + b'\\n1' * 100_000); print(f._has_polars_threads())"
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["False", "True"]


def test_processing_without_the_threads_of_polars_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(process_fork, "_lacks_polars_threads", True)
    with ak.connect("local", home=tmp_path) as client, pytest.raises(ak.SettingsError, match="The work would hang"):
        client.process(tmp_path)


def test_system_without_proc_has_no_known_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(process_fork, "_THREADS", tmp_path / "missing")
    assert not process_fork._has_polars_threads()
