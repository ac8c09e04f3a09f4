"""The records of one member, read with care: any delimiter, encoding, quoting and damage.

The batched parse of `events` is for members that look as the logger writes them; whatever it can't take comes here,
so this module defines what a record is. A record is a line with text on it (a quoted cell may hold a line break).
A record is kept when it has as many cells as the header and its numbers are finite decimal numbers.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics_kit.errors import nearest
from analytics_kit.model import Kind
from analytics_kit.study.csv.records import (
    DELIMITERS,
    MAX_HEADER_CHARACTERS,
    NUMBER_PATTERN,
    decode_text,
    read_line,
    split_cells,
    split_rows,
)
from analytics_kit.study.schema.issues import Issues

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_PLACEHOLDER = re.compile(r"timestamp,running_time,x,y\s+[0:.]+(,0(\.0*)?){3}\s*")
_COLUMNS = {
    "time": "clock",
    "timestamp": "clock",
    "running_time": "t",
    "x": "x",
    "y": "y",
    "keys": "key",
    "key": "key",
}
_SHOWN = {"t": "running_time", "x": "x", "y": "y", "key": "keys"}


def required_columns(kind: Kind) -> tuple[str, ...]:
    """The columns that events of a kind can't do without."""
    return ("t", "key") if kind == "keyboard" else ("t", "x", "y")


def may_quote_cells(kind: Kind) -> bool:
    """Whether the cells of such a file may be quoted: what is not known to be a pointer log can hold typed text."""
    return kind not in ("keyboard", "mouse_unknown")


@dataclass(slots=True)
class ParsedRows:
    """Kept records of a member in file order, with the line each begins on; `rows_in` counts all records."""

    t: array[float] = field(default_factory=lambda: array("d"))
    x: array[float] = field(default_factory=lambda: array("d"))
    y: array[float] = field(default_factory=lambda: array("d"))
    key: list[str] = field(default_factory=list)
    line: array[int] = field(default_factory=lambda: array("q"))
    clock: str = ""
    rows_in: int = 0


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """Which cell is which: `cells` maps t, x, y, key, clock to positions."""

    delimiter: str
    width: int
    cells: dict[str, int]


def native_header(kind: Kind) -> CsvHeader:
    """The header the logger writes."""
    names = ("clock", *required_columns(kind))
    return CsvHeader(",", len(names), {name: position for position, name in enumerate(names)})


def read_member(raw: bytes, kind: Kind, member: str, issues: Issues) -> ParsedRows:
    """All records of a member; what can't be kept is in `issues`."""
    text = decode_text(raw, member, issues)
    if _PLACEHOLDER.fullmatch(text):
        issues.add(member, "placeholder", "a placeholder of the platform, not an event", line=2, rows_dropped=1)
        return ParsedRows(rows_in=1)
    if not text.strip():
        issues.add(member, "empty_file", "the file is empty, without even a header")
        return ParsedRows()
    first, end = _first_line(text)
    start = text[: min(end, MAX_HEADER_CHARACTERS)]
    header = _header(start, first, kind, member, issues)
    if header is None:
        rows = sum(1 for _ in split_rows(text[end:], ",", 0, first + 1)) + _is_data(start)
        if rows:
            issues.list[-1] = issues.list[-1]._replace(rows_dropped=rows)
        return ParsedRows(rows_in=rows)
    return read_rows(text[end:], header, first + 1, kind, member, issues)


def read_rows(text: str, header: CsvHeader, line: int, kind: Kind, member: str, issues: Issues) -> ParsedRows:
    """The records of a text without header whose first line is the member's line number `line`."""
    rows = ParsedRows()
    troubles: dict[str, tuple[int, str, int]] = {}
    columns = required_columns(kind)
    for number, cells in split_rows(text, header.delimiter, header.width, line):
        rows.rows_in += 1
        trouble = _take(rows, cells, header, columns, kind)
        if trouble is None:
            rows.line.append(number)
            continue
        at, message, count = troubles.get(trouble[0], (number, trouble[1], 0))
        troubles[trouble[0]] = (at, message, count + 1)
    for name, (at, message, count) in troubles.items():
        issues.add(member, name, message, line=at, rows_dropped=count)
    return rows


def _take(
    rows: ParsedRows, cells: list[str] | None, header: CsvHeader, columns: Sequence[str], kind: Kind
) -> tuple[str, str] | None:
    """Append a record, or say why not. What was typed is never quoted."""
    if cells is None:
        return "open_quote", "a quote is opened and not closed"
    if len(cells) != header.width:
        name = "missing_fields" if len(cells) < header.width else "extra_fields"
        guess = "; decimal commas?" if name == "extra_fields" and kind != "keyboard" else ""
        return name, f"{len(cells)} fields where the header has {header.width}{guess}"
    values = []
    for column in columns:
        cell = cells[header.cells[column]]
        if column == "key":
            continue
        number = cell.strip()
        if header.delimiter != "," and _DECIMAL_COMMA.fullmatch(number):
            number = number.replace(",", ".")
        seen = f": {cell[:40]!r}" if may_quote_cells(kind) else ""
        if not NUMBER_PATTERN.fullmatch(number):
            return "not_a_number", f"{_SHOWN[column]} is not a number{seen}"
        value = float(number)
        if value in (float("inf"), float("-inf")):
            return "not_finite", f"{_SHOWN[column]} is too large for a number{seen}"
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


def _first_line(text: str) -> tuple[int, int]:
    """Number and end of the first line with text on it."""
    position, number = 0, 0
    while position < len(text):
        position, line = read_line(text, position)
        number += 1
        if line.strip():
            return number, position
    return 0, position


def _is_data(line: str) -> bool:
    """Whether a line that stands where a header should is a record: it has a number in it."""
    return any(NUMBER_PATTERN.fullmatch(cell.strip()) for cell in re.split("[,;\t]", line))


def _header(line: str, number: int, kind: Kind, member: str, issues: Issues) -> CsvHeader | None:
    """What the header says; None, with an issue, when the columns that are needed are not there."""

    def split(delimiter: str) -> list[str]:
        cells = split_cells(line.strip("\r\n"), delimiter)
        return [cell.strip().lower() for cell in cells or ()]

    delimiter = max(DELIMITERS, key=lambda d: sum(cell in _COLUMNS for cell in split(d)))
    names = split(delimiter)
    cells: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in _COLUMNS:
            cells.setdefault(_COLUMNS[name], position)
    missing = [_SHOWN[column] for column in required_columns(kind) if column not in cells]
    if missing and _is_data(line):
        issues.add(
            member, "missing_header", "the first line is data where a header is expected", line=number, lost=True
        )
        return None
    if missing:
        seen = "" if not may_quote_cells(kind) else f"; found {', '.join(names)[:120]}.{nearest(missing[0], names)}"
        said = f"no column {', '.join(missing)} in the header{seen}"
        issues.add(member, "missing_column", said, line=number, lost=True)
        return None
    extra = [name for name in names if name not in _COLUMNS]
    if extra:
        issues.add(
            member, "extra_column", f"{len(extra)} column(s) that mean nothing here were not read", line=number
        )
    return CsvHeader(delimiter, len(names), cells)
