"""The package's own verbs are those of one default client."""

import analytics_kit as ak
from analytics_kit import api

LIMIT_S = 60


def test_module_level_verbs_share_one_client(monkeypatch, tmp_path):
    study = ak.sample_study(tmp_path / "study.zip", participants=2, trials=1)
    monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(api, "_default", None)
    job = ak.submit(study)
    assert job.wait(LIMIT_S)
    assert ak.get_job(job.id) == job
    assert job.client_name == "ak"
    assert list(ak.jobs()["job_id"]) == [job.id]
    assert ak.queue_status()["completed"] == 1
    assert ak.health()["backend"] == "local"
    assert len(ak.process(study).trials) == 8
    api.default_client().close()
