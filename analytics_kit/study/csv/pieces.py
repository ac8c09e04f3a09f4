"""Divide a text that arrives in chunks into pieces of whole rows, in UTF-8, of bounded size."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from analytics_kit.study.csv.log_limits import LogLimits
from analytics_kit.study.csv.rows import decode_utf8_or_latin1, find_row_boundary, utf16_encoding
from analytics_kit.study.schema.issues import Issues


def whole_rows(chunks: Iterable[bytes], member: str, issues: Issues, limits: LogLimits) -> Iterator[bytes]:
    """Yield the text of a member in pieces that end where a row ends; what is not UTF-8 is an issue.

    A text that arrives in one chunk is not divided. Raises UnsafeArchiveError.
    """
    rest: bytes | None = None
    for chunk in _as_ascii_superset(chunks, member, issues):
        if rest is None:
            rest = chunk
            continue
        boundary = find_row_boundary(rest)
        if boundary:
            yield as_utf8(rest[:boundary], member, issues)
        rest = rest[boundary:] + chunk
        limits.check_lines(rest, member)
    if rest:
        limits.check_lines(rest, member)
        yield as_utf8(rest, member, issues)


def _as_ascii_superset(chunks: Iterable[bytes], member: str, issues: Issues) -> Iterator[bytes]:
    """Yield the chunks without byte order mark, those of a text in UTF-16 as UTF-8."""
    decoder: codecs.IncrementalDecoder | None = None
    for number, chunk in enumerate(chunks):
        if number == 0 and (encoding := utf16_encoding(chunk)):
            issues.add(member, "encoding", "the file was read as UTF-16")
            decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        elif number == 0:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        yield chunk if decoder is None else decoder.decode(chunk).encode("utf-8", "replace")
    if decoder is not None and (end := decoder.decode(b"", final=True)):
        yield end.encode()


def as_utf8(text: bytes, member: str, issues: Issues) -> bytes:
    """Return whole lines of a text in UTF-8; another encoding is an issue and is read as Latin-1."""
    if is_utf8(text):
        return text
    return decode_utf8_or_latin1(text, member, issues).encode()


def is_utf8(text: bytes) -> bool:
    """Return whether a text can be read as UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
