"""Receive the studies that a page uploads, piece by piece, and submit each one as a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.model import JobInfo
from analytics_kit.settings import without_secrets

UPLOAD_ACTIONS = ("upload", "piece", "abandon")
"""Messages of a page about an upload: its start, its next piece, its early end."""


class IncomingFile(Protocol):
    """A file that arrives in pieces."""

    written_bytes: int
    size_bytes: int

    def write(self, at: int, piece: bytes | memoryview) -> None:
        """Add the piece that begins at byte `at`."""

    def finish(self) -> str:
        """Make the file readable and return what to submit. It can still be abandoned."""

    def abandon(self) -> None:
        """Remove the file."""


class SubmittedJob(Protocol):
    """The job that processes an uploaded study."""

    def snapshot(self) -> JobInfo:
        """Return the present state of the job."""


class UploadClient(Protocol):
    """A client that stores uploaded studies and submits them."""

    def receive(self, name: str, size_bytes: int) -> IncomingFile:
        """Return a file to write the pieces of an upload to."""

    def submit(self, source: str) -> SubmittedJob:
        """Submit the study at `source`."""


class UploadReceiver:
    """All uploads of one page. `on_submitted` is called with the id of the job that processes an upload."""

    def __init__(self, client: UploadClient, on_submitted: Callable[[str], None]) -> None:
        self._client = client
        self._on_submitted = on_submitted
        self._uploads: dict[str, IncomingFile] = {}

    def handle(self, action: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> dict[str, Any] | None:
        """Handle one of UPLOAD_ACTIONS and return the reply to the page: bytes received, end or error; or None."""
        token = str(content["token"])
        if action == "abandon":
            self._abandon(token)
            return None
        try:
            if action == "upload":
                self._uploads[token] = self._client.receive(str(content["name"]), int(content["size"]))
            upload = self._uploads.get(token)
            if upload is None:  # it failed or was stopped while pieces were under way
                return None
            if action == "piece":
                upload.write(int(content["offset"]), buffers[0])
            reply: dict[str, Any] = {"token": token, "received": upload.written_bytes}
            if upload.written_bytes == upload.size_bytes:
                self._submit(token, upload)
                reply["done"] = True
        except AnalyticsKitError as error:
            self._abandon(token)
            reply = {"token": token, "error": str(error)}
        return reply

    def close(self) -> None:
        """Remove the files of unfinished uploads."""
        for token in list(self._uploads):
            self._abandon(token)

    def _submit(self, token: str, upload: IncomingFile) -> None:
        source = upload.finish()
        info = self._client.submit(source).snapshot()
        if info.source == without_secrets(source):
            del self._uploads[token]
        else:  # joined the job of an equal study, which reads its own copy
            self._abandon(token)
        self._on_submitted(info.job_id)

    def _abandon(self, token: str) -> None:
        upload = self._uploads.pop(token, None)
        if upload is not None:
            upload.abandon()
