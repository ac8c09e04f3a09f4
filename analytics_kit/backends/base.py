"""The protocol that every backend implements, and how backends publish changes of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from analytics_kit.backends.record import Record
from analytics_kit.model import Files, ForgetReport, JobInfo, JobRequest, JobStatus

ANY_JOB = frozenset({"*"})
"""Among or instead of ids of changed jobs: any job may have changed."""


class Changes(Protocol):
    """Changes of jobs, observed as long as the `with` block lasts."""

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Wait for changes.

        Returns
        -------
        frozenset of str
            Ids of the jobs that may have changed within `timeout_s`; `ANY_JOB` where it could be any of them; empty
            when nothing changed. A change can be missed, so readers poll as well.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """Queues jobs, runs them, and keeps their records.

    Every backend passes the same contract tests (`tests/backends/test_contract.py`); they differ in two
    capabilities only, `survives_process` and `kills_running`. Methods that contact a server raise
    BrokerUnavailableError when it can't be used.
    """

    @property
    def name(self) -> str:
        """`"redis"`, `"embedded"`, `"local"` or `"http"`."""

    @property
    def notice(self) -> str:
        """Why this backend was chosen, when it is not what the settings name first; else empty."""

    @property
    def survives_process(self) -> bool:
        """Whether jobs go on and are remembered when this process ends."""

    @property
    def kills_running(self) -> bool:
        """Whether a running step can be killed; only then does a job accept a memory limit."""

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it.

        A request joins the newest job for its result key while that is queued or running with the same limits, or is
        completed and its result has not expired; with `rejoin` also when it failed or was cancelled; with `refresh`
        never. Tags of the request are added to the job.
        """

    def get(self, job_id: str) -> JobInfo:
        """Return the job. Raises JobNotFoundError."""

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return those of the jobs that exist, by id."""

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """Return all jobs of this namespace, or those of one status, newest first."""

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that is queued or running.

        Returns whether it is cancelled now; False when it has ended or is committing. Raises JobNotFoundError.
        """

    def retry(self, job_id: str) -> JobInfo:
        """Submit the work of a failed or cancelled job as a new job.

        Raises JobNotFoundError, and SettingsError when the job neither failed nor was cancelled.
        """

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended. Raises JobNotFoundError, SettingsError when it has not ended."""

    def study_location(self, job_id: str) -> str | None:
        """Return the path or URL from which the job's study is read; None where only a server has it.

        It may hold secrets and is not for display, unlike `JobInfo.source`. Raises JobNotFoundError.
        """

    def log(self, job_id: str) -> Sequence[str]:
        """Return what happened to the job, a line each, with the end of its workers' output.

        Raises JobNotFoundError.
        """

    def changes(self) -> Changes:
        """Return a context in which to wait for changes of jobs."""

    def queue_status(self) -> dict[str, Any]:
        """Return the counts of jobs by status and of workers, as JSON."""

    def health(self) -> dict[str, Any]:
        """Return whether jobs can run, as JSON with `status` (ok, degraded or down) and a `reason`."""

    def warnings(self) -> Sequence[tuple[str, str]]:
        """Return what may harm jobs although they run: what was found, and what to do."""

    def close(self) -> None:
        """Close connections and threads; jobs are not affected."""

    def shutdown(self, only_unused: bool = False) -> None:
        """Close, and end the processes that this backend has started to run jobs; jobs are kept.

        With `only_unused`, leave processes alone that others may use.
        """


@runtime_checkable
class RemoteBackend(Protocol):
    """A backend that keeps studies and results itself, so that its clients need no access to a store."""

    def files(self, job_id: str) -> Files:
        """Return the files of the job's result."""

    def forget(self, participant: str) -> ForgetReport:
        """Remove a participant from all that is kept for this namespace; see `Client.forget`."""


@runtime_checkable
class RecordKeeper(Protocol):
    """A backend whose records this process can read and change."""

    def records(self) -> Sequence[Record]:
        """Return the records of this namespace that can be read, newest first."""

    def amend(self, job_id: str, edit: Callable[[Record], Record], edit_line: Callable[[str], str]) -> bool:
        """Change what the record of a job that has ended says, and the lines of its log, in one step.

        Neither state nor times change. Returns whether anything did; a job that has not ended, or is gone, is left
        as it is.
        """

    def forgetting(self) -> AbstractContextManager[Any]:
        """Return a context that one process at a time can enter for this namespace.

        Raises BrokerUnavailableError when another process has been in it for long.
        """
