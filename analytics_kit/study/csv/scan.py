"""Find the rows and cells of a CSV text at once, as arrays, however irregular its rows are.

`rows.split_rows` defines what is found here: the same rows, lines, cells and defects, without an object for each row.
No CSV library does that: polars and pyarrow give up at the first irregular row or report each one by a call, and a
`csv.reader` makes a list for each. Quotes have the meaning that the module `csv` gives them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from analytics_kit.study.csv.rows import MAX_QUOTED_LINES
from analytics_kit.study.schema.compiling import Codes, Floats, Ints, kernel, subkernel

Bytes = npt.NDArray[np.uint8]
MAX_FOUND_ROWS = 1 << 17
"""At most this many rows are found in a step, so that a text of short rows takes little memory."""
NO_PROBLEM, MISSING_FIELDS, EXTRA_FIELDS, OPEN_QUOTE, NO_PLAIN_NUMBER = range(5)
PROBLEM_NAMES = {MISSING_FIELDS: "missing_fields", EXTRA_FIELDS: "extra_fields", OPEN_QUOTE: "open_quote"}
_FIELD_CHARACTERS = csv.field_size_limit()
_BREAK, _RETURN, _QUOTE, _COMMA, _POINT, _MINUS, _PLUS, _ZERO, _BLANK = (
    np.uint8(ord(sign)) for sign in '\n\r",.-+0 '
)
_IS_SPACE = np.array([chr(sign).isspace() for sign in range(128)] + [False] * 128)
"""The ASCII characters that `str.strip` removes."""
_SPACES = tuple(chr(sign).encode() for sign in range(128, 0x3001) if chr(sign).isspace())
_SPACES_2 = np.array([int.from_bytes(space) for space in _SPACES if len(space) == 2], np.int64)
_SPACES_3 = np.array([int.from_bytes(space) for space in _SPACES if len(space) == 3], np.int64)
MAX_EXACT_DIGITS = 15
"""A whole number of this many digits is exact in float64; dividing it by a power of ten rounds only once."""
POWERS_OF_TEN = np.array([10.0**n for n in range(MAX_EXACT_DIGITS + 1)])
_AT_START, _IN_FIELD, _IN_QUOTES, _AFTER_QUOTE = range(4)

_SOLID, _FOREIGN, _CELL_END, _LINE_END, _MARK = (np.uint8(1 << bit) for bit in range(5))


class Dialect(NamedTuple):
    """How the rows of a text are laid out: `width` is the number of cells of a row."""

    delimiter: str
    width: int
    quoted: bool = True


class FoundRows(NamedTuple):
    """Rows of a text in their order, as arrays with a value per row.

    Attributes
    ----------
    starts, ends
        Where the row begins, and where it ends without its line break.
    lines
        The number of its line, or of the first one.
    fields
        The number of its cells; -1 if a quote stays open.
    problems
        NO_PROBLEM, MISSING_FIELDS, EXTRA_FIELDS or OPEN_QUOTE.
    cells
        Shape (rows, positions, 2): where each requested cell begins and ends; 0 and 0 for a cell that is missing.
    """

    starts: Ints
    ends: Ints
    lines: Ints
    fields: Ints
    problems: Codes
    cells: Ints


def find_rows(
    text: Bytes, ends: Ints, lines: Ints, dialect: Dialect, positions: Sequence[int], max_rows: int | None = None
) -> Iterator[FoundRows]:
    """Yield the rows of a text in UTF-8, up to `max_rows` or MAX_FOUND_ROWS at a time; blank lines are no rows.

    The text consists of pieces, which end at `ends` and in which no row goes on from one to the next. The first line
    of piece i has the number `lines[i]`. `positions` are those of the requested cells, in ascending order.
    """
    wanted = np.array(positions, np.int64)
    state = np.array([0, 0, lines[0] if len(lines) else 0], np.int64)
    capacity = max(1, min(max_rows or MAX_FOUND_ROWS, len(text) // 2 + 1))
    while state[1] < len(ends):
        numbers = np.empty((4, capacity), np.int64)
        problems = np.empty(capacity, np.int8)
        cells = np.zeros((capacity, len(wanted), 2), np.int64)
        count = _find_rows(
            text, ends, lines, state, _classes(dialect), np.uint8(ord(dialect.delimiter)), dialect.width, wanted,
            numbers, problems, cells,
        )  # fmt: skip
        if count:
            starts, stops, row_lines, fields = numbers[:, :count]
            yield FoundRows(starts, stops, row_lines, fields, problems[:count], cells[:count])


def _classes(dialect: Dialect) -> Bytes:
    """Return what each byte can be: a solid or foreign character, the end of a cell or of a line, a quote."""
    classes = np.where(_IS_SPACE, 0, _SOLID).astype(np.uint8)
    classes[128:] = _FOREIGN
    classes[ord(dialect.delimiter)] |= _CELL_END
    classes[[_BREAK, _RETURN]] = _LINE_END
    classes[_QUOTE] |= _MARK * dialect.quoted
    return classes


@kernel
def _find_rows(
    text: Bytes, piece_ends: Ints, first_lines: Ints, state: Ints, classes: Bytes, delimiter: np.uint8, width: int,
    wanted: Ints, numbers: Ints, problems: Codes, cells: Ints,
) -> int:  # fmt: skip
    """Fill the arrays from `state` on, (position, piece, line), which is set to where to go on; return the rows."""
    at, piece, line = state[0], state[1], state[2]
    row, capacity = 0, len(problems)
    while piece < len(piece_ends):
        end = piece_ends[piece]
        while at < end and row < capacity:
            begin, cell, fields, chosen, quotes, found = at, at, 1, 0, 0, np.uint8(0)
            next_wanted = wanted[0] if len(wanted) else -1
            while at < end:
                found_here = classes[text[at]]
                found |= found_here
                if found_here > _FOREIGN:
                    if found_here & _LINE_END:
                        break
                    if found_here & _CELL_END:
                        if next_wanted == fields - 1:
                            cells[row, chosen, 0], cells[row, chosen, 1] = cell, at
                            chosen += 1
                            next_wanted = wanted[chosen] if chosen < len(wanted) else -1
                        fields += 1
                        cell = at + 1
                    quotes += found_here & _MARK != 0
                at += 1
            if next_wanted == fields - 1:
                cells[row, chosen, 0], cells[row, chosen, 1] = cell, at
            stop, used = at, 1
            at = _after_break(text, at, end)
            if not found & _SOLID and (not found & _FOREIGN or _is_blank(text, begin, stop)):
                cells[row] = 0
                line += 1
                continue
            if quotes:
                cells[row] = 0
                if quotes % 2 == 0:
                    fields = _split(text, begin, stop, delimiter, wanted, cells[row])
                else:
                    fields, last, after = -1, stop, at
                    while used < MAX_QUOTED_LINES and after < end:
                        position = after
                        while position < end and text[position] != _BREAK and text[position] != _RETURN:
                            quotes += text[position] == _QUOTE
                            position += 1
                        last, after = position, _after_break(text, position, end)
                        used += 1
                        if quotes % 2 == 0:
                            fields = _split(text, begin, last, delimiter, wanted, cells[row])
                            break
                    if fields == width:
                        stop, at = last, after
                    else:
                        fields, used = -1, 1
                if fields < 0:
                    cells[row] = 0
            numbers[0, row], numbers[1, row], numbers[2, row], numbers[3, row] = begin, stop, line, fields
            if fields < 0:
                problems[row] = OPEN_QUOTE
            elif fields == width:
                problems[row] = NO_PROBLEM
            else:
                problems[row] = MISSING_FIELDS if fields < width else EXTRA_FIELDS
            line += used
            row += 1
        if at < end:
            break
        piece += 1
        if piece < len(piece_ends):
            line = first_lines[piece]
    state[0], state[1], state[2] = at, piece, line
    return row


@subkernel
def _after_break(text: Bytes, at: int, end: int) -> int:
    """Return where the line after that ends at `at` begins."""
    if at < end and text[at] == _RETURN and at + 1 < end and text[at + 1] == _BREAK:
        return at + 2
    return min(at + 1, end)


@subkernel
def _is_blank(text: Bytes, at: int, end: int) -> bool:
    """Return whether a line holds only characters that `str.strip` removes."""
    while at < end:
        sign = text[at]
        if sign < 128:
            if not _IS_SPACE[sign]:
                return False
            at += 1
            continue
        size = 2 if sign < 0xE0 else 3
        if at + size > end:
            return False
        number = np.int64(0)
        for offset in range(size):
            number = number * 256 + np.int64(text[at + offset])
        found = False
        for space in _SPACES_2 if size == 2 else _SPACES_3:
            found |= space == number
        if not found:
            return False
        at += size
    return True


@subkernel
def _split(text: Bytes, begin: int, end: int, delimiter: np.uint8, wanted: Ints, cells: Ints) -> int:
    """Fill `cells` with the requested cells of a row with quotes; return the number of its cells, -1 if damaged."""
    state, fields, chosen, cell, characters = _AT_START, 1, 0, begin, 0
    for at in range(begin, end):
        sign = text[at]
        if state != _IN_QUOTES and (sign == _BREAK or sign == _RETURN):  # noqa: SIM109  numba is slow with `in`
            return -1
        if state == _IN_QUOTES:
            if sign == _QUOTE:
                state = _AFTER_QUOTE
                continue
        elif sign == delimiter:
            if chosen < len(wanted) and wanted[chosen] == fields - 1:
                cells[chosen, 0], cells[chosen, 1] = cell, at
                chosen += 1
            fields += 1
            state, cell, characters = _AT_START, at + 1, 0
            continue
        elif sign == _QUOTE and state == _AT_START:
            state = _IN_QUOTES
            continue
        elif sign == _QUOTE and state == _AFTER_QUOTE:
            state = _IN_QUOTES
        else:
            state = _IN_FIELD
        characters += sign & 0xC0 != 0x80
        if characters > _FIELD_CHARACTERS:
            return -1
    if chosen < len(wanted) and wanted[chosen] == fields - 1:
        cells[chosen, 0], cells[chosen, 1] = cell, end
    return fields


@kernel
def is_regular(text: Bytes, delimiter: np.uint8, width: int, quoted: bool) -> bool:
    """Return whether each line has `width` cells, and quotes stand around whole cells only, doubled inside.

    On any other text programs differ in where cells end, and some ignore an empty cell too many. `quoted` is whether
    quotes have a meaning.
    """
    at, end, fields, starts_cell, inside = 0, len(text), 1, True, False
    while at < end:
        sign = text[at]
        if inside:
            if sign == _BREAK:
                return False
            if sign == _QUOTE:
                if at + 1 < end and text[at + 1] == _QUOTE:
                    at += 1
                elif at + 1 == end or text[at + 1] == delimiter or text[at + 1] == _BREAK:
                    inside = False
                else:
                    return False
            starts_cell = False
        else:
            starts_next = False
            if sign == delimiter:
                fields += 1
                starts_next = True
            elif sign == _BREAK:
                if fields != width:
                    return False
                fields, starts_next = 1, True
            elif sign == _QUOTE and quoted:
                if not starts_cell:
                    return False
                inside = True
            starts_cell = starts_next
        at += 1
    return not inside and (fields == width or (end > 0 and text[end - 1] == _BREAK))


def find_first_row(text: Bytes, line: int) -> FoundRows | None:
    """Return the first line with text on it; `line` is the number of the first line of all."""
    ends, lines = np.array([len(text)], np.int64), np.array([line], np.int64)
    return next(find_rows(text, ends, lines, Dialect(",", 0, False), (), max_rows=1), None)


def count_rows(text: Bytes, width: int) -> int:
    """Return the number of rows of a text in UTF-8 whose rows with line breaks have `width` cells."""
    ends, lines = np.array([len(text)], np.int64), np.array([1], np.int64)
    return sum(len(found.lines) for found in find_rows(text, ends, lines, Dialect(",", width), ()))


def read_text(text: Bytes, spans: Ints, quoted: bool) -> pl.Series:
    """Return cells, whose starts and ends are `spans` of shape (cells, 2), as text without their quotes."""
    return pl.Series(copy_text(text, spans, quoted), dtype=pl.String)


def copy_text(text: Bytes, spans: Ints, quoted: bool) -> pa.LargeStringArray:
    """Return what `read_text` returns, without polars: a process that is to fork must not run it."""
    offsets = np.empty(len(spans) + 1, np.int64)
    out = np.empty(int((spans[:, 1] - spans[:, 0]).sum()), np.uint8)
    size = _copy_cells(text, spans, quoted, out, offsets)
    return pa.LargeStringArray.from_buffers(len(spans), pa.py_buffer(offsets), pa.py_buffer(out[:size]))


@kernel
def _copy_cells(text: Bytes, spans: Ints, quoted: bool, out: Bytes, offsets: Ints) -> int:
    size = 0
    for i in range(len(spans)):
        offsets[i] = size
        state = _AT_START if quoted else _IN_FIELD
        for at in range(spans[i, 0], spans[i, 1]):
            sign = text[at]
            if sign == _QUOTE and state % 2 == 0:  # at the start or in quotes
                state = _IN_QUOTES if state == _AT_START else _AFTER_QUOTE
                continue
            if state == _AFTER_QUOTE:
                state = _IN_QUOTES if sign == _QUOTE else _IN_FIELD
            elif state == _AT_START:
                state = _IN_FIELD
            out[size] = sign
            size += 1
    offsets[len(spans)] = size
    return size


@kernel
def read_plain_numbers(
    text: Bytes, cells: Ints, columns: Ints, decimal_comma: bool, problems: Codes, out: Floats
) -> None:
    """Set `out[i, row]` to the number in cell `columns[i]` of each row without a problem.

    A row with a cell that is no decimal number of a few digits gets NO_PLAIN_NUMBER.
    """
    for row in range(len(problems)):
        if problems[row] != NO_PROBLEM:
            continue
        for i in range(len(columns)):
            at, end = cells[row, columns[i], 0], cells[row, columns[i], 1]
            if end - at >= 2 and text[at] == _QUOTE and text[end - 1] == _QUOTE:
                at, end = at + 1, end - 1
            while at < end and _IS_SPACE[text[at]]:
                at += 1
            while at < end and _IS_SPACE[text[end - 1]]:
                end -= 1
            negative = at < end and text[at] == _MINUS
            at += at < end and (text[at] == _MINUS or text[at] == _PLUS)
            whole, digits, decimals, point, comma = np.int64(0), 0, 0, 0, False
            while at < end and digits <= MAX_EXACT_DIGITS:
                sign = text[at]
                if _ZERO <= sign < _ZERO + 10:
                    whole = whole * 10 + np.int64(sign - _ZERO)
                    digits += 1
                    decimals += point
                elif (sign == _POINT or (decimal_comma and sign == _COMMA)) and not point:
                    point, comma = 1, sign == _COMMA
                else:
                    break
                at += 1
            if at < end or digits == 0 or digits > MAX_EXACT_DIGITS or (comma and decimals == 0):
                problems[row] = NO_PLAIN_NUMBER
                break
            value = whole / POWERS_OF_TEN[decimals]
            out[i, row] = -value if negative else value
