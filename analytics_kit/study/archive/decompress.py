"""Inflate the packed bytes of a file in a ZIP piece by piece, never beyond its stated size."""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from isal import isal_zlib

STORED, DEFLATED, AES = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 99
_UNSUPPORTED_NAMES = {
    1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 10: "PKWARE DCL",
    18: "IBM TERSE", 19: "IBM LZ77", 20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG",
    97: "WavPack", 98: "PPMd", AES: "WinZip AES",
}  # fmt: skip
_LZMA_HEADER = struct.Struct("<2xHBL")
MAX_DICTIONARY_BYTES = 64 << 20
"""The memory that LZMA may need; this is its strongest usual setting."""
Decompressor = Callable[[bytes, int], tuple[bytes, bytes]]
"""(packed bytes, limit) → up to `limit` raw bytes, and the packed bytes to be passed again."""


class DamagedError(Exception):
    """The packed bytes can't be inflated."""


def method_name(method: int) -> str:
    """Return the name of a compression method."""
    return f"{_UNSUPPORTED_NAMES[method]} (method {method})" if method in _UNSUPPORTED_NAMES else f"method {method}"


def is_supported(method: int) -> bool:
    """Return whether `inflate` supports the method."""
    return method in _DECOMPRESSORS


def inflate(method: int, packed: Iterable[bytes], raw_bytes: int, piece_bytes: int) -> Iterator[bytes]:
    """Yield the raw bytes in pieces, at most `raw_bytes` + 1: one too many shows that there are more.

    Raises DamagedError.
    """
    decompress, left = _DECOMPRESSORS[method](raw_bytes), raw_bytes + 1
    for data in packed:
        while left:
            try:
                raw, data = decompress(data, min(left, piece_bytes))
            except _ERRORS as error:
                raise DamagedError(str(error)) from error
            if not raw:  # not earlier: the decompressor may hold bytes that did not fit into a piece
                break
            left -= len(raw)
            yield raw
        if not left:
            return


def _stored(raw_bytes: int) -> Decompressor:
    return lambda data, limit: (bytes(data[:limit]), data[limit:])


def _deflate(raw_bytes: int) -> Decompressor:
    stream = isal_zlib.decompressobj(-15)
    return lambda data, limit: (stream.decompress(data, limit), stream.unconsumed_tail)


def _bzip2(raw_bytes: int) -> Decompressor:
    stream = bz2.BZ2Decompressor()
    return lambda data, limit: (b"" if stream.eof else stream.decompress(data, limit), b"")


def _lzma(raw_bytes: int) -> Decompressor:
    head, stream = b"", None

    def decompress(data: bytes, limit: int) -> tuple[bytes, bytes]:
        nonlocal head, stream
        if stream is None:
            head += data
            if len(head) < _LZMA_HEADER.size:
                return b"", b""
            stream, data = _lzma_stream(head, raw_bytes), head[_LZMA_HEADER.size :]
        return b"" if stream.eof else stream.decompress(data, limit), b""

    return decompress


def _lzma_stream(head: bytes, raw_bytes: int) -> lzma.LZMADecompressor:
    """Return the decompressor for the header that precedes the packed data. Raises ValueError."""
    length, properties, dictionary = _LZMA_HEADER.unpack_from(head)
    if length != 5 or properties >= 9 * 5 * 5:
        raise ValueError("its LZMA header is wrong")
    dictionary = max(4096, min(dictionary, raw_bytes))  # it can't look back further than the data
    if dictionary > MAX_DICTIONARY_BYTES:
        raise ValueError(f"LZMA would need {dictionary:,} bytes of memory, more than {MAX_DICTIONARY_BYTES:,}")
    settings = {"lc": properties % 9, "lp": properties // 9 % 5, "pb": properties // 45, "dict_size": dictionary}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **settings}])


_DECOMPRESSORS: dict[int, Callable[[int], Decompressor]] = {
    STORED: _stored, DEFLATED: _deflate, zipfile.ZIP_BZIP2: _bzip2, zipfile.ZIP_LZMA: _lzma,
}  # fmt: skip
_ERRORS: tuple[Any, ...] = (
    isal_zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)  # Any: isal's stub calls its class an instance
