"""Write each file whole or not at all, and durably on request."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from analytics_kit.errors import StoreError

_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM)
"""Errors of a file system that has no way to sync a folder."""
_SYNC_THREADS = 6


@contextmanager
def store_errors(location: str) -> Iterator[None]:
    """Raise a StoreError that names the location for any OSError in the block."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"The store can't be used at {location}: {error.strerror or error}.") from error


@contextmanager
def local_file(target: Path, location: str, make_root: Callable[[], None], durable: bool) -> Iterator[IO[bytes]]:
    """Write a file of a local folder, which is made; it appears at `target` when the block ends without an error.

    The bytes go to a file beside the target, which then replaces it. `durable` syncs them to the disk before.
    """
    beside = target.with_name(f"{target.name}.{secrets.token_hex(4)}~")
    with store_errors(location):
        file = _open_new(beside, make_root)
    try:
        yield cast(IO[bytes], _Writer(file, location))
        with store_errors(location):
            file.flush()
            if durable:
                os.fsync(file.fileno())
            file.close()
            beside.replace(target)
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            file.close()
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def remote_file(file_system: Any, target: str, location: str) -> Iterator[IO[bytes]]:
    """Write a file of an object store, which shows it once it was sent whole; an error in the block removes it."""
    with store_errors(location):
        file = file_system.open(target, "wb")
    try:
        yield cast(IO[bytes], _Writer(file, location))
        with store_errors(location):
            file.close()
    except BaseException:
        with suppress(Exception):  # closing may publish what was sent so far
            file.close()
        with suppress(Exception):
            file_system.rm(target)
        raise


def sync_files(paths: Sequence[Path]) -> None:
    """Sync the contents of files to the disk, several at once: many syncs together take hardly longer than one."""
    with ThreadPoolExecutor(min(_SYNC_THREADS, len(paths) or 1)) as pool:
        list(pool.map(_sync, paths))


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, where the file system supports it."""
    if sys.platform == "win32":
        return
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_new(path: Path, make_root: Callable[[], None]) -> IO[bytes]:
    for _ in range(3):  # a sweep may remove the folder while it is empty
        make_root()
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    return path.open("xb")


class _Writer:
    """A file whose own errors of writing, and no others, become StoreErrors."""

    def __init__(self, file: IO[bytes], location: str) -> None:
        self._file, self._location = file, location

    def write(self, data: bytes) -> int:
        with store_errors(self._location):
            return self._file.write(data)

    def flush(self) -> None:
        with store_errors(self._location):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
