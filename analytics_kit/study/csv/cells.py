"""Read the cells of CSV text as columns: by polars or, where a row is irregular, by `scan`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from analytics_kit.study.csv import scan

NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DECIMAL_COMMA_PATTERN = re.compile(r"[+-]?\d*,\d+")
FIRST_ROW_LINE = 2
"""The number of the line after the header."""
_BLANK_LINE = re.compile(rb"^[ \t]*\n", re.MULTILINE)


def parse_regular_cells(
    body: bytes, delimiter: str, quoted: bool, width: int, positions: Mapping[str, int], numeric: Collection[str] = ()
) -> pl.DataFrame | None:
    """Return the cells of a text in UTF-8 with a row on each line, or None if it is not certain to be one.

    Parameters
    ----------
    body
        The lines after the header.
    delimiter, quoted
        The character between cells, and whether a cell may stand in double quotes.
    width
        The number of cells of a row.
    positions
        The name and the position of each cell to return.
    numeric
        The names of cells that are numbers: float64, null if empty, or all text if one of them is no plain number.

    Returns
    -------
    DataFrame or None
        A row per line, with a column for each name in `positions`: text unless `numeric`, empty cells as "".
    """
    if not body or b"\r" in body or b"\0" in body or _has_blank_line(body):
        return None
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    has_quotes = quoted and b'"' in body
    sign = delimiter.encode()
    if not has_quotes and body.count(sign) != lines * (width - 1):
        return None
    # polars ignores an empty cell too many, and goes on after damaged quotes
    is_doubtful = has_quotes or sign + b"\n" in body or body.endswith(sign)
    if is_doubtful and not scan.is_regular(np.frombuffer(body, np.uint8), np.uint8(ord(delimiter)), width, quoted):
        return None
    # a cell may be requested as text and as a number
    as_text = {position for name, position in positions.items() if name not in numeric}
    for as_numbers in ({name for name in numeric if positions.get(name) not in as_text}, set[str]()):
        types: dict[str, type[pl.DataType]] = {str(position): pl.String for position in range(width)}
        types |= {str(positions[name]): pl.Float64 for name in as_numbers if name in positions}
        try:
            frame = pl.read_csv(
                body, has_header=False, schema=types, columns=sorted({*positions.values(), width - 1}),
                separator=delimiter, quote_char='"' if has_quotes else None, glob=False,
            )  # fmt: skip
        except pl.exceptions.PolarsError:
            continue
        # a row that is too short has a null at its end, as has one whose last cell is empty
        if len(frame) != lines or (has_quotes and frame[str(width - 1)].null_count()):
            return None
        return frame.select(
            pl.col(str(position)).alias(name)
            if name in as_numbers
            else pl.col(str(position)).fill_null("").alias(name)
            for name, position in positions.items()
        )
    return None


def parse_irregular_cells(
    body: bytes, delimiter: str, quoted: bool, width: int, positions: Mapping[str, int]
) -> pl.DataFrame:
    """Return the cells of any text in UTF-8, with the columns `line` and `problem`.

    `problem` is null, or the reason why the row can't be used: "missing_fields", "extra_fields", "open_quote".
    The parameters are those of `parse_regular_cells`.
    """
    raw = np.frombuffer(body, np.uint8)
    ends, lines = np.array([len(body)], np.int64), np.array([FIRST_ROW_LINE], np.int64)
    wanted = sorted({*positions.values()})
    frames = [pl.DataFrame(schema={**dict.fromkeys(positions, pl.String), "line": pl.Int64, "problem": pl.String})]
    for found in scan.find_rows(raw, ends, lines, scan.Dialect(delimiter, width, quoted), wanted):
        columns = {
            name: scan.read_text(raw, found.cells[:, wanted.index(position)], quoted)
            for name, position in positions.items()
        }
        problem = pl.Series(found.problems).replace_strict(
            scan.PROBLEM_NAMES, default=None, return_dtype=pl.String
        )  # fmt: skip
        frames.append(pl.DataFrame({**columns, "line": found.lines, "problem": problem}))
    return pl.concat(frames)


def _has_blank_line(body: bytes) -> bool:
    if body.startswith(b"\n") or b"\n\n" in body:
        return True
    has_leading_space = body[:1] in b" \t" or b"\n " in body or b"\n\t" in body
    return has_leading_space and _BLANK_LINE.search(body) is not None


def number_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return the finite number in each cell of a column, with a decimal point or comma; null if there is none."""
    number = pl.col(column)
    if dtype == pl.String:
        number = number.str.strip_chars().str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number).alias(column)


def microseconds_of(column: str) -> pl.Expr:
    """Return the microseconds since 1970 of each date with a time (ISO 8601); without a zone it is taken for UTC."""
    text = pl.col(column).str.strip_chars().str.replace("[Tt]", " ").str.replace(",", ".", literal=True)
    zoned = pl.when(text.str.contains(r"[+-]\d\d:?\d\d$")).then(text).otherwise(text.str.replace("[Zz]?$", "+0000"))
    moment = zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
    return moment.dt.epoch("us").cast(pl.Float64).alias(column)
