"""The rows read so far, as arrays that grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.schema.compiling import Codes, Floats


class RowBuffers:
    """t, x and y, or t and the classes of keys, of which the keys themselves are kept where that is asked for.

    Room for `rows` is set aside at once: memory that nobody writes to costs nothing, copying what was read does.
    """

    def __init__(self, kind: Kind, rows: int) -> None:
        keyboard = kind == "keyboard"
        self._numbers = np.empty((1 if keyboard else 3, rows))
        self._codes: Codes = np.empty(rows if keyboard else 0, np.int8)
        self._keys: list[pl.Series] = []
        self.rows = 0

    def room(self, rows: int) -> tuple[tuple[Floats, ...], Codes]:
        """Where at most so many rows may be written next; `rows` has to be raised by who does."""
        width, have = self._numbers.shape
        if have < self.rows + rows:
            grown = max(self.rows + rows, 2 * have)
            numbers, codes = np.empty((width, grown)), np.empty(grown if len(self._codes) else 0, np.int8)
            numbers[:, : self.rows] = self.numbers
            codes[: self.rows] = self.codes
            self._numbers, self._codes = numbers, codes
        return tuple(column[self.rows :] for column in self._numbers), self._codes[self.rows :]

    def add(self, numbers: Sequence[npt.ArrayLike], codes: Codes | None, keys: pl.Series | None) -> None:
        """Append rows."""
        count = np.size(numbers[0])
        columns, free = self.room(count)
        for column, values in zip(columns, numbers, strict=True):
            column[:count] = values
        if codes is not None:
            free[:count] = codes
        if keys is not None:
            self._keys.append(keys)
        self.rows += count

    def cut(self, rows: int) -> None:
        """Forget all but the first rows; a block of keys was added as a whole."""
        self.rows = rows
        while sum(map(len, self._keys)) > rows:
            self._keys.pop()

    @property
    def numbers(self) -> list[Floats]:
        """The columns of numbers."""
        return [column[: self.rows] for column in self._numbers]

    @property
    def codes(self) -> Codes:
        """The classes of keys."""
        return self._codes[: self.rows]

    @property
    def keys(self) -> pl.Series:
        """The keys."""
        return pl.concat([pl.Series(dtype=pl.String), *self._keys])
