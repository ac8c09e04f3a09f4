"""Split CSV text into rows, with care for quotes, delimiters and damaged encodings.

A row is a line with text on it, or up to MAX_QUOTED_LINES lines where a quoted cell holds line breaks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from analytics_kit.study.schema.issues import Issues

_LINE_PATTERN = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")

DELIMITERS = ",;\t"

MAX_HEADER_CHARACTERS = 1 << 20
"""Of a first line that is longer than any header, the rest is ignored."""

MAX_QUOTED_LINES = 3
"""A quoted cell may span up to this many lines; a quote that stays open longer is damage."""

MAX_BOUNDARY_STEPS = 1000
"""The number of lines searched for the end of a row where a large member is cut."""

LONG_LINE_BYTES = 1 << 20
"""Where no line feed comes for longer than this, carriage returns end the lines."""


def split_rows(text: str, delimiter: str, width: int, line: int) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line number and the cells of each row; None for the cells if a quote stays open.

    `line` is the number of the first line of the text, and `width` the number of cells of a row with line breaks.
    """
    position = 0
    while position < len(text):
        end, content = read_line(text, position)
        lines, cells = 1, None
        if content.count('"') % 2 == 0:
            cells = split_cells(content, delimiter)
        elif joined := _join_lines(text, position, delimiter, width):
            end, lines, cells = joined
        if content.strip():
            yield line, cells
        position = end
        line += lines


def read_line(text: str, position: int) -> tuple[int, str]:
    """Return where the line that starts at `position` ends, with its line break, and its text without it."""
    found = _LINE_PATTERN.match(text, position)
    assert found is not None  # noqa: S101  the pattern matches anywhere
    return found.end(), found[1]


def split_cells(row: str, delimiter: str) -> list[str] | None:
    """Return the cells of a row, or None if its quotes are damaged."""
    if '"' not in row:
        return row.split(delimiter)
    try:
        return next(csv.reader([row], delimiter=delimiter), [])
    except csv.Error:
        return None


def _join_lines(text: str, position: int, delimiter: str, width: int) -> tuple[int, int, list[str]] | None:
    """Return end, number of lines and cells of a row whose quoted cell holds line breaks, if it is complete."""
    end = position
    for lines in range(1, MAX_QUOTED_LINES + 1):
        start = end
        end, last = read_line(text, start)
        row = text[position : start + len(last)]
        if row.count('"') % 2 == 0:
            cells = split_cells(row, delimiter)
            return (end, lines, cells) if cells is not None and len(cells) == width else None
        if end >= len(text):
            return None
    return None


def count_line_breaks(text: bytes) -> int:
    """Return the number of line breaks: line feeds, carriage returns, or both together."""
    breaks = text.count(b"\n")
    return breaks + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else breaks


def find_row_boundary(text: bytes) -> int:
    """Return the position after the last line break of a text that is not inside a quoted cell, or 0."""
    line_break, end = b"\n", len(text)
    last_feed = text.rfind(b"\n") + 1
    if len(text) - last_feed > LONG_LINE_BYTES and b"\r" in text[last_feed:-1]:
        line_break, end = b"\r", len(text) - 1  # the last byte may be followed by a line feed
    boundary = last = text.rfind(line_break, 0, end) + 1
    for _ in range(MAX_BOUNDARY_STEPS):
        start = boundary
        for _ in range(MAX_QUOTED_LINES):
            start = text.rfind(line_break, 0, max(start - 1, 0)) + 1
        if all(line.count(b'"') % 2 == 0 for line in text[start:boundary].splitlines()):
            return boundary
        boundary = text.rfind(line_break, 0, boundary - 1) + 1
    return last  # damage: quotes in every line


def utf16_encoding(raw: bytes) -> str | None:
    """Return which UTF-16 a text is in by its first bytes: a byte order mark, or a zero in one of two."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if raw[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if raw[:1] == b"\0" and raw[1:2] != b"\0" else None


def decode_text(raw: bytes, member: str, issues: Issues) -> str:
    """Return the text of a file without byte order mark; an encoding other than UTF-8 is an issue."""
    if encoding := utf16_encoding(raw):
        issues.add(member, "encoding", "the file was read as UTF-16")
        return raw.decode(encoding, errors="replace")
    return decode_utf8_or_latin1(raw, member, issues)


def decode_utf8_or_latin1(raw: bytes, member: str, issues: Issues) -> str:
    """Return the text of a file, or of whole lines of one, in an encoding where a line feed is one byte."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        issues.add(member, "encoding", "the file is not UTF-8 and was read as Latin-1")
        return raw.decode("latin-1")
