"""How do tables of a result leave as JSON, CSV or Parquet, a part at a time?"""

from __future__ import annotations

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

TableName = Literal[
    "trials", "participants", "tasks", "factors", "issues", "members", "surveys",
    "mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard", "mouse_unknown",
]  # fmt: skip
BY_PARTICIPANT = ("trials", "participants", "surveys", *KINDS)
"""Tables that say which participant a row is of."""
ROWS = 10_000
"""So many rows of a table that is in memory are written at once."""
BLOCK_BYTES = 1 << 16
_RUNS = r"^(?:\s*[=+\-@＝＋－＠]|[\t\r\n])"  # noqa: RUF001  the wide signs run too
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be read in parts, each of whole rows and of the same columns; there is at least one part."""

    total: int
    parts: Iterator[pd.DataFrame]


def table_of(result: StudyResult, name: str, participant: str | None = None) -> Table:
    """A table, or its rows of one participant.

    Of events no more than one participant is in memory. Raises SettingsError for a table that does not say whose
    its rows are.
    """
    if participant is not None and name not in BY_PARTICIPANT:
        raise SettingsError(
            f"Rows of {name} are not of one participant.", hint=f"Those of {', '.join(BY_PARTICIPANT)} are."
        )
    if name not in KINDS:
        frame: pd.DataFrame = getattr(result, name)
        if participant is not None:
            frame = frame[(frame["participant"] == participant).fillna(False).astype(bool)]
        starts = range(0, max(1, len(frame)), ROWS)
        return Table(len(frame), (frame.iloc[start : start + ROWS] for start in starts))
    if participant is not None:
        frame = result.events(name, participant=participant)
        return Table(len(frame), iter([frame]))
    total = int(result.summary["events"].get(name, 0))
    people = result.trials["participant"]
    together = int(people.ne(people.shift()).sum()) == people.nunique() and not people.isna().any()
    if not together or not total:
        return Table(total, iter([result.events(name)]))
    return Table(total, (result.events(name, participant=one) for one in people.unique()))


def rows_of(table: Table, offset: int, limit: int) -> tuple[list[str], list[list[Any]]]:
    """Columns, and at most `limit` rows from row `offset` on, as JSON can say them: NA and infinity are None."""
    columns: list[str] = []
    rows: list[list[Any]] = []
    passed = 0
    for part in table.parts:
        columns = list(part.columns)
        begin = max(0, offset - passed)
        rows += plain(part.iloc[begin : begin + limit - len(rows)])
        passed += len(part)
        if len(rows) >= limit:
            break
    return columns, rows


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    """The rows as Python's own numbers, texts and None."""
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


def csv_of(parts: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    """CSV in UTF-8, with a header. A text that a spreadsheet would run begins with an apostrophe."""
    header = True
    for part in parts:
        yield _harmless(part).to_csv(index=False, header=header).encode()
        header = False


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    changed = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        texts = column.astype("str")
        runs = (texts.str.contains(_RUNS) & ~texts.str.fullmatch(_NUMBER)).fillna(False).astype(bool)
        if runs.any():
            changed[name] = column.where(~runs, "'" + texts)
    return frame.assign(**changed)


def parquet_of(parts: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    """A Parquet file. It is written to the disk first: what it holds is told at its end."""
    with tempfile.TemporaryFile() as file:
        writer: pq.ParquetWriter | None = None
        for part in parts:
            schema = None if writer is None else writer.schema
            piece = pa.Table.from_pandas(part, schema=schema, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(file, piece.schema)
            writer.write_table(piece)
        if writer is not None:
            writer.close()
        file.seek(0)
        while block := file.read(BLOCK_BYTES):
            yield block
