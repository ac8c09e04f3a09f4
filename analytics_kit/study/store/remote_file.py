"""Read a file of an object store: a small one in one request, a large one by the ranges that are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

WHOLE_BYTES = 8 << 20
"""A file up to this size is fetched whole."""
Fetch = Callable[[Callable[[], bytes]], bytes]
"""Calls a request, again while its errors may pass, and names those that don't."""


def open_remote(file_system: Any, path: str, size: int, fetch: Fetch) -> io.RawIOBase | io.BytesIO:
    """Return a file of `size` bytes for reading; `fetch` makes its requests."""
    file = _RemoteFile(file_system, path, size, fetch)
    return io.BytesIO(file.read(size) or b"") if size <= WHOLE_BYTES else file


class _RemoteFile(io.RawIOBase):
    """A file of which each read is one request."""

    def __init__(self, file_system: Any, path: str, size: int, fetch: Fetch) -> None:
        self._file_system, self._path, self._size, self._fetch = file_system, path, size, fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        start = self._position
        end = self._size if size is None or size < 0 else min(start + size, self._size)
        if end <= start:
            return b""

        def request() -> bytes:
            data = cast(bytes, self._file_system.cat_file(self._path, start=start, end=end))
            if len(data) != end - start:
                raise ConnectionError(f"{len(data):,} of {end - start:,} bytes arrived")
            return data

        data = self._fetch(request)
        self._position = end
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
