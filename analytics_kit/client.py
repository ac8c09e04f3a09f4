"""Submit studies and find jobs again: a client has one backend and one store."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from analytics_kit import notebook_hook
from analytics_kit.backends.base import Backend, RecordKeeper, RemoteBackend
from analytics_kit.backends.machine import pool_size
from analytics_kit.backends.open import open_backend
from analytics_kit.code_version import code_version, result_key_of, versions_report
from analytics_kit.deprecation import RenamedAttribute
from analytics_kit.errors import BrokerUnavailableError, SettingsError, StoreError, nearest
from analytics_kit.futures import as_completed, gather
from analytics_kit.handle import Handle
from analytics_kit.job import Job
from analytics_kit.model import SCHEMA_VERSION, ForgetReport, JobInfo, JobRequest, JobStatus
from analytics_kit.options import Options, format_distributions
from analytics_kit.process_fork import renew_after_fork, require_polars_threads
from analytics_kit.progress_bar import ProgressBar
from analytics_kit.server_request import request_for_server
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.archive.source import fingerprint, locate, open_archive
from analytics_kit.study.metrics.catalogue import METRIC_NAMES
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store import paths
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload, discard, is_upload
from analytics_kit.watcher import OnJobs, Watcher

if TYPE_CHECKING:
    from analytics_kit.notebook.board import Board

WORKER_TASKS = "analytics_kit.worker_tasks"
"""Dotted name of the module with the functions that workers call."""
PROCESS_STUDY = f"{WORKER_TASKS}.process_study"
JOB_COLUMNS = (
    "job_id", "status", "phase", "fraction", "source", "size_bytes", "created_at", "started_at", "ended_at", "tags",
    "backend", "error_type", "error_message", "result_key",
)  # fmt: skip


class Client(Handle):
    """A connection to one backend and one store, with the same verbs as the package.

    `connect` makes one, after checking that its backend answers. A client is safe to use from threads; closing it
    leaves its jobs alone. Leaving a `with` block also stops an embedded broker that nobody else can be expected to
    use: its `home` was passed as an argument, no other client is connected and no job is queued or running.

    Parameters
    ----------
    url
        As for `connect`.
    **settings
        As for `connect`.

    See Also
    --------
    connect : Make a client and connect at once.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> with ak.Client("local") as client:
    ...     job = client.submit(ak.sample_study("study.zip", participants=1, trials=1))
    ...     trials = job.result(timeout=60).trials
    >>> len(trials)
    4
    """

    _other_processes = "Make a client there, with analytics_kit.connect(), and find jobs by their id."

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        self.settings = Settings.of(url, **settings)
        self.client_name = "client"
        """What the user's code probably calls it, for the lines of code that panels show."""
        self._opened: Watcher | None = None
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    @property
    def backend(self) -> Backend:
        """The backend in use; chosen on first use."""
        return self._watcher.backend

    @property
    def _watcher(self) -> Watcher:
        with self._lock:
            if self._opened is None:
                self._opened = Watcher(open_backend(self.settings, WORKER_TASKS), self.client_name)
            return self._opened

    def submit(
        self,
        source: str | os.PathLike[str],
        *,
        refresh: bool = False,
        tags: Sequence[str] | None = None,
        time_limit_s: float | None = None,
        memory_limit_mb: float | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that processes a study; return at once.

        A job for the same content and options that completed, waits or runs is returned in place of a new one.

        Parameters
        ----------
        source
            Path or fsspec URL of a ZIP, a folder with the same tree, or one CSV. To a server (`https://`) a ZIP is
            uploaded unless the server has it; `"study:ID"` is a study of the server's.
        refresh
            Start a new job even if the same content was processed with the same options.
        tags
            Words to find the job by.
        time_limit_s
            The job fails with JobTimeoutError when it has run for more seconds, counted from when a worker takes it.
            The queue's workers are killed then; the local backend stops at the next report of progress. A job that
            has not ended is returned only for the same limits.
        memory_limit_mb
            The job fails with OutOfMemoryError when one of its processes needs more megabytes. Only on the queue.
        **options
            See `Options`: format, keys, participants, tasks, factors, kinds, metrics, on_error, thresholds and
            limits.

        Returns
        -------
        Job
            The job, probably queued or running. A study that can't be read is not an error here but a job that fails.

        Raises
        ------
        SettingsError
            For an unknown option or one that can't be used, and for a memory limit on the local backend, where work
            can't be killed.
        SourceNotFoundError
            When there is no study at `source`.
        BrokerUnavailableError
            When a broker that was named can't be used.

        See Also
        --------
        process : Process a study here and now, without a job.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> client = ak.connect("local")
        >>> job = client.submit(ak.sample_study("study.zip", participants=1, trials=1), tags=["pilot"])
        >>> job.result(timeout=60).summary["trials"]
        4
        >>> client.close()
        """
        limits = _limit("time_limit_s", time_limit_s), _limit("memory_limit_mb", memory_limit_mb)
        request = self.request(source, tags, options)
        return self.begin(replace(request, refresh=refresh, time_limit_s=limits[0], memory_limit_mb=limits[1]))

    def join(self, source: str | os.PathLike[str], *, tags: Sequence[str] | None = None, **options: Any) -> Job:
        """Return the last job for this study and these options in any status; start one only where there is none.

        Unlike `submit` it does not repeat work that failed or was cancelled: `job.retry()` does. A job whose result
        is gone is replaced by a new one. Parameters and errors are those of `submit`, without refresh and limits.
        """
        return self.begin(replace(self.request(source, tags, options), rejoin=True))

    def request(
        self, source: str | os.PathLike[str], tags: Sequence[str] | None, options: dict[str, Any]
    ) -> JobRequest:
        """Return the request that `submit` sends to the backend. Raises SettingsError, SourceNotFoundError."""
        checked = _checked(options)
        if self.settings.backend == "http":
            return request_for_server(source, checked, _tags(tags), self.settings.namespace)
        path = locate(source)
        content, size_bytes = fingerprint(path, checked)
        request_key, code = self.request_key(content, checked), code_version()
        return JobRequest(
            task=PROCESS_STUDY,
            arguments={
                "source": path,
                "options": checked.to_json(),
                "store": self.settings.store_url(),
                "store_id": self._store_id(),
                "owner": paths.owner_of(self.settings.namespace),
                "content": content,
                "formats": list(format_distributions(checked.format)),
                "result_key": (key := result_key_of(request_key, code.code)),
            },
            result_key=key,
            source=without_secrets(path),
            size_bytes=size_bytes,
            tags=_tags(tags),
            owner=self.settings.namespace,
            retries=self.settings.retries,
            request_key=request_key,
            submitted_by=code,
        )

    def begin(self, request: JobRequest) -> Job:
        """Send the request and return the job that serves it; one whose result is gone is replaced by a new one."""
        watcher, info = self._send(request)
        if isinstance(watcher.backend, RemoteBackend):
            return self._remove_copy_once_completed(Job(watcher, info), request.arguments["source"])
        if info.status is JobStatus.COMPLETED and not is_stored(info):
            watcher, info = self._send(replace(request, refresh=True))
        return Job(watcher, info)

    def _remove_copy_once_completed(self, job: Job, source: str) -> Job:
        """Return the job, upon whose completion a copy that a board received for the server is removed."""
        if is_upload(self.settings.store_url(), source):

            def remove() -> None:
                if job.last_known.status is JobStatus.COMPLETED:
                    discard(source)

            job.on_end(remove)
        return job

    def process(self, source: str | os.PathLike[str], *, progress: bool = False, **options: Any) -> StudyResult:
        """Process a study here and now, without a queue, and return its result.

        Parameters
        ----------
        source
            Path or fsspec URL of a ZIP, a folder with the same tree, or one CSV.
        progress
            Show a progress bar.
        **options
            See `Options`; the same as for `submit`.

        Returns
        -------
        StudyResult
            The result, stored like that of a job.

        Raises
        ------
        SettingsError
            For an unknown option or one that can't be used.
        SourceNotFoundError, BadArchiveError, UnsafeArchiveError, NoEventsError
            When the study is missing, can't be read, breaks a limit, or holds no events.
        StoreError
            When the result can't be written.

        See Also
        --------
        submit : Process it on the queue, while the notebook stays usable.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> with ak.connect("local") as client:
        ...     result = client.process(ak.sample_study("study.zip", participants=2, trials=1))
        >>> list(result.participants["participant"])
        ['1', '2']
        """
        require_polars_threads()
        # It loads the compiled kernels, which a process that only submits does not need.
        from analytics_kit.study.pipeline import run as pipeline

        checked = _checked(options)
        path = locate(source)
        store = Store.of(self.settings)
        with open_archive(path, checked) as archive:
            prefix = paths.job_folder(self.result_key(archive.fingerprint(), checked), secrets.token_hex(8))
            with ProgressBar(archive.name) if progress else nullcontext() as bar:
                report = bar.show if bar else lambda progress: None
                owner = paths.owner_of(self.settings.namespace)
                pipeline.run(archive, checked, store, prefix, report=report, threads=pool_size(), owner=owner)
        return StudyResult.open(store, prefix)

    def get_job(self, job_id: str) -> Job:
        """Return the job with this id, also one that another process submitted. Raises JobNotFoundError."""
        watcher = self._watcher
        return Job(watcher, watcher.backend.get(job_id))

    def as_completed(self, jobs: Iterable[Job], timeout: float | None = None) -> Iterator[Job]:
        """Yield jobs as they end. See `analytics_kit.as_completed`."""
        return as_completed(jobs, timeout)

    def gather(self, *jobs: Job, timeout: float | None = None) -> list[StudyResult]:
        """Wait for jobs and return their results in the order of the jobs. See `analytics_kit.gather`."""
        return gather(*jobs, timeout=timeout)

    def jobs(self, status: str | None = None) -> pd.DataFrame:
        """Return all jobs of this namespace, newest first, or those of one status.

        Parameters
        ----------
        status
            "queued", "running", "completed", "failed" or "cancelled"; None returns all jobs.

        Returns
        -------
        pandas.DataFrame
            A row per job. Columns: job_id, status, phase, fraction (float64, 0 to 1), source, size_bytes (Int64),
            created_at, started_at, ended_at (datetime, UTC), tags (tuple), backend, error_type, error_message,
            result_key. Without jobs it has the same columns and no rows.

        Raises
        ------
        SettingsError
            For an unknown status.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> with ak.connect("local") as client:
        ...     client.jobs("failed").empty
        True
        """
        if status is not None and status not in list(JobStatus):
            raise SettingsError(f"There is no status {status!r}.{nearest(status, map(str, JobStatus))}")
        infos = self.backend.list(None if status is None else JobStatus(status))
        frame = pd.DataFrame([_row(info) for info in infos], columns=list(JOB_COLUMNS))
        for name in ("created_at", "started_at", "ended_at"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame.astype({"size_bytes": "Int64", "fraction": "float64"})

    def forget(self, participant: str | int) -> ForgetReport:
        """Remove a participant, who has withdrawn consent, from all that is kept for this namespace.

        Their trials, events, files and answers go from all stored results, which keep their keys: a study that is
        submitted again still has the result without them. Uploads that hold their data are deleted as a whole, and
        records and logs of jobs no longer name them. Opened results raise ResultExpiredError for what they have not
        read yet. Values that depend on all participants of a study, such as sample entropies, stay as they are.

        Parameters
        ----------
        participant
            The name as in `result.participants`; all sessions in all studies of the namespace are meant. A name such
            as 1 may be another person's in another study: they are removed too, until that study is submitted with
            `refresh=True`.

        Returns
        -------
        ForgetReport
            What was removed, and in `unreached` what was not: studies outside the store, which `refresh=True`, other
            options or an upgrade would process with the participant again; jobs that have not ended; results that
            can't be changed. Results that were saved elsewhere, outputs of notebooks, backups and other namespaces
            are never reached.

        Raises
        ------
        SettingsError
            When nothing names such a participant. The message names no other.
        StoreError, BrokerUnavailableError
            When the store or the broker can't be used, or another process is forgetting somebody. What is done by
            then stays done; call it again.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> with ak.connect("local") as client:
        ...     job = client.submit(ak.sample_study("study.zip", participants=2, trials=1))
        ...     job.wait(timeout=60)
        ...     report = client.forget(participant=2)
        ...     list(job.result().participants["participant"])
        True
        ['1']
        >>> report.trials, len(report.unreached)
        (4, 1)
        """
        # It loads what processes studies.
        from analytics_kit.withdrawal import forget, participant_name

        backend = self.backend
        if isinstance(backend, RemoteBackend):
            return backend.forget(participant_name(participant))
        if not isinstance(backend, RecordKeeper):
            raise SettingsError(f"The records of the backend {backend.name} can't be changed.", hint="")
        return forget(backend, self.settings, participant)

    def board(self) -> Board:
        """Return a live table of all jobs: find, open, cancel and retry them; drop a ZIP on it to submit it.

        Without a front end, displaying it waits at most a minute until no job is queued or running, and then shows
        a table.
        """
        return notebook_hook.new_board(self)

    def listen_all(self, on_jobs: OnJobs) -> Callable[[], None]:
        """Call `on_jobs` on the watcher's thread when a job may have changed; return a function that stops this."""
        return self._watcher.listen_all(on_jobs)

    def receive(self, name: str, size_bytes: int) -> Upload:
        """Open a file in the store for a study that arrives in pieces. Raises SettingsError when it is too large."""
        if self.settings.backend == "http":
            self._store_id()  # a copy is only removed from what is known to be a store
        return Upload(self.settings, name, size_bytes)

    def queue_status(self) -> dict[str, Any]:
        """Return the state of the queue, as JSON can hold it.

        Returns
        -------
        dict
            `backend`, the number of jobs by status (`queued`, `running`, `completed`, `failed`, `cancelled`),
            `workers`, and `workers_busy`.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> with ak.connect("local") as client:
        ...     client.queue_status()["queued"]
        0
        """
        return self.backend.queue_status()

    def health(self) -> dict[str, Any]:
        """Return whether work can be done, as JSON can hold it; what is down is reported, not raised.

        Returns
        -------
        dict
            `status` ("ok", "degraded" or "down"), `ready`, `reason`, `backend`, `broker`, `workers`, `store` with its
            `url` and whether it is `writable`, and `versions`: version of the package and hash of its code of the
            client, the server, the supervisor of the embedded queue, and the workers.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> with ak.connect("local") as client:
        ...     client.health()["status"]
        'ok'
        """
        url = self.settings.store_url()
        try:
            answer = self.backend.health()
            if isinstance(self.backend, RemoteBackend):
                return answer
        except BrokerUnavailableError as error:  # it could not even be opened
            answer = {"status": "down", "live": True, "ready": False, "backend": self.settings.backend}
            answer |= {"broker": None, "workers": 0, "reason": f"{error.message} {error.hint}"}
            answer["versions"] = versions_report()
            if self.settings.backend == "http":
                return answer
        try:
            Store.of(self.settings).hurried().check()
            answer["store"] = {"url": without_secrets(url), "writable": True}
        except Exception as error:  # whatever the file system raises, health has to answer
            answer["store"] = {"url": without_secrets(url), "writable": False}
            reasons = [answer["reason"]] if answer["status"] == "down" else []
            answer |= {"status": "down", "ready": False, "reason": " ".join([*reasons, str(error).splitlines()[0]])}
        return answer

    def __repr__(self) -> str:
        backend = "not connected yet" if self._opened is None else self._opened.backend.name
        if self.settings.backend == "http":
            return f"<Client: {backend}, server {without_secrets(self.settings.server_url or '')}>"
        return f"<Client: {backend}, store {without_secrets(self.settings.store_url())}>"

    def close(self) -> None:
        """Close connections and threads. Callbacks of jobs that have not ended are still called."""
        self._end(lambda backend: backend.close())

    def shutdown(self) -> None:
        """Close, and stop the embedded broker of this client with its workers, whoever else uses it.

        Jobs and results are kept. Running work is done again when a client next uses the broker, which starts it. A
        Redis that was named and a server are others', and go on; jobs of the local backend end with their process.

        See Also
        --------
        close : Leave the broker to other clients; it ends when it was idle for `idle_s`.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> client = ak.connect("local")
        >>> client.shutdown()
        """
        self._end(lambda backend: backend.shutdown())

    def _end(self, how: Callable[[Backend], None]) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            how(opened.backend)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(lambda backend: backend.shutdown(only_unused=True))

    called = RenamedAttribute("client_name")

    def _send(self, request: JobRequest) -> tuple[Watcher, JobInfo]:
        """Submit to the backend; under `auto`, choose the backend anew once when the one in use is gone."""
        watcher = self._watcher
        try:
            return watcher, watcher.backend.submit(request)
        except BrokerUnavailableError:
            if self.settings.backend != "auto":
                raise
        with self._lock:
            if self._opened is watcher:  # else another thread has chosen already
                self._opened = None
        watcher = self._watcher
        return watcher, watcher.backend.submit(request)

    def result_key(self, content: str, options: Options) -> str:
        """Return the key that equal requests to equal code share."""
        return result_key_of(self.request_key(content, options), code_version().code)

    def request_key(self, content: str, options: Options) -> str:
        """Return a hash of what is requested.

        It covers content, options, namespace, schema version and the versions of formats from other packages.
        """
        formats = format_distributions(options.format)
        parts = [content, options.to_json(), self.settings.namespace, SCHEMA_VERSION, *formats]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _store_id(self) -> str | None:
        """Return the id by which workers recognise the store; None where it can't be used: then the job fails."""
        with suppress(StoreError):
            return Store.of(self.settings).id(create=True)
        return None


def is_stored(info: JobInfo) -> bool:
    """Return whether the job's result is still in its store."""
    return info.result is not None and Store(info.result["store"]).manifest(info.result["prefix"]) is not None


def _checked(options: dict[str, Any]) -> Options:
    checked = Options.of(**options)
    for name in checked.metrics or ():
        if name not in METRIC_NAMES:
            raise SettingsError(
                f"There is no metric {name!r}.{nearest(name, METRIC_NAMES)}",
                hint=f"Metrics: {', '.join(sorted(METRIC_NAMES))}.",
            )
    return checked


def _limit(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < math.inf):
        raise SettingsError(f"{name} can't be {value!r}: it is a number above 0.", hint="None means no limit.")
    return float(value)


def _tags(tags: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(tags, str | int):
        return (str(tags),)
    return tuple(str(tag) for tag in tags or ())


def _row(info: JobInfo) -> tuple[object, ...]:
    error = info.error
    return (
        info.job_id, str(info.status), info.progress.phase, info.progress.fraction, info.source, info.size_bytes,
        info.created_at, info.started_at, info.ended_at, info.tags, info.backend,
        None if error is None else error.type, None if error is None else error.message, info.result_key,
    )  # fmt: skip
