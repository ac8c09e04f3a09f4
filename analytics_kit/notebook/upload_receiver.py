"""How does a study that somebody uploads come in, piece by piece, and become a job?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from analytics_kit.errors import AnalyticsKitError
from analytics_kit.model import JobInfo
from analytics_kit.settings import without_secrets

DOS = ("upload", "piece", "abandon")
"""What a page says of an upload: that it begins, its next piece, that it ends early."""


class Receiver(Protocol):
    """A file that comes in pieces."""

    written_bytes: int
    size_bytes: int

    def write(self, at: int, piece: bytes | memoryview) -> None:
        """Add the piece that begins at byte `at`."""

    def finish(self) -> str:
        """Make it readable; what to submit. It can still be abandoned."""

    def abandon(self) -> None:
        """Leave nothing of it."""


class Submitted(Protocol):
    """A job that does an uploaded study."""

    def snapshot(self) -> JobInfo:
        """The job now."""


class Desk(Protocol):
    """Where uploaded studies are handed in."""

    def receive(self, name: str, size_bytes: int) -> Receiver:
        """A place for a study that is uploaded."""

    def submit(self, source: str) -> Submitted:
        """A job for it."""


class Intake:
    """All uploads of one page. `submitted` is called with the id of the job that does an upload."""

    def __init__(self, desk: Desk, submitted: Callable[[str], None]) -> None:
        self._desk = desk
        self._submitted = submitted
        self._uploads: dict[str, Receiver] = {}

    def take(self, do: str, content: Mapping[str, Any], buffers: Sequence[Any]) -> dict[str, Any] | None:
        """Take in what the page says of an upload; what to tell it of what has arrived, None for nothing."""
        token = str(content["token"])
        if do == "abandon":
            self._abandon(token)
            return None
        try:
            if do == "upload":
                self._uploads[token] = self._desk.receive(str(content["name"]), int(content["size"]))
            upload = self._uploads.get(token)
            if upload is None:  # it failed, or was stopped, while pieces were on their way
                return None
            if do == "piece":
                upload.write(int(content["at"]), buffers[0])
            told: dict[str, Any] = {"token": token, "arrived": upload.written_bytes}
            if upload.written_bytes == upload.size_bytes:
                self._submit(token, upload)
                told["done"] = True
        except AnalyticsKitError as error:
            self._abandon(token)
            told = {"token": token, "error": str(error)}
        return told

    def close(self) -> None:
        """Leave nothing of uploads that have not ended."""
        for token in list(self._uploads):
            self._abandon(token)

    def _submit(self, token: str, upload: Receiver) -> None:
        source = upload.finish()
        info = self._desk.submit(source).snapshot()
        if info.source == without_secrets(source):
            del self._uploads[token]
        else:  # the job of an equal study does it, from its own copy
            self._abandon(token)
        self._submitted(info.job_id)

    def _abandon(self, token: str) -> None:
        upload = self._uploads.pop(token, None)
        if upload is not None:
            upload.abandon()
