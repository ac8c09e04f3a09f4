"""What storage raises is told apart by what helps, retried while it may pass, and named."""

import errno
import socket
import ssl
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import SimpleNamespace

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from fsspec.exceptions import FSTimeoutError
from s3fs.errors import translate_boto_error

from analytics_kit.errors import StoreError
from analytics_kit.study import storage_errors
from analytics_kit.study.storage_errors import Remedy, remedy_of, retried, storage_error


def boto(code, status):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def http(status):
    return aiohttp.ClientResponseError(SimpleNamespace(real_url="https://host"), (), status=status, message="answer")


def missing_because_of(cause):
    """As fsspec's HTTP file system reports whatever goes wrong when it asks for a size."""
    error = FileNotFoundError("https://host/study.zip")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        *(
            (OSError(number, "x"), Remedy.WAIT)
            for number in (errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EPIPE)
        ),
        (ConnectionResetError(errno.ECONNRESET, "x"), Remedy.WAIT),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), Remedy.WAIT),
        (FutureTimeoutError(), Remedy.WAIT),
        (FSTimeoutError(), Remedy.WAIT),
        (EndpointConnectionError(endpoint_url="http://x"), Remedy.WAIT),
        (ConnectTimeoutError(endpoint_url="http://x"), Remedy.WAIT),
        (ReadTimeoutError(endpoint_url="http://x"), Remedy.WAIT),
        *((translate_boto_error(boto(code, 503)), Remedy.WAIT) for code in ("SlowDown", "ServiceUnavailable", "503")),
        (translate_boto_error(boto("InternalError", 500)), Remedy.WAIT),
        (boto("Throttling", 400), Remedy.WAIT),
        *((http(status), Remedy.WAIT) for status in (429, 500, 502, 503, 504)),
        (aiohttp.ClientPayloadError("cut off"), Remedy.WAIT),
        (aiohttp.ServerDisconnectedError(), Remedy.WAIT),
        (missing_because_of(http(503)), Remedy.WAIT),
        (missing_because_of(aiohttp.ClientConnectionError("refused")), Remedy.WAIT),
        (NoCredentialsError(), Remedy.ANOTHER_HOST),
        *((translate_boto_error(boto(code, 403)), Remedy.ANOTHER_HOST) for code in ("AccessDenied", "403", "X")),
        (translate_boto_error(boto("ExpiredToken", 400)), Remedy.ANOTHER_HOST),
        (translate_boto_error(boto("InvalidToken", 400)), Remedy.ANOTHER_HOST),
        *((http(status), Remedy.ANOTHER_HOST) for status in (401, 403, 407)),
        (PermissionError(errno.EACCES, "x"), Remedy.ANOTHER_HOST),
        (FileNotFoundError(errno.ENOENT, "x"), Remedy.LOOK),
        (translate_boto_error(boto("NoSuchBucket", 404)), Remedy.LOOK),
        (missing_because_of(http(404)), Remedy.LOOK),
        (OSError(errno.ENOSPC, "x"), Remedy.REPAIR),
        (OSError(errno.EIO, "x"), Remedy.REPAIR),
        (ssl.SSLCertVerificationError("self-signed"), Remedy.REPAIR),
        (http(400), Remedy.REPAIR),
        (ValueError("x"), Remedy.REPAIR),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:60].replace("/", " "),
)
def test_remedy_of_an_error_is_what_helps(error, remedy):
    assert remedy_of(error) is remedy


@pytest.fixture
def patient(monkeypatch):
    """Retry for a moment only."""
    monkeypatch.setattr(storage_errors, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(storage_errors, "PATIENCE_S", 0.2)
    monkeypatch.setattr(storage_errors, "BRIEF_PATIENCE_S", 0.05)


class Failing:
    def __init__(self, error, times):
        self.error, self.times, self.calls = error, times, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


@pytest.mark.parametrize("error", [ConnectionResetError(), http(503), OSError(errno.EIO, "x"), http(403)])
def test_retried_returns_what_comes_after_an_error_that_passes(patient, error):
    assert retried(Failing(error, times=3)) == "answer"


@pytest.mark.parametrize("error", [ConnectionResetError(), OSError(errno.EIO, "x"), http(403), boto("SlowDown", 503)])
def test_retried_raises_the_error_that_does_not_pass(patient, error):
    action = Failing(error, times=10**9)
    with pytest.raises(type(error)):
        retried(action)
    assert action.calls > 1


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "x"),
        PermissionError(13, "x"),
        OSError(errno.ENOSPC, "x"),
        ValueError(),
        NoCredentialsError(),
        StoreError("x"),
    ],
)
def test_retried_does_not_repeat_what_can_not_pass(patient, error):
    action = Failing(error, times=1)
    with pytest.raises(type(error)):
        retried(action)
    assert action.calls == 1


def test_storage_error_names_place_and_reason_and_no_secret():
    cause = OSError("can't open https://me:word@host/study.zip?key=SECRET")
    error = storage_error(cause, "https://host/study.zip can't be read")
    assert error.message == "https://host/study.zip can't be read: OSError: can't open https://host/study.zip."
    assert "SECRET" not in str(error)
    assert "word" not in str(error)


def test_hint_is_about_credentials_where_the_error_is():
    assert "credentials" in storage_error(NoCredentialsError(), "s3://bucket/x can't be read").hint
    assert "disk" in storage_error(OSError(errno.EIO, "Input/output error"), "/x can't be read").hint
    assert "permissions" in storage_error(PermissionError(13, "Permission denied"), "/x can't be read").hint


def test_an_error_says_whether_another_worker_may_succeed():
    assert storage_error(NoCredentialsError(), "s3://x").may_work_elsewhere
    assert storage_error(http(503), "s3://x").may_work_elsewhere
    assert not storage_error(OSError(errno.EIO, "x"), "/x").may_work_elsewhere
    assert not storage_error(OSError(errno.ENOSPC, "x"), "/x").may_work_elsewhere
