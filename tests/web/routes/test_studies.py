"""Studies over HTTP: equal studies share one job, and uploads are stored or refused."""

import io
from urllib.parse import urljoin

import pytest

import analytics_kit as ak
from tests.study.bombs import full_overlap
from tests.web.small_study import small_zip

ZIP_DATA = "/ok/zip-data"


def test_a_study_is_queued_and_its_location_returned(ann, gate):
    response = ann.get(ZIP_DATA, 202)
    job = response.json
    assert job["status"] == "queued"
    assert (job["study_id"], job["source"]) == ("ok", "ok.zip")
    assert response.headers["Retry-After"].isdecimal()
    url = urljoin("http://host/prefix/api/analytics/ok/zip-data", response.headers["Location"])
    assert url == f"http://host/prefix/api/analytics/jobs/{job['job_id']}"
    assert job["status_url"] == f"/api/analytics/jobs/{job['job_id']}"
    assert job["result_url"] is None


def test_a_request_that_waits_returns_the_result(ann, data):
    job = ann.get(f"{ZIP_DATA}?async=false", 200).json
    assert job["status"] == "completed"
    assert job["result_url"] == f"{job['status_url']}/result"
    expected = ak.process(data / "ok.zip")
    assert job["result"]["summary"] == expected.summary
    assert len(job["result"]["trials"]) == len(expected.trials) == 8
    first = job["result"]["trials"][0]
    assert list(first) == list(expected.trials.columns)
    assert first["path_length_px"] == expected.trials["path_length_px"][0]
    assert None in first.values(), "missing values are null"


def test_a_request_that_waits_too_long_returns_the_location(ann, client_of_server, gate, monkeypatch):
    impatient = client_of_server(answer_limit_s=0.05)
    monkeypatch.setattr(impatient.service, "client_for", ann.service.client_for)  # whose one thread is occupied
    response = impatient.get(f"{ZIP_DATA}?async=false", 202)
    assert response.json["status"] == "queued"
    assert response.headers["Location"]


def test_requests_above_the_waiting_limit_are_answered_at_once(ann, gate):
    while ann.service._waiting.acquire(blocking=False):
        pass
    assert ann.get(f"{ZIP_DATA}?async=false", 202).json["status"] == "queued"


def test_a_request_that_waits_is_answered_when_the_server_stops(ann, gate):
    ann.service.stop()
    assert ann.get(f"{ZIP_DATA}?async=false", 202).json["status"] == "queued"


def test_a_job_asked_for_by_id_comes_with_its_result(ann, gate):
    job_id = ann.get(ZIP_DATA, 202).json["job_id"]
    assert ann.get(f"{ZIP_DATA}?job_id={job_id}").json["status"] == "queued", "a poll is always 200"
    gate.touch()
    job = ann.get(f"{ZIP_DATA}?job_id={job_id}&async=false&participant_id=2").json
    assert job["status"] == "completed"
    assert {row["participant"] for row in job["result"]["trials"]} == {"2"}
    assert job["result"]["summary"]["participants"] == 2, "all are processed"
    assert ann.get(f"{ZIP_DATA}?job_id={job_id}&participant_id=nobody").json["result"]["trials"] == []


def test_equal_requests_share_a_job(ann):
    first = ann.ended_job("ok")["job_id"]
    assert ann.get(ZIP_DATA, 202).json["job_id"] == first
    assert ann.get(ZIP_DATA, 202).json["status"] == "completed"


def test_a_failed_job_is_returned_again_until_it_is_retried(ann):
    failed = ann.ended_job("broken")
    assert failed["status"] == "failed"
    assert failed["error"]["error"] == "BadArchiveError"
    assert "broken.zip" in failed["error"]["message"]
    assert "/" not in failed["error"]["message"]
    assert failed["error"]["hint"]
    assert failed["result"] is failed["result_url"] is None
    assert ann.ended_job("broken")["job_id"] == failed["job_id"]
    response = ann.post(f"/jobs/{failed['job_id']}/retry", 202)
    retried = response.json
    assert retried["job_id"] != failed["job_id"]
    assert retried["retry_of"] == failed["job_id"]
    url = urljoin(f"http://host/api/analytics/jobs/{failed['job_id']}/retry", response.headers["Location"])
    assert url == f"http://host/api/analytics/jobs/{retried['job_id']}"
    assert ann.ended_job("broken")["job_id"] == retried["job_id"]


def test_a_cancelled_job_is_returned_again(ann, gate):
    job_id = ann.get(ZIP_DATA, 202).json["job_id"]
    ann.delete(f"/jobs/{job_id}", 200)
    again = ann.get(ZIP_DATA, 202).json
    assert (again["job_id"], again["status"]) == (job_id, "cancelled")


def test_a_study_folder_of_the_platform_is_read_in_place(ann):
    job = ann.ended_job("tree")
    assert job["status"] == "completed"
    assert (job["study_id"], job["source"]) == ("tree", "tree_study_id")


def test_an_uploaded_study_is_processed(ann, bob):
    body = small_zip(seed=7)
    job = ann.post("/mine/zip-data?async=false", 200, body=body).json
    assert (job["status"], job["study_id"], job["size_bytes"]) == ("completed", "mine", len(body))
    assert ann.ended_job("mine")["job_id"] == job["job_id"]
    bob.get("/mine/zip-data", 404)


def test_an_equal_study_joins_the_job_under_its_own_name(ann, data):
    first = ann.ended_job("ok")
    job = ann.post("/mine/zip-data", 202, body=(data / "ok.zip").read_bytes()).json
    assert (job["job_id"], job["study_id"], job["source"]) == (first["job_id"], "mine", "ok.zip")
    assert ann.ended_job("mine")["study_id"] == "mine"
    ann.delete(f"/jobs/{first['job_id']}", 204)
    assert ann.ended_job("mine")["source"] == "mine.zip"


def test_changed_content_is_another_job(ann):
    first = ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"]
    assert ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"] == first
    assert ann.post("/mine/zip-data", 202, body=small_zip(seed=8)).json["job_id"] != first
    assert ann.get("/mine/zip-data", 202).json["job_id"] != first


def test_deleting_the_job_deletes_the_upload(ann):
    job_id = ann.post("/mine/zip-data?async=false", 200, body=small_zip(seed=7)).json["job_id"]
    ann.delete(f"/jobs/{job_id}", 204)
    ann.get("/mine/zip-data", 404)


class TestRefusal:
    @pytest.mark.parametrize("study", ["nonesuch", "notes", "tree_study_id"])
    def test_an_unknown_study_is_404(self, ann, study):
        body = ann.get(f"/{study}/zip-data", 404).json
        assert body["error"] == "SourceNotFoundError"
        assert study in body["message"]
        assert body["hint"]

    @pytest.mark.parametrize("study", ["studies", "health", "-a", "a b", "é", "a" * 129, "a%0A"])
    def test_an_invalid_study_id_is_422(self, ann, study):
        body = ann.get(f"/{study}/zip-data", 422).json
        assert body["parameter"] == "study_id"

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ("async=perhaps", "async"),
            ("job_id=a/b", "job_id"),
            ("participant_id=", "participant_id"),
            ("pages=2", "pages"),
        ],
    )
    def test_an_invalid_parameter_is_named(self, ann, query, parameter):
        body = ann.get(f"{ZIP_DATA}?{query}", 422).json
        assert body["parameter"] == parameter
        assert parameter in body["message"]
        assert set(body) == {"error", "message", "hint", "parameter"}

    def test_an_unknown_job_is_404(self, ann):
        assert ann.get(f"{ZIP_DATA}?job_id=nonesuch", 404).json["error"] == "JobNotFoundError"

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/json", ""]
    )
    def test_a_body_without_the_type_of_a_zip_is_415(self, ann, content_type):
        ann.post("/mine/zip-data", 415, body=b"x", content_type=content_type)

    @pytest.mark.parametrize("body", [b"P", b"hello, no ZIP", b"PK\x03\x04 and then nothing of a ZIP"])
    def test_a_body_that_is_no_zip_is_422_and_leaves_nothing(self, ann, body, tmp_path):
        body = ann.post("/mine/zip-data", 422, body=body).json
        assert body["error"] == "BadArchiveError"
        assert str(tmp_path) not in str(body)
        ann.get("/mine/zip-data", 404)
        assert not list((tmp_path / "home" / "store").glob("uploads/*/*")), "nothing is left of the upload"

    def test_an_unsafe_zip_is_422(self, ann):
        assert ann.post("/mine/zip-data", 422, body=full_overlap()).json["error"] == "UnsafeArchiveError"

    def test_a_refused_upload_keeps_the_study_before(self, ann):
        first = ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"]
        ann.post("/mine/zip-data", 422, body=b"PK\x03\x04 and then nothing of a ZIP")
        assert ann.get("/mine/zip-data", 202).json["job_id"] == first

    def test_an_upload_above_the_limit_is_413(self, client_of_server):
        body = (
            client_of_server(upload_limit_gb=1e-6).post("/mine/zip-data", 413, body=b"PK\x03\x04" + b"x" * 1000).json
        )
        assert "GB" in body["message"]

    def test_an_upload_without_a_length_is_411(self, ann):
        body = {"input_stream": io.BytesIO(small_zip(seed=7)), "content_type": "application/zip"}
        ann.request("POST", "/mine/zip-data", 411, **body, headers={"Transfer-Encoding": "chunked"})

    def test_an_upload_that_ends_early_is_422_and_leaves_nothing(self, ann, tmp_path):
        body = small_zip(seed=7)
        response = ann.request(
            "POST", "/mine/zip-data", input_stream=io.BytesIO(body[:-10]), content_type="application/zip",
            environ_overrides={"CONTENT_LENGTH": str(len(body)), "wsgi.input_terminated": True},
        )  # fmt: skip
        assert response.status_code == 422
        assert not list((tmp_path / "home" / "store").glob("uploads/*/*"))
