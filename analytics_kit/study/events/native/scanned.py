"""Read the rows of members at once, whatever their delimiter, quoting and damage: the same rows as `careful` reads.

Rows that can't be kept cost no object each. `careful` is asked only for the message of the first one of each issue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.csv import scan
from analytics_kit.study.csv.rows import split_cells
from analytics_kit.study.events.native.careful import (
    CsvHeader,
    describe_problem,
    describe_width,
    parse_number,
    required_columns,
)
from analytics_kit.study.schema.compiling import Codes, Floats, Ints
from analytics_kit.study.schema.issues import Issues

FEW_NUMBERS = 30
"""Up to this many odd numbers are read one by one, which is faster than a query."""
NOT_A_NUMBER, NOT_FINITE = 5, 6
_ISSUE_KINDS = {**scan.PROBLEM_NAMES, NOT_A_NUMBER: "not_a_number", NOT_FINITE: "not_finite"}
_MAX_PROBLEMS = 8
_SPACES = "".join(chr(sign) for sign in range(0x3001) if chr(sign).isspace())
"""What `str.strip` removes; polars by itself does not remove some control characters."""
_NUMBER = r"^[+-]?({0}+\.?{0}*|\.{0}+)([eE][+-]?{0}+)?$"
_ASCII_NUMBER, _ANY_NUMBER = _NUMBER.format("[0-9]"), _NUMBER.format(r"\d")
_DECIMAL_COMMA = r"^[+-]?\d*,\d+$"


class ScannedRows(NamedTuple):
    """Rows of some pieces of text that are kept, in their order.

    `numbers` are the columns t, x and y, or t; `keys` are those of a keyboard. `lines` is the line of each row.
    `pieces` lists, for each piece that has rows here, its index, its rows, its kept rows and, if it has kept rows,
    the clock of the first one.
    """

    numbers: list[Floats]
    keys: pl.Series | None
    lines: Ints
    pieces: list[tuple[int, int, int, str]]


def read_scanned(
    text: scan.Bytes, ends: Ints, lines: Ints, header: CsvHeader, kind: Kind, members: Sequence[str], issues: Issues
) -> Iterator[ScannedRows]:
    """Yield the rows of pieces of text in UTF-8, of the members of these names; rows that are dropped are issues.

    Piece i ends at `ends[i]`, and its first line has the number `lines[i]`.
    """
    columns = required_columns(kind)
    positions = sorted({header.cells[column] for column in columns})
    index = {column: positions.index(header.cells[column]) for column in columns}
    number_columns = np.array([index[column] for column in columns if column != "key"], np.int64)
    decimal_comma = header.delimiter != ","
    dialect = scan.Dialect(header.delimiter, header.width)
    for found in scan.find_rows(text, ends, lines, dialect, positions):
        numbers = np.empty((len(number_columns), len(found.lines)))
        problems = found.problems
        scan.read_plain_numbers(text, found.cells, number_columns, decimal_comma, problems, numbers)
        odd = np.flatnonzero(problems == scan.NO_PLAIN_NUMBER)
        if len(odd):
            spans = found.cells[odd][:, number_columns]
            problems[odd], numbers[:, odd] = _read_odd_numbers(text, spans, decimal_comma)
        one = len(ends) == 1
        piece = np.zeros(len(found.lines), np.int64) if one else np.searchsorted(ends, found.starts, side="right")
        if np.any(problems):
            _report_dropped(text, found, piece, problems, header, kind, members, issues)
        kept = problems == scan.NO_PROBLEM
        keys = scan.read_text(text, found.cells[kept, index["key"]], True) if kind == "keyboard" else None
        yield ScannedRows(
            [column[kept] for column in numbers], keys, found.lines[kept], _count(text, found, piece, kept, header)
        )


def _count(
    text: scan.Bytes, found: scan.FoundRows, piece: Ints, kept: np.ndarray[tuple[int], np.dtype[np.bool_]],
    header: CsvHeader,
) -> list[tuple[int, int, int, str]]:  # fmt: skip
    firsts = np.flatnonzero(np.diff(piece, prepend=-1))  # pieces come in order
    numbers, counts = piece[firsts], np.diff(firsts, append=len(piece))
    kept_before = np.concatenate([[0], np.cumsum(kept)])
    kept_counts = kept_before[firsts + counts] - kept_before[firsts]
    kept_rows = np.flatnonzero(kept)
    result = []
    for number, first, rows, kept_count in zip(
        numbers.tolist(), firsts.tolist(), counts.tolist(), kept_counts.tolist(), strict=True
    ):
        clock = ""
        if kept_count and "clock" in header.cells:
            row = kept_rows[kept_before[first]]
            cells = split_cells(_row_text(text, found, row), header.delimiter)
            clock = cells[header.cells["clock"]].strip() if cells else ""
        result.append((number, rows, kept_count, clock))
    return result


def _report_dropped(
    text: scan.Bytes, found: scan.FoundRows, piece: Ints, problems: Codes, header: CsvHeader, kind: Kind,
    members: Sequence[str], issues: Issues,
) -> None:  # fmt: skip
    """Report an issue for each member and kind of problem, with line and message of the first row that has it."""
    if piece[0] == piece[-1]:
        counts = np.bincount(problems)
        found_problems = np.flatnonzero(counts[1:]) + 1
        rows = np.array([np.argmax(problems == problem) for problem in found_problems])
        counts = counts[found_problems]
    else:
        bad = np.flatnonzero(problems)
        _, firsts, counts = np.unique(
            piece[bad] * _MAX_PROBLEMS + problems[bad], return_index=True, return_counts=True
        )  # fmt: skip
        rows = bad[firsts]
    for i in np.argsort(rows):
        row = rows[i]
        name = _ISSUE_KINDS[int(problems[row])]
        if name in ("missing_fields", "extra_fields"):
            _, message = describe_width(int(found.fields[row]), header, kind)
        else:
            cells = None if name == "open_quote" else split_cells(_row_text(text, found, row), header.delimiter)
            _, message = describe_problem(cells, header, kind)
        issues.add(
            members[piece[row]], name, message, line=int(found.lines[row]), rows_dropped=int(counts[i])
        )  # fmt: skip


def _row_text(text: scan.Bytes, found: scan.FoundRows, row: int) -> str:
    return text[found.starts[row] : found.ends[row]].tobytes().decode()


def _read_odd_numbers(text: scan.Bytes, spans: Ints, decimal_comma: bool) -> tuple[Codes, Floats]:
    """Return the problem of each row, and its numbers; `spans` has the shape (rows, columns, 2)."""
    rows, columns, _ = spans.shape
    values, problems = np.empty((columns, rows)), np.zeros(rows, np.int8)
    for column in range(columns):
        cells = scan.read_text(text, spans[:, column], True)
        if rows <= FEW_NUMBERS:
            numbers = [parse_number(cell, decimal_comma) for cell in cells]
            value = np.array([np.nan if number is None else number for number in numbers])
        else:
            value = _parse_numbers(cells, decimal_comma)
        problem = np.where(np.isnan(value), NOT_A_NUMBER, np.where(np.isinf(value), NOT_FINITE, 0))
        problems = np.where(problems == 0, problem, problems).astype(np.int8)
        values[column] = value
    return problems, values


def _parse_numbers(cells: pl.Series, decimal_comma: bool) -> Floats:
    """Return what `parse_number` gives for each cell, NaN for None."""
    text = cells.str.strip_chars(_SPACES)
    if decimal_comma:
        has_comma = text.str.contains(_DECIMAL_COMMA)
        text = text.str.replace(",", ".", literal=True).zip_with(has_comma, text)
    is_number = text.str.contains(_ASCII_NUMBER)
    values = text.set(~is_number, None).cast(pl.Float64, strict=False).to_numpy(writable=True)
    doubtful = (text.str.contains(_ANY_NUMBER) & (pl.Series(np.isnan(values)))).arg_true()
    numbers = (parse_number(cell, decimal_comma) for cell in text.gather(doubtful))  # digits of other scripts
    values[doubtful.to_numpy()] = [np.nan if number is None else number for number in numbers]
    return values


def compile_scan() -> None:
    """Compile the kernels, by reading a row that needs each of them."""
    text = np.frombuffer(b'"0",1\n', np.uint8)
    for found in scan.find_rows(text, np.array([len(text)]), np.array([1]), scan.Dialect(",", 2), [0, 1]):
        numbers, columns = np.empty((2, len(found.lines))), np.arange(2)
        scan.read_plain_numbers(text, found.cells, columns, False, found.problems, numbers)
        scan.copy_text(text, found.cells[:, 0], True)
    scan.is_regular(text, np.uint8(ord(",")), 2, True)
