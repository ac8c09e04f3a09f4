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
class MemberRows:
    """What became of a member: which rows of the table are its, and on which lines they stood."""

    member: str
    slot: int
    rows_in: int = 0
    rows_kept: int = 0
    clock: str = ""
    readable: bool = True
    lines: list[tuple[int, Sequence[int] | Ints | None, int]] = field(default_factory=list)
    """(first line, lines one by one where they are not consecutive, rows) of each piece."""

    def line_of(self, row: int) -> int:
        """Line of the member's `row`th kept row."""
        for first, exact, count in self.lines:
            if row < count:
                return first + row if exact is None else int(exact[row])
            row -= count
        return 0


@dataclass(slots=True)
class EventTable:
    """Rows of one kind, grouped by trial slot in the order of `members`. A column that the log lacks is empty.

    `action` is 0 for a press and 1 for a release, `key_number` says which key it was and means nothing outside this
    table, `press_number` is the same for a press and its release where the log itself tells, `dx` and `dy` are the
    wheel's steps in pixels.
    """

    kind: Kind
    members: list[MemberRows]
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
    """Class codes of a column of keys."""
    if keys.is_empty():
        return np.empty(0, np.int8)
    known = keys.unique().to_list()
    codes = pl.Series([KEY_CLASS_CODES[classify_key(key)] for key in known], dtype=pl.Int8)
    return keys.replace_strict(known, codes, return_dtype=pl.Int8).to_numpy(writable=True)


_PERMUTED = ("t", "x", "y", "key_class", "action", "key_number", "press_number", "dx", "dy")


class Grouped:
    """A table's rows by trial: rows `starts[i]` to `ends[i]` are trial i's, `present[i]` says if it has a file."""

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
        """Bring each trial's rows in the order of their times; rows of equal times stay as they were."""
        table = self.table
        everything = np.arange(len(table.t)) if table.key is not None else None
        for i in quality_flags.find_unsorted(table.t, self.starts, self.ends):
            part = slice(self.starts[i], self.ends[i])
            order = np.argsort(table.t[part], kind="stable")
            for name in _PERMUTED:
                column = getattr(table, name)
                if len(column):
                    column = column if column.flags.writeable else column.copy()
                    column[part] = column[part][order]
                    setattr(table, name, column)
            if everything is not None:
                everything[part] = everything[part][order]
        if table.key is not None and everything is not None:
            table.key = table.key.gather(everything)
