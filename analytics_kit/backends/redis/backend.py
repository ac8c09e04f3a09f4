"""How do jobs wait and run on a Redis server that was named?"""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from analytics_kit.backends.record import Record, RecordState
from analytics_kit.backends.redis import job_store as ledger
from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.job_store import JobStore
from analytics_kit.backends.redis.recovery import reconcile
from analytics_kit.backends.worker.entry import remove_remains
from analytics_kit.errors import BrokerUnavailableError, SettingsError
from analytics_kit.model import ANY_JOB, JobInfo, JobRequest, JobStatus, Progress
from analytics_kit.settings import Settings, without_secrets

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
POLL_S = 1.0
ERROR_LINES = 20
QUIET_S = 30.0
"""A job that runs and says nothing for so long may be stuck; that is said."""
LEAVE_LIMIT_S = 10.0
"""Workers have this long to let go of a job that is to be deleted."""
NO_WORKER = "No worker listens on this Redis; the job waits. Start one with: analytics-kit worker"

T = TypeVar("T")


def connect(url: str, answer_timeout_s: float | None = None) -> redis.Redis:
    """A client for the URL; nothing is sent yet. Raises SettingsError, without the URL, when it can't be read."""
    try:
        parts = urlsplit(url)
        tcp = {} if parts.scheme == "unix" else {"socket_keepalive": True}
        if "@" in parts.path + parts.fragment:
            raise ValueError
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=answer_timeout_s or ANSWER_TIMEOUT_S,
            health_check_interval=15,
            # Once more at once, for a connection that went stale in the pool; never after a time-out.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **tcp,
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # what stands behind ? in the URL is only looked at here
        return client
    except (ValueError, TypeError):
        raise SettingsError(
            "The URL of the Redis can't be read.",
            hint="Write redis://:PASSWORD@HOST:6379/0 (rediss:// for TLS) and percent-encode / # @ in the password.",
        ) from None


def socket_url(path: object) -> str:
    """The URL of a server on a Unix socket, whatever signs its path has."""
    return f"unix://{quote(str(path))}"


@contextlib.contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Redis' exceptions as BrokerUnavailableError; `address` holds no secret."""
    try:
        yield
    except redis.AuthenticationError as error:
        if "HELLO must be called" in str(error) or "NOAUTH" in str(error):
            raise BrokerUnavailableError(
                f"Redis at {address} needs a password.", hint="Set REDIS_PASSWORD or put it into REDIS_URL."
            ) from error
        raise BrokerUnavailableError(
            f"Redis at {address} refuses the password: {_words(error)}.", hint="Correct REDIS_PASSWORD or REDIS_URL."
        ) from error
    except redis.RedisError as error:
        raise BrokerUnavailableError(f"Redis at {address} can't be used: {_words(error)}.") from error


def _words(error: Exception) -> str:
    return str(error).rstrip(".")


def is_unreachable(error: BaseException | None) -> bool:
    """Whether nothing answers there (refused, timed out, unknown host), as opposed to an answer that is no use."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return False
        if isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror | FileNotFoundError):
            return True
        if isinstance(error, redis.TimeoutError) or getattr(error, "errno", None) in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


class RedisBackend:
    """Jobs on a Redis server, done by `analytics-kit worker` processes on any number of hosts."""

    survives_process = True
    kills_running = True

    def __init__(self, url: str, settings: Settings, code: str, name: str = "redis") -> None:
        self.name = name
        self.notice = ""
        self._code = code
        self._looked_at = 0.0
        self._namespace = settings.namespace
        self._open(url)

    def _open(self, url: str) -> None:
        connection = connect(url)  # looks at the URL first
        self._url, self._address = url, without_secrets(url)
        self._jobs = JobStore(connection, self._namespace)

    def _call(self, act: Callable[[JobStore], T]) -> T:
        with translate_errors(self._address):
            return act(self._jobs)

    def ping(self) -> None:
        """Raise BrokerUnavailableError unless the server answers soon."""
        with translate_errors(self._address), connect(self._url, CONNECT_TIMEOUT_S) as probe:
            probe.ping()

    def submit(self, request: JobRequest) -> JobInfo:
        """Queue the work, or join the job that already does it."""
        job_id = request.job_id or secrets.token_hex(8)

        def act(store: JobStore) -> Record:
            return store.submit(Record.of(request, job_id, store.now_s()), request.refresh, request.rejoin)

        return self._call(act).info(self.name)

    def get(self, job_id: str) -> JobInfo:
        """The job. Raises JobNotFoundError."""
        return self._call(lambda store: self._seen(store, [store.get(job_id)]))[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Those of the jobs that are known."""
        return self._call(lambda store: self._seen(store, store.get_many(job_ids)))

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled now; a worker that has it in hand ends its process within a moment."""
        return self._call(lambda store: store.cancel(job_id))

    def retry(self, job_id: str) -> JobInfo:
        """A new job for the work of one that failed or was cancelled."""
        return self.submit(self._call(lambda store: store.get(job_id)).request_again())

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, once nobody works for it any more."""
        ends = time.monotonic() + LEAVE_LIMIT_S
        while (left := self._call(lambda store: store.needs_cleanup(job_id))) and time.monotonic() < ends:
            self._call(lambda store: reconcile(store.connection, self._code))
            time.sleep(0.05)
        if left:  # no worker does it
            self._call(
                lambda store: remove_remains(AttemptStore(store.connection, store.namespace), job_id, self._code)
            )
        self._call(lambda store: store.delete(job_id))

    def log(self, job_id: str) -> Sequence[str]:
        """What happened to the job, with the end of its worker's output."""
        lines, record = self._call(lambda store: (store.log(job_id), store.get(job_id)))
        if (error := record.error) is None:
            return lines
        return [*lines, f"{error.type}: {error.message}", *error.log.rstrip().splitlines()[-ERROR_LINES:]]

    def list(self, status: JobStatus | None = None) -> list[JobInfo]:
        """All jobs of this namespace, newest first."""

        def act(store: JobStore) -> dict[str, JobInfo]:
            return self._infos(store, [r for r in store.records() if status in (None, r.state.status)])

        return [*self._call(act).values()]

    def changes(self) -> RedisChanges:
        """Listen for changed jobs."""
        return RedisChanges(lambda: self._jobs)

    def queue_status(self) -> dict[str, Any]:
        """Counts of jobs by state and of workers."""
        states, (live, busy) = self._call(lambda store: (store.states(), rq_queue.count_workers(store.connection)))
        shown = [state.status for state in states]
        counts = {status.value: shown.count(status) for status in JobStatus}
        return {"backend": self.name, "queue": ledger.QUEUE_NAME, **counts, "workers": live, "workers_busy": busy}

    def health(self) -> dict[str, Any]:
        """Whether work can be done here; a broker that is down is an answer, not an error."""
        told: dict[str, Any] = {"live": True, "ready": False, "backend": self.name, "broker": None, "workers": 0}
        try:
            broker, live, reason = self._call(self._measured)
        except BrokerUnavailableError as error:
            return {"status": "down", **told, "reason": error.message}
        told |= {"ready": live > 0, "broker": broker, "workers": live}
        if live:
            return {"status": "ok", **told, "reason": ""}
        return {"status": "degraded", **told, "reason": reason}

    def close(self) -> None:
        """Let go of connections; jobs are not touched."""
        self._jobs.connection.close()

    def _measured(self, store: JobStore) -> tuple[dict[str, Any], int, str]:
        begun = time.perf_counter()
        store.connection.ping()
        latency_ms = round((time.perf_counter() - begun) * 1000, 3)
        server = store.connection.info("server")
        version = str(server.get("valkey_version") or server["redis_version"])
        broker = {"address": self._address, "version": version, "latency_ms": latency_ms}
        doing, said = rq_queue.pool_state(store.connection)
        return broker, rq_queue.count_workers(store.connection)[0], said or doing or self._no_worker_notice

    def _seen(self, store: JobStore, records: Sequence[Record]) -> dict[str, JobInfo]:
        """The jobs, with what has to be said of those that wait; who asks also looks after what was lost."""
        if any(not record.state.status.final for record in records) and time.monotonic() - self._looked_at > POLL_S:
            self._looked_at = time.monotonic()
            reconcile(store.connection, self._code)
        infos = self._infos(store, records)
        active = [record for record in records if not record.state.status.final]
        if not active:
            return infos
        if rq_queue.count_workers(store.connection)[0]:
            return infos | self._quiet(store, active)
        doing, said = rq_queue.pool_state(store.connection)
        notice = said or ("" if doing else self._no_worker_notice)
        for record in active:
            info = infos[record.job_id] = replace(infos[record.job_id], notice=notice)
            if doing and info.status is JobStatus.QUEUED:
                infos[record.job_id] = replace(info, progress=Progress(phase=doing))
        return infos

    def _infos(self, store: JobStore, records: Sequence[Record]) -> dict[str, JobInfo]:
        places = store.queue_positions() if any(record.state is RecordState.QUEUED for record in records) else {}
        return {record.job_id: record.info(self.name, places.get(record.job_id)) for record in records}

    def _quiet(self, store: JobStore, active: Sequence[Record]) -> dict[str, JobInfo]:
        """Of the jobs those that run and have not been heard of for long, with that said."""
        since = {r.job_id: r.told_at for r in active if r.told_at and time.time() - r.told_at > QUIET_S}
        if not since:
            return {}
        now_s = store.now_s()  # clocks of hosts differ
        return {
            record.job_id: replace(
                record.info(self.name),
                notice=f"Nothing was heard of the work for {now_s - since[record.job_id]:.0f} s; it may be stuck.",
            )
            for record in active
            if record.job_id in since and now_s - since[record.job_id] > QUIET_S
        }

    _no_worker_notice = NO_WORKER


class RedisChanges:
    """Word of changed jobs over Redis' own publish and subscribe."""

    def __init__(self, store: Callable[[], JobStore]) -> None:
        self._store = store
        self._pubsub: Any = None
        self._said_at = time.monotonic()

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Ids of jobs that changed; at the latest every second it says that any may have, and the reader polls."""
        try:
            heard = self._heard(min(timeout_s, POLL_S))
        except (redis.RedisError, ValueError, OSError):  # also: another thread has just closed the connection
            self._let_go()
            time.sleep(min(timeout_s, 0.2))
            heard = ANY_JOB
        if time.monotonic() - self._said_at >= POLL_S:
            heard = heard | ANY_JOB
        if heard >= ANY_JOB:
            self._said_at = time.monotonic()
        return heard

    def _heard(self, limit_s: float) -> frozenset[str]:
        if self._pubsub is None:
            self._pubsub = self._subscribed()
            return ANY_JOB
        ends = time.monotonic() + limit_s
        while (left_s := ends - time.monotonic()) > 0:
            ids = set()
            message = self._pubsub.get_message(timeout=left_s)
            while message:
                if message["type"] == "message":
                    ids.add(message["data"].decode())
                message = self._pubsub.get_message(timeout=0)
            if ids:
                return frozenset(ids)
        return frozenset()

    def _subscribed(self) -> Any:
        store = self._store()
        pubsub = store.connection.pubsub()
        try:
            pubsub.subscribe(store.channel)
            # Until the server has confirmed, a change could be missed.
            while (message := pubsub.get_message(timeout=CONNECT_TIMEOUT_S)) and message["type"] != "subscribe":
                pass
        except redis.RedisError:
            pubsub.close()
            raise
        return pubsub

    def _let_go(self) -> None:
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None

    def __enter__(self) -> Self:
        with contextlib.suppress(redis.RedisError):
            self._pubsub = self._subscribed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()
