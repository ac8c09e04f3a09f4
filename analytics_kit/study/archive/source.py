"""Locate, open and fingerprint the study at a path or URL."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fsspec

from analytics_kit.errors import AnalyticsKitError, BadArchiveError, SourceNotFoundError
from analytics_kit.options import Options
from analytics_kit.settings import user_path, without_secrets
from analytics_kit.study.archive.base import Archive, Member
from analytics_kit.study.archive.byte_range import IN_MEMORY_BYTES
from analytics_kit.study.archive.folder_archive import FolderArchive
from analytics_kit.study.archive.zip_archive import ZipArchive

ENDS_BYTES = 64 << 10
"""Of a file that is no readable ZIP, this much of each end is hashed."""


def is_url(source: str) -> bool:
    """Return whether the source is an fsspec URL rather than a path."""
    return "://" in source


def locate(source: str | os.PathLike[str]) -> str:
    """Return the source as an absolute path or a URL, valid for workers too. Raises SourceNotFoundError."""
    text = os.fspath(source)
    if is_url(text):
        return text
    path = user_path(text)
    if not text or not path.exists():
        raise SourceNotFoundError(f"There is no study at {path.absolute() if text else 'an empty path'}.")
    if not (path.is_file() or path.is_dir()):
        raise SourceNotFoundError(f"{path.absolute()} is neither a file nor a folder.")
    return str(path.absolute())


def open_archive(source: str, options: Options | None = None) -> Archive:
    """Open a study and list its members.

    Parameters
    ----------
    source
        The absolute path of a ZIP, a folder or a CSV, or an fsspec URL of a ZIP; see `locate`.
    options
        The limits that the archive has to keep; None for the defaults.

    Returns
    -------
    Archive
        With `members`, `nested`, `folders` and `issues` filled. No member has been read, except nested ZIPs.

    Raises
    ------
    SourceNotFoundError
        If there is no study at the source, or it can't be read.
    BadArchiveError
        If it is not a readable ZIP.
    UnsafeArchiveError
        If it exceeds a limit, or its files share bytes.

    See Also
    --------
    open_members : Open some members of a study without listing it again.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/study.zip", "w") as file:
    ...         file.writestr("Mouse Movement.csv", "Time,running_time,x,y")
    ...     with open_archive(f"{folder}/study.zip") as archive:
    ...         [(member.name, archive.read(member)) for member in archive.members]
    [('Mouse Movement.csv', b'Time,running_time,x,y')]
    """
    with _source_errors(source):
        archive = _open(source, options)
        try:
            archive.list_members()
        except BaseException:
            archive.close()
            raise
        return archive


def open_members(source: str, members: Sequence[Member], nested: Sequence[Member]) -> Archive:
    """Open a study to read some of its members, as another process listed them.

    Nothing is listed again, and a nested ZIP is inflated only when one of its members is read.

    Parameters
    ----------
    source
        As for `open_archive`.
    members
        The members to be read.
    nested
        `Archive.nested` of the process that listed them.

    Raises
    ------
    SourceNotFoundError
        If there is no study at the source, or it can't be read.
    """
    with _source_errors(source):
        archive = _open(source)
    archive.members, archive.nested = list(members), list(nested)
    return archive


def _open(source: str, options: Options | None = None, in_memory_bytes: int | None = None) -> Archive:
    if is_url(source):
        remote = fsspec.open(source, "rb").open()
        return ZipArchive(remote, without_secrets(source), remote.size, options)
    path = Path(source)
    if path.is_dir() or path.suffix.lower() == ".csv":
        return FolderArchive(path)
    size = path.stat().st_size
    whole = size <= (IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes)
    return ZipArchive(
        io.BytesIO(path.read_bytes()) if whole else path.open("rb"), without_secrets(source), size, options
    )


@contextmanager
def _source_errors(source: str) -> Iterator[None]:
    """Translate the errors of opening and reading a source into SourceNotFoundError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFoundError(f"There is no study at {without_secrets(source)}.") from error
    except PermissionError as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} can't be read: permission denied.", hint="Check its permissions."
        ) from error
    except (ImportError, ValueError) as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} can't be opened: {_message(error, source)}.",
            hint="Check the URL; s3:// needs pip install 'analytics_kit[s3]', https:// needs aiohttp.",
        ) from error
    except OSError as error:
        message = error.strerror or _message(error, source)
        raise SourceNotFoundError(f"{without_secrets(source)} can't be read: {message}.") from error
    except AnalyticsKitError:
        raise
    except Exception as error:  # of any library that fetches it; its message and its chain may hold the URL's secrets
        if not is_url(source):
            raise
        message = f"{type(error).__name__}: {_message(error, source)}"
        raise SourceNotFoundError(f"{without_secrets(source)} can't be read: {message}.") from None


def _message(error: Exception, source: str) -> str:
    """Return the message of an error, without the secrets of the URL."""
    message = str(error).replace(source, without_secrets(source))
    return re.sub(r"\?\S+|//\S+@", lambda found: "//" if found[0].startswith("//") else "", message)


def fingerprint(source: str, options: Options | None = None) -> tuple[str, int]:
    """Return a hash of the content of a study, and its size in bytes.

    The hash covers, of a ZIP, the names, sizes and CRCs, so that equal content has the same hash anywhere; of a
    folder, the paths, sizes and times; of a file that is no readable ZIP, or holds too many files, its size and both
    ends. Raises SourceNotFoundError.
    """
    with _source_errors(source), _open(source, options, in_memory_bytes=0) as archive:
        if isinstance(archive, FolderArchive):
            archive.list_members()
        try:
            return archive.fingerprint(), archive.size_bytes
        except BadArchiveError:
            return _hash_ends(source)


def _hash_ends(source: str) -> tuple[str, int]:
    """Return a hash of size and both ends of a file, and its size."""
    digest = hashlib.sha256()
    with fsspec.open(source, "rb") if is_url(source) else Path(source).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for start in (0, max(0, size - ENDS_BYTES)):
            file.seek(start)
            digest.update(file.read(ENDS_BYTES))
    digest.update(str(size).encode())
    return digest.hexdigest(), size
