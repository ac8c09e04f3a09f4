"""Read the bytes of a ZIP from memory, from a file, or from a range of one that holds inflated ZIPs."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from analytics_kit.errors import StoreError
from analytics_kit.study.storage_errors import retried, storage_errors
from analytics_kit.utf8_text import utf8_text

IN_MEMORY_BYTES = 32 << 20
"""A ZIP up to this size is held in memory: thousands of small reads cost more."""


class ByteRange:
    """The bytes of a ZIP: a whole file, or `size` bytes of one from `start` on. Threads may share it.

    `name` is the location of the file, for messages.
    """

    def __init__(
        self, file: IO[bytes], size: int, start: int = 0, lock: threading.Lock | None = None, name: str = "The ZIP"
    ) -> None:
        self.size = size
        self.name = name
        self._file, self._start = file, start
        self._lock = lock or threading.Lock()
        self._memory = memoryview(file.getvalue()) if isinstance(file, io.BytesIO) else None
        self._opened = self.version()
        self._failure: StoreError | None = None

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return `size` bytes from `offset` on, fewer only at the end of the ZIP; outside of it none.

        Raises
        ------
        StoreError
            If the storage fails, also when it is tried again, or if the file has become shorter.
        """
        if self._memory is not None:
            return self._memory[max(0, offset) : offset + size] if offset >= 0 else b""
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        if self._failure is not None:  # the other threads need not try for as long
            raise self._failure
        try:  # inline, since studies of small files read often
            with self._lock:
                self._file.seek(self._start + offset)
                data = self._file.read(size)
            if len(data) == size:
                return data
        except Exception:  # noqa: S110  whatever storage raises: it is read again
            pass
        try:
            with storage_errors(f"{self.name} can't be read at byte {offset:,}"):
                return retried(lambda: self._read_all(offset, size))
        except StoreError as error:
            self._failure = error
            raise

    def _read_all(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if len(data) < size:
            self.require_unchanged()
            raise OSError(errno.EREMOTEIO, f"{len(data):,} of {size:,} bytes arrived")
        return data

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(self._start + offset)
            return self._file.read(size)

    def require_unchanged(self) -> None:
        """Raise StoreError if the file was written to since it was opened, so that its bytes are no one's fault."""
        if self.version() != self._opened:
            raise changed(self.name)

    def version(self) -> object:
        """Return what differs once the file was written to; None where nothing tells. Raises StoreError."""
        try:
            status = os.fstat(self._file.fileno())
        except (OSError, AttributeError, ValueError):  # no file of the operating system
            return None
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()


class Spool:
    """Hold inflated ZIPs: the first few in memory, the others one after the other in an unnamed temporary file."""

    def __init__(self) -> None:
        self._memory_left = IN_MEMORY_BYTES
        self._file: IO[bytes] | None = None
        self._size = 0
        self._lock = threading.Lock()

    def hold(self, pieces: Iterator[bytes], size: int) -> ByteRange:
        """Hold a ZIP of `size` bytes, given in pieces. An exception of `pieces` is passed on, and nothing is held.

        Raises StoreError where there is no room for it.
        """
        if size <= self._memory_left:
            held = ByteRange(io.BytesIO(b"".join(pieces)), size)
            self._memory_left -= size
            return held
        what = f"The temporary folder {tempfile.gettempdir()} can't be written"
        if self._file is None:
            with storage_errors(what, foreign=False):
                self._file = tempfile.TemporaryFile(prefix="analytics_kit-")  # noqa: SIM115  `close` closes it
        start = end = self._size
        for piece in pieces:
            with self._lock, storage_errors(what, foreign=False):
                self._file.seek(end)
                self._file.write(piece)
                self._file.flush()
            end += len(piece)
        self._size = end  # only now: the bytes of a ZIP that proves damaged are written over
        return _SpooledRange(self._file, size, start, self._lock, name=tempfile.gettempdir())

    def close(self) -> None:
        """Close and thereby remove the file."""
        if self._file is not None:
            self._file.close()


class _SpooledRange(ByteRange):
    """A part of the spool's own file, which is written to while parts of it are read."""

    def version(self) -> object:
        return None


def changed(name: str) -> StoreError:
    """Return the error for a file that is not what it was when it was opened or listed."""
    return StoreError(
        utf8_text(f"{name} has changed while it was read."), hint="Submit it again once it is complete."
    )
