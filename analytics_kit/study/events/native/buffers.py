"""Hold the rows read so far in arrays that grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.schema.compiling import Codes, Floats


class RowBuffers:
    """Columns t, x and y, or t, the class codes of keys and, on request, the keys.

    Space for `rows` is reserved at once: memory that is never written costs nothing, copying what was read does.
    """

    def __init__(self, kind: Kind, rows: int) -> None:
        keyboard = kind == "keyboard"
        self._numbers = np.empty((1 if keyboard else 3, rows))
        self._codes: Codes = np.empty(rows if keyboard else 0, np.int8)
        self._keys: list[pl.Series] = []
        self.rows = 0

    def free(self, rows: int) -> tuple[tuple[Floats, ...], Codes]:
        """Return the free ends of the columns, of at least `rows`; the caller adds what it writes to `self.rows`."""
        width, reserved = self._numbers.shape
        if reserved < self.rows + rows:
            grown = max(self.rows + rows, 2 * reserved)
            numbers, codes = np.empty((width, grown)), np.empty(grown if len(self._codes) else 0, np.int8)
            numbers[:, : self.rows] = self.numbers
            codes[: self.rows] = self.codes
            self._numbers, self._codes = numbers, codes
        return tuple(column[self.rows :] for column in self._numbers), self._codes[self.rows :]

    def add(self, numbers: Sequence[npt.ArrayLike], codes: Codes | None, keys: pl.Series | None) -> None:
        """Append rows."""
        count = np.size(numbers[0])
        columns, free_codes = self.free(count)
        for column, values in zip(columns, numbers, strict=True):
            column[:count] = values
        if codes is not None:
            free_codes[:count] = codes
        if keys is not None:
            self._keys.append(keys)
        self.rows += count

    def truncate(self, rows: int) -> None:
        """Keep only the first rows, which end where a block of keys ends."""
        self.rows = rows
        while sum(map(len, self._keys)) > rows:
            self._keys.pop()

    @property
    def numbers(self) -> list[Floats]:
        """Return the columns of numbers."""
        return [column[: self.rows] for column in self._numbers]

    @property
    def codes(self) -> Codes:
        """Return the class codes of keys."""
        return self._codes[: self.rows]

    @property
    def keys(self) -> pl.Series:
        """Return the keys."""
        return pl.concat([pl.Series(dtype=pl.String), *self._keys])
