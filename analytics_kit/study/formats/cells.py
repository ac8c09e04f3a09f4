"""The cells of a file with a record on each line, as columns of text: all at once, or record by record where odd."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import polars as pl

from analytics_kit.study.rows import records

_BLANK_LINE = re.compile(r"^[ \t]*\n", re.MULTILINE)


def cells_of(body: str, delimiter: str, quoted: bool, width: int, places: Mapping[str, int]) -> pl.DataFrame:
    """A row per record of a text whose first line is line 2 of a file with `width` columns.

    `places` says which cells are wanted and how they are called. Besides, `line`, and `problem`: null, or why the
    record is none ("missing_fields", "extra_fields", "open_quote"). An empty cell is an empty text.
    """
    frame = _all_at_once(body, delimiter, quoted, width, places)
    return _one_by_one(body, delimiter, quoted, width, places) if frame is None else frame


def _all_at_once(
    body: str, delimiter: str, quoted: bool, width: int, places: Mapping[str, int]
) -> pl.DataFrame | None:
    """None where a line is not a record."""
    if not body or "\r" in body or "\0" in body or _BLANK_LINE.search(body):
        return None
    lines = body.count("\n") + (not body.endswith("\n"))
    quotes = quoted and '"' in body
    if not quotes and body.count(delimiter) != lines * (width - 1):
        return None
    last = width - 1
    wanted = sorted({*places.values(), last})
    try:
        frame = pl.read_csv(
            body.encode(), has_header=False, schema={str(place): pl.String for place in range(width)},
            columns=wanted, separator=delimiter, quote_char='"' if quotes else None, glob=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None
    if len(frame) != lines or (quotes and frame[str(last)].null_count()):  # short, or with an empty last cell
        return None
    columns = {name: frame[str(place)].fill_null("") for name, place in places.items()}
    line = pl.int_range(2, lines + 2, dtype=pl.Int64, eager=True)
    return pl.DataFrame({**columns, "line": line}).with_columns(pl.lit(None, pl.String).alias("problem"))


def _one_by_one(body: str, delimiter: str, quoted: bool, width: int, places: Mapping[str, int]) -> pl.DataFrame:
    columns: dict[str, list[str]] = {name: [] for name in places}
    lines, problems = list[int](), list[str | None]()
    for line, cells in records(body, delimiter, width, 2) if quoted else _plain(body, delimiter):
        problem = _problem(cells, width)
        for name, place in places.items():
            columns[name].append(cells[place] if cells and place < len(cells) else "")
        lines.append(line)
        problems.append(problem)
    schema = {**dict.fromkeys(places, pl.String), "line": pl.Int64, "problem": pl.String}
    return pl.DataFrame({**columns, "line": lines, "problem": problems}, schema)


def _plain(body: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(body.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 2):
        if line.strip():
            yield number, line.split(delimiter)


def _problem(cells: list[str] | None, width: int) -> str | None:
    if cells is None:
        return "open_quote"
    return None if len(cells) == width else "missing_fields" if len(cells) < width else "extra_fields"
