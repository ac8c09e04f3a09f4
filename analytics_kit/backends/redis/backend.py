"""Run jobs on a Redis server whose workers are separate processes, on any number of hosts."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

import redis
from redis.lock import Lock

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.changes import CHANGES_POLL_S, RedisChanges
from analytics_kit.backends.redis.cleanup import clean_up
from analytics_kit.backends.redis.code_match import waiting_notice
from analytics_kit.backends.redis.connection import CONNECT_TIMEOUT_S, broker_error, connect, translate_errors
from analytics_kit.backends.redis.diagnosis import check_writes, eviction_warning, find_warnings, server_version
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.backends.redis.pool_state import read_pool_state
from analytics_kit.backends.redis.recovery import foreign_worker_notice, run_recovery
from analytics_kit.backends.redis.server_errors import refuses_writes
from analytics_kit.code_version import CodeVersion, versions_report
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError, SettingsError
from analytics_kit.handle import Handle
from analytics_kit.model import JobInfo, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings, without_secrets

logger = logging.getLogger(__name__)
ERROR_LINES = 20
QUIET_S = 30.0
"""A job that runs and reports nothing for this long gets the notice that it may be stuck."""
RELEASE_LIMIT_S = 10.0
"""Time for workers to release a job that is to be deleted."""
LOCK_TTL_S, LOCK_WAIT_S = 30, 60
"""How long a lock outlives its process, and how long another process waits for it."""
NO_WORKER = "No worker listens on this Redis; the job waits. Start one with: analytics-kit worker"

T = TypeVar("T")


class RedisBackend(Handle):
    """Jobs on a Redis server, run by `analytics-kit worker` processes on any number of hosts.

    Parameters
    ----------
    url : URL of the server.
    settings : its `namespace` separates the jobs of users.
    code : dotted name of the module with the functions that workers call (see `open_backend`).
    name : name under which the backend appears in jobs and in `health()`.
    """

    survives_process = True
    kills_running = True
    _no_worker_notice = NO_WORKER
    _other_code_notice = ""
    """What follows the notice of a job for which there are only workers with other code."""

    def __init__(self, url: str, settings: Settings, code: str, name: str = "redis") -> None:
        self.name = name
        self.notice = ""
        self._code = code
        self._recovered_at = 0.0
        self._refusal = ""
        """Why the server lets no job go on, when recovery was run last."""
        self._namespace = settings.namespace
        self._settings = settings
        self._queue = settings.queue
        self._secret = self._secret_of(settings)
        self._open(url)

    def _open(self, url: str) -> None:
        connection = connect(url, queue=self._queue, secret=self._secret)  # checks the URL first
        self._url, self._address = url, without_secrets(url)
        self._jobs = JobStore(connection, self._namespace)

    def _secret_of(self, settings: Settings) -> str | None:
        """Return the secret that signs jobs; None where nobody else can write to the server."""
        return None if settings.secret is None else settings.secret.get_secret_value()

    def _call(self, action: Callable[[JobStore], T]) -> T:
        with translate_errors(self._address, self._queue):
            return action(self._jobs)

    def ping(self) -> None:
        """Raise BrokerUnavailableError unless the server answers within `CONNECT_TIMEOUT_S`."""
        with translate_errors(self._address, self._queue), connect(self._url, CONNECT_TIMEOUT_S) as probe:
            try:
                probe.ping()
            except redis.ResponseError as error:
                if not refuses_writes(error):  # of a server that can't save, even PING; what is there can be read
                    raise

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it."""
        job_id = request.job_id or secrets.token_hex(8)

        def submit(jobs: JobStore) -> Record:
            return jobs.submit(Record.of(request, job_id, jobs.now_s()), request.refresh, request.rejoin)

        return self._call(submit).info(self.name)

    def get(self, job_id: str) -> JobInfo:
        """Return the job. Raises JobNotFoundError."""
        try:
            return self._call(lambda jobs: self._observed(jobs, [jobs.get(job_id)]))[job_id]
        except JobNotFoundError as error:
            if warning := self._call(lambda jobs: eviction_warning(jobs.connection)):
                raise JobNotFoundError(error.message, hint=f"{warning} {error.hint}") from None
            raise

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return those of the jobs that exist, by id."""
        return self._call(lambda jobs: self._observed(jobs, jobs.get_many(job_ids)))

    def cancel(self, job_id: str) -> bool:
        """Return whether the job is cancelled now; a worker that runs one of its steps soon kills the process."""
        return self._call(lambda jobs: jobs.cancel(job_id))

    def retry(self, job_id: str) -> JobInfo:
        """Submit the work of a failed or cancelled job as a new job; not of one that someone may have changed."""
        record = self._call(lambda jobs: jobs.get(job_id))
        request = record.retry_request()
        if not self._call(lambda jobs: jobs.is_signed(record, jobs.now_s())):
            raise SettingsError(
                f"Job {job_id} can't be retried: it is not signed with this queue's secret, so that nobody knows who "
                "wrote what it would do.",
                hint="Submit the study again.",
            )
        return self.submit(request)

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, once no worker works on it any more."""
        ends = time.monotonic() + RELEASE_LIMIT_S
        while (remains := self._call(lambda jobs: jobs.needs_cleanup(job_id))) and time.monotonic() < ends:
            self._call(lambda jobs: run_recovery(jobs.connection, self._code))
            time.sleep(0.05)
        if remains:  # no worker does it
            self._call(
                lambda jobs: clean_up(
                    AttemptStore(jobs.connection, self._namespace), job_id, self._code, self._settings
                )
            )
        self._call(lambda jobs: jobs.delete(job_id))

    def study_location(self, job_id: str) -> str | None:
        """Return the path or URL from which the job's study is read. Raises JobNotFoundError."""
        return self._call(lambda jobs: jobs.get(job_id)).arguments.get("source")

    def log(self, job_id: str) -> Sequence[str]:
        """Return what happened to the job, with the end of its worker's output."""
        lines, record = self._call(lambda jobs: (jobs.log(job_id), jobs.get(job_id)))
        if (error := record.error) is None:
            return lines
        return [*lines, f"{error.type}: {error.message}", *error.log.rstrip().splitlines()[-ERROR_LINES:]]

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """Return all jobs of this namespace, newest first."""

        def infos(jobs: JobStore) -> dict[str, JobInfo]:
            return self._infos(jobs, [r for r in jobs.records() if status in (None, r.state.status)])

        return [*self._call(infos).values()]

    def records(self) -> Sequence[Record]:
        """Return the records of this namespace that can be read, newest first."""
        return self._call(lambda jobs: jobs.records())

    def amend(self, job_id: str, edit: Callable[[Record], Record], edit_line: Callable[[str], str]) -> bool:
        """Change what the record and the log of a job that has ended say; return whether anything changed."""
        return self._call(lambda jobs: jobs.amend(job_id, edit, edit_line))

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Hold a lock of the namespace on the server, which is renewed as long as the block runs."""

        def acquire(jobs: JobStore) -> Lock | None:
            lock = jobs.connection.lock(jobs.keys.forgetting, timeout=LOCK_TTL_S, thread_local=False)
            return lock if lock.acquire(blocking_timeout=LOCK_WAIT_S) else None

        lock = self._call(acquire)
        if lock is None:
            raise BrokerUnavailableError(
                "Another process is forgetting a participant of this namespace.", hint="Try again in a minute."
            )
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LOCK_TTL_S / 3):
                with suppress(redis.RedisError):
                    lock.reacquire()

        renewal = threading.Thread(target=renew, daemon=True, name="analytics_kit lock")
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            renewal.join()
            with suppress(redis.RedisError):
                lock.release()

    def changes(self) -> RedisChanges:
        """Return a context in which to wait for changes of jobs."""
        return RedisChanges(lambda: self._jobs)

    def queue_status(self) -> dict[str, Any]:
        """Return the counts of jobs by status and of workers."""
        states, (live, busy) = self._call(lambda jobs: (jobs.states(), rq_queue.count_workers(jobs.connection)))
        statuses = [state.status for state in states]
        counts = {status.value: statuses.count(status) for status in JobStatus}
        queue = rq_queue.rq_name(self._queue)
        return {"backend": self.name, "queue": queue, **counts, "workers": live, "workers_busy": busy}

    def health(self) -> dict[str, Any]:
        """Return whether jobs can run; a broker that is down is reported, not raised."""
        health: dict[str, Any] = {"live": True, "ready": False, "backend": self.name, "broker": None, "workers": 0}
        try:
            broker, live, reason = self._call(self._measure)
        except BrokerUnavailableError as error:
            reason = f"{error.message} {error.hint}"
            return {"status": "down", **health, "reason": reason, "versions": versions_report()}
        try:
            self._call(lambda jobs: check_writes(jobs.connection))
        except BrokerUnavailableError as error:
            health |= {"broker": broker, "workers": live, "versions": versions_report()}
            return {"status": "down", **health, "reason": f"{error.message} {error.hint}"}
        health |= {"ready": live > 0, "broker": broker, "workers": live, "versions": self._call(self._versions)}
        return {"status": "degraded" if reason else "ok", **health, "reason": reason}

    def warnings(self) -> Sequence[tuple[str, str]]:
        """Return what is wrong with the broker although jobs run, for `doctor`: what was found, and what to do."""
        return self._call(lambda jobs: find_warnings(jobs.connection, self._url))

    def close(self) -> None:
        """Close the connections; jobs are not affected."""
        self._jobs.connection.close()

    def shutdown(self, only_unused: bool = False) -> None:
        """Do what `close` does: server and workers were started by others."""
        self.close()

    def _versions(self, jobs: JobStore) -> dict[str, Any]:
        """Return versions and hashes of code of this process, the supervisor and the workers, as JSON."""
        counts = Counter(worker.code for worker in rq_queue.live_workers(jobs.connection).values())
        return versions_report(self._supervisor_version(), counts)

    def _supervisor_version(self) -> CodeVersion | None:
        """Return the version of the process that owns the broker; None where none does."""
        return None

    def _measure(self, jobs: JobStore) -> tuple[dict[str, Any], int, str]:
        """Return address, version and latency of the broker, how many workers live, and why none do."""
        start = time.perf_counter()
        jobs.connection.time()
        latency_ms = round((time.perf_counter() - start) * 1000, 3)
        broker = {
            "address": self._address, "version": server_version(jobs.connection), "latency_ms": latency_ms
        }  # fmt: skip
        workers = rq_queue.read_workers(jobs.connection)
        pool = read_pool_state(jobs.connection)
        reason = foreign_worker_notice(jobs.connection, workers.foreign)
        if not workers.own:
            reason = pool.notice or pool.phase or " ".join(filter(None, (self._no_worker_notice, reason)))
        return broker, len(workers.own), reason or eviction_warning(jobs.connection)

    def _observed(self, jobs: JobStore, records: Sequence[Record]) -> dict[str, JobInfo]:
        """Return the jobs, with notices on those that wait or may be stuck, and take part in recovery."""
        active = [record for record in records if not record.state.status.final]
        if active and time.monotonic() - self._recovered_at > CHANGES_POLL_S:
            self._recovered_at = time.monotonic()
            self._refusal = self._recover(jobs, active)
        infos = self._infos(jobs, records)
        if not active:
            return infos
        workers = rq_queue.read_workers(jobs.connection)
        if self._refusal:
            return infos | {r.job_id: replace(infos[r.job_id], notice=self._refusal) for r in active}
        foreign = foreign_worker_notice(jobs.connection, workers.foreign)
        if workers.own:
            waiting = [r for r in active if foreign and infos[r.job_id].status is JobStatus.QUEUED]
            noticed = {r.job_id: replace(infos[r.job_id], notice=foreign) for r in waiting}
            others = self._without_code(infos, active, workers.own.values())
            return infos | noticed | self._quiet_jobs(jobs, active) | others
        pool = read_pool_state(jobs.connection)
        notice = pool.notice or ("" if pool.phase else " ".join(filter(None, (self._no_worker_notice, foreign))))
        for record in active:
            info = infos[record.job_id] = replace(infos[record.job_id], notice=notice)
            if pool.phase and info.status is JobStatus.QUEUED:
                infos[record.job_id] = replace(info, progress=Progress(phase=pool.phase))
        return infos

    def _recover(self, jobs: JobStore, active: Sequence[Record]) -> str:
        """Take part in recovery; return why the server lets no job go on, or an empty string."""
        try:
            run_recovery(jobs.connection, self._code)
            jobs.ensure_active([record.job_id for record in active])
        except redis.ResponseError as error:
            if refuses_writes(error):  # what there is can be read all the same
                refusal = broker_error(error, self._address, self._queue)
                return f"{refusal.message} The job waits. {refusal.hint}"
            logger.exception("Recovery failed.")
        return ""

    def _without_code(
        self, infos: Mapping[str, JobInfo], active: Sequence[Record], live: Collection[rq_queue.WorkerState]
    ) -> dict[str, JobInfo]:
        """Return those of the jobs that no live worker has the code for, with a notice."""
        present = {worker.code for worker in live}
        codes = {code.code for code in present}
        return {
            record.job_id: replace(
                infos[record.job_id], notice=f"{waiting_notice(required, present)}{self._other_code_notice}"
            )
            for record in active
            if (required := record.required_code) is not None and required.code not in codes
        }

    def _infos(self, jobs: JobStore, records: Sequence[Record]) -> dict[str, JobInfo]:
        is_any_queued = any(record.state is RecordState.QUEUED for record in records)
        positions = jobs.queue_positions() if is_any_queued else {}
        return {record.job_id: record.info(self.name, positions.get(record.job_id)) for record in records}

    def _quiet_jobs(self, jobs: JobStore, active: Sequence[Record]) -> dict[str, JobInfo]:
        """Return those of the jobs that run and have reported nothing for long, with a notice."""
        reported_at = {r.job_id: r.reported_at for r in active if r.reported_at}
        if all(0 <= time.time() - at <= QUIET_S for at in reported_at.values()):
            return {}
        now_s = jobs.now_s()  # clocks of hosts differ; a report in the future says that this one does
        return {
            record.job_id: replace(
                record.info(self.name),
                notice=f"No progress was reported for {now_s - at:.0f} s; the job may be stuck.",
            )
            for record in active
            if (at := reported_at.get(record.job_id)) and now_s - at > QUIET_S
        }
