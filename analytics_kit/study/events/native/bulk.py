"""Parse a text with a row on each line, as the logger writes it, all at once."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.events.native.careful import required_columns

_HEADERS = {
    "keyboard": (b"Time,running_time,keys\n", b"Time,running_time,keys\r\n"),
    "mouse": (b"Time,running_time,x,y\n", b"Time,running_time,x,y\r\n"),
}
_EMPTY_KEY = re.compile(rb"^[^,\n]*,[^,\n]*,$", re.MULTILINE)
_LEADING_COLUMNS = {"clock": pl.Binary, "t": pl.Float64}
_SCHEMAS = {
    "keyboard": {**_LEADING_COLUMNS, "key": pl.String},
    "mouse": {**_LEADING_COLUMNS, "x": pl.Float64, "y": pl.Float64},
}


def header_family(kind: Kind) -> str:
    """Return which of the two headers files of a kind have."""
    return "keyboard" if kind == "keyboard" else "mouse"


def match_header(text: bytes, kind: Kind) -> bytes | None:
    """Return the logger's header with its line end if the text begins with it, else None."""
    for header in _HEADERS[header_family(kind)]:
        if text.startswith(header):
            return header
    return None


def is_regular(text: bytes, kind: Kind) -> bool:
    """Return whether each line of a text is a row."""
    if b"\r" in text or b"\0" in text:
        return False
    if kind != "keyboard":
        return text.isascii() and b'"' not in text
    # the logger quotes only a comma and a quote; any other quoted cell may hold a line break
    return _is_utf8(text) and text.count(b'"') == 2 * text.count(b',","\n') + 4 * text.count(b',""""\n')


def count_lines(text: bytes, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of lines of each piece of a text; piece i ends at ends[i]."""
    breaks = np.flatnonzero(_equals(text, b"\n"))
    return np.diff(np.searchsorted(breaks, ends), prepend=0)


def parse_rows(text: bytes, kind: Kind) -> pl.DataFrame | None:
    """Return the rows (t, x, y or t, key) of a text of whole lines, or None if a line is not a good row."""
    if not text or not is_regular(text, kind):
        return None
    cells = len(required_columns(kind))
    try:
        frame = pl.read_csv(
            text, has_header=False, schema=_SCHEMAS[header_family(kind)], columns=list(range(1, cells + 1)),
            quote_char='"' if kind == "keyboard" else None, glob=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None
    lines, commas = (int(np.count_nonzero(_equals(text, character))) for character in (b"\n", b","))
    if kind == "keyboard":
        commas -= text.count(b',","\n')
    if frame.height != lines or commas != lines * cells:
        return None
    if kind == "keyboard" and (empty := frame["key"].null_count()):
        # an empty key is valid, a missing one is not, and polars gives null for both
        if len(_EMPTY_KEY.findall(text)) != empty:
            return None
        frame = frame.with_columns(pl.col("key").fill_null(""))
    return frame if all(_is_complete(column) for column in frame) else None


def _equals(text: bytes, character: bytes) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = np.frombuffer(text, np.uint8) == ord(character)
    return equal


def _is_complete(column: pl.Series) -> bool:
    return not column.null_count() and (column.dtype != pl.Float64 or bool(column.is_finite().all()))


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
