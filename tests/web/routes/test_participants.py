"""Forgetting a participant over HTTP: only of the own namespace, and with the proofs that any change needs."""

import pytest

from analytics_kit.web.session import CSRF_HEADER
from tests.web.api_client import ApiClient
from tests.web.page_client import Browser
from tests.web.routes.submitting import submit, wait_for_end
from tests.web.small_study import small_zip


def forget(client, participant, code=200, **options):
    return client.request("POST", "/forget", code, json={"participant": participant}, **options)


@pytest.fixture
def uploaded(ann):
    """The id of a completed job for a study that ann uploaded."""
    return ann.post("/mine/zip-data?async=false", 200, body=small_zip(seed=3)).json["job_id"]


def trials_of(client, job_id, code=200):
    return client.get(f"/jobs/{job_id}/result", code).json


def test_the_participant_goes_with_the_upload(ann, uploaded, tmp_path):
    name = trials_of(ann, uploaded)["records"][0]["participant"]
    assert len(list((tmp_path / "home" / "store").glob("uploads/*/*"))) == 1
    answer = forget(ann, name).json
    assert answer["results"] == answer["uploads"] == answer["jobs"] == 1
    assert answer["trials"] > 0
    assert answer["unreached"] == []
    assert name not in {row["participant"] for row in trials_of(ann, uploaded)["records"]}
    assert not list((tmp_path / "home" / "store").glob("uploads/*/*"))
    assert "mine" not in {study["study_id"] for study in ann.get("/studies").json["studies"]}
    assert forget(ann, name, 404).json["error"] == "SettingsError"


def test_a_study_of_the_server_is_listed_by_its_name_alone(ann, data):
    job = ann.ended_job("ok")
    (line,) = forget(ann, "1").json["unreached"]
    assert line.startswith(f"The study ok.zip (job {job['job_id']}) is outside the store")
    assert str(data) not in line


def test_a_file_of_a_result_that_was_replaced_is_gone(ann):
    job_id = ann.ended_job("ok")["job_id"]
    path = ann.get(f"/jobs/{job_id}/result/manifest").json["tables"]["trials"]
    forget(ann, "1")
    assert ann.get(f"/jobs/{job_id}/result/file?path={path}", 410).json["error"] == "ResultExpiredError"
    assert "revision" in ann.get(f"/jobs/{job_id}/result/manifest").json


def test_content_that_was_forgotten_joins_its_job_without_an_upload(ann, content_of):
    content = content_of(small_zip(seed=4))
    ann.post(f"/uploads/{content}", 201, body=small_zip(seed=4))
    job_id = submit(ann, content=content)["job_id"]
    wait_for_end(ann, job_id)
    forget(ann, trials_of(ann, job_id)["records"][0]["participant"])
    assert submit(ann, content=content)["job_id"] == job_id
    assert submit(ann, 404, content=content, refresh=True)["error"] == "SourceNotFoundError"


def test_another_namespace_is_not_reached(ann, bob, uploaded):
    before = trials_of(ann, uploaded)
    forget(bob, before["records"][0]["participant"], 404)
    assert trials_of(ann, uploaded) == before


def test_a_token_and_with_a_cookie_the_csrf_token_are_needed(app, ann, uploaded):
    forget(ApiClient(app), "1", 401)
    browser = Browser(app, "ann")
    name = trials_of(ann, uploaded)["records"][0]["participant"]
    forget(browser, name, 403)
    forget(browser, name, 403, headers={CSRF_HEADER: "wrong"})
    forget(browser, name, headers={CSRF_HEADER: browser.open().csrf_token})


@pytest.mark.parametrize("body", [{}, {"participant": ""}, {"participant": 1}, {"participant": "1", "all": True}])
def test_a_body_that_can_not_be_used_is_refused(ann, body):
    assert ann.request("POST", "/forget", 422, json=body).json["error"] == "ParameterError"


def test_the_name_may_not_be_in_the_url(ann):
    ann.request("POST", "/forget?participant=1", 422)
