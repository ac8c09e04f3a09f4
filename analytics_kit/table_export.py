"""Export the tables of a result as JSON rows, CSV or Parquet, one chunk at a time.

The command line and the web server both write tables through this module.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_kit.errors import SettingsError
from analytics_kit.model import KINDS
from analytics_kit.study.result.result import StudyResult
from analytics_kit.visible_text import UNSHOWN, visible

FrameName = Literal["trials", "participants", "tasks", "factors", "issues", "members", "surveys"]
"""Tables that a StudyResult has as an attribute of the same name."""
TableName = Literal[
    FrameName, "mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown"
]  # fmt: skip
"""All tables of a result: those above, and the events of each kind."""
FileFormat = Literal["csv", "parquet"]
PARTICIPANT_TABLES = ("trials", "participants", "surveys", *KINDS)
"""Tables with a participant column."""
CHUNK_ROWS = 10_000
"""Rows per chunk of a table that is in memory already."""
EXPORT_BLOCK_BYTES = 1 << 16
_FORMULA = r"^(?:\s*[=+\-@＝＋－＠]|[\t\r\n])"  # noqa: RUF001  spreadsheets take full-width signs for formulas, too
_ACTS = re.compile(f"{_FORMULA}|[{UNSHOWN}]")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


@dataclass(frozen=True, slots=True)
class ChunkedTable:
    """A table to be read once, in chunks of whole rows with the same columns. An empty table has one empty chunk."""

    row_count: int
    chunks: Iterator[pd.DataFrame]


def read_table(result: StudyResult, name: str, participant: str | None = None) -> ChunkedTable:
    """Return a table of a result, or its rows of one participant.

    Events are read one participant at a time where the result stores them in that order.

    Parameters
    ----------
    result : StudyResult
    name : str
        One of `TableName`.
    participant : str, optional
        Keep only this participant's rows; an unknown participant gives an empty table.

    Raises
    ------
    SettingsError
        `participant` is given for a table without a participant column.
    """
    if participant is not None and name not in PARTICIPANT_TABLES:
        raise SettingsError(
            f"{name} has no participant column, so its rows can't be chosen by participant.",
            hint=f"These tables have one: {', '.join(PARTICIPANT_TABLES)}.",
        )
    if name not in KINDS:
        frame: pd.DataFrame = getattr(result, name)
        if participant is not None:
            frame = frame[(frame["participant"] == participant).fillna(False).astype(bool)]
        return ChunkedTable(len(frame), row_chunks(frame))
    if participant is not None:
        frame = result.events(name, participant=participant)
        return ChunkedTable(len(frame), iter([frame]))
    row_count = int(result.summary["events"].get(name, 0))
    participants = result.trials["participant"]
    runs = int(participants.ne(participants.shift()).sum())
    is_grouped = runs == participants.nunique() and not participants.isna().any()
    if not is_grouped or not row_count:
        return ChunkedTable(row_count, iter([result.events(name)]))
    return ChunkedTable(row_count, (result.events(name, participant=each) for each in participants.unique()))


def row_chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Return a table in memory in chunks of `CHUNK_ROWS` rows; an empty table gives one empty chunk."""
    return (frame.iloc[start : start + CHUNK_ROWS] for start in range(0, max(1, len(frame)), CHUNK_ROWS))


def read_page(table: ChunkedTable, offset: int, limit: int) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and at most `limit` rows from row `offset` on, as `json_rows` gives them.

    Chunks after the last row wanted are not read.
    """
    columns: list[str] = []
    rows: list[list[Any]] = []
    rows_read = 0
    for chunk in table.chunks:
        columns = list(chunk.columns)
        start = max(0, offset - rows_read)
        rows += json_rows(chunk.iloc[start : start + limit - len(rows)])
        rows_read += len(chunk)
        if len(rows) >= limit:
            break
    return columns, rows


def json_rows(frame: pd.DataFrame) -> list[list[Any]]:
    """Return the rows as Python numbers, strings and None; NA, NaN and infinities, which JSON lacks, become None.

    Examples
    --------
    >>> json_rows(pd.DataFrame({"trial": [1, 2], "path_length_px": [12.5, float("nan")]}))
    [[1, 12.5], [2, None]]
    """
    columns = []
    for name in frame.columns:
        column = frame[name]
        missing = column.isna().to_numpy(bool)
        if pd.api.types.is_float_dtype(column.dtype):
            missing = ~np.isfinite(column.to_numpy("float64", na_value=np.nan))
        values = column.astype(object).to_numpy(copy=True)
        values[missing] = None
        columns.append(values.tolist())
    return [list(row) for row in zip(*columns, strict=True)]


def csv_chunks(chunks: Iterable[pd.DataFrame], *, as_logged: bool = False) -> Iterator[bytes]:
    """Write CSV in UTF-8 with one header line, in which no text acts on a spreadsheet or a terminal.

    Parameters
    ----------
    chunks : iterable of DataFrame
        Consecutive rows of one table.
    as_logged : bool
        Write texts as they are. Otherwise an apostrophe precedes each text that a spreadsheet would run as a formula,
        and control characters are escaped as `visible` does; names of columns, too.

    Examples
    --------
    >>> frame = pd.DataFrame({"participant": ["=1+1"], "trials": [-2]})
    >>> b"".join(csv_chunks([frame])).split()
    [b'participant,trials', b"'=1+1,-2"]
    """
    header = True
    for chunk in chunks:
        frame = chunk if as_logged else _without_effects(chunk)
        yield frame.to_csv(index=False, header=header).encode(errors="backslashreplace")
        header = False


def _without_effects(frame: pd.DataFrame) -> pd.DataFrame:
    harmless = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        texts = column.astype("str")
        changed = {text: _harmless(text) for text in texts.dropna().unique() if _ACTS.search(text)}
        if changed:
            harmless[name] = column.where(~texts.isin(changed), texts.map(changed))
    return frame.assign(**harmless).rename(columns=_harmless)


def _harmless(text: object) -> str:
    text = str(text)
    is_formula = re.match(_FORMULA, text) is not None and re.fullmatch(_NUMBER, text) is None
    return ("'" if is_formula else "") + visible(text)


def parquet_chunks(chunks: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    """Write one Parquet file with a row group per chunk of `chunks`, in the types of the first.

    The file is complete on disk before its first bytes are yielded, so a read error can still be reported.
    """
    with tempfile.TemporaryFile() as file:
        writer: pq.ParquetWriter | None = None
        for chunk in chunks:
            schema = None if writer is None else writer.schema
            table = pa.Table.from_pandas(chunk, schema=schema, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        file.seek(0)
        while block := file.read(EXPORT_BLOCK_BYTES):
            yield block
