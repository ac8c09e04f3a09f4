"""How does a study come to a server, while its job is shown, can be cancelled, and may fail?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import IO, Any

import fsspec

from analytics_kit.backends.http.transport import Transport
from analytics_kit.backends.local import LocalBackend
from analytics_kit.errors import (
    AnalyticsKitError,
    BadArchiveError,
    BrokerUnavailableError,
    JobCancelledError,
    JobFailedError,
    SourceNotFoundError,
)
from analytics_kit.model import JobInfo, JobRequest, Progress, StepContext
from analytics_kit.settings import Settings

PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30, 30, 30, 30)
"""What breaks off is begun anew after these times, then given up."""
LOOK_S = 0.1


class UploadQueue:
    """Uploads of this process, one after the other, as jobs of its own.

    The server's job has the id of the upload's, which is completed once the server has its own.
    """

    def __init__(self, line: Transport, settings: Settings) -> None:
        self._line = line
        self.jobs = LocalBackend(settings, act=self._send)

    def submit(self, request: JobRequest, body: Mapping[str, Any]) -> JobInfo:
        """The job that uploads the study and then asks for `body`, or the one that is at it already."""
        limits = (request.time_limit_s, request.memory_limit_mb)
        return self.jobs.submit(
            replace(
                request,
                arguments={
                    "source": request.arguments["source"],
                    "size_bytes": request.size_bytes,
                    "body": dict(body),
                },
                result_key=f"{request.result_key} {limits}",  # they are for the server's job, but tell it apart
                time_limit_s=None,
                memory_limit_mb=None,
            )
        )

    def _send(self, task: StepContext) -> dict[str, Any]:
        for pause_s in (*PAUSES_S, None):
            try:
                self._submit(task)
                break
            except BrokerUnavailableError as error:
                if pause_s is None:
                    raise JobFailedError(
                        f"The study could not be uploaded. {error.message}", hint="Retry the job once that is mended."
                    ) from None
                _pause(task, pause_s)
        try:
            task.begin_commit()
        except JobCancelledError:
            with suppress(AnalyticsKitError):
                self._line.ask("POST", f"/jobs/{task.job_id}/cancel")
            raise
        return {}

    def _submit(self, task: StepContext) -> None:
        try:
            self._ask(task)
        except SourceNotFoundError:
            self._upload(task, task.arguments["body"]["content"])
            self._ask(task)

    def _ask(self, task: StepContext) -> None:
        # Asked for anew, so that the job has this id; whoever could be joined was joined before the upload.
        how = {"job_id": task.job_id, "refresh": True, "rejoin": False, "tags": list(self.jobs.get(task.job_id).tags)}
        self._line.ask("POST", "/jobs", body=task.arguments["body"] | how)

    def _upload(self, task: StepContext, content: str) -> None:
        source, size_bytes = task.arguments["source"], task.arguments["size_bytes"]
        try:
            file = fsspec.open(source, "rb").open() if "://" in source else Path(source).open("rb")  # noqa: SIM115
        except OSError as error:
            raise SourceNotFoundError(
                "The study was there when it was submitted, and can't be read any more.", hint="Submit it again."
            ) from error
        with file:
            piece = _Pieces(file, size_bytes, task)
            self._line.send(f"/uploads/{content}", [("name", PurePath(source).name)], piece, size_bytes)


class _Pieces:
    """The file, piece by piece, with progress told. What it raises is no OSError, which would pass for the line's."""

    def __init__(self, file: IO[bytes], size_bytes: int, task: StepContext) -> None:
        self._file, self._size_bytes, self._task = file, size_bytes, task
        self._done = 0

    def read(self, size: int, /) -> bytes:
        """The next piece. Raises JobCancelledError when the upload is unwanted, BadArchiveError for another file."""
        try:
            piece = self._file.read(min(size, self._size_bytes - self._done))
        except OSError as error:
            raise BadArchiveError(f"The study can't be read any more: {error.strerror}.") from error
        if not piece and self._done < self._size_bytes:
            raise BadArchiveError(
                "The study has changed while it was uploaded.", hint="Submit it again as it is now."
            )
        self._done += len(piece)
        share = self._done / max(1, self._size_bytes)
        self._task.report(Progress("uploading", self._done, self._size_bytes, fraction=share))
        return piece


def _pause(task: StepContext, seconds: float) -> None:
    """Wait, unless the job is cancelled."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        task.report(Progress("waiting for the server"))
        time.sleep(LOOK_S)
