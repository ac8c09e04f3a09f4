"""How event tables are written: Parquet that is small, exact, and readable a trial at a time.

Where all values are whole centiseconds and pixels they are stored as integers, else as float64; never rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
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

ROW_GROUP = 256_000
LARGEST = 2_000_000_000
_ACTIONS = ("press", "release")


@kernel
def _whole(values: Floats, scale: float, out: npt.NDArray[np.int32]) -> bool:
    """Write `values * scale` as whole numbers; False where one of them is none, is -0, or is out of range."""
    whole = True
    for i in range(len(values)):  # to the end in any case: a loop without a way out is done several values at a time
        scaled = np.rint(values[i] * scale)
        fits = (abs(scaled) <= LARGEST) & (scaled / scale == values[i]) & (np.signbit(values[i]) == (scaled < 0))
        whole &= fits
        out[i] = np.int32(scaled) if fits else 0
    return whole


def pack(values: Floats, scale: float) -> npt.NDArray[np.int32] | None:
    """The values as whole numbers of 1/scale, None where they are not."""
    out = np.empty(len(values), np.int32)
    return out if _whole(values, scale, out) else None


def _coded(codes: npt.NDArray[np.int8], words: Sequence[str]) -> pa.Array:
    """Strings from codes; a negative code is NA."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(words))


def write_events(file: IO[bytes], group: Grouped, first_trial: int) -> None:
    """Write a table whose trials are numbered from `first_trial` on."""
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
        turn = (np.arange(len(table.t)) - np.repeat(group.starts, counts)) % 2
        odd = np.repeat(counts % 2 == 1, counts)
        columns["action"] = _coded(np.where(odd, -1, turn).astype(np.int8), _ACTIONS)
    if table.kind == "keyboard":
        if table.key is not None:
            columns["key"] = pc.dictionary_encode(table.key.to_arrow().cast(pa.string()))
        columns["key_class"] = _coded(table.key_class, KEY_CLASSES)
    whole_numbers = [name for name, column in columns.items() if column.type == pa.int32()]
    schema = pa.schema([pa.field(name, column.type, column.null_count > 0) for name, column in columns.items()])
    pq.write_table(
        pa.table(columns, schema), file, row_group_size=ROW_GROUP, compression="lz4", write_statistics=[TRIAL_INDEX],
        use_dictionary=[name for name, column in columns.items() if pa.types.is_dictionary(column.type)],
        column_encoding=dict.fromkeys(whole_numbers, "DELTA_BINARY_PACKED"),
    )  # fmt: skip
