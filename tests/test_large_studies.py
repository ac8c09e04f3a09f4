"""Studies of several shards on real workers: split, merged to the same result, cancelled and deleted."""

import json
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.record import RecordState
from analytics_kit.client import WORKER_TASKS
from tests.processes import until

LIMIT_S = 120


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """70 MB raw: two shards."""
    path = tmp_path_factory.mktemp("study") / "large.zip"
    return ak.sample_study(path, participants=8, trials=2, trial_s=4_000)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    client = ak.connect("embedded", home=tmp_path_factory.mktemp("large") / "home", workers=2)
    until(lambda: client.queue_status()["workers"] == 2, "both workers are up", LIMIT_S)
    yield client
    client.close()
    embedded.stop(client.settings)


def files(client, job):
    root = client.settings.home / "store" / "results"
    folders = [above for key in root.iterdir() for above, _, _ in os.walk(key / job.id)]
    return sorted(str(Path(above, name).relative_to(root)) for above in folders for name in _listed(above))


def _listed(folder):
    with suppress(FileNotFoundError):  # it is just being removed
        return [entry.name for entry in os.scandir(folder) if entry.is_file()]
    return []


def test_a_large_study_is_split_and_equals_the_result_of_one_process(client, study):
    job = client.submit(study)
    seen = [info.progress for info in job.follow(LIMIT_S)]
    result, expected = job.result(), client.process(study)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    processing = [progress for progress in seen if progress.phase == "processing"]
    assert {progress.total for progress in processing} == {result.summary["raw_bytes"]}
    assert max(progress.done for progress in processing) <= result.summary["raw_bytes"]
    log = job.log()
    assert "split into 2 shards" in log
    assert len({line.rpartition(" ")[2] for line in log.splitlines() if "part-" in line and "taken by" in line}) == 2
    for table in ("trials", "issues", "members", "surveys"):
        pd.testing.assert_frame_equal(getattr(result, table), getattr(expected, table))
    for kind in result.kinds:
        pd.testing.assert_frame_equal(result.events(kind), expected.events(kind))
    assert result.summary == expected.summary
    assert job.progress.fraction == 1.0
    rows = [progress.rows or 0 for progress in seen]
    assert rows == sorted(rows)
    assert (job.progress.rows, job.progress.files) == (result.summary["rows_in"], len(result.members))
    manifest = json.loads(
        (client.settings.home / "store" / job.info().result["prefix"] / "manifest.json").read_text()
    )
    named = {*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])}
    left = {f"results/{path}" for path in files(client, job)} - named
    assert {path.rpartition("/")[2] for path in left} == {"manifest.json"}


def test_a_deleted_job_leaves_no_file(client, study):
    job = client.submit(study)
    job.result(LIMIT_S)
    assert files(client, job)
    job.delete()
    assert files(client, job) == []
    with pytest.raises(ak.JobNotFoundError):
        client.get_job(job.id)


def test_a_cancelled_job_leaves_no_file_and_the_next_job_completes(client, study, tmp_path):
    job = client.submit(study, refresh=True)
    until(lambda: job.progress.phase == "processing" and job.progress.done, "parts are at it")
    assert job.cancel()
    assert job.cancelled()
    with pytest.raises(ak.JobCancelledError):
        job.result()
    until(lambda: files(client, job) == [], "its files are gone")
    small = client.submit(ak.sample_study(tmp_path / "small.zip", participants=1, trials=1))
    assert len(small.result(LIMIT_S).trials) == 4
    assert files(client, job) == []
    again = job.retry()
    assert again.info().retry_of == job.id
    assert again.wait(LIMIT_S)
    assert again.status is ak.JobStatus.COMPLETED


def test_a_job_over_a_limit_fails_with_the_error_of_that_limit(client, study):
    with pytest.raises(ak.JobTimeoutError, match=r"time limit of 0\.1 s") as caught:
        client.submit(study, refresh=True, time_limit_s=0.1).result(LIMIT_S)
    assert "time_limit_s" in caught.value.hint
    with pytest.raises(ak.OutOfMemoryError, match="memory_limit_mb=150"):
        client.submit(study, refresh=True, memory_limit_mb=150).result(LIMIT_S)


def test_a_worker_that_does_not_see_the_store_leaves_the_job_to_one_that_does(redis_url, workers, tmp_path):
    """As on two hosts that have different folders at the same path."""
    url = redis_url.removesuffix("/0") + "/15"
    small = ak.sample_study(tmp_path / "small.zip", participants=1, trials=1)
    with (
        ak.connect(url, home=tmp_path / "home") as client,
        workers(url, WORKER_TASKS, ANALYTICS_KIT_HOME=str(tmp_path / "home")),
    ):
        client.submit(small).result(LIMIT_S)
        mark = tmp_path / "home" / "store" / "store.id"
        theirs = mark.read_text()
        job = client.submit(small, refresh=True, idle_gap_s=0.3)
        job.wait(LIMIT_S)
        mark.write_text("f" * 32)
        # what a client of the other host would have sent
        again = client.backend.submit(_request_of(client, job, theirs))
        begun = time.monotonic()
        notice = until(lambda: client.get_job(again.job_id).info().notice, "it is said", 5)
        print(f"said after {time.monotonic() - begun:.1f} s")
        assert "is not the store that the job was submitted for" in notice
        assert "ANALYTICS_KIT_STORE" in notice
        mark.write_text(theirs)
        assert len(client.get_job(again.job_id).result(LIMIT_S).trials) == 4


def _request_of(client, job, store_id):
    record = client.backend._jobs.get(job.id)
    request = replace(record, state=RecordState.FAILED).retry_request()
    return replace(request, arguments={**request.arguments, "store_id": store_id})


def test_a_study_that_changes_while_its_job_waits_fails_the_job(redis_url, workers, tmp_path):
    url = redis_url.removesuffix("/0") + "/8"
    path = tmp_path / "study.zip"
    with ak.connect(url, home=tmp_path / "home") as client:
        ak.sample_study(path, participants=1, trials=1, seed=1)
        job, gone = client.submit(path), client.submit(path, idle_gap_s=0.3)
        ak.sample_study(path, participants=1, trials=1, seed=2)
        with workers(url, WORKER_TASKS, ANALYTICS_KIT_HOME=str(tmp_path / "home")):
            error = job.exception(LIMIT_S)
            assert isinstance(error, ak.BadArchiveError)
            assert "has changed since it was submitted" in str(error)
            assert isinstance(gone.exception(LIMIT_S), ak.BadArchiveError)
            ak.sample_study(path, participants=1, trials=1, seed=1)
            assert client.submit(path) != job
            waiting = client.submit(path, idle_gap_s=0.4)
            path.rename(tmp_path / "elsewhere.zip")
            if (error := waiting.exception(LIMIT_S)) is not None:  # it may have been read in time
                assert "existed when it was submitted" in str(error)
                assert "does not see its folder" in error.hint


def test_a_job_without_workers_has_a_notice(redis_url, workers, study, tmp_path):
    url = redis_url.removesuffix("/0") + "/7"
    with ak.connect(url, home=tmp_path / "home") as client:
        with workers(url, WORKER_TASKS, ANALYTICS_KIT_HOME=str(tmp_path / "home")):
            job = client.submit(study)
            until(job.running, "it runs")
        if not job.done():
            assert "No worker listens" in until(lambda: job.info().notice, "it is said", 10)
            assert job.cancel()
