"""The verbs of the package itself: those of a client that is made when the first of them is used."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analytics_kit.client import Client
from analytics_kit.job import Job
from analytics_kit.study.result.result import StudyResult

if TYPE_CHECKING:
    from analytics_kit.notebook.board import Board

_default: Client | None = None
_default_lock = threading.Lock()


def default_client() -> Client:
    """The client of the module-level verbs, made on first use."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Client()
            _default.called = "ak"
        return _default


def connect(url: str | None = None, **settings: Any) -> Client:
    """A client of its own: `redis://`, `rediss://`, `unix://`, "embedded", "local", or None for what settings say.

    `https://HOST` is a server (`analytics-kit serve`), which takes `token=`, else ANALYTICS_KIT_TOKEN.
    Raises SettingsError for unknown settings and BrokerUnavailableError where a broker asked for can't be used.
    """
    client = Client(url, **settings)
    client.backend  # noqa: B018  connect now, so that trouble is told here
    return client


def submit(
    source: str | os.PathLike[str],
    *,
    refresh: bool = False,
    tags: Sequence[str] | None = None,
    time_limit_s: float | None = None,
    memory_limit_mb: float | None = None,
    **options: Any,
) -> Job:
    """A job that processes a study; returns at once. Options: see `Options`.

    It fails when it runs longer than `time_limit_s` seconds, or when one of its processes needs more than
    `memory_limit_mb` megabytes (only on the queue). This is `Client.submit` of the default client, which says more.
    """
    return default_client().submit(
        source, refresh=refresh, tags=tags, time_limit_s=time_limit_s, memory_limit_mb=memory_limit_mb, **options
    )


def process(source: str | os.PathLike[str], *, progress: bool = False, **options: Any) -> StudyResult:
    """The result of a study, worked out here and now without a queue. Options: see `Options`.

    This is `Client.process` of the default client, which says more.
    """
    return default_client().process(source, progress=progress, **options)


def get_job(job_id: str) -> Job:
    """The job with this id. Raises JobNotFoundError.

    This is `Client.get_job` of the default client, which says more.
    """
    return default_client().get_job(job_id)


def jobs(status: str | None = None) -> pd.DataFrame:
    """All jobs, newest first, or those of one status, as a DataFrame.

    This is `Client.jobs` of the default client, which says more.
    """
    return default_client().jobs(status)


def board() -> Board:
    """All jobs, live: find, open, cancel and retry them; drop a ZIP on it to upload and submit it.

    This is `Client.board` of the default client, which says more.
    """
    return default_client().board()


def queue_status() -> dict[str, Any]:
    """Backend, counts of jobs by status, workers and how many of them work.

    This is `Client.queue_status` of the default client, which says more.
    """
    return default_client().queue_status()


def health() -> dict[str, Any]:
    """Whether work can be done: status ok, degraded or down, with a reason.

    This is `Client.health` of the default client, which says more.
    """
    return default_client().health()
