"""Jobs over HTTP: submitted, read, listed, cancelled, retried and deleted; each error has its status."""

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import analytics_kit as ak
from analytics_kit.backends.record import RecordState
from analytics_kit.model import Failure, JobInfo, JobStatus
from analytics_kit.web.routes.jobs import job_fields
from tests.processes import until
from tests.web.routes.submitting import submit, wait_for_end
from tests.web.small_study import small_zip

NEW_ID = "00c0ffee00c0ffee"


class TestRead:
    def test_a_completed_job_has_its_times_and_progress(self, ann, completed_id):
        job = ann.get(f"/jobs/{completed_id}").json
        assert job["status"] == "completed"
        assert job["progress"]["fraction"] == 1
        created_at, ended_at = (datetime.fromisoformat(job[name]) for name in ("created_at", "ended_at"))
        assert created_at <= ended_at <= datetime.now(UTC)
        assert job["backend"] == "local"
        assert "result" not in job

    def test_no_response_contains_a_path_or_a_stack_trace(self, ann, data, tmp_path):
        bodies = [ann.ended_job("ok"), ann.ended_job("broken"), ann.get("/studies").json, ann.get("/health").json]
        bodies += [ann.get("/jobs").json, ann.get("/queue-status").json, ann.get("/nonesuch/zip-data", 404).json]
        text = json.dumps(bodies)
        for secret in (str(data), str(tmp_path), str(data.parent), "Traceback", "site-packages", "File "):
            assert secret not in text

    def test_a_failure_names_no_path_and_no_host(self, app):
        info = JobInfo("j", JobStatus.FAILED, "/srv/my studies/s1.zip", "key", datetime.now(UTC))
        message = (
            "/srv/my studies/s1.zip was there; a worker on lab7.example.org looked for /srv/x/y.csv at redis://h:1/0"
        )
        failed = replace(info, error=Failure("E", message, "See /etc/hosts.", "log", "Traceback"))
        with app.test_request_context("/api/analytics/jobs"):
            error = job_fields(failed)["error"]
        assert error.message == "s1.zip was there; a worker looked for y.csv at 0"
        assert error.hint == "See hosts."
        assert set(error.model_dump()) == {"error", "message", "hint"}

    def test_a_study_that_is_gone_when_its_job_starts_is_reported_without_the_host(
        self, client_of_server, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(socket, "gethostname", lambda: "lab7.example.org")
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "s.zip").write_bytes(small_zip(seed=7))
        client = client_of_server(data=str(folder))
        client.submit_step("gated", gate=str(tmp_path / "go"))
        job_id = client.get("/s/zip-data", 202).json["job_id"]
        (folder / "s.zip").unlink()
        (tmp_path / "go").touch()
        error = wait_for_end(client, job_id)["error"]
        assert error["error"] == "SourceNotFoundError"
        assert "worker" in error["message"]
        assert "lab7" not in str(error)

    def test_a_namespace_sees_only_its_own_jobs(self, ann, bob, completed_id):
        assert bob.get("/jobs").json["jobs"] == []
        assert bob.get("/queue-status").json["completed"] == 0
        for path in (f"/jobs/{completed_id}", f"/jobs/{completed_id}/result", f"/ok/zip-data?job_id={completed_id}"):
            assert bob.get(path, 404).json["error"] == "JobNotFoundError"
        bob.delete(f"/jobs/{completed_id}", 404)
        bob.post(f"/jobs/{completed_id}/retry", 404)
        assert bob.ended_job("ok")["job_id"] != completed_id, "the same study is another job there"

    def test_a_log_names_no_folder(self, ann, bob, data, tmp_path):
        job_id = ann.ended_job("broken")["job_id"]
        lines = ann.get(f"/jobs/{job_id}/log").json["lines"]
        assert lines[0].endswith("queued")
        text = "\n".join(lines)
        assert "BadArchiveError: broken.zip" in text
        assert "archive.py" in text
        for folder in (str(data), str(tmp_path), ak.__path__[0]):
            assert folder not in text
        bob.get(f"/jobs/{job_id}/log", 404)


class TestList:
    def test_jobs_are_listed_newest_first_in_pages(self, ann):
        first, second = ann.ended_job("ok")["job_id"], ann.ended_job("broken")["job_id"]
        body = ann.get("/jobs").json
        assert [job["job_id"] for job in body["jobs"]] == [second, first]
        assert (body["total"], body["offset"]) == (2, 0)
        assert [job["job_id"] for job in ann.get("/jobs?status=failed").json["jobs"]] == [second]
        page = ann.get("/jobs?offset=1&limit=1").json
        assert [job["job_id"] for job in page["jobs"]] == [first]
        assert page["total"] == 2
        assert ann.get("/jobs?offset=5").json["jobs"] == []

    def test_jobs_can_be_listed_by_id(self, ann, uploaded):
        ids = [submit(ann, content=uploaded, options={"idle_gap_s": gap})["job_id"] for gap in (0.1, 0.2, 0.3)]
        body = ann.get(f"/jobs?job_id={ids[0]}&job_id={ids[2]}&job_id=nonesuch&job_id={ids[0]}").json
        assert ({job["job_id"] for job in body["jobs"]}, body["total"]) == ({ids[0], ids[2]}, 2)
        for job_id in ids:
            wait_for_end(ann, job_id)
        assert ann.get(f"/jobs?job_id={ids[0]}&status=failed").json["jobs"] == []
        ann.get("/jobs?" + "&".join(["job_id=x"] * 101), 422)


class TestSubmit:
    def test_options_tags_and_limits_apply_to_the_job(self, ann, uploaded):
        body = {"options": {"keys": "full", "participants": ["1"], "metrics": ["completion_time_s"]}, "tags": ["a"]}
        job = submit(ann, content=uploaded, time_limit_s=50, **body)
        assert (job["source"], job["tags"]) == ("mine.zip", ["a"])
        result = ann.service.client_for("ann").get_job(job["job_id"]).result(60)
        options = result.provenance["options"]
        assert (options["keys"], options["participants"], options["metrics"]) == (
            "full",
            ["1"],
            ["completion_time_s"],
        )
        ended = wait_for_end(ann, job["job_id"])
        assert ended["outcome"]["summary"] == result.summary
        assert ended["outcome"]["preview"]["columns"]

    def test_a_format_can_be_described(self, ann, uploaded):
        columns = {"t": "ms", "x": "xpos", "y": "ypos", "trial": "item"}
        event_format = ak.EventFormat(columns=columns, kind="mouse_movement").model_dump(mode="json")
        job = submit(ann, content=uploaded, options={"format": event_format})
        assert wait_for_end(ann, job["job_id"])["error"]["error"] == "NoEventsError"
        body = submit(ann, 422, content=uploaded, options={"format": {"column": {}}})
        assert "Did you mean 'columns'" in body["message"]

    def test_a_described_format_with_a_path_is_refused_where_nothing_could_interrupt_it(self, ann, uploaded):
        """`(a|aa)+b` on a name of many a's would block the whole server."""
        event_format = ak.EventFormat(columns={"t": "t", "key": "k"}, kind="keyboard", path="(a|aa)+b")
        body = submit(ann, 422, content=uploaded, options={"format": event_format.model_dump(mode="json")})
        assert body["parameter"] == "options.format.path"

    def test_a_study_of_the_catalogue_can_be_submitted(self, ann):
        job = submit(ann, study_id="ok", options={"keys": "full"})
        assert (job["study_id"], wait_for_end(ann, job["job_id"])["status"]) == ("ok", "completed")
        submit(ann, 404, study_id="nonesuch")

    def test_equal_submissions_share_a_job_unless_refreshed(self, ann, uploaded):
        first = submit(ann, content=uploaded, tags=["a"])
        assert submit(ann, content=uploaded, tags=["b"])["tags"] == ["a", "b"]
        assert submit(ann, content=uploaded, refresh=True)["job_id"] != first["job_id"]

    def test_content_is_404_unless_uploaded_or_processed_before(self, ann, content_of, data):
        content = content_of((data / "ok.zip").read_bytes())
        assert submit(ann, 404, content=content)["hint"] == "Upload it."
        job_id = ann.ended_job("ok")["job_id"]
        assert submit(ann, content=content)["job_id"] == job_id
        submit(ann, 404, content=content, options={"keys": "full"})

    def test_uploads_of_other_namespaces_are_404(self, bob, uploaded):
        submit(bob, 404, content=uploaded)

    def test_an_upload_with_another_fingerprint_is_refused_and_forgotten(self, ann, content_of):
        content = content_of(small_zip(seed=8))
        ann.post(f"/uploads/{content}", 201, body=small_zip(seed=7))
        assert submit(ann, 422, content=content)["error"] == "BadArchiveError"
        submit(ann, 404, content=content)

    def test_a_request_can_be_repeated_under_an_id(self, ann, uploaded):
        assert submit(ann, content=uploaded, job_id=NEW_ID)["job_id"] == NEW_ID
        assert submit(ann, content=uploaded, job_id=NEW_ID, refresh=True)["job_id"] == NEW_ID
        body = submit(ann, 409, content=uploaded, job_id=NEW_ID, options={"keys": "full"})
        assert body["error"] == "ConflictError"
        assert len(ann.get("/jobs").json["jobs"]) == 1

    @pytest.mark.parametrize(
        ("body", "parameter"),
        [
            ({"options": {"idle_gap": 1}}, "options.idle_gap"),
            ({"options": {"idle_gap_s": -1}}, "options.idle_gap_s"),
            ({"time_limit_s": 0}, "time_limit_s"),
            ({"job_id": "x"}, "job_id"),
            ({"study_id": "ok"}, "The body"),
            ({"content": None}, "The body"),
            ({"nonesuch": 1}, "nonesuch"),
        ],
    )
    def test_an_invalid_parameter_is_named(self, ann, body, parameter):
        error = submit(ann, 422, **({"content": "3b" * 32} | body))
        assert error["parameter"] == parameter

    def test_limits_can_be_tightened_and_not_loosened(self, ann, uploaded):
        submit(ann, content=uploaded, options={"max_members": 1000})
        body = submit(ann, 422, content=uploaded, options={"max_raw_bytes": 10**12})
        assert body["parameter"] == "options"
        assert body["message"] == "options can't be used: max_raw_bytes can be at most 200,000,000,000 on a server."

    def test_an_unknown_metric_suggests_the_nearest(self, ann, uploaded):
        body = submit(ann, 422, content=uploaded, options={"metrics": ["completion_time"]})
        assert "Did you mean 'completion_time_s'" in body["message"]

    def test_a_memory_limit_needs_a_queue(self, ann, uploaded):
        assert "can't be killed" in submit(ann, 422, content=uploaded, memory_limit_mb=100)["message"]

    def test_a_body_that_is_nested_too_deeply_is_refused(self, ann):
        response = ann.post("/jobs", 422, body=b"[" * 500_000, content_type="application/json")
        assert "deeply" in response.json["message"]

    def test_a_body_that_is_too_long_is_not_read(self, ann):
        ann.request("POST", "/jobs", 413, data=b"[" * (2 << 20), content_type="application/json")
        ann.request("POST", "/jobs", 422, data=b"{", content_type="application/json")


class TestCancel:
    def test_a_job_that_is_committing_its_result_can_not_be_cancelled(self, ann, tmp_path):
        gate = tmp_path / "gate"
        job_id = ann.submit_step("committing", gate=str(gate))
        try:
            until(lambda: ann.backend._records[job_id].state is RecordState.COMMITTING, "it commits")
            assert ann.delete(f"/jobs/{job_id}", 409).json["error"] == "ConflictError"
        finally:
            gate.touch()
        assert ann.service.client_for("ann").get_job(job_id).wait(30)

    def test_cancel_never_deletes(self, ann, gate):
        job = submit(ann, study_id="ok")
        path = f"/jobs/{job['job_id']}/cancel"
        assert ann.request("POST", path, 200).json["status"] == "cancelled"
        assert ann.request("POST", path, 200).json["status"] == "cancelled"
        gate.touch()
        completed_id = ann.ended_job("tree")["job_id"]
        ann.request("POST", f"/jobs/{completed_id}/cancel", 409)
        ann.get(f"/jobs/{completed_id}")
        ann.request("POST", "/jobs/nonesuch/cancel", 404)


class TestDelete:
    def test_a_queued_job_is_cancelled_first_and_deleted_next(self, ann, gate):
        job_id = ann.get("/ok/zip-data", 202).json["job_id"]
        assert ann.delete(f"/jobs/{job_id}", 200).json["status"] == "cancelled"
        assert ann.get(f"/jobs/{job_id}").json["status"] == "cancelled"
        response = ann.delete(f"/jobs/{job_id}", 204)
        assert response.get_data() == b""
        assert "Content-Type" not in response.headers
        ann.get(f"/jobs/{job_id}", 404)

    def test_deleting_a_completed_job_removes_its_result(self, ann, completed_id, tmp_path):
        ann.delete(f"/jobs/{completed_id}", 204)
        assert not list((tmp_path / "home" / "store" / "results").glob("*/*/manifest.json"))
        ann.get(f"/jobs/{completed_id}/result", 404)


def test_a_job_is_retried_only_if_it_failed_or_was_cancelled(ann, completed_id):
    assert ann.post(f"/jobs/{completed_id}/retry", 409).json["error"] == "ConflictError"
    ann.post("/jobs/nonesuch/retry", 404)
