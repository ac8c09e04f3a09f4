"""Tell errors of storage by what helps against them, retry those that pass, and raise the others as a StoreError.

Storage is a disk, a network drive, or whatever an fsspec file system talks to. What its transport says (an
input/output error, HTTP 503, a connection that breaks off) is no statement about the bytes: it is never damage. The
libraries behind fsspec have exceptions of their own, many of which are no OSError; they are recognised here, by their
names and HTTP status, without importing them.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

from analytics_kit.errors import AnalyticsKitError, StoreError
from analytics_kit.settings import without_secrets
from analytics_kit.utf8_text import utf8_text

T = TypeVar("T")
PATIENCE_S = 20.0
"""What passes is tried again for about this long."""
BRIEF_PATIENCE_S = 1.0
"""What hardly passes, such as an error of a disk or a refused access, is tried again for about this long."""
FIRST_DELAY_S, MAX_RETRY_DELAY_S = 0.1, 3.0


class Remedy(StrEnum):
    """What helps against an error of storage."""

    WAIT = "wait"
    """Nothing but time: the service or the network is away, or busy."""
    ANOTHER_HOST = "another host"
    """Other credentials or another view of the files, as another host may have."""
    REPAIR = "repair"
    """Somebody has to do something: free space, repair a disk, install a library."""
    LOOK = "look"
    """There is nothing at this location."""


_PASSING = {
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "EINTR", "ETIMEDOUT", "ESTALE", "EREMOTEIO", "EPIPE", "ENOTCONN", "ESHUTDOWN"),
        *("ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "ENETUNREACH", "ENETDOWN", "ENETRESET"),
        *("EHOSTUNREACH", "EHOSTDOWN"),
    )
    if hasattr(errno, name)
}
_PASSING_STATUS = {408, 423, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524}
_REFUSED_STATUS = {401, 402, 403, 407}
_MISSING_STATUS = {404, 410}
_CREDENTIAL_WORDS = re.compile(
    "credential|unauthori[sz]ed|authenticat|accessdenied|signaturedoesnotmatch|invalidaccesskey|expiredtoken|invalidtoken"
    "|tokenrefresh|tokenretrieval|profilenotfound|forbidden|authorizationheader",
    re.IGNORECASE,
)
"""In the name or code of an error: it is about who asks."""
_PASSING_WORDS = re.compile(
    "timeout|timedout|connection|payload|disconnect|incompleteread|slowdown|serviceunavailable|internalerror|throttl"
    "|httpclienterror|chunkedencoding|protocolerror|responseparser",
    re.IGNORECASE,
)
_HINTS = {
    Remedy.WAIT: "It was tried again for a while. Check the network and the service with the files, then retry.",
    Remedy.ANOTHER_HOST: "Check that this host has credentials for it (for s3:// AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or a profile), and that they allow it.",
    Remedy.REPAIR: None,
    Remedy.LOOK: "Check that the bucket or folder exists, and its name.",
}
_LOCAL_HINTS = {Remedy.WAIT: _HINTS[Remedy.WAIT], Remedy.ANOTHER_HOST: "Check its permissions."}
_DISK_HINT = "The disk or network drive reports the error, not the files: check it, or copy the files elsewhere."


def remedy_of(error: BaseException) -> Remedy:
    """Return what helps against an error of a disk or of an fsspec file system.

    >>> remedy_of(ConnectionResetError(104, "reset")), remedy_of(OSError(28, "No space left on device"))
    (<Remedy.WAIT: 'wait'>, <Remedy.REPAIR: 'repair'>)
    """
    error = _reported(error)
    status = _status(error)
    if status in _REFUSED_STATUS or _CREDENTIAL_WORDS.search(_code(error)):
        return Remedy.ANOTHER_HOST
    if status in _PASSING_STATUS:
        return Remedy.WAIT
    if isinstance(error, FileNotFoundError | NotADirectoryError) or status in _MISSING_STATUS:
        return Remedy.LOOK
    if isinstance(error, PermissionError):
        return Remedy.ANOTHER_HOST
    if isinstance(error, ssl.SSLCertVerificationError):
        return Remedy.REPAIR
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or getattr(error, "errno", 0) in _PASSING:
        return Remedy.WAIT
    if not _is_plain(error) and _PASSING_WORDS.search(_code(error)):
        return Remedy.WAIT
    return Remedy.REPAIR


def retried(action: Callable[[], T], patience_s: float | None = None) -> T:
    """Return what `action` returns, which is called again with growing delays while its errors may pass.

    Parameters
    ----------
    action
        Reads or writes something, and may be repeated.
    patience_s
        For how long, None for PATIENCE_S. An error that is less likely to pass is tried for BRIEF_PATIENCE_S at most.

    Raises
    ------
    Exception
        The last error of `action`, as it is.
    """
    try:
        return action()
    except AnalyticsKitError:
        raise
    except Exception as error:
        patience_s = _patience_s(error, PATIENCE_S if patience_s is None else patience_s)
        if not patience_s:
            raise
    import tenacity  # only now: it takes 50 ms to import, and hardly any process needs it

    return tenacity.Retrying(
        sleep=tenacity.nap.sleep,
        stop=tenacity.stop_after_delay(patience_s),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_DELAY_S, max=MAX_RETRY_DELAY_S, min=FIRST_DELAY_S),
        retry=tenacity.retry_if_exception(lambda error: _patience_s(error, patience_s) > 0),
        reraise=True,
    )(action)


def storage_error(error: BaseException, what: str) -> StoreError:
    """Return the StoreError for what a disk or an fsspec file system raised.

    `what` says what can't be done, and where, without secrets; the message goes on with the reason.
    """
    error, remedy = _reported(error), remedy_of(error)
    hint = _HINTS[remedy] if "://" in what else _LOCAL_HINTS.get(remedy)
    if getattr(error, "errno", None) == errno.EIO and error.__cause__ is None:
        hint = _DISK_HINT
    if remedy is Remedy.REPAIR and hint is None and not what.startswith("The store "):  # whose class has a hint
        hint = "Free space there." if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) else ""
    found = StoreError(utf8_text(f"{what}: {reason(error)}."), hint=hint)
    found.may_work_elsewhere = remedy in (Remedy.WAIT, Remedy.ANOTHER_HOST)
    return found


@contextmanager
def storage_errors(what: str, foreign: bool = True) -> Iterator[None]:
    """Raise a StoreError for what storage raises in the block.

    Parameters
    ----------
    what
        See `storage_error`.
    foreign
        The storage is behind fsspec: its libraries may raise anything. Else only an OSError is one of storage.
    """
    try:
        yield
    except AnalyticsKitError:
        raise
    except OSError as error:
        raise storage_error(error, what) from _cause(error)
    except Exception as error:
        if not foreign:
            raise
        raise storage_error(error, what) from _cause(error)


def reason(error: BaseException) -> str:
    """Return what an error says, in one line and without the secrets of URLs.

    >>> reason(OSError(5, "Input/output error")), reason(ValueError("no https://me:word@host/x?key=1 here"))
    ('Input/output error', 'ValueError: no https://host/x here')
    """
    error = _reported(error)
    if isinstance(error, OSError) and error.strerror and _is_plain(error) and not isinstance(error.strerror, bytes):
        return str(error.strerror).rstrip(".")
    text = re.sub(r"\w+://\S+", lambda found: without_secrets(found[0]), str(error))
    text = re.sub(r"//\S+@", "//", re.sub(r"\?\S+", "", text))
    return f"{type(error).__name__}: {' '.join(text.split())}".rstrip(".: ")


def _patience_s(error: BaseException, patience_s: float) -> float:
    remedy = remedy_of(error)
    if isinstance(error, AnalyticsKitError) or remedy is Remedy.LOOK or not isinstance(error, Exception):
        return 0.0
    if remedy is Remedy.WAIT:
        return patience_s
    # a service may refuse for a moment; missing credentials, or the permissions of a local file, stay what they are
    may_pass = getattr(error, "errno", None) == errno.EIO or _status(error) in _REFUSED_STATUS
    return min(patience_s, BRIEF_PATIENCE_S) if may_pass else 0.0


def _reported(error: BaseException) -> BaseException:
    """Return the error that counts: fsspec's HTTP file system reports any failure as a missing file, with a cause."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None and not isinstance(cause, FileNotFoundError):
        status = _status(cause)
        if status is not None and status not in _MISSING_STATUS:
            return cause
        if status is None and not _is_plain(cause):
            return cause
    return error


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error, or the one that it was made from, carries."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore's
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = next(
                (v for name in ("status", "status_code", "code") if isinstance(v := getattr(each, name, None), int)),
                getattr(response, "status_code", None),
            )
        if isinstance(found, int) and 400 <= found < 600:
            return found
    return None


def _code(error: BaseException) -> str:
    """Return the names by which a library tells its errors apart: of the class, and of the service's answer."""
    names = []
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            names.append(str(response.get("Error", {}).get("Code", "")))
        if each is not None and not _is_plain(each):
            names += [kind.__name__ for kind in type(each).__mro__ if kind.__module__ not in ("builtins", "abc")]
    return " ".join(names)


def _is_plain(error: BaseException) -> bool:
    """Return whether the error is one of Python's own."""
    return type(error).__module__ in ("builtins", "socket", "ssl")


def _cause(error: BaseException) -> BaseException | None:
    """Return the error as a cause, unless its message may hold what nobody may read."""
    return error if _is_plain(error) and error.__cause__ is None else None
