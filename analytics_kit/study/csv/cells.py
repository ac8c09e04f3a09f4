"""The cells of a file with a record on each line, as columns: all at once, or record by record where it is odd."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import polars as pl

from analytics_kit.study.csv.records import split_rows

_BLANK_LINE = re.compile(rb"^[ \t]*\n", re.MULTILINE)
FIRST_ROW_LINE = 2
"""Of what follows the header."""


def parse_regular_cells(
    body: bytes, delimiter: str, quoted: bool, width: int, places: Mapping[str, int], numeric: Collection[str] = ()
) -> pl.DataFrame | None:
    """A row per line of a text in UTF-8; None where a line is no record of `width` cells, or can't be told to be one.

    `places` says which cells are wanted and how they are called. They are text, empty ones too; `numeric` ones are
    numbers (null where empty), or all text where one of them is no plain number.
    """
    if not body or b"\r" in body or b"\0" in body or _has_blank_line(body):
        return None
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    quotes = quoted and b'"' in body
    if not quotes and body.count(delimiter.encode()) != lines * (width - 1):
        return None
    texts = {place for name, place in places.items() if name not in numeric}  # a cell may be wanted as both
    for as_numbers in ({name for name in numeric if places.get(name) not in texts}, set[str]()):
        kinds: dict[str, type[pl.DataType]] = {str(place): pl.String for place in range(width)}
        kinds |= {str(places[name]): pl.Float64 for name in as_numbers if name in places}
        try:
            frame = pl.read_csv(
                body, has_header=False, schema=kinds, columns=sorted({*places.values(), width - 1}),
                separator=delimiter, quote_char='"' if quotes else None, glob=False,
            )  # fmt: skip
        except pl.exceptions.PolarsError:
            continue
        if len(frame) != lines or (quotes and frame[str(width - 1)].null_count()):  # short, or empty at the end
            return None
        return frame.select(
            pl.col(str(place)).alias(name) if name in as_numbers else pl.col(str(place)).fill_null("").alias(name)
            for name, place in places.items()
        )
    return None


def parse_irregular_cells(
    body: bytes, delimiter: str, quoted: bool, width: int, places: Mapping[str, int]
) -> pl.DataFrame:
    """A row per record of any text in UTF-8 that follows a header: the cells wanted, `line` and `problem`.

    `problem` is null or why the record is none: "missing_fields", "extra_fields", "open_quote".
    """
    columns: dict[str, list[str]] = {name: [] for name in places}
    lines, problems = list[int](), list[str | None]()
    text = body.decode()
    for line, cells in split_rows(text, delimiter, width, FIRST_ROW_LINE) if quoted else _plain(text, delimiter):
        for name, place in places.items():
            columns[name].append(cells[place] if cells and place < len(cells) else "")
        lines.append(line)
        problems.append(_problem(cells, width))
    schema = {**dict.fromkeys(places, pl.String), "line": pl.Int64, "problem": pl.String}
    return pl.DataFrame({**columns, "line": lines, "problem": problems}, schema)


def _has_blank_line(body: bytes) -> bool:
    if body.startswith(b"\n") or b"\n\n" in body:
        return True
    spaced = body[:1] in b" \t" or b"\n " in body or b"\n\t" in body
    return spaced and _BLANK_LINE.search(body) is not None


def _plain(body: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, FIRST_ROW_LINE):
        if line.strip():
            yield number, line.split(delimiter)


def _problem(cells: list[str] | None, width: int) -> str | None:
    if cells is None:
        return "open_quote"
    return None if len(cells) == width else "missing_fields" if len(cells) < width else "extra_fields"
