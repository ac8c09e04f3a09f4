"""Read the bytes of a ZIP from memory, from a file, or from a range of one that holds inflated ZIPs."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

IN_MEMORY_BYTES = 32 << 20
"""A ZIP up to this size is held in memory: thousands of small reads cost more."""


class ByteRange:
    """The bytes of a ZIP: a whole file, or `size` bytes of one from `start` on. Threads may share it."""

    def __init__(self, file: IO[bytes], size: int, start: int = 0, lock: threading.Lock | None = None) -> None:
        self.size = size
        self._file, self._start = file, start
        self._lock = lock or threading.Lock()
        self._memory = memoryview(file.getvalue()) if isinstance(file, io.BytesIO) else None

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return up to `size` bytes from `offset` on, fewer at the end of the ZIP. Raises OSError."""
        if self._memory is not None:
            return self._memory[offset : offset + size]
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        with self._lock:
            self._file.seek(self._start + offset)
            return self._file.read(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Spool:
    """Hold inflated ZIPs: the first few in memory, the others one after the other in an unnamed temporary file."""

    def __init__(self) -> None:
        self._memory_left = IN_MEMORY_BYTES
        self._file: IO[bytes] | None = None
        self._size = 0
        self._lock = threading.Lock()

    def hold(self, pieces: Iterator[bytes], size: int) -> ByteRange:
        """Hold a ZIP of `size` bytes, given in pieces. An exception of `pieces` is passed on, and nothing is held."""
        if size <= self._memory_left:
            held = ByteRange(io.BytesIO(b"".join(pieces)), size)
            self._memory_left -= size
            return held
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="analytics_kit-")  # noqa: SIM115  `close` closes it
        start = end = self._size
        for piece in pieces:
            with self._lock:
                self._file.seek(end)
                self._file.write(piece)
            end += len(piece)
        self._size = end  # only now: the bytes of a ZIP that proves damaged are written over
        return ByteRange(self._file, size, start, self._lock)

    def close(self) -> None:
        """Close and thereby remove the file."""
        if self._file is not None:
            self._file.close()
