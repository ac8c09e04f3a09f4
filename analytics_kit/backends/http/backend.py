"""Submit, follow and control jobs through the routes of an `analytics-kit` server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self

from analytics_kit.backends.base import ANY_JOB
from analytics_kit.backends.http.transport import FORGET_TIMEOUT, Transport
from analytics_kit.backends.http.upload_queue import UploadQueue
from analytics_kit.code_version import versions_report
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError, SettingsError, SourceNotFoundError
from analytics_kit.handle import Handle
from analytics_kit.model import Failure, ForgetReport, JobInfo, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings

POSTED_ARGUMENTS = ("study_id", "content", "options")
"""Arguments of a request that are posted; its `source` is a location on this machine."""
IDS_PER_REQUEST = 100
JOBS_PER_REQUEST = 1000
FIRST_POLL_PAUSE_S, POLL_PAUSE_GROWTH, MAX_POLL_PAUSE_S = 0.2, 1.5, 1.0
"""Pauses between two polls: short at first, since most studies are small, then longer and longer."""
UPLOAD_FRACTION = 0.5
"""Fraction of an uploaded job's progress that is the upload."""


class HttpBackend(Handle):
    """Jobs on a server (`analytics-kit serve`), in the namespace of the token.

    A study that the server does not have is uploaded by a thread of this process. Until the upload is completed, the
    job exists in this process only.

    Parameters
    ----------
    settings
        `server_url` and `token` are used.

    Raises
    ------
    SettingsError
        No server is named, or its URL or the token can't be used.
    """

    name = "http"
    notice = ""

    def __init__(self, settings: Settings) -> None:
        if settings.server_url is None:
            raise SettingsError(
                'backend="http" was requested, but no server is named.',
                hint="Set server_url (ANALYTICS_KIT_SERVER_URL).",
            )
        token = None if settings.token is None else settings.token.get_secret_value()
        self._transport = Transport(settings.server_url, token)
        self._upload_queue = UploadQueue(self._transport, settings)
        self._capabilities: dict[str, Any] = {}
        self._uploaded_ids: set[str] = set()

    def connect(self) -> None:
        """Check the server.

        Raises BrokerUnavailableError when it does not answer, refuses the token or is of an incompatible version.
        """
        self._transport.locate_api()
        status = self._transport.request("GET", "/queue-status")
        if "kills_running" not in status:
            raise BrokerUnavailableError(
                f"The server at {self._transport.server_url} has another version of analytics_kit.",
                hint="Have the server upgraded, or use the client of its version.",
            )
        self._capabilities = status

    @property
    def survives_process(self) -> bool:
        """Whether jobs outlive the server; they outlive this process as soon as their study is uploaded."""
        return bool(self._capabilities["survives_process"])

    @property
    def kills_running(self) -> bool:
        """Whether running work can be killed."""
        return bool(self._capabilities["kills_running"])

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work or join the job that does it; a study that the server does not have is uploaded first.

        Raises
        ------
        SettingsError
            The request has a memory limit, which the server's backend can't enforce.
        SourceNotFoundError
            The server has no study with the requested id.
        """
        if request.memory_limit_mb is not None and not self.kills_running:
            raise SettingsError(
                "memory_limit_mb can't be enforced: jobs run inside the server, where work can't be killed.",
                hint="Leave it out, or have the server use a queue.",
            )
        self._upload_jobs()  # a job whose upload is completed must be joined on the server, not here
        arguments = {name: value for name, value in request.arguments.items() if name in POSTED_ARGUMENTS}
        body = arguments | {
            "refresh": request.refresh,
            "rejoin": request.rejoin,
            "tags": list(request.tags),
            "time_limit_s": request.time_limit_s,
            "memory_limit_mb": request.memory_limit_mb,
        }
        try:
            return self._job_info(self._transport.request("POST", "/jobs", body=body))
        except SourceNotFoundError:
            if "study_id" in arguments:
                raise
        info = self._upload_queue.submit(request, body)
        return self.get(info.job_id) if info.status is JobStatus.COMPLETED else self._upload_info(info)

    def get(self, job_id: str) -> JobInfo:
        """Return the job. Raises JobNotFoundError."""
        infos = self.get_many([job_id])
        if job_id not in infos:
            raise JobNotFoundError(f"No job has the id {job_id!r} here.")
        return infos[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return those of the jobs that exist, by id."""
        uploads = self._upload_jobs()
        infos = {job_id: uploads[job_id] for job_id in job_ids if job_id in uploads}
        remote_ids = list(dict.fromkeys(job_id for job_id in job_ids if job_id not in uploads))
        for start in range(0, len(remote_ids), IDS_PER_REQUEST):
            query = [("job_id", job_id) for job_id in remote_ids[start : start + IDS_PER_REQUEST]]
            page = self._transport.request(
                "GET", "/jobs", [*query, ("limit", IDS_PER_REQUEST)], respect_retry_after=True
            )
            infos |= {info.job_id: info for info in map(self._job_info, page["jobs"])}
        return infos

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """Return all jobs of the token's namespace, newest first, after those that this process uploads."""
        infos = {info.job_id: info for info in self._upload_jobs().values() if status in (None, info.status)}
        query = [] if status is None else [("status", status)]
        offset, total = 0, 1
        while offset < total:
            page = self._transport.request(
                "GET", "/jobs", [*query, ("offset", offset), ("limit", JOBS_PER_REQUEST)], respect_retry_after=True
            )
            for fields in page["jobs"]:
                infos.setdefault(fields["job_id"], self._job_info(fields))
            offset, total = offset + JOBS_PER_REQUEST, page["total"]
        return [*infos.values()]

    def cancel(self, job_id: str) -> bool:
        """Cancel the job, or abort its upload, and return whether it is cancelled. Raises JobNotFoundError."""
        if job_id in self._upload_jobs():
            if self._upload_queue.jobs.cancel(job_id):
                return True
            if job_id in self._upload_jobs():  # else the server has just got it
                return False
        try:
            self._transport.request("POST", f"/jobs/{job_id}/cancel")
        except SettingsError:
            return False
        return True

    def retry(self, job_id: str) -> JobInfo:
        """Submit the work of a failed or cancelled job again, with an upload if that is what failed."""
        if job_id in self._upload_jobs():
            return self._upload_info(self._upload_queue.jobs.retry(job_id))
        try:
            return self._job_info(self._transport.request("POST", f"/jobs/{job_id}/retry"))
        except SettingsError as error:
            hint = "To do completed work again, submit it with refresh=True."
            raise SettingsError(error.message, hint=hint) from None

    def delete(self, job_id: str) -> None:
        """Delete a finished job, its result and the uploaded copy of its study.

        Raises JobNotFoundError, and SettingsError when the job is not finished.
        """
        if job_id in self._upload_jobs():
            self._upload_queue.jobs.delete(job_id)
            return
        info = self.get(job_id)
        if not info.status.final:  # the server would cancel it
            raise SettingsError(f"Job {job_id} is {info.status}.", hint="Cancel it before you delete it.")
        with suppress(JobNotFoundError):  # a first request took effect, but its response was lost
            self._transport.request("DELETE", f"/jobs/{job_id}")

    def study_location(self, job_id: str) -> str | None:
        """Return the location of a study that is still to be uploaded from here; None for the jobs of the server."""
        return self._upload_queue.jobs.study_location(job_id) if job_id in self._upload_jobs() else None

    def log(self, job_id: str) -> Sequence[str]:
        """Return the lines of the job's log, without the server's folders. Raises JobNotFoundError."""
        if job_id in self._upload_jobs():
            return self._upload_queue.jobs.log(job_id)
        lines: list[str] = self._transport.request("GET", f"/jobs/{job_id}/log")["lines"]
        return lines

    def changes(self) -> HttpChanges:
        """Return the changes of jobs, which are found by polling with growing pauses."""
        return HttpChanges(self._upload_queue)

    def queue_status(self) -> dict[str, Any]:
        """Return counts of jobs by status and of workers; `behind` names the server's own backend."""
        status = self._transport.request("GET", "/queue-status")
        uploads = sum(not info.status.final for info in self._upload_jobs().values())
        status |= {"backend": self.name, "behind": status["backend"], "queued": status["queued"] + uploads}
        return {name: value for name, value in status.items() if name not in ("survives_process", "kills_running")}

    def health(self) -> dict[str, Any]:
        """Return whether the server can run jobs; status `down` when it can't be reached."""
        try:
            health = self._transport.request("GET", "/health", accept=503)
        except BrokerUnavailableError as error:
            health = {"status": "down", "live": False, "ready": False, "backend": None, "broker": None, "workers": 0}
            health |= {"store": {}, "reason": error.message}
        versions = {**versions_report(), **health.get("versions", {})}
        return health | {
            "backend": self.name,
            "behind": health["backend"],
            "server": self._transport.server_url,
            "versions": versions,
        }

    def files(self, job_id: str) -> HttpFiles:
        """Return the files of the job's result."""
        return HttpFiles(self._transport, job_id)

    def warnings(self) -> Sequence[tuple[str, str]]:
        """Return nothing: there is no broker here."""
        return ()

    def forget(self, participant: str) -> ForgetReport:
        """Have the server remove a participant from all that it keeps for the token's namespace."""
        body = {"participant": participant}
        answer = self._transport.request("POST", "/forget", body=body, timeout=FORGET_TIMEOUT)
        waiting = [
            f"The upload of {PurePath(info.source).name}, which this process has not ended: cancel it, or wait and "
            "forget the participant again."
            for info in self._upload_jobs().values()
            if not info.status.final
        ]
        unreached = (*answer.pop("unreached"), *waiting)
        return ForgetReport(**answer, unreached=unreached)

    def close(self) -> None:
        """Close the connections; uploads go on, and jobs are not affected."""
        self._upload_queue.jobs.close()
        self._transport.close()

    def shutdown(self, only_unused: bool = False) -> None:
        """Do what `close` does: the server is not this client's."""
        self.close()

    def _upload_jobs(self) -> dict[str, JobInfo]:
        """Return the jobs that the server does not have: uploads that wait, run, have failed or were cancelled.

        Completed uploads are removed from the queue: the server has their jobs.
        """
        infos = {}
        for info in self._upload_queue.jobs.list():
            if info.status is JobStatus.COMPLETED:
                self._uploaded_ids.add(info.job_id)
                with suppress(JobNotFoundError):  # another thread was first
                    self._upload_queue.jobs.delete(info.job_id)
            else:
                infos[info.job_id] = self._upload_info(info)
        return infos

    def _upload_info(self, info: JobInfo) -> JobInfo:
        """Return an upload as its job: queued, at up to half of its progress."""
        job = replace(info, backend=self.name, queue_position=None)
        if info.status.final:
            return job
        progress = replace(info.progress, fraction=info.progress.fraction * UPLOAD_FRACTION, eta_s=None)
        return replace(job, status=JobStatus.QUEUED, started_at=None, progress=progress)

    def _job_info(self, fields: dict[str, Any]) -> JobInfo:
        """Return a job from the JSON of the server (names on the wire)."""
        progress, error = Progress(**fields["progress"]), fields["error"]
        if fields["job_id"] in self._uploaded_ids:
            fraction = UPLOAD_FRACTION + (1 - UPLOAD_FRACTION) * progress.fraction
            progress = replace(progress, fraction=fraction)
        return JobInfo(
            job_id=fields["job_id"],
            status=JobStatus(fields["status"]),
            source=fields["source"],
            result_key=fields["result_key"],
            created_at=datetime.fromisoformat(fields["created_at"]),
            progress=progress,
            size_bytes=fields["size_bytes"],
            started_at=_datetime(fields["started_at"]),
            ended_at=_datetime(fields["ended_at"]),
            tags=tuple(fields["tags"]),
            backend=self.name,
            error=None if error is None else Failure(error["error"], error["message"], error["hint"]),
            result=fields["outcome"],
            retry_of=fields["retry_of"],
            notice=fields["notice"],
            queue_position=fields["queue_position"],
        )


class HttpChanges:
    """Changes of jobs: those of uploads at once, any other whenever the server is to be polled again."""

    def __init__(self, upload_queue: UploadQueue) -> None:
        self._upload_queue = upload_queue
        self._upload_changes = upload_queue.jobs.changes()
        self._pause_s = FIRST_POLL_PAUSE_S
        self._next_poll_at = time.monotonic() + self._pause_s

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Return the ids of uploads that changed, `ANY_JOB` when it is time to poll, none after the timeout."""
        if self._upload_changes.wait(max(0.0, min(timeout_s, self._next_poll_at - time.monotonic()))):
            return frozenset(info.job_id for info in self._upload_queue.jobs.list()) or ANY_JOB
        if (now := time.monotonic()) < self._next_poll_at:
            return frozenset()
        self._pause_s = min(self._pause_s * POLL_PAUSE_GROWTH, MAX_POLL_PAUSE_S)
        self._next_poll_at = now + self._pause_s
        return ANY_JOB

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class HttpFiles(Handle):
    """Files of one job's result, each downloaded when it is read.

    Raises
    ------
    ResultExpiredError, JobNotFoundError
        The server has removed the result, or the job.
    """

    def __init__(self, transport: Transport, job_id: str) -> None:
        self.name = f"{transport.server_url}, job {job_id}"
        self._transport, self._path = transport, f"/jobs/{job_id}/result"

    def manifest(self, prefix: str) -> dict[str, Any]:
        """Return the manifest of the result; the prefix is not needed, since the path names the job."""
        return self._transport.request("GET", f"{self._path}/manifest", retry_long=True)

    def open(self, path: str) -> Any:
        """Return a context manager of the file's content."""
        return self._transport.download(f"{self._path}/file", [("path", path)])

    def touch(self, path: str) -> None:
        """Do nothing: the server has noted the use when the manifest was requested."""


def _datetime(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
