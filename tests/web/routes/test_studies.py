"""Studies over HTTP: a study becomes a job, the same study the same job, uploads are taken in or refused."""

import io
from urllib.parse import urljoin

import pytest

import analytics_kit as ak
from tests.study.bombs import full_overlap
from tests.web.small_study import small_zip

PATH = "/ok/zip-data"


def test_a_study_is_begun_and_where_to_ask_is_said(ann, gate):
    answer = ann.get(PATH, 202)
    job = answer.json
    assert job["status"] == "queued"
    assert (job["study_id"], job["source"]) == ("ok", "ok.zip")
    assert answer.headers["Retry-After"].isdecimal()
    where = urljoin("http://host/prefix/api/analytics/ok/zip-data", answer.headers["Location"])
    assert where == f"http://host/prefix/api/analytics/jobs/{job['job_id']}"
    assert job["status_url"] == f"/api/analytics/jobs/{job['job_id']}"
    assert job["result_url"] is None


def test_who_waits_is_given_the_result(ann, data):
    job = ann.get(f"{PATH}?async=false", 200).json
    assert job["status"] == "completed"
    assert job["result_url"] == f"{job['status_url']}/result"
    expected = ak.process(data / "ok.zip")
    assert job["result"]["summary"] == expected.summary
    assert len(job["result"]["trials"]) == len(expected.trials) == 8
    first = job["result"]["trials"][0]
    assert list(first) == list(expected.trials.columns)
    assert first["path_length_px"] == expected.trials["path_length_px"][0]
    assert None in first.values(), "what the log can't tell is null"


def test_who_waits_too_long_is_told_where_to_ask(ann, client_of_server, gate):
    hasty = client_of_server(answer_limit_s=0.05)
    hasty.service._clients["ann"] = ann.service.client_for("ann")
    answer = hasty.get(f"{PATH}?async=false", 202)
    assert answer.json["status"] == "queued"
    assert answer.headers["Location"]


def test_more_than_may_wait_are_answered_at_once(ann, gate):
    while ann.service._waiting.acquire(blocking=False):
        pass
    assert ann.get(f"{PATH}?async=false", 202).json["status"] == "queued"


def test_who_waits_is_answered_when_the_server_ends(ann, gate):
    ann.service.stop()
    assert ann.get(f"{PATH}?async=false", 202).json["status"] == "queued"


def test_a_job_of_the_study_is_told_with_its_result(ann, gate):
    job_id = ann.get(PATH, 202).json["job_id"]
    assert ann.get(f"{PATH}?job_id={job_id}").json["status"] == "queued", "a poll is always 200"
    gate.touch()
    job = ann.get(f"{PATH}?job_id={job_id}&async=false&participant_id=2").json
    assert job["status"] == "completed"
    assert {row["participant"] for row in job["result"]["trials"]} == {"2"}
    assert job["result"]["summary"]["participants"] == 2, "all are processed"
    assert ann.get(f"{PATH}?job_id={job_id}&participant_id=nobody").json["result"]["trials"] == []


def test_the_same_study_is_the_same_job(ann):
    first = ann.ended_job("ok")["job_id"]
    assert ann.get(PATH, 202).json["job_id"] == first
    assert ann.get(PATH, 202).json["status"] == "completed"


def test_a_failed_job_is_given_again_until_it_is_retried(ann):
    failed = ann.ended_job("broken")
    assert failed["status"] == "failed"
    assert failed["error"]["error"] == "BadArchiveError"
    assert "broken.zip" in failed["error"]["message"]
    assert "/" not in failed["error"]["message"]
    assert failed["error"]["hint"]
    assert failed["result"] is failed["result_url"] is None
    assert ann.ended_job("broken")["job_id"] == failed["job_id"]
    answer = ann.post(f"/jobs/{failed['job_id']}/retry", 202)
    again = answer.json
    assert again["job_id"] != failed["job_id"]
    assert again["retry_of"] == failed["job_id"]
    where = urljoin(f"http://host/api/analytics/jobs/{failed['job_id']}/retry", answer.headers["Location"])
    assert where == f"http://host/api/analytics/jobs/{again['job_id']}"
    assert ann.ended_job("broken")["job_id"] == again["job_id"]


def test_a_cancelled_job_is_given_again(ann, gate):
    job_id = ann.get(PATH, 202).json["job_id"]
    ann.delete(f"/jobs/{job_id}", 200)
    again = ann.get(PATH, 202).json
    assert (again["job_id"], again["status"]) == (job_id, "cancelled")


def test_a_folder_of_the_platform_is_read_in_place(ann):
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


def test_an_upload_with_other_content_is_another_job(ann):
    first = ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"]
    assert ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"] == first
    assert ann.post("/mine/zip-data", 202, body=small_zip(seed=8)).json["job_id"] != first
    assert ann.get("/mine/zip-data", 202).json["job_id"] != first


def test_deleting_the_job_deletes_the_upload(ann):
    job_id = ann.post("/mine/zip-data?async=false", 200, body=small_zip(seed=7)).json["job_id"]
    ann.delete(f"/jobs/{job_id}", 204)
    ann.get("/mine/zip-data", 404)


class TestRefused:
    @pytest.mark.parametrize("study", ["nonesuch", "notes", "tree_study_id"])
    def test_a_study_that_is_not_there(self, ann, study):
        answer = ann.get(f"/{study}/zip-data", 404).json
        assert answer["error"] == "SourceNotFoundError"
        assert study in answer["message"]
        assert answer["hint"]

    @pytest.mark.parametrize("study", ["studies", "health", "-a", "a b", "é", "a" * 129, "a%0A"])
    def test_an_id_that_no_study_has(self, ann, study):
        answer = ann.get(f"/{study}/zip-data", 422).json
        assert answer["parameter"] == "study_id"

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ("async=perhaps", "async"),
            ("job_id=a/b", "job_id"),
            ("participant_id=", "participant_id"),
            ("pages=2", "pages"),
        ],
    )
    def test_a_parameter_that_can_not_be_used_is_named(self, ann, query, parameter):
        answer = ann.get(f"{PATH}?{query}", 422).json
        assert answer["parameter"] == parameter
        assert parameter in answer["message"]
        assert set(answer) == {"error", "message", "hint", "parameter"}

    def test_an_unknown_job(self, ann):
        assert ann.get(f"{PATH}?job_id=nonesuch", 404).json["error"] == "JobNotFoundError"

    @pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/json", ""])
    def test_a_body_that_is_no_zip_by_its_type(self, ann, kind):
        ann.post("/mine/zip-data", 415, body=b"x", content_type=kind)

    @pytest.mark.parametrize("body", [b"P", b"hello, no ZIP", b"PK\x03\x04 and then nothing of a ZIP"])
    def test_a_body_that_is_no_zip(self, ann, body, tmp_path):
        answer = ann.post("/mine/zip-data", 422, body=body).json
        assert answer["error"] == "BadArchiveError"
        assert str(tmp_path) not in str(answer)
        ann.get("/mine/zip-data", 404)
        assert not list((tmp_path / "home" / "store").glob("uploads/*/*")), "nothing is left of it"

    def test_a_zip_that_is_not_safe(self, ann):
        assert ann.post("/mine/zip-data", 422, body=full_overlap()).json["error"] == "UnsafeArchiveError"

    def test_an_upload_that_fails_leaves_the_one_before(self, ann):
        first = ann.post("/mine/zip-data", 202, body=small_zip(seed=7)).json["job_id"]
        ann.post("/mine/zip-data", 422, body=b"PK\x03\x04 and then nothing of a ZIP")
        assert ann.get("/mine/zip-data", 202).json["job_id"] == first

    def test_one_that_is_too_large(self, client_of_server):
        small = client_of_server(upload_limit_gb=1e-6)
        answer = small.post("/mine/zip-data", 413, body=b"PK\x03\x04" + b"x" * 1000).json
        assert "GB" in answer["message"]

    def test_one_that_does_not_say_how_long_it_is(self, ann):
        body = {"input_stream": io.BytesIO(small_zip(seed=7)), "content_type": "application/zip"}
        ann.request("POST", "/mine/zip-data", 411, **body, headers={"Transfer-Encoding": "chunked"})

    def test_one_that_ends_early(self, ann, tmp_path):
        body = small_zip(seed=7)
        answer = ann.request(
            "POST", "/mine/zip-data", input_stream=io.BytesIO(body[:-10]), content_type="application/zip",
            environ_overrides={"CONTENT_LENGTH": str(len(body)), "wsgi.input_terminated": True},
        )  # fmt: skip
        assert answer.status_code == 422
        assert not list((tmp_path / "home" / "store").glob("uploads/*/*"))
