"""Read the central directory of a ZIP.

`zipfile` makes an object of thirty fields for each entry, which takes as long as inflating a study of thousands of
small files. Here an entry has the eight fields that are needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zipfile import BadZipFile

from analytics_kit.study.archive.byte_range import ByteRange

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4sxBxxHH4xLLLHHH4xLL")
_MAX_COMMENT_BYTES = 0xFFFF
_USUAL_TAIL_BYTES = 4096
_MAX_ENTRY_BYTES = _ENTRY.size + 3 * 0xFFFF
_IN_EXTRA = 0xFFFFFFFF
"""Marks a number that is too large for its field; the entry's extra field holds it."""
_UNIX = (3, 19)
"""Systems (Unix, macOS) whose entries have a file type."""
DIRECTORY_PIECE_BYTES = 1 << 20
"""At most this much of a directory is held at a time, however long it claims to be."""
UTF8_NAME = 0x800
ENCRYPTED = 0x1


class CentralDirectory(NamedTuple):
    """Start and length of the directory, and the number of bytes before the ZIP in its file."""

    start: int
    length: int
    shift: int


class CentralEntry(NamedTuple):
    """A listed file or folder: its undecoded `name`, and the `offset` of its local header."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    raw_bytes: int
    offset: int
    file_type: int
    """The upper four bits of a Unix mode; 0 if unknown."""


def decode_name(name: bytes, flags: int) -> tuple[str, bool]:
    """Return a name as text, and whether its encoding is known. If not, it is read as UTF-8, else as Latin-1."""
    raw = name.partition(b"\0")[0] if b"\0" in name else name
    if flags & UTF8_NAME or raw.isascii():
        return raw.decode("utf-8", "replace"), True
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("latin-1"), False


def read_directory(zip_bytes: ByteRange, directory: CentralDirectory) -> Iterator[CentralEntry]:
    """Yield the entries in their order. Raises zipfile.BadZipFile."""
    offset, left = directory.start, directory.length
    listing, position = b"", 0
    while left or position < len(listing):
        while left and len(listing) - position < _MAX_ENTRY_BYTES:
            piece = bytes(zip_bytes.read(offset, min(left, DIRECTORY_PIECE_BYTES)))
            if not piece:
                raise BadZipFile("its directory is cut off")
            offset, left = offset + len(piece), left - len(piece)
            listing, position = listing[position:] + piece, 0
        if len(listing) - position < _ENTRY.size:
            raise BadZipFile("its directory is cut off")
        (
            signature,
            system,
            flags,
            method,
            crc,
            packed,
            raw,
            name_bytes,
            extra_bytes,
            comment_bytes,
            attributes,
            start,
        ) = _ENTRY.unpack_from(listing, position)
        if signature != b"PK\1\2":
            raise BadZipFile("its directory is damaged")
        position += _ENTRY.size
        name = listing[position : position + name_bytes]
        if _IN_EXTRA in (packed, raw, start):
            extra = listing[position + name_bytes : position + name_bytes + extra_bytes]
            raw, packed, start = _zip64_numbers(extra, (raw, packed, start))
        position += name_bytes + extra_bytes + comment_bytes
        file_type = attributes >> 28 if system in _UNIX else 0
        # `_make` takes half the time of a call with eight arguments
        yield CentralEntry._make((name, flags, method, crc, packed, raw, start + directory.shift, file_type))


def find_directory(zip_bytes: ByteRange) -> CentralDirectory:
    """Locate the directory by the record at the end of the file. Raises zipfile.BadZipFile."""
    for tail_bytes in (_USUAL_TAIL_BYTES, _END.size + _MAX_COMMENT_BYTES):  # hardly any ZIP has a comment
        tail_start = max(0, zip_bytes.size - tail_bytes)
        tail = bytes(zip_bytes.read(tail_start, zip_bytes.size - tail_start))
        at = tail.rfind(b"PK\5\6")
        if at >= 0 and len(tail) - at >= _END.size:
            break
    if at < 0 or len(tail) - at < _END.size:
        raise BadZipFile("it has no directory at its end: not a ZIP, or cut off")
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    if count == 0xFFFF or _IN_EXTRA in (length, offset):
        locator = zip_bytes.read(max(0, end - _END64_LOCATOR.size), _END64_LOCATOR.size)
        signature, _, end64, _ = _END64_LOCATOR.unpack(locator)
        if signature == b"PK\6\7":
            fields = _END64.unpack(zip_bytes.read(end64, _END64.size))
            if fields[0] != b"PK\6\6":
                raise BadZipFile("its ZIP64 directory is not where it should be")
            length, offset, end = fields[8], fields[9], end64
    shift = end - length - offset
    if shift < 0:
        raise BadZipFile("its directory is larger than the file")
    return CentralDirectory(offset + shift, length, shift)


def _zip64_numbers(extra: bytes, numbers: tuple[int, int, int]) -> list[int]:
    """Return raw size, packed size and offset, taking from the ZIP64 extra field those that did not fit."""
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
