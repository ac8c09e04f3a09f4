"""Split CSV text into rows, with care for quotes, delimiters and damaged encodings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from analytics_kit.study.schema.issues import Issues

NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


_LINE_PATTERN = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")


DELIMITERS = ",;\t"


MAX_HEADER_CHARACTERS = 64 << 10
"""Of a first line that is longer than any header, the rest is not looked at."""


MAX_QUOTED_LINES = 3
"""A quoted cell may span at most so many lines; a quote that stays open longer is damage."""


MAX_BOUNDARY_STEPS = 1000
"""Where a large member is cut, at most so many lines are looked at for one behind which no quoted cell goes on."""


def split_rows(text: str, delimiter: str, width: int, line: int) -> Iterator[tuple[int, list[str] | None]]:
    """(line number, cells) of each record; None for cells where a quote stays open."""
    position = 0
    while position < len(text):
        end, record = read_line(text, position)
        lines, cells = 1, None
        if record.count('"') % 2 == 0:
            cells = split_cells(record, delimiter)
        elif joined := _join_lines(text, position, delimiter, width):
            end, lines, cells = joined
        if record.strip():
            yield line, cells
        position = end
        line += lines


def read_line(text: str, position: int) -> tuple[int, str]:
    """Where the line that starts at `position` ends, its line break included; its text."""
    found = _LINE_PATTERN.match(text, position)
    assert found is not None  # noqa: S101  the pattern matches anywhere
    return found.end(), found[1]


def split_cells(record: str, delimiter: str) -> list[str] | None:
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter), [])
    except csv.Error:
        return None


def _join_lines(text: str, position: int, delimiter: str, width: int) -> tuple[int, int, list[str]] | None:
    """End, line count and cells of a record whose quoted cell holds line breaks, where the next lines complete it."""
    end = position
    for lines in range(1, MAX_QUOTED_LINES + 1):
        start = end
        end, last = read_line(text, start)
        record = text[position : start + len(last)]
        if record.count('"') % 2 == 0:
            cells = split_cells(record, delimiter)
            return (end, lines, cells) if cells is not None and len(cells) == width else None
        if end >= len(text):
            return None
    return None


def find_row_boundary(text: bytes) -> int:
    """Where the last line ends behind which no quoted cell goes on."""
    cut = end = text.rfind(b"\n") + 1
    for _ in range(MAX_BOUNDARY_STEPS):
        start = cut
        for _ in range(MAX_QUOTED_LINES):
            start = text.rfind(b"\n", 0, max(start - 1, 0)) + 1
        if all(line.count(b'"') % 2 == 0 for line in text[start:cut].splitlines()):
            return cut
        cut = text.rfind(b"\n", 0, cut - 1) + 1
    return end  # damage: quotes in every line


def decode_text(raw: bytes, member: str, issues: Issues) -> str:
    """The text without byte order mark; other encodings than UTF-8 are noted."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[1:2] == b"\0" or (raw[:1] == b"\0" and raw[1:2] != b"\0"):
        order = (
            "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
        )
        issues.add(member, "encoding", "the file was read as UTF-16")
        return raw.decode(order, errors="replace")
    return decode_utf8_or_latin1(raw, member, issues)


def decode_utf8_or_latin1(raw: bytes, member: str, issues: Issues) -> str:
    """The text of a file, or of whole lines of one, in an encoding where a line feed is one byte."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        issues.add(member, "encoding", "the file is not UTF-8 and was read as Latin-1")
        return raw.decode("latin-1")
