"""What does the central directory of a ZIP list?

`zipfile` makes an object of thirty fields for each entry, which for a study of thousands of small files takes as long
as inflating them all. Here an entry is the eight fields that are needed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple
from zipfile import BadZipFile

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")
_MOST_COMMENT = 0xFFFF
_IN_EXTRA = 0xFFFFFFFF
"""Stands for a number that did not fit and is in the entry's extra field."""
UTF8_NAME = 0x800
ENCRYPTED = 0x1


class Entry(NamedTuple):
    """A listed file or folder; `name` is as it is in the directory, `offset` where its own header begins."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    raw_bytes: int
    offset: int


def read_directory(file: IO[bytes]) -> Iterator[Entry]:
    """The entries in their order. Raises zipfile.BadZipFile."""
    size, start, listing = _listing(file)
    position = 0
    while position < len(listing):
        if len(listing) - position < _ENTRY.size:
            raise BadZipFile("its directory is cut off")
        mark, flags, method, crc, packed, raw, name_bytes, extra_bytes, comment_bytes, offset = _ENTRY.unpack_from(
            listing, position
        )
        if mark != b"PK\1\2":
            raise BadZipFile("its directory is damaged")
        position += _ENTRY.size
        name = listing[position : position + name_bytes]
        if _IN_EXTRA in (packed, raw, offset):
            extra = listing[position + name_bytes : position + name_bytes + extra_bytes]
            raw, packed, offset = _large(extra, (raw, packed, offset))
        position += name_bytes + extra_bytes + comment_bytes
        if offset + start > size:
            raise BadZipFile("its directory points behind its end")
        yield Entry(name, flags, method, crc, packed, raw, offset + start)


def _listing(file: IO[bytes]) -> tuple[int, int, bytes]:
    """Size of the file, bytes that stand before the ZIP in it, the bytes of the directory."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - _END.size - _MOST_COMMENT)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise BadZipFile("it has no directory at its end: not a ZIP, or cut off")
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    if 0xFFFF in (count,) or _IN_EXTRA in (length, offset):
        file.seek(max(0, end - _END64_LOCATOR.size))
        mark, _, end64, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if mark == b"PK\6\7":
            file.seek(end64)
            fields = _END64.unpack(file.read(_END64.size))
            if fields[0] != b"PK\6\6":
                raise BadZipFile("its ZIP64 directory is not where it should be")
            length, offset, end = fields[8], fields[9], end64
    start = end - length - offset
    if start < 0:
        raise BadZipFile("its directory is larger than the file")
    file.seek(offset + start)
    listing = file.read(length)
    if len(listing) < length:
        raise BadZipFile("its directory is cut off")
    return size, start, listing


def _large(extra: bytes, numbers: tuple[int, int, int]) -> list[int]:
    """Raw size, packed size and offset, those that did not fit taken from the ZIP64 extra field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            try:
                return [next(wide) if number == _IN_EXTRA else number for number in numbers]
            except StopIteration:
                raise BadZipFile("its ZIP64 sizes are missing") from None
        position += 4 + length
    return list(numbers)
