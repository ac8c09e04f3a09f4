"""The errors that analytics_kit raises: one tree, each with a hint.

AnalyticsKitError
├── SettingsError            an option, setting or name that can't be used
├── SourceNotFoundError      there is no study at this location (also a FileNotFoundError)
├── BrokerUnavailableError   the named broker or server can't be used
├── JobNotFoundError         no job has this id
├── ResultExpiredError       the job is known, its result is gone
├── StoreError               storage of results or studies can't be read or written
└── JobFailedError           a job failed for a reason without a subclass
    ├── BadArchiveError      the study can't be read
    │   └── BadMemberError   one file in it can't be read, under on_error="raise"
    ├── UnsafeArchiveError   the study breaks a safety limit
    ├── NoEventsError        the study can be read and holds no events
    ├── JobTimeoutError      the job ran longer than time_limit_s
    ├── OutOfMemoryError     the job needed more memory than it may have
    ├── WorkerLostError      the process that did the work died
    └── JobCancelledError    the job was cancelled
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from analytics_kit.utf8_text import utf8_text
from analytics_kit.visible_text import visible


class AnalyticsKitError(Exception):
    """Base of all errors of this package: `str()` gives the message and, on its own line, the hint.

    Parameters
    ----------
    message
        What was found and what was expected.
    hint
        What to do next; None takes the hint of the class.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> try:
    ...     ak.submit("study.zip", idle_gap=1)
    ... except ak.AnalyticsKitError as error:
    ...     print(error)
    Unknown option 'idle_gap'. Did you mean 'idle_gap_s'?
    Hint: help(analytics_kit.Options) lists the options, the README the settings.
    """

    default_hint = "Run `analytics-kit doctor` to check the installation."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = utf8_text(message)  # it may quote the name of a file
        self.hint = self.default_hint if hint is None else utf8_text(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{visible(self.message)}\nHint: {visible(self.hint)}" if self.hint else visible(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (type(self).__name__, self.message, self.hint)


class SettingsError(AnalyticsKitError):
    """An option, setting or name that can't be used.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.connect("local", wrokers=2)
    Traceback (most recent call last):
    analytics_kit.errors.SettingsError: Unknown setting 'wrokers'. Did you mean 'workers'?
    Hint: The README lists the settings, under “Your own Redis”.
    """

    default_hint = "help(analytics_kit.Options) lists the options, the README the settings."


class SourceNotFoundError(AnalyticsKitError, FileNotFoundError):
    """There is no study at this location. It is also a FileNotFoundError.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> try:
    ...     ak.process("nowhere.zip")
    ... except FileNotFoundError as error:
    ...     print(error.hint)
    Check the path; a relative path starts at the folder of the notebook or shell.
    """

    default_hint = "Check the path; a relative path starts at the folder of the notebook or shell."


class BrokerUnavailableError(AnalyticsKitError):
    """The named broker or server can't be used.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.connect("redis://127.0.0.1:9")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    analytics_kit.errors.BrokerUnavailableError: Redis at redis://127.0.0.1:9 can't be used: ...
    """

    default_hint = "Check that Redis runs and that REDIS_URL names it; `analytics-kit doctor` tries it."


class JobNotFoundError(AnalyticsKitError):
    """No job has this id.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> try:
    ...     ak.get_job("nonesuch")
    ... except ak.JobNotFoundError as error:
    ...     print(error.message)
    No job has the id 'nonesuch' here.
    """

    default_hint = "analytics_kit.jobs() lists the jobs that are known; records are kept for 30 days."


class ResultExpiredError(AnalyticsKitError):
    """The job is known, its result is gone.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> job = ak.submit(ak.sample_study("study.zip", participants=1, trials=1))
    >>> job.wait(timeout=60)
    True
    >>> job.delete()
    >>> try:
    ...     job.result()
    ... except ak.ResultExpiredError as error:
    ...     print(error.hint.partition(".")[0])
    Results live 7 days, less where the store is full
    """

    default_hint = (
        "Results live 7 days, less where the store is full. Submit the study again with refresh=True; "
        "result.save(path) keeps a result for good."
    )


class StoreError(AnalyticsKitError):
    """Storage can't be read or written: that of results, or that of a study once it was found.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> open("no-folder", "w").close()
    >>> with ak.connect("local", store="no-folder") as client:
    ...     client.health()["status"]
    'down'
    """

    default_hint = "Check free space and permissions of the store (ANALYTICS_KIT_STORE or ANALYTICS_KIT_HOME)."
    may_work_elsewhere = False
    """Whether another worker, or the same one later, may succeed; a step of a job is then offered again."""


class JobFailedError(AnalyticsKitError):
    """A job failed; subclasses name the reasons that are known.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> issubclass(ak.BadArchiveError, ak.JobFailedError), issubclass(ak.StoreError, ak.JobFailedError)
    (True, False)
    """

    default_hint = "The traceback is in the job's log."


class BadArchiveError(JobFailedError):
    """The study can't be read.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> with open("torn.zip", "w") as file:
    ...     file.write("PK")
    2
    >>> error = ak.submit("torn.zip").exception(timeout=60)
    >>> isinstance(error, ak.BadArchiveError)
    True
    """

    default_hint = "Download the study again and check that the file opens with an ordinary ZIP program."


class BadMemberError(BadArchiveError):
    """One file of the study can't be read, under on_error="raise".

    Examples
    --------
    >>> import analytics_kit as ak
    >>> issubclass(ak.BadMemberError, ak.BadArchiveError)
    True
    """

    default_hint = 'Mend the file, or use on_error="skip" to keep the rest and list the loss in result.issues.'


class UnsafeArchiveError(JobFailedError):
    """The study breaks a safety limit.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.process(ak.sample_study("study.zip", participants=1, trials=1), max_members=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    analytics_kit.errors.UnsafeArchiveError: ...
    """

    default_hint = "Check where the file comes from."


class NoEventsError(JobFailedError):
    """The study can be read and holds no events.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> import zipfile
    >>> with zipfile.ZipFile("notes.zip", "w") as file:
    ...     file.writestr("notes.txt", "no logs")
    >>> isinstance(ak.submit("notes.zip").exception(timeout=60), ak.NoEventsError)
    True
    """

    default_hint = (
        "Expected files such as 1_participant_session/Task_Factor_trial_1/Mouse Movement.csv; "
        'for other names say what they hold: kinds={"name without .csv": "mouse_movement"}.'
    )


class JobTimeoutError(JobFailedError):
    """The job ran longer than its time limit.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> study = ak.sample_study("study.zip", participants=1, trials=1)
    >>> isinstance(ak.submit(study, time_limit_s=1e-6).exception(timeout=60), ak.JobTimeoutError)
    True
    """

    default_hint = "Raise time_limit_s, or process fewer participants at once."


class OutOfMemoryError(JobFailedError):
    """The job needed more memory than it may have.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.OutOfMemoryError("The job needs 3 GB.").hint
    'Raise memory_limit_mb, or run fewer workers on this machine.'
    """

    default_hint = "Raise memory_limit_mb, or run fewer workers on this machine."


class WorkerLostError(JobFailedError):
    """The process that did the work died.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> ak.WorkerLostError("The worker was killed.").hint
    "Submit again; if it happens again, watch the memory of the worker's machine."
    """

    default_hint = "Submit again; if it happens again, watch the memory of the worker's machine."


class JobCancelledError(JobFailedError):
    """The job was cancelled.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> error = ak.JobCancelledError("Job 1 was cancelled.")
    >>> isinstance(error, ak.JobFailedError), error.message
    (True, 'Job 1 was cancelled.')
    """

    default_hint = "Submit again to start a new job."


def _tree(cls: type[AnalyticsKitError]) -> Iterable[type[AnalyticsKitError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


def rebuild(type_name: str, message: str, hint: str | None = None) -> AnalyticsKitError:
    """Return the error of this type, message and hint; a type that is not of this file gives a JobFailedError."""
    known = {cls.__name__: cls for cls in _tree(AnalyticsKitError) if cls.__module__ == __name__}
    if type_name in known:
        return known[type_name](message, hint=hint)
    return JobFailedError(f"{type_name}: {message}", hint=hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean …?"` for the closest known name, else an empty string; it ends a message."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
