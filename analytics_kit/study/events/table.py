"""Hold the events of one kind in a shard as arrays, grouped by trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.events import quality_flags
from analytics_kit.study.schema.compiling import Codes, Floats, Ints
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, classify_key


@dataclass(slots=True)
class ReadMember:
    """A member that was read: its rows in a table, and the lines they come from.

    Attributes
    ----------
    member, slot
        Its name, and the slot of its trial in the shard.
    rows_in, rows_kept
        The number of its rows, and of those that are in the table.
    clock
        The wall clock of its first kept row, as text; empty if the log has none.
    readable
        Whether its bytes could be read.
    lines
        (first line, lines of the rows if they are not consecutive, number of rows) of each piece.
    """

    member: str
    slot: int
    rows_in: int = 0
    rows_kept: int = 0
    clock: str = ""
    readable: bool = True
    lines: list[tuple[int, Sequence[int] | Ints | None, int]] = field(default_factory=list)

    def line_of(self, row: int) -> int:
        """Return the line of the kept row at this index."""
        for first, exact, count in self.lines:
            if row < count:
                return first + row if exact is None else int(exact[row])
            row -= count
        return 0


@dataclass(slots=True)
class EventTable:
    """The rows of one kind of events in a shard, grouped by slot in the order of `members`.

    All columns are one-dimensional arrays with a value per row; a column that the log lacks is empty.

    Attributes
    ----------
    kind
        The kind of events.
    members
        The members that can hold the kind, in the order of their rows.
    t
        float64, s: running time since the start of the trial.
    x, y
        float64, px: position of the pointer, y downwards.
    key_class
        int8: class of the key, a value of `KEY_CLASS_CODES`.
    key
        The keys themselves, as pynput prints them; None unless they are kept.
    action
        int8: 0 (`PRESS`) or 1 (`RELEASE`).
    key_number
        int64: the same for the same key. It has no meaning outside this table.
    press_number
        int64: the same for a press and its release, if the log pairs them.
    dx, dy
        float64, px: steps of the wheel.

    See Also
    --------
    Grouped : The rows of each trial.
    """

    kind: Kind
    members: list[ReadMember]
    t: Floats
    x: Floats
    y: Floats
    key_class: Codes
    key: pl.Series | None
    action: Codes = field(default_factory=lambda: np.empty(0, np.int8))
    key_number: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    press_number: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    dx: Floats = field(default_factory=lambda: np.empty(0))
    dy: Floats = field(default_factory=lambda: np.empty(0))


def classify_keys(keys: pl.Series) -> Codes:
    """Return the class code of each key."""
    if keys.is_empty():
        return np.empty(0, np.int8)
    distinct = keys.unique().to_list()
    codes = pl.Series([KEY_CLASS_CODES[classify_key(key)] for key in distinct], dtype=pl.Int8)
    return keys.replace_strict(distinct, codes, return_dtype=pl.Int8).to_numpy(writable=True)


_ROW_COLUMNS = ("t", "x", "y", "key_class", "action", "key_number", "press_number", "dx", "dy")


class Grouped:
    """A table with its rows by trial.

    Attributes
    ----------
    table
        The table.
    starts, ends
        int64, one per slot: rows `starts[i]` to `ends[i]` are of the trial in slot i.
    present
        int64, one per slot: 1 if the trial has a readable file of this kind, else 0.

    Examples
    --------
    >>> t, x, no_codes = np.array([0.5, 0.1]), np.array([4.0, 3.0]), np.empty(0, np.int8)
    >>> member = ReadMember("a.csv", slot=1, rows_in=2, rows_kept=2)
    >>> grouped = Grouped(EventTable("mouse_movement", [member], t, x, x.copy(), no_codes, None), trials=2)
    >>> grouped.sort_by_time()
    >>> grouped.table.x.tolist(), grouped.starts.tolist(), grouped.ends.tolist(), grouped.present.tolist()
    ([3.0, 4.0], [0, 0], [0, 2], [0, 1])
    """

    def __init__(self, table: EventTable, trials: int) -> None:
        self.table = table
        rows = np.zeros(trials, np.int64)
        self.present = np.zeros(trials, np.int64)
        for member in table.members:
            rows[member.slot] += member.rows_kept
            self.present[member.slot] |= member.readable
        self.ends: Ints = np.cumsum(rows)
        self.starts: Ints = self.ends - rows

    def sort_by_time(self) -> None:
        """Sort the rows of each trial by time, in place; rows of equal times keep their order."""
        table = self.table
        order_of_keys = np.arange(len(table.t)) if table.key is not None else None
        for i in quality_flags.find_unsorted(table.t, self.starts, self.ends):
            rows = slice(self.starts[i], self.ends[i])
            order = np.argsort(table.t[rows], kind="stable")
            for name in _ROW_COLUMNS:
                column = getattr(table, name)
                if len(column):
                    column = column if column.flags.writeable else column.copy()
                    column[rows] = column[rows][order]
                    setattr(table, name, column)
            if order_of_keys is not None:
                order_of_keys[rows] = order_of_keys[rows][order]
        if table.key is not None and order_of_keys is not None:
            table.key = table.key.gather(order_of_keys)
