"""Jobs and uploads that the tests of several routes need."""

import pytest

from analytics_kit.study.archive.source import fingerprint
from tests.web.small_study import small_zip


@pytest.fixture
def completed_id(ann):
    """The id of a completed job for the study `ok`."""
    return ann.ended_job("ok")["job_id"]


@pytest.fixture
def content_of(tmp_path):
    """content_of(bytes) → the fingerprint of a ZIP."""

    def of(study):
        (tmp_path / "s.zip").write_bytes(study)
        return fingerprint(str(tmp_path / "s.zip"))[0]

    return of


@pytest.fixture
def uploaded(ann, content_of):
    """The fingerprint of a study that ann has uploaded."""
    content = content_of(small_zip(seed=7))
    ann.post(f"/uploads/{content}?name=mine.zip", 201, body=small_zip(seed=7))
    return content
