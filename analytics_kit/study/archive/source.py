"""Where is the study that somebody names, and is it the same as another one?"""

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
from analytics_kit.settings import without_secrets
from analytics_kit.study.archive.base import Archive, Member
from analytics_kit.study.archive.byte_range import IN_MEMORY_BYTES
from analytics_kit.study.archive.folder_archive import FolderArchive
from analytics_kit.study.archive.zip_archive import ZipArchive

ENDS_BYTES = 64 << 10


def is_url(source: str) -> bool:
    """Whether the source is an fsspec URL rather than a path."""
    return "://" in source


def locate(source: str | os.PathLike[str]) -> str:
    """The source as workers find it: an absolute path or a URL. Raises SourceNotFoundError."""
    text = os.fspath(source)
    if is_url(text):
        return text
    path = Path(text).expanduser()
    if not text or not path.exists():
        raise SourceNotFoundError(f"There is no study at {path.absolute() if text else 'an empty path'}.")
    if not (path.is_file() or path.is_dir()):
        raise SourceNotFoundError(f"{path.absolute()} is neither a file nor a folder.")
    return str(path.absolute())


def open_archive(source: str, options: Options | None = None) -> Archive:
    """The opened study with its members listed, within the limits that `options` set.

    Raises SourceNotFoundError, BadArchiveError and UnsafeArchiveError.
    """
    with _named(source):
        archive = _open(source, options)
        try:
            archive.list_members()
        except BaseException:
            archive.close()
            raise
        return archive


def open_members(source: str, members: Sequence[Member], nested: Sequence[Member]) -> Archive:
    """The study opened for a share of the work: `members` as another process listed them, and its `Archive.nested`.

    Nothing is listed again. Of the ZIPs in the ZIP only those are inflated whose members are read. Raises
    SourceNotFoundError.
    """
    with _named(source):
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
    return ZipArchive(io.BytesIO(path.read_bytes()) if whole else path.open("rb"), source, size, options)


@contextmanager
def _named(source: str) -> Iterator[None]:
    """What keeps a source from being opened, said with its name."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFoundError(f"There is no study at {without_secrets(source)}.") from error
    except PermissionError as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} may not be read.", hint="Check its permissions."
        ) from error
    except (ImportError, ValueError) as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} can't be opened: {_words(error, source)}.",
            hint="Check the URL; s3:// needs pip install 'analytics_kit[s3]', https:// needs aiohttp.",
        ) from error
    except OSError as error:
        words = error.strerror or _words(error, source)
        raise SourceNotFoundError(f"{without_secrets(source)} can't be read: {words}.") from error
    except AnalyticsKitError:
        raise
    except Exception as error:  # of whatever library fetches it; its words, and the chain, may hold the URL's secrets
        if not is_url(source):
            raise
        words = f"{type(error).__name__}: {_words(error, source)}"
        raise SourceNotFoundError(f"{without_secrets(source)} can't be read: {words}.") from None


def _words(error: Exception, source: str) -> str:
    """What an error says, without what the URL has to keep for itself."""
    said = str(error).replace(source, without_secrets(source))
    return re.sub(r"\?\S+|//\S+@", lambda found: "//" if found[0].startswith("//") else "", said)


def fingerprint(source: str, options: Options | None = None) -> tuple[str, int]:
    """A hash of what is in the study, and its size in bytes.

    Of a ZIP: names, sizes and CRCs, so the same content gives the same hash wherever it lies; of a folder: paths,
    sizes and times; of a file that is no readable ZIP, or holds too many files: its size and both ends.
    """
    with _named(source), _open(source, options, in_memory_bytes=0) as archive:
        if isinstance(archive, FolderArchive):
            archive.list_members()
        try:
            return archive.fingerprint(), archive.size_bytes
        except BadArchiveError:
            return _ends(source)


def _ends(source: str) -> tuple[str, int]:
    digest = hashlib.sha256()
    with fsspec.open(source, "rb") if is_url(source) else Path(source).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for start in (0, max(0, size - ENDS_BYTES)):
            file.seek(start)
            digest.update(file.read(ENDS_BYTES))
    digest.update(str(size).encode())
    return digest.hexdigest(), size
