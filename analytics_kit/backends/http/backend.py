"""How do jobs wait and run on a server that is asked over HTTP?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from analytics_kit.backends.http.transport import Transport
from analytics_kit.backends.http.upload_queue import UploadQueue
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError, SettingsError, SourceNotFoundError
from analytics_kit.model import ANY_JOB, Failure, JobInfo, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings

ASKED = ("study_id", "content", "options")
IDS_AT_ONCE = 100
PAGE_JOBS = 1000
FIRST_PAUSE_S, GROWTH, LONGEST_PAUSE_S = 0.2, 1.5, 1.0
"""Between two polls: short at first, since most studies are small, then longer and longer."""
UPLOAD_SHARE = 0.5
"""Of a job whose study is uploaded from here, this part of its progress is the upload."""


class HttpBackend:
    """Jobs on a server (`analytics-kit serve`), whose namespace the token opens.

    A study that the server does not have is uploaded by a thread of this process; until it is there, its job is known
    to this process only.
    """

    name = "http"
    notice = ""

    def __init__(self, settings: Settings) -> None:
        if settings.server_url is None:
            raise SettingsError('backend="http" was asked for, but no server is named.', hint="Set server_url.")
        token = None if settings.token is None else settings.token.get_secret_value()
        self._line = Transport(settings.server_url, token)
        self._outbox = UploadQueue(self._line, settings)
        self._able: dict[str, Any] = {}
        self._uploaded: set[str] = set()

    def connect(self) -> None:
        """Raise BrokerUnavailableError unless the server answers, takes the token and is of a version like ours."""
        self._line.find()
        able = self._line.ask("GET", "/queue-status")
        if "kills_running" not in able:
            raise BrokerUnavailableError(
                f"The server at {self._line.name} is of another version of analytics_kit.",
                hint="Have it upgraded, or ask it with the version that it has.",
            )
        self._able = able

    @property
    def survives_process(self) -> bool:
        """Whether jobs outlive the server; they outlive this process once their study was uploaded."""
        return bool(self._able["survives_process"])

    @property
    def kills_running(self) -> bool:
        """Whether a running task can be killed."""
        return bool(self._able["kills_running"])

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it; a study that the server lacks is uploaded first.

        Raises SettingsError for a memory limit that can't be held, and SourceNotFoundError for a study of the
        server's that is not there.
        """
        if request.memory_limit_mb is not None and not self.kills_running:
            raise SettingsError(
                "memory_limit_mb can't be held: jobs run inside the server, where work can't be killed.",
                hint="Leave it out, or have the server use a queue.",
            )
        self._uploads()  # what has come there since is joined there
        asked = {name: value for name, value in request.arguments.items() if name in ASKED}
        body = asked | {
            "refresh": request.refresh,
            "rejoin": request.rejoin,
            "tags": list(request.tags),
            "time_limit_s": request.time_limit_s,
            "memory_limit_mb": request.memory_limit_mb,
        }
        try:
            return self._told(self._line.ask("POST", "/jobs", body=body))
        except SourceNotFoundError:
            if "study_id" in asked:
                raise
        info = self._outbox.submit(request, body)
        return self.get(info.job_id) if info.status is JobStatus.COMPLETED else self._waiting(info)

    def get(self, job_id: str) -> JobInfo:
        """The job. Raises JobNotFoundError."""
        found = self.get_many([job_id])
        if job_id not in found:
            raise JobNotFoundError(f"No job has the id {job_id!r} here.")
        return found[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Those of the jobs that are known."""
        uploads = self._uploads()
        asked = list(dict.fromkeys(job_id for job_id in job_ids if job_id not in uploads))
        found = {job_id: uploads[job_id] for job_id in job_ids if job_id in uploads}
        for start in range(0, len(asked), IDS_AT_ONCE):
            fields = [("job_id", job_id) for job_id in asked[start : start + IDS_AT_ONCE]]
            told = self._line.ask("GET", "/jobs", [*fields, ("limit", IDS_AT_ONCE)], polite=True)
            infos = map(self._told, told["jobs"])
            found |= {info.job_id: info for info in infos}
        return found

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """All jobs of the token's namespace, newest first, after those that are uploaded from here."""
        infos = {info.job_id: info for info in self._uploads().values() if status in (None, info.status)}
        chosen = [] if status is None else [("status", status)]
        offset, total = 0, 1
        while offset < total:
            page = self._line.ask("GET", "/jobs", [*chosen, ("offset", offset), ("limit", PAGE_JOBS)], polite=True)
            for told in page["jobs"]:
                infos.setdefault(told["job_id"], self._told(told))
            offset, total = offset + PAGE_JOBS, page["total"]
        return [*infos.values()]

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled now; an upload is broken off."""
        if job_id in self._uploads():
            if self._outbox.jobs.cancel(job_id):
                return True
            if job_id in self._uploads():
                return False
        try:
            self._line.ask("POST", f"/jobs/{job_id}/cancel")
        except SettingsError:
            return False
        return True

    def retry(self, job_id: str) -> JobInfo:
        """A new job for the work of one that failed or was cancelled; its study is uploaded if it has to be."""
        if job_id in self._uploads():
            return self._waiting(self._outbox.jobs.retry(job_id))
        try:
            return self._told(self._line.ask("POST", f"/jobs/{job_id}/retry"))
        except SettingsError as error:
            hint = "To do completed work again, submit it with refresh=True."
            raise SettingsError(error.message, hint=hint) from None

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, with its result and an uploaded copy of its study."""
        if job_id in self._uploads():
            self._outbox.jobs.delete(job_id)
            return
        info = self.get(job_id)
        if not info.status.final:  # the server would cancel it
            raise SettingsError(f"Job {job_id} is {info.status}.", hint="Cancel it before you delete it.")
        with suppress(JobNotFoundError):  # the answer to a first attempt was lost
            self._line.ask("DELETE", f"/jobs/{job_id}")

    def log(self, job_id: str) -> Sequence[str]:
        """What happened to the job, a line each, without the server's folders."""
        if job_id in self._uploads():
            return self._outbox.jobs.log(job_id)
        lines: list[str] = self._line.ask("GET", f"/jobs/{job_id}/log")["lines"]
        return lines

    def changes(self) -> HttpChanges:
        """Listen for changed jobs: ask for them, after longer and longer pauses."""
        return HttpChanges(self._outbox)

    def queue_status(self) -> dict[str, Any]:
        """Counts of jobs by state and of workers; `behind` is the server's own backend."""
        told = self._line.ask("GET", "/queue-status")
        waiting = sum(not info.status.final for info in self._uploads().values())
        told |= {"backend": self.name, "behind": told["backend"], "queued": told["queued"] + waiting}
        return {name: value for name, value in told.items() if name not in ("survives_process", "kills_running")}

    def health(self) -> dict[str, Any]:
        """Whether work can be done there; a server that is away is an answer, not an error."""
        try:
            told = self._line.ask("GET", "/health", also=503)
        except BrokerUnavailableError as error:
            told = {"status": "down", "live": False, "ready": False, "backend": None, "broker": None, "workers": 0}
            told |= {"store": {}, "reason": error.message}
        return told | {"backend": self.name, "behind": told["backend"], "server": self._line.name}

    def files(self, job_id: str) -> HttpFiles:
        """The files of the job's result."""
        return HttpFiles(self._line, job_id)

    def close(self) -> None:
        """Let go of connections; uploads go on, and jobs are not touched."""
        self._outbox.jobs.close()
        self._line.close()

    def _uploads(self) -> dict[str, JobInfo]:
        """The jobs whose study is not with the server; those whose study has come there are the server's."""
        found = {}
        for info in self._outbox.jobs.list():
            if info.status is JobStatus.COMPLETED:
                self._uploaded.add(info.job_id)
                with suppress(JobNotFoundError):  # another thread was first
                    self._outbox.jobs.delete(info.job_id)
            else:
                found[info.job_id] = self._waiting(info)
        return found

    def _waiting(self, info: JobInfo) -> JobInfo:
        """A job of the outbox as it is shown: it is queued until its study is with the server."""
        told = replace(info, backend=self.name, queue_position=None)
        if info.status.final:
            return told
        progress = replace(info.progress, fraction=info.progress.fraction * UPLOAD_SHARE, eta_s=None)
        return replace(told, status=JobStatus.QUEUED, started_at=None, progress=progress)

    def _told(self, told: dict[str, Any]) -> JobInfo:
        """A job as the server tells it."""
        progress, error = Progress(**told["progress"]), told["error"]
        if told["job_id"] in self._uploaded:
            fraction = UPLOAD_SHARE + (1 - UPLOAD_SHARE) * progress.fraction
            progress = replace(progress, fraction=fraction)
        return JobInfo(
            job_id=told["job_id"],
            status=JobStatus(told["status"]),
            source=told["source"],
            result_key=told["result_key"],
            created_at=datetime.fromisoformat(told["created_at"]),
            progress=progress,
            size_bytes=told["size_bytes"],
            started_at=_time(told["started_at"]),
            ended_at=_time(told["ended_at"]),
            tags=tuple(told["tags"]),
            backend=self.name,
            error=None if error is None else Failure(error["error"], error["message"], error["hint"]),
            result=told["outcome"],
            retry_of=told["retry_of"],
            notice=told["notice"],
            queue_position=told["queue_position"],
        )


class HttpChanges:
    """Word of changed jobs: of uploads from here at once, else whenever it is time to ask the server again."""

    def __init__(self, outbox: UploadQueue) -> None:
        self._outbox = outbox
        self._sent = outbox.jobs.changes()
        self._pause_s = FIRST_PAUSE_S
        self._due = time.monotonic() + self._pause_s

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Ids of jobs whose upload went on, or that any may have changed."""
        if self._sent.wait(max(0.0, min(timeout_s, self._due - time.monotonic()))):
            return frozenset(info.job_id for info in self._outbox.jobs.list()) or ANY_JOB
        if (now := time.monotonic()) < self._due:
            return frozenset()
        self._pause_s = min(self._pause_s * GROWTH, LONGEST_PAUSE_S)
        self._due = now + self._pause_s
        return ANY_JOB

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class HttpFiles:
    """The files of one job's result, each fetched when it is read. Raises ResultExpiredError, JobNotFoundError."""

    def __init__(self, line: Transport, job_id: str) -> None:
        self.name = f"{line.name}, job {job_id}"
        self._line, self._below = line, f"/jobs/{job_id}/result"

    def manifest(self, prefix: str) -> dict[str, Any]:
        """What there is."""
        return self._line.ask("GET", f"{self._below}/manifest", patient=True)

    def open(self, path: str) -> Any:
        """A context with the file."""
        return self._line.read(f"{self._below}/file", [("path", path)])

    def touch(self, path: str) -> None:
        """The server has noted it when it was asked for the manifest."""


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
