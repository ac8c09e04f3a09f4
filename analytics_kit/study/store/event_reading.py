"""Read stored event tables, only the row groups and columns that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics_kit.study.schema.columns import TRIAL_INDEX


def read_stored_events(file: IO[bytes], trials: Sequence[int] | None, columns: Sequence[str]) -> pa.Table:
    """Return the columns of the events of some trials, with their trial index, in the order of the file.

    Parameters
    ----------
    file : binary file
        Parquet that `event_parquet.write_events` wrote.
    trials : sequence of int or None
        Trial indices; None reads all.
    columns : sequence of str
        Public columns: `t_s`, `x_px`, `y_px`, `key`, `key_class`, `action`. One that is not stored is
        NA, except that all keys without an action are presses.
    """
    parquet = pq.ParquetFile(file)
    stored = parquet.schema_arrow.names
    wanted = [name for name in ("t_cs" if c == "t_s" and "t_cs" in stored else c for c in columns) if name in stored]
    chosen = list(range(parquet.num_row_groups))
    if trials is not None:
        ends = [_trial_range(parquet, group) for group in chosen]
        chosen = [g for g, (low, high) in zip(chosen, ends, strict=True) if any(low <= i <= high for i in trials)]
    table = parquet.read_row_groups(chosen, columns=[TRIAL_INDEX, *wanted])
    if trials is not None:
        table = table.filter(pc.is_in(table[TRIAL_INDEX], pa.array(trials, pa.int32())))
    return pa.table({TRIAL_INDEX: table[TRIAL_INDEX]} | {name: _logical(table, name) for name in columns})


def _trial_range(parquet: pq.ParquetFile, group: int) -> tuple[int, int]:
    statistics = parquet.metadata.row_group(group).column(0).statistics
    return statistics.min, statistics.max


def _logical(table: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    """Return a column in its public type, float64 or string; NA if it is not stored."""
    if name == "t_s" and "t_cs" in table.column_names:
        return pa.array(table["t_cs"].to_numpy() / 100.0)
    if name in table.column_names:
        column = table[name]
        return column.cast(pa.string() if pa.types.is_dictionary(column.type) else pa.float64())
    if name == "action":  # the keyboard log has presses only
        return pa.repeat(pa.scalar("press"), len(table))
    return pa.nulls(len(table), pa.string())
