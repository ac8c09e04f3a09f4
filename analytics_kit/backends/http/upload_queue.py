"""Upload studies to a server, one after the other, as jobs that show progress, can be cancelled and may fail."""

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
from analytics_kit.settings import Settings, without_secrets

RETRY_PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30, 30, 30, 30)
"""Pauses after which an upload that broke off starts again; after the last one it fails."""
CANCEL_POLL_S = 0.1


class UploadQueue:
    """Uploads of this process, as the jobs of a local backend.

    An upload and the server's job have the same id. The upload is completed once the server has the job.
    """

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self.jobs = LocalBackend(settings, task=self._run)

    def submit(self, request: JobRequest, body: Mapping[str, Any]) -> JobInfo:
        """Return the job that uploads the study and then posts `body`, an earlier one if it is not finished."""
        limits = (request.time_limit_s, request.memory_limit_mb)
        return self.jobs.submit(
            replace(
                request,
                arguments={
                    "source": request.arguments["source"],
                    "size_bytes": request.size_bytes,
                    "body": dict(body),
                },
                result_key=f"{request.result_key} {limits}",  # the limits are the server's, but jobs differ by them
                time_limit_s=None,
                memory_limit_mb=None,
            )
        )

    def _run(self, context: StepContext) -> dict[str, Any]:
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                self._upload_and_post(context)
                break
            except BrokerUnavailableError as error:
                if pause_s is None:
                    raise JobFailedError(
                        f"The study could not be uploaded. {error.message}",
                        hint="Retry the job when the server can be reached again.",
                    ) from None
                _pause(context, pause_s)
        try:
            context.begin_commit()
        except JobCancelledError:
            with suppress(AnalyticsKitError):
                self._transport.request("POST", f"/jobs/{context.job_id}/cancel")
            raise
        return {}

    def _upload_and_post(self, context: StepContext) -> None:
        try:
            self._post_job(context)
        except SourceNotFoundError:  # the server has no study with this content
            self._upload(context, context.arguments["body"]["content"])
            self._post_job(context)

    def _post_job(self, context: StepContext) -> None:
        # `refresh`, because the job needs this id; a job that could be joined was joined before the upload.
        tags = list(self.jobs.get(context.job_id).tags)
        fixed = {"job_id": context.job_id, "refresh": True, "rejoin": False, "tags": tags}
        self._transport.request("POST", "/jobs", body=context.arguments["body"] | fixed)

    def _upload(self, context: StepContext, content: str) -> None:
        source, size_bytes = context.arguments["source"], context.arguments["size_bytes"]
        try:
            file = fsspec.open(source, "rb").open() if "://" in source else Path(source).open("rb")  # noqa: SIM115
        except OSError as error:
            raise SourceNotFoundError(
                "The study existed when it was submitted but can't be read any more.", hint="Submit it again."
            ) from error
        name = PurePath(without_secrets(source)).name
        with file:
            stream = _ProgressStream(file, size_bytes, context)
            self._transport.upload(f"/uploads/{content}", [("name", name)], stream, size_bytes)


class _ProgressStream:
    """A file whose reading reports progress.

    It raises no OSError, which the transport would take for an error of the connection.
    """

    def __init__(self, file: IO[bytes], size_bytes: int, context: StepContext) -> None:
        self._file, self._size_bytes, self._context = file, size_bytes, context
        self._sent_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes.

        Raises JobCancelledError when the upload was cancelled, BadArchiveError when the file has become shorter.
        """
        try:
            chunk = self._file.read(min(size, self._size_bytes - self._sent_bytes))
        except OSError as error:
            raise BadArchiveError(f"The study can't be read any more: {error.strerror}.") from error
        if not chunk and self._sent_bytes < self._size_bytes:
            raise BadArchiveError("The study has changed during its upload.", hint="Submit it again as it is now.")
        self._sent_bytes += len(chunk)
        fraction = self._sent_bytes / max(1, self._size_bytes)
        self._context.report(Progress("uploading", self._sent_bytes, self._size_bytes, fraction=fraction))
        return chunk


def _pause(context: StepContext, seconds: float) -> None:
    """Wait for the seconds. Raises JobCancelledError as soon as the job is cancelled."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        context.report(Progress("waiting for the server"))
        time.sleep(CANCEL_POLL_S)
