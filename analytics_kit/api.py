"""The module-level verbs: those of one default client, which is made when the first of them is used."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analytics_kit.client import Client
from analytics_kit.job import Job
from analytics_kit.model import ForgetReport
from analytics_kit.process_fork import renew_after_fork
from analytics_kit.study.result.result import StudyResult

if TYPE_CHECKING:
    from analytics_kit.notebook.board import Board

_default: Client | None = None
_default_lock = threading.Lock()


def _renew() -> None:
    global _default_lock
    _default_lock = threading.Lock()


renew_after_fork(_renew)


def default_client() -> Client:
    """Return the client of the module-level verbs; make it on first use."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Client()
            _default.client_name = "ak"
        return _default


def connect(url: str | None = None, **settings: Any) -> Client:
    """Return a new client, connected to its backend.

    Parameters
    ----------
    url
        A broker (`redis://`, `rediss://`, `unix://`), a server started by `analytics-kit serve` (`https://`),
        "embedded", or "local" for this process. None takes what the settings name.
    **settings
        Settings that win over environment variables and `.env`: home, store, namespace, workers, token (of a server)
        and others, which the README lists.

    Raises
    ------
    SettingsError
        For an unknown setting or one that can't be used.
    BrokerUnavailableError
        When a broker or server that was named can't be used.

    See Also
    --------
    Client : The verbs of a client.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> with ak.connect("local", namespace="pilot") as client:
    ...     client.backend.name
    'local'
    """
    client = Client(url, **settings)
    client.backend  # noqa: B018  connect now, so that errors are raised here
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
    """Start a job that processes a study on the queue; return at once.

    A job for the same content and options that completed, waits or runs is returned in place of a new one.

    Parameters
    ----------
    source
        Path or fsspec URL of a ZIP, a folder with the same tree, or one CSV.
    refresh
        Start a new job even if the same content was processed with the same options.
    tags
        Words to find the job by.
    time_limit_s
        Seconds after which the job fails with JobTimeoutError, counted from when a worker takes it.
    memory_limit_mb
        Megabytes beyond which a process of the job makes it fail with OutOfMemoryError. Only on the queue.
    **options
        See `Options`.

    Returns
    -------
    Job
        The job, probably queued or running. A study that can't be read is not an error here but a job that fails.

    Raises
    ------
    SettingsError, SourceNotFoundError, BrokerUnavailableError
        See `Client.submit`, which this calls on the default client.

    See Also
    --------
    process : Process a study here and now, without a job.
    get_job, jobs : Find jobs again.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> job = ak.submit(ak.sample_study("study.zip", participants=1, trials=1), tags=["pilot"])
    >>> job.result(timeout=60).summary["trials"]
    4
    """
    return default_client().submit(
        source, refresh=refresh, tags=tags, time_limit_s=time_limit_s, memory_limit_mb=memory_limit_mb, **options
    )


def process(source: str | os.PathLike[str], *, progress: bool = False, **options: Any) -> StudyResult:
    """Process a study here and now, without a queue, and return its result.

    Parameters
    ----------
    source
        Path or fsspec URL of a ZIP, a folder with the same tree, or one CSV.
    progress
        Show a progress bar.
    **options
        See `Options`.

    Returns
    -------
    StudyResult
        The result, stored like that of a job.

    Raises
    ------
    SettingsError, SourceNotFoundError, BadArchiveError, UnsafeArchiveError, NoEventsError, StoreError
        See `Client.process`, which this calls on the default client.

    See Also
    --------
    submit : Process it on the queue, while the notebook stays usable.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> result = ak.process(ak.sample_study("study.zip", participants=2, trials=1))
    >>> len(result.trials)
    8
    """
    return default_client().process(source, progress=progress, **options)


def get_job(job_id: str) -> Job:
    """Return the job with this id, also one that another process submitted.

    Raises
    ------
    JobNotFoundError
        When no job of this namespace has the id.

    See Also
    --------
    jobs : All jobs, with their ids.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> job = ak.submit(ak.sample_study("study.zip", participants=1, trials=1))
    >>> ak.get_job(job.id) == job
    True
    """
    return default_client().get_job(job_id)


def jobs(status: str | None = None) -> pd.DataFrame:
    """Return all jobs of this namespace as a table, newest first, or those of one status.

    Parameters
    ----------
    status
        "queued", "running", "completed", "failed" or "cancelled"; None returns all jobs.

    Returns
    -------
    pandas.DataFrame
        A row per job; `Client.jobs` lists the columns. Without jobs it has the same columns and no rows.

    Raises
    ------
    SettingsError
        For an unknown status.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> job = ak.submit(ak.sample_study("study.zip", participants=1, trials=1), tags=["pilot"])
    >>> job.wait(timeout=60)
    True
    >>> ak.jobs()[["status", "tags"]]
          status      tags
    0  completed  (pilot,)
    """
    return default_client().jobs(status)


def forget(participant: str | int) -> ForgetReport:
    """Remove a participant, who has withdrawn consent, from all that is kept for this namespace.

    Parameters
    ----------
    participant
        The name as in `result.participants`.

    Returns
    -------
    ForgetReport
        What was removed, and what could not be reached.

    Raises
    ------
    SettingsError, StoreError
        See `Client.forget`, which this calls on the default client.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> result = ak.process(ak.sample_study("study.zip", participants=2, trials=1))
    >>> ak.forget(participant="2").trials
    4
    """
    return default_client().forget(participant)


def board() -> Board:
    """Return a live table of all jobs: find, open, cancel and retry them; drop a ZIP on it to upload and submit it.

    Without a front end, displaying it waits at most a minute until no job is queued or running, and shows a table.

    See Also
    --------
    jobs : The same as a DataFrame.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.board()
    Jobs: none
    """
    return default_client().board()


def queue_status() -> dict[str, Any]:
    """Return backend, number of jobs by status, number of workers and of busy workers; see `Client.queue_status`.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> status = ak.queue_status()
    >>> status["backend"], status["running"]
    ('local', 0)
    """
    return default_client().queue_status()


def health() -> dict[str, Any]:
    """Return whether work can be done: `status` ok, degraded or down, with a `reason`; see `Client.health`.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.health()["status"]
    'ok'
    """
    return default_client().health()
