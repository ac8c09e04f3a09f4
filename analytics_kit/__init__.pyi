from . import plot as plot
from .api import board, connect, forget, get_job, health, jobs, process, queue_status, submit
from .client import Client
from .errors import (
    AnalyticsKitError,
    BadArchiveError,
    BadMemberError,
    BrokerUnavailableError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobTimeoutError,
    NoEventsError,
    OutOfMemoryError,
    ResultExpiredError,
    SettingsError,
    SourceNotFoundError,
    StoreError,
    UnsafeArchiveError,
    WorkerLostError,
)
from .event_format import EventFormat
from .futures import as_completed, gather
from .job import Job
from .model import ForgetReport, JobStatus, Progress
from .notebook.explorer import explore
from .options import Options
from .study.metrics.mousetrap_table import mousetrap_measures
from .study.metrics.table import metrics
from .study.result.result import StudyResult, load
from .study.sample.study import sample_study

__version__: str
__all__ = [
    "AnalyticsKitError",
    "BadArchiveError",
    "BadMemberError",
    "BrokerUnavailableError",
    "Client",
    "EventFormat",
    "ForgetReport",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobNotFoundError",
    "JobStatus",
    "JobTimeoutError",
    "NoEventsError",
    "Options",
    "OutOfMemoryError",
    "Progress",
    "ResultExpiredError",
    "SettingsError",
    "SourceNotFoundError",
    "StoreError",
    "StudyResult",
    "UnsafeArchiveError",
    "WorkerLostError",
    "as_completed",
    "board",
    "connect",
    "explore",
    "forget",
    "gather",
    "get_job",
    "health",
    "jobs",
    "load",
    "metrics",
    "mousetrap_measures",
    "plot",
    "process",
    "queue_status",
    "sample_study",
    "submit",
]
