"""Locate, open and fingerprint the study at a path or URL."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from analytics_kit.errors import AnalyticsKitError, BadArchiveError, SourceNotFoundError
from analytics_kit.options import Options
from analytics_kit.settings import user_path, without_secrets
from analytics_kit.study.archive.base import CHUNK_BYTES, Archive, Member
from analytics_kit.study.archive.byte_range import IN_MEMORY_BYTES, ByteRange
from analytics_kit.study.archive.folder_archive import FolderArchive
from analytics_kit.study.archive.remote_range import RemoteRange
from analytics_kit.study.archive.zip_archive import ZipArchive
from analytics_kit.study.storage_errors import Remedy, reason, remedy_of, retried, storage_error, storage_errors

ENDS_BYTES = 64 << 10
"""Of a file that is no readable ZIP, this much of each end is hashed."""
SMALL_REMOTE_BYTES = 1 << 20
"""A ZIP behind a URL up to this size is fetched in one request; of a larger one, what is needed."""


def is_url(source: str) -> bool:
    """Return whether the source is an fsspec URL rather than a path."""
    return "://" in source


def locate(source: str | os.PathLike[str]) -> str:
    """Return the source as an absolute path or a URL, valid for workers too. Raises SourceNotFoundError."""
    text = os.fspath(source)
    if is_url(text):
        return text
    path = user_path(text)
    with _source_errors(str(path.absolute())):
        if not text or not retried(path.exists):
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
        If there is no study at the source, or it may not be read.
    StoreError
        If its storage fails, also when it is tried again.
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
        If there is no study at the source, or it may not be read.
    StoreError
        If its storage fails, also when it is tried again.
    """
    with _source_errors(source):
        archive = _open(source)
    archive.members, archive.nested = list(members), list(nested)
    return archive


def _open(source: str, options: Options | None = None, in_memory_bytes: int | None = None) -> Archive:
    if is_url(source):
        return ZipArchive(_remote(source, SMALL_REMOTE_BYTES), without_secrets(source), options)
    path = Path(source)
    if retried(path.is_dir) or path.suffix.lower() == ".csv":
        return FolderArchive(path)
    file = retried(lambda: path.open("rb"))
    local = ByteRange(file, os.fstat(file.fileno()).st_size, name=source)
    if local.size <= (IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes):
        local = _whole(local)
    return ZipArchive(local, without_secrets(source), options)


def _remote(source: str, whole_bytes: int) -> ByteRange:
    """Open a file behind a URL; one of up to `whole_bytes`, or that can only be read in order, is held whole."""
    name = without_secrets(source)

    file_system, path = fsspec.core.url_to_fs(source)

    def open_file() -> IO[bytes]:
        file_system.invalidate_cache()  # its size may have changed since this process has listed it
        return cast(IO[bytes], file_system.open(path, "rb", cache_type="none"))

    def look_up() -> Mapping[str, Any]:
        file_system.invalidate_cache()
        try:
            return cast(Mapping[str, Any], file_system.info(path))
        except NotImplementedError:
            return {}

    file = retried(open_file)
    size = getattr(file, "size", None)
    if size is None or not file.seekable():
        return _download(file, name)
    if size <= whole_bytes:
        return _whole(ByteRange(file, size, name=name))
    try:
        return RemoteRange(file, size, name, look_up)
    except BaseException:
        file.close()
        raise


def _whole(opened: ByteRange) -> ByteRange:
    """Return the bytes of a file in memory, and close it."""
    try:
        data = bytes(opened.read(0, opened.size))
        opened.require_unchanged()
    finally:
        opened.close()
    return ByteRange(io.BytesIO(data), opened.size, name=opened.name)


def _download(file: IO[bytes], name: str) -> ByteRange:
    """Return the bytes of a file that can be read only once, from memory or a temporary file."""
    held = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="analytics_kit-")  # noqa: SIM115  `close` closes it
    with file, storage_errors(f"{name} can't be read"):
        shutil.copyfileobj(file, held, CHUNK_BYTES)
    return ByteRange(cast(IO[bytes], held), held.tell(), name=name)


@contextmanager
def _source_errors(source: str) -> Iterator[None]:
    """Translate the errors of finding, opening and reading a source: SourceNotFoundError where there is none."""
    name = without_secrets(source)
    try:
        yield
    except AnalyticsKitError:
        raise
    except PermissionError as error:
        if is_url(source):
            raise storage_error(error, f"{name} can't be read") from None
        raise SourceNotFoundError(
            f"{name} can't be read: permission denied.", hint="Check its permissions."
        ) from error
    except (ImportError, ValueError) as error:
        raise SourceNotFoundError(
            f"{name} can't be opened: {reason(error)}.",
            hint="Check the URL; s3:// needs pip install 'analytics_kit[s3]', https:// needs aiohttp.",
        ) from error
    except Exception as error:  # of any library that fetches it; its message and its chain may hold the URL's secrets
        if remedy_of(error) is Remedy.LOOK:
            hint = "Check the URL." if is_url(source) else None
            raise SourceNotFoundError(f"There is no study at {name}.", hint=hint) from None
        if not (is_url(source) or isinstance(error, OSError)):
            raise
        raise storage_error(error, f"{name} can't be read") from None


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
    if is_url(source):
        content = _remote(source, SMALL_REMOTE_BYTES)
    else:
        file = Path(source).open("rb")  # noqa: SIM115  closed with `content`
        content = ByteRange(file, os.fstat(file.fileno()).st_size, name=source)
    try:
        for start in (0, max(0, content.size - ENDS_BYTES)):
            digest.update(content.read(start, ENDS_BYTES))
    finally:
        content.close()
    digest.update(str(content.size).encode())
    return digest.hexdigest(), content.size
