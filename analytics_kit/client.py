"""Submit studies, find jobs again, ask for the queue: a client has one broker and one store."""

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
from typing import Any

import pandas as pd

from analytics_kit.backends.base import Backend, RemoteBackend
from analytics_kit.backends.machine import pool_size
from analytics_kit.backends.open import open_backend
from analytics_kit.errors import BrokerUnavailableError, SettingsError, StoreError, nearest
from analytics_kit.futures import as_completed, gather
from analytics_kit.job import Job
from analytics_kit.model import SCHEMA_VERSION, JobInfo, JobRequest, JobStatus
from analytics_kit.notebook.board import Board
from analytics_kit.options import Options
from analytics_kit.progress_bar import ProgressBar
from analytics_kit.server_request import request_for_server
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.archive.source import fingerprint, locate, open_archive
from analytics_kit.study.metrics.catalogue import METRIC_NAMES
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload, discard, is_upload
from analytics_kit.watcher import HearAll, Watcher

PROCESS_STUDY = "analytics_kit.worker_tasks.process_study"
CODE = "analytics_kit.worker_tasks"
JOB_COLUMNS = (
    "job_id", "status", "phase", "fraction", "source", "size_bytes", "created_at", "started_at", "ended_at", "tags",
    "backend", "error_type", "error_message", "result_key",
)  # fmt: skip


class Client:
    """One broker and one store. Safe to use from threads. `connect()` makes one; closing it leaves jobs alone."""

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        self.settings = Settings.of(url, **settings)
        self.called = "client"
        """What the user's code probably calls it, for the lines of code that panels show."""
        self._lock = threading.Lock()
        self._opened: Watcher | None = None

    @property
    def backend(self) -> Backend:
        """The backend in use; chosen on first use."""
        return self._watcher.backend

    @property
    def _watcher(self) -> Watcher:
        with self._lock:
            if self._opened is None:
                self._opened = Watcher(open_backend(self.settings, CODE), self.called)
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
        """A job that processes a study; returns at once.

        Parameters
        ----------
        source
            Path or fsspec URL of a ZIP, a folder with the same tree, or one CSV. To a server (`https://`) a ZIP is
            uploaded, unless it is there already; `"study:ID"` is a study of the server's.
        refresh
            Work again even if the same content was processed with the same options.
        tags
            Words to find the job by.
        time_limit_s
            The job fails with JobTimeoutError when it has run for more seconds, counted from when a worker takes it.
            The queue's workers are killed then; the local backend stops at the next report of progress. A job that
            has not ended is joined only by who asks for the same limits.
        memory_limit_mb
            The job fails with OutOfMemoryError when one of its processes needs more megabytes. Only on the queue.
        **options
            See `analytics_kit.options.Options`: format, keys, participants, tasks, factors, kinds, metrics,
            on_error, thresholds and limits.

        Raises
        ------
        SettingsError, SourceNotFoundError, BrokerUnavailableError
            SettingsError also for a memory limit on the local backend, where work can't be killed. A study that
            can't be read is no error here but a job that fails.
        """
        limits = _limit("time_limit_s", time_limit_s), _limit("memory_limit_mb", memory_limit_mb)
        request = self.request(source, tags, options)
        return self.begin(replace(request, refresh=refresh, time_limit_s=limits[0], memory_limit_mb=limits[1]))

    def join(self, source: str | os.PathLike[str], *, tags: Sequence[str] | None = None, **options: Any) -> Job:
        """The last job for this study and these options, whatever became of it; a new one only where there is none.

        Unlike `submit` it does not try again what failed or was cancelled: `job.retry()` does. A result that is gone
        is made anew. Takes and raises what `submit` does, without refresh and limits.
        """
        return self.begin(replace(self.request(source, tags, options), rejoin=True))

    def request(
        self, source: str | os.PathLike[str], tags: Sequence[str] | None, options: dict[str, Any]
    ) -> JobRequest:
        """What `submit` asks of the backend. Raises SettingsError, SourceNotFoundError."""
        chosen = _checked(options)
        if self.settings.backend == "http":
            return request_for_server(source, chosen, _tags(tags), self.settings.namespace)
        path = locate(source)
        content, size_bytes = fingerprint(path, chosen)
        return JobRequest(
            task=PROCESS_STUDY,
            arguments={
                "source": path,
                "options": chosen.to_json(),
                "store": self.settings.store_url(),
                "store_id": self._store_id(),
                "content": content,
                "result_key": (key := self.result_key(content, chosen)),
            },
            result_key=key,
            source=without_secrets(path),
            size_bytes=size_bytes,
            tags=_tags(tags),
            owner=self.settings.namespace,
            retries=self.settings.retries,
        )

    def begin(self, request: JobRequest) -> Job:
        """The job that serves the request; one whose result is gone serves nobody."""
        watcher, info = self._send(request)
        if isinstance(watcher.backend, RemoteBackend):
            return self._with_copy_removed(Job(watcher, info), request.arguments["source"])
        if info.status is JobStatus.COMPLETED and not is_stored(info):
            watcher, info = self._send(replace(request, refresh=True))
        return Job(watcher, info)

    def _with_copy_removed(self, job: Job, source: str) -> Job:
        """The job; a copy that a board took in for the server goes once it is completed."""
        if is_upload(self.settings.store_url(), source):

            def remove() -> None:
                if job.known.status is JobStatus.COMPLETED:
                    discard(source)

            job.on_end(remove)
        return job

    def process(self, source: str | os.PathLike[str], *, progress: bool = False, **options: Any) -> StudyResult:
        """The result of a study, worked out here and now without a queue; `progress=True` shows a bar.

        Takes the options of `submit`. Raises SettingsError, SourceNotFoundError, BadArchiveError,
        UnsafeArchiveError, NoEventsError, StoreError.
        """
        from analytics_kit.study.pipeline import (
            run as pipeline,  # compiled kernels: only who processes here pays for loading them
        )

        chosen = _checked(options)
        path = locate(source)
        store = Store.of(self.settings)
        with open_archive(path, chosen) as archive:
            prefix = f"results/{self.result_key(archive.fingerprint(), chosen)}/{secrets.token_hex(8)}"
            with ProgressBar(archive.name) if progress else nullcontext() as bar:
                report = bar.show if bar else lambda progress: None
                pipeline.run(archive, chosen, store, prefix, report=report, threads=pool_size())
        return StudyResult.open(store, prefix)

    def get_job(self, job_id: str) -> Job:
        """The job with this id, from whichever process it was submitted. Raises JobNotFoundError."""
        watcher = self._watcher
        return Job(watcher, watcher.backend.get(job_id))

    def as_completed(self, jobs: Iterable[Job], timeout: float | None = None) -> Iterator[Job]:
        """The jobs as they end, in whatever way, each once. See `analytics_kit.as_completed`."""
        return as_completed(jobs, timeout)

    def gather(self, *jobs: Job, timeout: float | None = None) -> list[StudyResult]:
        """The results in the order of the jobs; waits for them. See `analytics_kit.gather`."""
        return gather(*jobs, timeout=timeout)

    def jobs(self, status: str | None = None) -> pd.DataFrame:
        """All jobs of this namespace, newest first, or those of one status.

        Columns: job_id, status, phase, fraction, source, size_bytes (Int64), created_at, started_at, ended_at (UTC),
        tags (tuple), backend, error_type, error_message, result_key.
        """
        if status is not None and status not in list(JobStatus):
            raise SettingsError(f"There is no status {status!r}.{nearest(status, map(str, JobStatus))}")
        infos = self.backend.list(None if status is None else JobStatus(status))
        frame = pd.DataFrame([_row(info) for info in infos], columns=list(JOB_COLUMNS))
        for name in ("created_at", "started_at", "ended_at"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame.astype({"size_bytes": "Int64", "fraction": "float64"})

    def board(self) -> Board:
        """All jobs, live: display it. Find, open, cancel and retry jobs; drop a ZIP on it to upload and submit it.

        Without a front end it waits, a minute at most, until no job is queued or running, and is a table.
        """
        return Board(self)

    def listen_all(self, hear: HearAll) -> Callable[[], None]:
        """Call `hear` on the watcher's thread with all jobs whenever one may have changed; gives what stops that."""
        return self._watcher.listen_all(hear)

    def receive(self, name: str, size_bytes: int) -> Upload:
        """A place in the store for a study that comes in pieces. Raises SettingsError when it is too large."""
        if self.settings.backend == "http":
            self._store_id()  # a copy is only removed from what is known to be a store
        return Upload(self.settings, name, size_bytes)

    def queue_status(self) -> dict[str, Any]:
        """Backend, counts of jobs by status, workers and how many of them work."""
        return self.backend.queue_status()

    def health(self) -> dict[str, Any]:
        """Whether work can be done: status ok, degraded or down, with a reason; broker, workers, store."""
        found, url = self.backend.health(), self.settings.store_url()
        if isinstance(self.backend, RemoteBackend):
            return found
        try:
            Store.of(self.settings).check()
            found["store"] = {"url": without_secrets(url), "writable": True}
        except Exception as error:  # whatever the file system says, health has to answer
            found["store"] = {"url": without_secrets(url), "writable": False}
            found |= {"status": "down", "ready": False, "reason": str(error).splitlines()[0]}
        return found

    def __repr__(self) -> str:
        where = "not connected yet" if self._opened is None else self._opened.backend.name
        if self.settings.backend == "http":
            return f"<Client: {where}, server {without_secrets(self.settings.server_url or '')}>"
        return f"<Client: {where}, store {without_secrets(self.settings.store_url())}>"

    def close(self) -> None:
        """Let go of connections and threads. Callbacks of jobs that have not ended are still called."""
        with self._lock:
            if self._opened is not None:
                self._opened.backend.close()
                self._opened = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, request: JobRequest) -> tuple[Watcher, JobInfo]:
        """Submit, and say where to; under `auto`, choose the backend anew once when the one in use is gone."""
        watcher = self._watcher
        try:
            return watcher, watcher.backend.submit(request)
        except BrokerUnavailableError:
            if self.settings.backend != "auto":
                raise
        with self._lock:
            if self._opened is watcher:  # else another thread has chosen already
                self._opened = None
        return (chosen := self._watcher), chosen.backend.submit(request)

    def result_key(self, content: str, options: Options) -> str:
        """What is shared by all who ask for the same: content, options, namespace, schema."""
        parts = [content, options.to_json(), self.settings.namespace, SCHEMA_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _store_id(self) -> str | None:
        """What workers know the store by; None where it can't be used, which the job will say."""
        with suppress(StoreError):
            return Store.of(self.settings).id(create=True)
        return None


def is_stored(info: JobInfo) -> bool:
    """Whether the job's result can be read."""
    return info.result is not None and Store(info.result["store"]).manifest(info.result["prefix"]) is not None


def _checked(options: dict[str, Any]) -> Options:
    chosen = Options.of(**options)
    for name in chosen.metrics or ():
        if name not in METRIC_NAMES:
            raise SettingsError(
                f"There is no metric {name!r}.{nearest(name, METRIC_NAMES)}",
                hint=f"Metrics: {', '.join(sorted(METRIC_NAMES))}.",
            )
    return chosen


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
