"""Write event tables as Parquet that is small, exact, and readable one trial at a time.

Times and coordinates that are all whole centiseconds and pixels are stored as integers, others as float64. No value
is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics_kit.study.events.table import EventTable, Grouped
from analytics_kit.study.schema.columns import TRIAL_INDEX
from analytics_kit.study.schema.compiling import Floats, kernel
from analytics_kit.study.schema.keys import KEY_CLASSES

ROW_GROUP_ROWS = 256_000
LARGEST_INTEGER = 2_000_000_000
_ACTIONS = ("press", "release")


@kernel
def _whole(values: Floats, scale: float, out: npt.NDArray[np.int32]) -> bool:
    """Write `values * scale` to `out`; return False if one is not whole, is -0, or is out of range."""
    whole = True
    for i in range(len(values)):  # without an early exit the loop is vectorised
        scaled = np.rint(values[i] * scale)
        fits = (
            (abs(scaled) <= LARGEST_INTEGER) & (scaled / scale == values[i]) & (np.signbit(values[i]) == (scaled < 0))
        )
        whole &= fits
        out[i] = np.int32(scaled) if fits else 0
    return whole


def pack(values: Floats, scale: float) -> npt.NDArray[np.int32] | None:
    """Return the values as whole multiples of 1/scale; None if one of them is not."""
    out = np.empty(len(values), np.int32)
    return out if _whole(values, scale, out) else None


def _coded(codes: npt.NDArray[np.int8], words: Sequence[str]) -> pa.Array:
    """Return the words of the codes as a dictionary column; a negative code is NA."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(words))


def write_events(file: IO[bytes], group: Grouped, first_trial: int) -> None:
    """Write the events of a shard whose first trial has the index `first_trial` in the study."""
    table: EventTable = group.table
    counts = group.ends - group.starts
    columns = {
        TRIAL_INDEX: pa.array(np.repeat(np.arange(first_trial, first_trial + len(counts), dtype=np.int32), counts))
    }
    numbers = [("t_s", table.t, 100.0)]
    if table.kind != "keyboard":
        numbers += [("x_px", table.x, 1.0), ("y_px", table.y, 1.0)]
    for name, values, scale in numbers:
        whole = pack(values, scale)
        stored = "t_cs" if name == "t_s" and whole is not None else name
        columns[stored] = pa.array(values if whole is None else whole)
    if len(table.action):
        columns["action"] = _coded(table.action, _ACTIONS)
    elif table.kind == "mouse_clicks":
        alternating = (np.arange(len(table.t)) - np.repeat(group.starts, counts)) % 2
        odd = np.repeat(counts % 2 == 1, counts)
        columns["action"] = _coded(np.where(odd, -1, alternating).astype(np.int8), _ACTIONS)
    if table.kind == "keyboard":
        if table.key is not None:
            columns["key"] = pc.dictionary_encode(table.key.to_arrow().cast(pa.string()))
        columns["key_class"] = _coded(table.key_class, KEY_CLASSES)
    write_columns(file, columns)


def write_columns(file: IO[bytes], columns: Mapping[str, pa.Array]) -> None:
    """Write the stored columns of an event table; integers are stored as differences, so they have to be int32."""
    whole_numbers = [name for name, column in columns.items() if column.type == pa.int32()]
    schema = pa.schema([pa.field(name, column.type, column.null_count > 0) for name, column in columns.items()])
    pq.write_table(
        pa.table(dict(columns), schema), file, row_group_size=ROW_GROUP_ROWS, compression="lz4",
        write_statistics=[TRIAL_INDEX],
        use_dictionary=[name for name, column in columns.items() if pa.types.is_dictionary(column.type)],
        column_encoding=dict.fromkeys(whole_numbers, "DELTA_BINARY_PACKED"),
    )  # fmt: skip
