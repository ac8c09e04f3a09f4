"""Jobs over HTTP: told, listed, cancelled, deleted, retried, their tables read; each trouble has its status."""

import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.backends.record import RecordState
from analytics_kit.model import Failure, JobInfo, JobStatus
from analytics_kit.web.routes.jobs import described
from tests.processes import until

RESULT = "/jobs/{}/result"


@pytest.fixture(scope="module")
def expected(data):
    return ak.process(data / "ok.zip")


@pytest.fixture
def done(ann):
    """The id of a completed job."""
    return ann.done("ok")["job_id"]


def test_a_job_is_told(ann, done):
    job = ann.get(f"/jobs/{done}").json
    assert job["status"] == "completed"
    assert job["progress"]["fraction"] == 1
    assert datetime.fromisoformat(job["created_at"]) <= datetime.fromisoformat(job["ended_at"]) <= datetime.now(UTC)
    assert job["backend"] == "local"
    assert "result" not in job


def test_nothing_of_the_machine_is_told(ann, bob, data, tmp_path):
    """Neither the folder of studies, nor the store, nor a line of code."""
    answers = [ann.done("ok"), ann.done("broken"), ann.get("/studies").json, ann.get("/health").json]
    answers += [ann.get("/jobs").json, ann.get("/queue-status").json, ann.get("/nonesuch/zip-data", 404).json]
    text = json.dumps(answers)
    for secret in (str(data), str(tmp_path), str(data.parent), "Traceback", "site-packages", "File "):
        assert secret not in text


def test_jobs_are_listed_newest_first_in_pages(ann):
    first, second = ann.done("ok")["job_id"], ann.done("broken")["job_id"]
    found = ann.get("/jobs").json
    assert [job["job_id"] for job in found["jobs"]] == [second, first]
    assert (found["total"], found["offset"]) == (2, 0)
    assert [job["job_id"] for job in ann.get("/jobs?status=failed").json["jobs"]] == [second]
    page = ann.get("/jobs?offset=1&limit=1").json
    assert [job["job_id"] for job in page["jobs"]] == [first]
    assert page["total"] == 2
    assert ann.get("/jobs?offset=5").json["jobs"] == []


def test_a_namespace_sees_only_its_own(ann, bob, done):
    assert bob.get("/jobs").json["jobs"] == []
    assert bob.get("/queue-status").json["completed"] == 0
    for path in (f"/jobs/{done}", RESULT.format(done), f"/ok/zip-data?job_id={done}"):
        assert bob.get(path, 404).json["error"] == "JobNotFoundError"
    bob.delete(f"/jobs/{done}", 404)
    bob.post(f"/jobs/{done}/retry", 404)
    assert bob.done("ok")["job_id"] != done, "the same study is another job there"


def test_a_queued_job_is_cancelled_and_then_deleted(ann, gate):
    job_id = ann.get("/ok/zip-data", 202).json["job_id"]
    assert ann.delete(f"/jobs/{job_id}", 200).json["status"] == "cancelled"
    assert ann.get(f"/jobs/{job_id}").json["status"] == "cancelled"
    answer = ann.delete(f"/jobs/{job_id}", 204)
    assert answer.get_data() == b""
    assert "Content-Type" not in answer.headers
    ann.get(f"/jobs/{job_id}", 404)


def test_a_job_that_commits_can_not_be_cancelled(ann, tmp_path):
    gate = tmp_path / "gate"
    job_id = ann.submit("committing", gate=str(gate))
    try:
        client = ann.service._clients["ann"]
        until(lambda: client.backend._records[job_id].state is RecordState.COMMITTING, "it commits")
        assert ann.delete(f"/jobs/{job_id}", 409).json["error"] == "ConflictError"
    finally:
        gate.touch()
    assert client.get_job(job_id).wait(30)


def test_deleting_a_completed_job_removes_its_result(ann, done, tmp_path):
    ann.delete(f"/jobs/{done}", 204)
    assert not list((tmp_path / "home" / "store" / "results").glob("*/*/manifest.json"))
    ann.get(RESULT.format(done), 404)


def test_only_what_failed_or_was_cancelled_is_retried(ann, done):
    assert ann.post(f"/jobs/{done}/retry", 409).json["error"] == "ConflictError"
    ann.post("/jobs/nonesuch/retry", 404)


def test_a_result_that_is_gone_is_410_and_made_anew(ann, done, tmp_path):
    shutil.rmtree(tmp_path / "home" / "store" / "results")
    for path in (f"/jobs/{done}", RESULT.format(done), f"/ok/zip-data?job_id={done}"):
        answer = ann.get(path, 410).json
        assert (answer["error"], answer["message"]) == ("ResultExpiredError", f"The result of job {done} is gone.")
    assert ann.done("ok")["job_id"] != done


class TestTables:
    def test_records(self, ann, done, expected):
        answer = ann.get(RESULT.format(done)).json
        assert (answer["table"], answer["total"], answer["offset"], answer["next_url"]) == ("trials", 8, 0, None)
        assert (
            pd.DataFrame(answer["records"]).isna().to_numpy().tolist() == expected.trials.isna().to_numpy().tolist()
        )
        assert [row["path_length_px"] for row in answer["records"]] == expected.trials["path_length_px"].tolist()

    def test_split(self, ann, done, expected):
        answer = ann.get(f"{RESULT.format(done)}?table=tasks&orient=split").json
        assert answer["columns"] == list(expected.tasks.columns)
        assert [row[0] for row in answer["data"]] == expected.tasks["task"].tolist()
        assert "records" not in answer

    def test_pages_follow_one_another(self, ann, done, expected):
        url, rows = f"{RESULT.format(done)}?table=mouse_movement&orient=split&limit=300", []
        while url:
            page = ann.get(url.removeprefix("/api/analytics")).json
            assert len(page["data"]) <= 300
            rows += page["data"]
            url = page["next_url"]
        events = expected.events("mouse_movement")
        assert len(rows) == page["total"] == len(events) > 600
        assert [row[:2] + row[-3:] for row in rows] == events.iloc[:, [0, 1, -3, -2, -1]].to_numpy(object).tolist()

    @pytest.mark.parametrize("table", ["trials", "participants", "issues", "members", "surveys", "keyboard"])
    def test_parquet_is_the_table(self, ann, done, expected, table):
        answer = ann.get(f"{RESULT.format(done)}?table={table}&format=parquet")
        assert answer.mimetype == "application/vnd.apache.parquet"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{table}.parquet"'
        found = pd.read_parquet(io.BytesIO(answer.get_data()))
        whole = expected.events(table) if table == "keyboard" else getattr(expected, table)
        pd.testing.assert_frame_equal(found, whole)

    def test_csv(self, ann, done, expected):
        answer = ann.get(f"{RESULT.format(done)}?table=factors&format=csv")
        assert answer.content_type == "text/csv; charset=utf-8"
        found = pd.read_csv(io.BytesIO(answer.get_data()))
        assert found["completion_time_s"].tolist() == expected.factors["completion_time_s"].tolist()

    def test_of_one_participant(self, ann, done):
        for table in ("trials", "participants", "mouse_clicks"):
            rows = ann.get(f"{RESULT.format(done)}?table={table}&participant_id=2").json["records"]
            assert {row["participant"] for row in rows} == {"2"}
        assert ann.get(f"{RESULT.format(done)}?participant_id=3").json["records"] == []
        answer = ann.get(f"{RESULT.format(done)}?table=tasks&participant_id=2", 422).json
        assert answer["parameter"] == "participant_id"

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [("table=nonesuch", "table"), ("format=xml", "format"), ("orient=up", "orient"), ("limit=0", "limit"),
         ("limit=10001", "limit"), ("offset=-1", "offset"), ("rows=1", "rows")],
    )  # fmt: skip
    def test_what_can_not_be_asked(self, ann, done, query, parameter):
        assert ann.get(f"{RESULT.format(done)}?{query}", 422).json["parameter"] == parameter

    def test_a_job_without_a_result(self, ann, gate):
        job_id = ann.get("/ok/zip-data", 202).json["job_id"]
        assert "queued" in ann.get(RESULT.format(job_id), 409).json["message"]
        ann.delete(f"/jobs/{job_id}", 200)
        assert "cancelled" in ann.get(RESULT.format(job_id), 409).json["message"]


def test_what_a_failure_says_names_no_place(app):
    info = JobInfo("j", JobStatus.FAILED, "/srv/my studies/s1.zip", "key", datetime.now(UTC))
    message = (
        "/srv/my studies/s1.zip was there; a worker on lab7.example.org looked for /srv/x/y.csv at redis://h:1/0"
    )
    with app.test_request_context("/api/analytics/jobs"):
        failed = replace(info, error=Failure("E", message, "See /etc/hosts.", "log", "Traceback"))
        told = described(failed)
    assert told["error"].message == "s1.zip was there; a worker looked for y.csv at 0"
    assert told["error"].hint == "See hosts."
    assert set(told["error"].model_dump()) == {"error", "message", "hint"}
