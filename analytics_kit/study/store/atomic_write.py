"""How are files written so that each is whole or not there at all, and their bytes safe from a loss of power?"""

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

_CAN_NOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM)
"""What a file system says that has no way to make a folder safe."""


@contextmanager
def said(where: str) -> Iterator[None]:
    """Turn what the file system says into a StoreError that names the place."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"The store can't be used at {where}: {error.strerror or error}.") from error


@contextmanager
def local_file(target: Path, where: str, make_root: Callable[[], None], safe: bool) -> Iterator[IO[bytes]]:
    """A file in a folder, which is made: written beside, made safe, and moved into place when the block ends well."""
    beside = target.with_name(f"{target.name}.{secrets.token_hex(4)}~")
    with said(where):
        file = _begin(beside, make_root)
    try:
        yield cast(IO[bytes], _Told(file, where))
        with said(where):
            file.flush()
            if safe:
                os.fsync(file.fileno())
            file.close()
            beside.replace(target)
    except BaseException:
        with suppress(Exception):  # what went wrong first is what has to be told
            file.close()
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def remote_file(file_system: Any, target: str, where: str) -> Iterator[IO[bytes]]:
    """A file in an object store, which shows it when it was sent completely; removed when the block ends badly."""
    with said(where):
        file = file_system.open(target, "wb")
    try:
        yield cast(IO[bytes], _Told(file, where))
        with said(where):
            file.close()
    except BaseException:
        with suppress(Exception):  # closing may show what there is
            file.close()
        with suppress(Exception):
            file_system.rm(target)
        raise


def sync_files(paths: Sequence[Path]) -> None:
    """Make the bytes of files safe. All at once: a disk that is told of many takes hardly longer than for one."""
    with ThreadPoolExecutor(min(6, len(paths) or 1)) as pool:
        list(pool.map(_sync, paths))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder safe, where the file system knows how to."""
    if sys.platform == "win32":
        return
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _CAN_NOT:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _begin(path: Path, make_root: Callable[[], None]) -> IO[bytes]:
    for _ in range(3):  # a sweep may take the empty folder away in between
        make_root()
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    return path.open("xb")


class _Told:
    """A file to write to whose own errors, and no others, are told as StoreError."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where

    def write(self, data: bytes) -> int:
        with said(self._where):
            return self._file.write(data)

    def flush(self) -> None:
        with said(self._where):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
