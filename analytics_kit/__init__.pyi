from . import plot as plot
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
from .job import Job
from .model import JobStatus, Progress
from .notebook.explorer import explore
from .options import Options
from .study.metric_list import metrics
from .study.mousetrap import mousetrap_measures
from .study.result import StudyResult, load
from .study.sample import sample_study
from .together import as_completed, gather
from .verbs import board, connect, get_job, health, jobs, process, queue_status, submit

__version__: str
__all__ = [
    "AnalyticsKitError",
    "BadArchiveError",
    "BadMemberError",
    "BrokerUnavailableError",
    "Client",
    "EventFormat",
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
