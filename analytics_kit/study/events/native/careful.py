"""Define what a row of the logger's files is, by reading the rows of a member one by one.

A row is a line with text on it, or several if a quoted cell holds line breaks. It is kept if it has as many cells as
the header and its numbers are finite decimal numbers. `fast` and `scanned` read whole members at once, with the same
result as `read_member`; of this module they use the headers and the messages.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics_kit.errors import nearest
from analytics_kit.model import Kind
from analytics_kit.study.csv.cells import DECIMAL_COMMA_PATTERN, NUMBER_PATTERN
from analytics_kit.study.csv.rows import (
    DELIMITERS,
    MAX_HEADER_CHARACTERS,
    decode_text,
    read_line,
    split_cells,
    split_rows,
)
from analytics_kit.study.schema.issues import Issues

PLACEHOLDER = re.compile(r"timestamp,running_time,x,y\s+[0:.]+(,0(\.0*)?){3}\s*")
_COLUMN_OF_NAME = {
    "time": "clock",
    "timestamp": "clock",
    "running_time": "t",
    "x": "x",
    "y": "y",
    "keys": "key",
    "key": "key",
}
_DISPLAY_NAMES = {"t": "running_time", "x": "x", "y": "y", "key": "keys"}


def required_columns(kind: Kind) -> tuple[str, ...]:
    """Return the columns that events of a kind require."""
    return ("t", "key") if kind == "keyboard" else ("t", "x", "y")


def may_quote_cells(kind: Kind) -> bool:
    """Return whether messages may quote cells: a file not known to be a pointer log can hold typed text."""
    return kind not in ("keyboard", "mouse_unknown")


@dataclass(slots=True)
class ParsedRows:
    """The kept rows of a member in file order, with the line of each; `rows_in` counts all rows."""

    t: array[float] = field(default_factory=lambda: array("d"))
    x: array[float] = field(default_factory=lambda: array("d"))
    y: array[float] = field(default_factory=lambda: array("d"))
    key: list[str] = field(default_factory=list)
    line: array[int] = field(default_factory=lambda: array("q"))
    clock: str = ""
    rows_in: int = 0


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The header of a file: `cells` maps t, x, y, key, clock to positions."""

    delimiter: str
    width: int
    cells: dict[str, int]


_HEADERS = {
    "keyboard": (b"Time,running_time,keys\n", b"Time,running_time,keys\r\n"),
    "mouse": (b"Time,running_time,x,y\n", b"Time,running_time,x,y\r\n"),
}


def match_header(text: bytes, kind: Kind) -> bytes | None:
    """Return the logger's header with its line end if the text begins with it, else None."""
    headers = _HEADERS["keyboard" if kind == "keyboard" else "mouse"]
    return next((header for header in headers if text.startswith(header)), None)


def native_header(kind: Kind) -> CsvHeader:
    """Return the header that the logger writes."""
    names = ("clock", *required_columns(kind))
    return CsvHeader(",", len(names), {name: position for position, name in enumerate(names)})


def read_member(raw: bytes, kind: Kind, member: str, issues: Issues) -> ParsedRows:
    """Return the rows of a member; rows that can't be kept are issues."""
    text = decode_text(raw, member, issues)
    if PLACEHOLDER.fullmatch(text):
        add_placeholder(member, issues)
        return ParsedRows(rows_in=1)
    if not text.strip():
        issues.add(member, "empty_file", "the file is empty, without even a header")
        return ParsedRows()
    first, begin, end = _find_first_line(text)
    start = text[begin : min(end, begin + MAX_HEADER_CHARACTERS)]
    header = parse_header(start, first, kind, member, issues)
    if header is None:
        rows = sum(1 for _ in split_rows(text[end:], ",", 0, first + 1)) + is_data(start)
        if rows:
            issues.list[-1] = issues.list[-1]._replace(rows_dropped=rows)
        return ParsedRows(rows_in=rows)
    return read_rows(text[end:], header, first + 1, kind, member, issues)


def add_placeholder(member: str, issues: Issues) -> None:
    """Report the placeholder that the platform writes in place of events; it counts as a row."""
    issues.add(member, "placeholder", "a placeholder of the platform, not an event", line=2, rows_dropped=1)


def read_rows(text: str, header: CsvHeader, line: int, kind: Kind, member: str, issues: Issues) -> ParsedRows:
    """Return the rows of a text without header that begins at the member's line `line`."""
    rows = ParsedRows()
    dropped: dict[str, tuple[int, str, int]] = {}
    columns = required_columns(kind)
    for number, cells in split_rows(text, header.delimiter, header.width, line):
        rows.rows_in += 1
        problem = _append(rows, cells, header, columns, kind)
        if problem is None:
            rows.line.append(number)
            continue
        first, message, count = dropped.get(problem[0], (number, problem[1], 0))
        dropped[problem[0]] = (first, message, count + 1)
    for name, (first, message, count) in dropped.items():
        issues.add(member, name, message, line=first, rows_dropped=count)
    return rows


def _append(
    rows: ParsedRows, cells: list[str] | None, header: CsvHeader, columns: Sequence[str], kind: Kind
) -> tuple[str, str] | None:
    """Append a row, or return kind and message of the issue."""
    if problem := _find_problem(cells, header, kind):
        return problem
    assert cells is not None  # noqa: S101  else there is a problem
    values = []
    for column in columns:
        if column != "key":
            value = parse_number(cells[header.cells[column]], header.delimiter != ",")
            if value is None or math.isinf(value):
                return _number_problem(cells, header, column, kind, value)
            values.append(value)
    rows.t.append(values[0])
    if kind == "keyboard":
        rows.key.append(cells[header.cells["key"]])
    else:
        rows.x.append(values[1])
        rows.y.append(values[2])
    if len(rows.t) == 1 and "clock" in header.cells:
        rows.clock = cells[header.cells["clock"]].strip()
    return None


def describe_problem(cells: list[str] | None, header: CsvHeader, kind: Kind) -> tuple[str, str]:
    """Return kind and message of the issue of a row that can't be kept."""
    problem = _append(ParsedRows(), cells, header, required_columns(kind), kind)
    assert problem is not None  # noqa: S101  the row can't be kept
    return problem


def parse_number(cell: str, decimal_comma: bool) -> float | None:
    """Return the decimal number in a cell, infinity if it is too large, None if there is none."""
    number = cell.strip()
    if decimal_comma and DECIMAL_COMMA_PATTERN.fullmatch(number):
        number = number.replace(",", ".")
    return float(number) if NUMBER_PATTERN.fullmatch(number) else None


def _find_problem(cells: list[str] | None, header: CsvHeader, kind: Kind) -> tuple[str, str] | None:
    if cells is None:
        return "open_quote", "a quote is opened and not closed"
    return None if len(cells) == header.width else describe_width(len(cells), header, kind)


def describe_width(fields: int, header: CsvHeader, kind: Kind) -> tuple[str, str]:
    """Return kind and message of the issue of a row with another number of fields than the header has."""
    name = "missing_fields" if fields < header.width else "extra_fields"
    guess = "; decimal commas?" if name == "extra_fields" and kind != "keyboard" else ""
    return name, f"{fields} fields where the header has {header.width}{guess}"


def _number_problem(
    cells: list[str], header: CsvHeader, column: str, kind: Kind, value: float | None
) -> tuple[str, str]:
    """Return kind and message of the issue. Cells that may hold typed text are never quoted."""
    quoted = f": {cells[header.cells[column]][:40]!r}" if may_quote_cells(kind) else ""
    if value is None:
        return "not_a_number", f"{_DISPLAY_NAMES[column]} is not a number{quoted}"
    return "not_finite", f"{_DISPLAY_NAMES[column]} is too large for a number{quoted}"


def _find_first_line(text: str) -> tuple[int, int, int]:
    """Return number, start and end of the first line with text on it."""
    start = position = number = 0
    while position < len(text):
        start = position
        position, line = read_line(text, start)
        number += 1
        if line.strip():
            return number, start, position
    return 0, start, position


def is_data(line: str) -> bool:
    """Return whether a first line is a row and no header: it has a number in it."""
    return any(NUMBER_PATTERN.fullmatch(cell.strip()) for cell in re.split("[,;\t]", line))


def parse_header(line: str, number: int, kind: Kind, member: str, issues: Issues) -> CsvHeader | None:
    """Return the header of a line; None, with an issue, if it lacks required columns."""

    def split(delimiter: str) -> list[str]:
        cells = split_cells(line.strip("\r\n"), delimiter)
        return [cell.strip().lower() for cell in cells or ()]

    delimiter = max(DELIMITERS, key=lambda d: sum(cell in _COLUMN_OF_NAME for cell in split(d)))
    names = split(delimiter)
    cells: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in _COLUMN_OF_NAME:
            cells.setdefault(_COLUMN_OF_NAME[name], position)
    missing = [_DISPLAY_NAMES[column] for column in required_columns(kind) if column not in cells]
    if missing and is_data(line):
        issues.add(
            member, "missing_header", "the first line is data where a header is expected", line=number, lost=True
        )
        return None
    if missing:
        quoted = "" if not may_quote_cells(kind) else f"; found {', '.join(names)[:120]}.{nearest(missing[0], names)}"
        message = f"no column {', '.join(missing)} in the header{quoted}"
        issues.add(member, "missing_column", message, line=number, lost=True)
        return None
    extra = [name for name in names if name not in _COLUMN_OF_NAME]
    if extra:
        issues.add(member, "extra_column", f"{len(extra)} unknown column(s) were not read", line=number)
    return CsvHeader(delimiter, len(names), cells)
