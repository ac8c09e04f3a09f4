"""Half a minute of `make chaos`: nothing is lost, wrong, committed twice or left behind."""

import pytest

from tests.chaos.chaos import END_LIMIT_S, EXTENSION_S, MIN_KILLS, MIN_RETRIES, run

SECONDS = 30


@pytest.mark.timeout(SECONDS + EXTENSION_S + END_LIMIT_S + 60)
def test_jobs_survive_kills_at_random(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    figures = run(tmp_path, seconds=SECONDS, jobs=10, seed=20261128)
    print(figures)
    assert figures.is_clean, figures
    assert figures.completed + figures.cancelled == figures.jobs >= 10
    assert sum(figures.kills.values()) >= MIN_KILLS
    assert figures.retried >= MIN_RETRIES, "the kills hit no running step"
