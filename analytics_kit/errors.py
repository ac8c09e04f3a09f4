"""Every error that analytics_kit raises: one tree, each with a hint.

AnalyticsKitError
├── SettingsError            an option, setting or name that can't be used
├── SourceNotFoundError      the study is not where it was said to be (also a FileNotFoundError)
├── BrokerUnavailableError   the Redis that was asked for can't be used
├── JobNotFoundError         no job has this id
├── ResultExpiredError       the job is known, its tables are gone
├── StoreError               results can't be written or read
└── JobFailedError           a job failed for a reason that has no name of its own
    ├── BadArchiveError      the study can't be read
    │   └── BadMemberError   one file in it can't be read, and on_error="raise" was asked for
    ├── UnsafeArchiveError   the study breaks a safety limit
    ├── NoEventsError        the study can be read and holds no events
    ├── JobTimeoutError      the job ran longer than time_limit_s
    ├── OutOfMemoryError     the job needed more memory than it may have
    ├── WorkerLostError      the process that did the work is gone
    └── JobCancelledError    the job was cancelled
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnalyticsKitError(Exception):
    """Base of all errors here. `str()` gives the message and, on its own line, the hint."""

    default_hint = "Run `analytics-kit doctor` to check the installation."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (type(self).__name__, self.message, self.hint)


class SettingsError(AnalyticsKitError):
    """An option, setting or name that can't be used."""

    default_hint = "help(analytics_kit.Options) lists the options, the README the settings."


class SourceNotFoundError(AnalyticsKitError, FileNotFoundError):
    """The study is not where it was said to be."""

    default_hint = "Check the path; a relative path starts at the folder of the notebook or shell."


class BrokerUnavailableError(AnalyticsKitError):
    """The Redis that was asked for can't be used."""

    default_hint = "Check that Redis runs and that REDIS_URL names it; `analytics-kit doctor` tries it."


class JobNotFoundError(AnalyticsKitError):
    """No job has this id."""

    default_hint = "analytics_kit.jobs() lists the jobs that are known; records are kept for 30 days."


class ResultExpiredError(AnalyticsKitError):
    """The job is known, its tables are gone."""

    default_hint = (
        "Results live 7 days, less where the store is full. Submit the study again with refresh=True; "
        "result.save(path) keeps a result for good."
    )


class StoreError(AnalyticsKitError):
    """Results can't be written or read."""

    default_hint = "Check free space and permissions of the store (ANALYTICS_KIT_STORE or ANALYTICS_KIT_HOME)."


class JobFailedError(AnalyticsKitError):
    """A job failed for a reason that has no name of its own."""

    default_hint = "The traceback is in the job's log."


class BadArchiveError(JobFailedError):
    """The study can't be read."""

    default_hint = "Download the study again and check that the file opens with an ordinary ZIP program."


class BadMemberError(BadArchiveError):
    """One file of the study can't be read, and on_error="raise" was asked for."""

    default_hint = 'Mend the file, or use on_error="skip" to keep the rest and list the loss in result.issues.'


class UnsafeArchiveError(JobFailedError):
    """The study breaks a safety limit."""

    default_hint = "Check where the file comes from."


class NoEventsError(JobFailedError):
    """The study can be read and holds no events."""

    default_hint = (
        "Expected files such as 1_participant_session/Task_Factor_trial_1/Mouse Movement.csv; "
        'for other names say what they hold: kinds={"name without .csv": "mouse_movement"}.'
    )


class JobTimeoutError(JobFailedError):
    """The job ran longer than its time limit."""

    default_hint = "Raise time_limit_s, or process fewer participants at once."


class OutOfMemoryError(JobFailedError):
    """The job needed more memory than it may have."""

    default_hint = "Raise memory_limit_mb, or run fewer workers on this machine."


class WorkerLostError(JobFailedError):
    """The process that did the work is gone."""

    default_hint = "Submit again; if it happens again, watch the memory of the worker's machine."


class JobCancelledError(JobFailedError):
    """The job was cancelled."""

    default_hint = "Submit again to start a new job."


def _tree(cls: type[AnalyticsKitError]) -> Iterable[type[AnalyticsKitError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


def rebuild(type_name: str, message: str, hint: str | None = None) -> AnalyticsKitError:
    """The error that was told as type, message and hint; a type from outside the tree is a JobFailedError."""
    known = {cls.__name__: cls for cls in _tree(AnalyticsKitError)}
    if type_name in known:
        return known[type_name](message, hint=hint)
    return JobFailedError(f"{type_name}: {message}", hint=hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean …?"` for the closest known name, else an empty string; made to end a message."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
