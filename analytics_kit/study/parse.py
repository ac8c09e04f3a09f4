"""Is this text as the logger writes it, and if so, which rows are in it, parsed all at once?"""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.rows import needed

_HEADERS = {
    "keyboard": (b"Time,running_time,keys\n", b"Time,running_time,keys\r\n"),
    "mouse": (b"Time,running_time,x,y\n", b"Time,running_time,x,y\r\n"),
}
_EMPTY_KEY = re.compile(rb"^[^,\n]*,[^,\n]*,$", re.MULTILINE)
_START = {"clock": pl.Binary, "t": pl.Float64}
_SCHEMAS = {
    "keyboard": ({**_START, "key": pl.String},),
    "mouse": ({**_START, "x": pl.Int32, "y": pl.Int32}, {**_START, "x": pl.Float64, "y": pl.Float64}),
}
"""What the parser is told to find, the quickest first: coordinates are nearly always whole."""


def family(kind: Kind) -> str:
    """Which of the two headers files of a kind have."""
    return "keyboard" if kind == "keyboard" else "mouse"


def native_start(text: bytes, kind: Kind) -> bytes | None:
    """The logger's header, with its line end, if the text begins with it."""
    for header in _HEADERS[family(kind)]:
        if text.startswith(header):
            return header
    return None


def regular(body: bytes, kind: Kind, crlf: bool) -> bytes | None:
    """The body (what follows the header) with plain line ends if one line is one record in it, else None."""
    if crlf:
        body = body.replace(b"\r\n", b"\n")
    if body and not body.endswith(b"\n"):
        body += b"\n"
    if b"\r" in body or b"\0" in body:
        return None
    if kind != "keyboard":
        return body if body.isascii() and b'"' not in body else None
    if not body.isascii() and not _is_utf8(body):
        return None
    quotes = body.replace(b',","\n', b"\n").replace(b',""""\n', b"\n") if b'"' in body else body
    return None if b'"' in quotes else body


def count_lines(body: bytes) -> int:
    """Records of a regular body."""
    if len(body) < 10_000:
        return body.count(b"\n")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("\n")))


def parsed(text: bytes, records: int, kind: Kind) -> pl.DataFrame | None:
    """The rows (t, x, y or t, key) of a regular text of `records` lines; None where a line is not a good record."""
    frame = _frame(text, kind) if text else None
    if frame is None:
        return None
    commas = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(",")))
    if kind == "keyboard":
        commas -= text.count(b',","\n')
    if frame.height != records or commas != records * len(needed(kind)):
        return None
    if kind == "keyboard" and (empty := frame["key"].null_count()):
        # an empty key is valid, a missing one is not, and polars gives null for both
        if len(_EMPTY_KEY.findall(text)) != empty:
            return None
        frame = frame.with_columns(pl.col("key").fill_null(""))
    return frame if all(_is_good(column) for column in frame) else None


def _frame(text: bytes, kind: Kind) -> pl.DataFrame | None:
    for schema in _SCHEMAS[family(kind)]:
        try:
            return pl.read_csv(
                text, has_header=False, schema=schema, columns=list(range(1, len(schema))),
                quote_char='"' if kind == "keyboard" else None, glob=False,
            )  # fmt: skip
        except pl.exceptions.PolarsError:
            continue
    return None


def _is_good(column: pl.Series) -> bool:
    return not column.null_count() and (column.dtype != pl.Float64 or bool(column.is_finite().all()))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
