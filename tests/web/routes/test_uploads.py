"""Uploads by content: stored under a safe name, or refused without a trace."""

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
