"""Uploads by content: stored under a safe name, or refused without a trace."""

from analytics_kit.study.store.retention import tidy_uploads
from analytics_kit.study.store.store import Store
from analytics_kit.web.app import APP_NAME, create_app
from tests.web.api_client import ApiClient
from tests.web.routes.submitting import submit
from tests.web.small_study import small_zip


def test_an_upload_that_is_no_zip_or_has_no_type_or_is_too_large_is_refused(ann, client_of_server):
    path = f"/uploads/{'3b' * 32}"
    ann.post(path, 422, body=b"no ZIP")
    ann.post(path, 415, body=b"PK\x03\x04", content_type="text/plain")
    ann.post("/uploads/nonsense", 422, body=b"PK\x03\x04")
    client_of_server(upload_limit_gb=1e-6).post(path, 413, body=b"PK\x03\x04" * 1000)


def test_a_refused_upload_leaves_nothing_in_the_store(ann, tmp_path):
    ann.post(f"/uploads/{'3b' * 32}", 422, body=b"no ZIP")
    assert not list((tmp_path / "home" / "store").glob("uploads/*"))


def test_an_upload_keeps_only_its_file_name_and_ends_in_zip(ann, content_of):
    content = content_of(small_zip(seed=7))
    ann.post(f"/uploads/{content}?name=../../etc/a.csv", 201, body=small_zip(seed=7))
    assert submit(ann, content=content)["source"] == "a.csv.zip"


def test_an_upload_beyond_the_quota_is_413_and_another_namespace_is_not_concerned(settings):
    small_quota = 1e-4
    app = create_app(settings(upload_quota_gb=small_quota))
    ann, bob = ApiClient(app, "ann"), ApiClient(app, "bob")
    body = small_zip(seed=7)
    for number in range(int(small_quota * 1e9 / len(body))):
        ann.post(f"/uploads/{number:064x}", 201, body=body)
    response = ann.post(f"/uploads/{'f' * 64}", 413, body=body)
    assert response.json["error"] == "NoRoomError"
    assert "Delete jobs" in response.json["hint"]
    bob.post(f"/uploads/{'f' * 64}", 201, body=body)
    app.extensions[APP_NAME].close()


def test_a_study_that_others_uploaded_too_is_shown_as_uploaded_by_oneself(ann, bob):
    body = small_zip(seed=7)
    ann.post("/mine/zip-data", body=body)
    before = ann.get("/studies").json["studies"]
    bob.post("/mine/zip-data", body=body)
    store = Store.of(ann.service.settings)
    tidy_uploads(store, store.now_s())
    assert len({file.content_id for file in store.files("uploads")}) == 1
    assert ann.get("/studies").json["studies"] == before
