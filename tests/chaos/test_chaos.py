"""45 seconds of `make chaos`: nothing is lost, wrong, committed twice or left behind."""

from tests.chaos.chaos import run


def test_jobs_survive_kills_at_random(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    figures = run(tmp_path, seconds=30, jobs=10, seed=20261125)
    print(figures)
    assert figures.is_clean, figures
    assert figures.completed + figures.cancelled == figures.jobs == 10
    assert sum(figures.kills.values()) >= 6
    assert figures.retried >= 2, "the kills hit nothing"
