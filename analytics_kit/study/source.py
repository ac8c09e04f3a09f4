"""Where is the study that somebody names, and is it the same as another one?"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import fsspec

from analytics_kit.errors import BadArchiveError, SourceNotFoundError
from analytics_kit.settings import without_secrets
from analytics_kit.study.archive import Archive, ZipArchive
from analytics_kit.study.folder import FolderArchive

ENDS_BYTES = 64 << 10
IN_MEMORY_BYTES = 32 << 20
"""A ZIP up to this size is read at once: thousands of small reads cost more."""


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


def open_archive(source: str, nested: bool = True) -> Archive:
    """The opened study, with `nested` ZIPs listed as folders or as plain members.

    Raises SourceNotFoundError and BadArchiveError.
    """
    try:
        if not is_url(source):
            path = Path(source)
            if path.is_dir() or path.suffix.lower() == ".csv":
                return FolderArchive(path)
            size = path.stat().st_size
            whole = nested and size <= IN_MEMORY_BYTES
            return ZipArchive(io.BytesIO(path.read_bytes()) if whole else path.open("rb"), source, size, nested)
        remote = fsspec.open(source, "rb").open()
        return ZipArchive(remote, without_secrets(source), remote.size, nested)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFoundError(f"There is no study at {without_secrets(source)}.") from error
    except PermissionError as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} may not be read.", hint="Check its permissions."
        ) from error
    except (ImportError, ValueError) as error:
        raise SourceNotFoundError(
            f"{without_secrets(source)} can't be opened: {error}.",
            hint="Check the URL; s3:// needs pip install 'analytics_kit[s3]', https:// needs aiohttp.",
        ) from error
    except OSError as error:
        raise SourceNotFoundError(f"{without_secrets(source)} can't be read: {error.strerror or error}.") from error


def fingerprint(source: str) -> tuple[str, int]:
    """A hash of what is in the study, and its size in bytes.

    Of a ZIP: names, sizes and CRCs, so the same content gives the same hash wherever it lies; of a folder: paths,
    sizes and times; of a file that is no readable ZIP: its size and both ends.
    """
    try:
        with open_archive(source, nested=False) as archive:
            return archive.fingerprint(), archive.size_bytes
    except BadArchiveError:
        digest = hashlib.sha256()
        with fsspec.open(source, "rb") if is_url(source) else Path(source).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in (0, max(0, size - ENDS_BYTES)):
                file.seek(start)
                digest.update(file.read(ENDS_BYTES))
        digest.update(str(size).encode())
        return digest.hexdigest(), size
