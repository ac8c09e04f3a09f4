"""Write each file whole or not at all, and durably on request."""

from __future__ import annotations

import errno
import io
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from analytics_kit.study.storage_errors import retried, storage_errors

_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM)
"""Errors of a file system that has no way to sync a folder."""
_SYNC_THREADS = 6
WHOLE_OBJECT_BYTES = 64 << 20
"""A file of an object store is held in memory up to this size, so that it can be sent again."""


def store_errors(location: str, foreign: bool = False) -> AbstractContextManager[None]:
    """Raise a StoreError that names the location for any OSError in the block, and for any error of an object store.

    `foreign` says that the store is behind fsspec, whose libraries have errors that are no OSErrors.
    """
    return storage_errors(f"The store can't be used at {location}", foreign)


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
def remote_file(file_system: Any, target: str, location: str, patience_s: float | None) -> Iterator[IO[bytes]]:
    """Write a file of an object store, which shows it once it was sent whole; an error in the block removes it.

    A file up to WHOLE_OBJECT_BYTES is sent at the end, again and again for `patience_s` while that fails; a larger
    one is sent as it is written.
    """
    file = _RemoteWriter(file_system, target, location)
    try:
        yield cast(IO[bytes], file)
        file.send(patience_s)
    except BaseException:
        file.discard()
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


class _RemoteWriter(io.BytesIO):
    """Bytes for an object store; beyond WHOLE_OBJECT_BYTES they go on to a file there."""

    def __init__(self, file_system: Any, target: str, location: str) -> None:
        super().__init__()
        self._file_system, self._target, self._location = file_system, target, location
        self._stream: Any = None
        self._sent = 0

    def write(self, data: Any) -> int:
        count = super().write(data)
        if super().tell() > WHOLE_OBJECT_BYTES:
            self._pass_on()
        return count

    def tell(self) -> int:
        return self._sent + super().tell()

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Keep the bytes until they are sent: Parquet writers close what they write to."""

    def _pass_on(self) -> None:
        with store_errors(self._location, foreign=True):
            if self._stream is None:
                self._stream = self._file_system.open(self._target, "wb")
            self._stream.write(self.getvalue())
        self._sent += super().tell()
        self.seek(0)
        self.truncate()

    def send(self, patience_s: float | None) -> None:
        """Make the file readable."""
        if self._stream is not None:
            self._pass_on()
        with store_errors(self._location, foreign=True):
            if self._stream is not None:
                self._stream.close()
            else:
                content = self.getvalue()
                retried(lambda: self._file_system.pipe_file(self._target, content), patience_s)

    def discard(self) -> None:
        """Remove what was sent."""
        if self._stream is None:
            return  # a request that failed may have been carried out: then the file is whole
        with suppress(Exception):
            self._stream.discard()  # of an object store: parts that nobody can see
            self._stream.closed = True
        with suppress(Exception):
            self._stream.close()
        with suppress(Exception):
            self._file_system.rm(self._target)


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
