"""Uploads of a process, with a transport that records what it is given."""

import fsspec
import pytest

from analytics_kit.backends.http.upload_queue import UploadQueue
from analytics_kit.errors import SourceNotFoundError
from analytics_kit.model import JobRequest, JobStatus
from analytics_kit.settings import Settings
from tests.processes import until

STUDY = b"content of a study"


class RecordingTransport:
    """A server that has no study until one is uploaded."""

    def __init__(self):
        self.uploads, self.posted = [], []

    def request(self, method, path, body):
        if not self.uploads:
            raise SourceNotFoundError("upload it first")
        self.posted.append((method, path, body))
        return {}

    def upload(self, path, query, stream, size_bytes):
        chunks = []
        while chunk := stream.read(7):
            chunks.append(chunk)
        self.uploads.append((path, dict(query), b"".join(chunks), size_bytes))
        return {}


@pytest.fixture
def transport():
    return RecordingTransport()


@pytest.fixture
def upload(transport):
    """upload(location, **fields) → the finished job."""
    queue = UploadQueue(transport, Settings.of())

    def run(location, **fields):
        arguments = {"source": str(location), "content": "c0ffee"}
        request = JobRequest("", arguments, "key", "shown to people", size_bytes=len(STUDY), **fields)
        job_id = queue.submit(request, {"content": "c0ffee"}).job_id
        return until(lambda: (info := queue.jobs.get(job_id)).status.final and info, "the upload has ended")

    yield run
    queue.jobs.close()


def test_upload_sends_the_study_and_posts_the_job_with_its_id(upload, transport, tmp_path):
    path = tmp_path / "study.zip"
    path.write_bytes(STUDY)
    info = upload(path, tags=("a",))
    assert info.status is JobStatus.COMPLETED
    assert transport.uploads == [("/uploads/c0ffee", {"name": "study.zip"}, STUDY, len(STUDY))]
    body = {"content": "c0ffee", "job_id": info.job_id, "refresh": True, "rejoin": False, "tags": ["a"]}
    assert transport.posted == [("POST", "/jobs", body)]


def test_upload_from_a_url_sends_its_name_without_the_signature(upload, transport):
    url = "memory://bucket/study.zip?signature=hush"
    with fsspec.open(url, "wb") as file:
        file.write(STUDY)
    assert upload(url).status is JobStatus.COMPLETED
    [(_, query, content, _)] = transport.uploads
    assert (query, content) == ({"name": "study.zip"}, STUDY)


def test_upload_reads_the_location_and_not_the_displayed_source(upload, tmp_path):
    info = upload(tmp_path / "gone.zip")
    assert info.source == "shown to people"
    assert info.status is JobStatus.FAILED
    assert isinstance(info.error.error(), SourceNotFoundError)


def test_upload_of_a_file_that_became_shorter_fails(upload, transport, tmp_path):
    path = tmp_path / "study.zip"
    path.write_bytes(STUDY[:-1])
    info = upload(path)
    assert info.error.message == "The study has changed during its upload."
    assert not transport.posted
