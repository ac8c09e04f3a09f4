"""The packed bytes of a file in a ZIP, inflated piece by piece and never further than asked for."""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from isal import isal_zlib

STORED, DEFLATED, AES = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 99
_OTHERS = {
    1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 10: "PKWARE DCL",
    18: "IBM TERSE", 19: "IBM LZ77", 20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG",
    97: "WavPack", 98: "PPMd", AES: "WinZip AES",
}  # fmt: skip
_LZMA_HEADER = struct.Struct("<2xHBL")
MOST_DICTIONARY_BYTES = 64 << 20
"""What LZMA may need in memory; its strongest usual setting is this."""
Step = Callable[[bytes, int], tuple[bytes, bytes]]
"""(packed bytes, most) → up to `most` raw bytes, and the packed ones that are to be given again."""


class DamagedError(Exception):
    """The packed bytes can't be inflated."""


def method_name(method: int) -> str:
    """A method as people know it."""
    return f"{_OTHERS[method]} (method {method})" if method in _OTHERS else f"method {method}"


def is_supported(method: int) -> bool:
    """Whether `inflate` knows the method."""
    return method in _STEPS


def inflate(method: int, packed: Iterable[bytes], raw_bytes: int, piece_bytes: int) -> Iterator[bytes]:
    """The raw bytes, in pieces; of what is longer than `raw_bytes` one byte more, by which that can be seen.

    Raises DamagedError.
    """
    step, left = _STEPS[method](raw_bytes), raw_bytes + 1
    for data in packed:
        while left:
            try:
                raw, data = step(data, min(left, piece_bytes))
            except _ERRORS as error:
                raise DamagedError(str(error)) from error
            if not raw:  # only now: what does not fit into a piece may be kept inside the unpacker
                break
            left -= len(raw)
            yield raw
        if not left:
            return


def _stored(raw_bytes: int) -> Step:
    return lambda data, most: (bytes(data[:most]), data[most:])


def _deflate(raw_bytes: int) -> Step:
    stream = isal_zlib.decompressobj(-15)
    return lambda data, most: (stream.decompress(data, most), stream.unconsumed_tail)


def _bzip2(raw_bytes: int) -> Step:
    stream = bz2.BZ2Decompressor()
    return lambda data, most: (b"" if stream.eof else stream.decompress(data, most), b"")


def _lzma(raw_bytes: int) -> Step:
    head, stream = b"", None

    def step(data: bytes, most: int) -> tuple[bytes, bytes]:
        nonlocal head, stream
        if stream is None:
            head += data
            if len(head) < _LZMA_HEADER.size:
                return b"", b""
            stream, data = _lzma_stream(head, raw_bytes), head[_LZMA_HEADER.size :]
        return b"" if stream.eof else stream.decompress(data, most), b""

    return step


def _lzma_stream(head: bytes, raw_bytes: int) -> lzma.LZMADecompressor:
    """The unpacker that the header before the packed data asks for."""
    length, properties, dictionary = _LZMA_HEADER.unpack_from(head)
    if length != 5 or properties >= 9 * 5 * 5:
        raise ValueError("its LZMA header is wrong")
    dictionary = max(4096, min(dictionary, raw_bytes))  # no more than there is to look back at
    if dictionary > MOST_DICTIONARY_BYTES:
        raise ValueError(f"LZMA would need {dictionary:,} bytes of memory, more than {MOST_DICTIONARY_BYTES:,}")
    settings = {"lc": properties % 9, "lp": properties // 9 % 5, "pb": properties // 45, "dict_size": dictionary}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **settings}])


_STEPS: dict[int, Callable[[int], Step]] = {
    STORED: _stored, DEFLATED: _deflate, zipfile.ZIP_BZIP2: _bzip2, zipfile.ZIP_LZMA: _lzma,
}  # fmt: skip
_ERRORS: tuple[Any, ...] = (
    isal_zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)  # Any: isal's stub calls its class an instance
