"""What does the kit ask of a format of logs that is not the platform's own?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from analytics_kit.errors import AnalyticsKitError, SettingsError
from analytics_kit.event_format import NAMES
from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.schema.issues import Issues

TrialNames = tuple[str | None, ...]
"""Participant, session, task, factor and trial, as they stand in the log."""
ROW_SCHEMA: dict[str, type[pl.DataType]] = {
    "line": pl.Int64, "problem": pl.String, "kind": pl.Categorical, "t": pl.Float64, "x": pl.Float64, "y": pl.Float64,
    "dx": pl.Float64, "dy": pl.Float64, "key": pl.String, "action": pl.Categorical,
    "release": pl.Float64,
}  # fmt: skip
"""The columns that are read of a record, besides the names; a log that has no such thing leaves a column out."""
UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""The units that times may have."""


class LogTable(NamedTuple):
    """The records of several files: `file` is the place among them, `broken` says why some could not be read."""

    rows: pl.DataFrame
    broken: Mapping[int, MemberUnreadableError]


class LogFormat(ABC):
    """A format of logs. Packages offer one by an entry point of the group `analytics_kit.formats`.

    What an entry point names is an EventFormat, or a class such as this one without arguments.
    """

    name: str
    time_unit: str = "s"
    """Of `t` and `release`: "s", "ms", "us" or "ns"."""
    time_origin: str = "log"
    """"log" where each trial starts at 0, "trial" where its first event is to become 0."""

    @abstractmethod
    def takes(self, path: str, start: str) -> bool:
        """Whether the file of this path, which starts with this text, is a log of this format."""

    @abstractmethod
    def kinds(self, path: str) -> Sequence[Kind]:
        """The kinds of events that such a file can hold."""

    @abstractmethod
    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """A row per data record, in the order of the file.

        `line`; `problem` (null, or the kind of issue why it can't be kept); `kind`; `t` in `time_unit`; for pointers
        `x`, `y` in px; for keys `key`, as pynput prints them, and `release` (in `time_unit`) where it is known;
        `action` ("press", "release") where it is; `dx`, `dy` in px; and `participant`, `session`, `task`, `factor`,
        `trial` as text. With `names_only` these five are enough. Raises MemberUnreadableError for what it can't read.
        """

    def names(self, path: str) -> TrialNames | None:
        """The names of the one trial that the file holds; None where its records tell.

        Raises MemberUnreadableError for a file that is no such log by its path.
        """
        return None

    def group(self, path: str) -> str:
        """The same text for files that may hold different kinds of one trial."""
        return path

    def read_all(self, files: Sequence[tuple[str, bytes]], issues: Issues, names_only: bool = False) -> LogTable:
        """`read` of many files, pairs of path and bytes. Raises SettingsError for what is against its own rules."""
        frames, broken = [], {}
        for number, (path, raw) in enumerate(files):
            try:
                read = cast_rows(self.read(path, raw, issues, names_only))
                frames.append(read if names_only else self._checked(path, read))
            except MemberUnreadableError as error:
                broken[number] = error
            except AnalyticsKitError:
                raise
            except Exception as error:  # its words may quote what was typed
                raise SettingsError(
                    f"The format {self.name!r} can't read {path}: {type(error).__name__}.", hint=_NOT_OURS
                ) from error
            else:
                frames[-1] = frames[-1].with_columns(pl.lit(number, pl.Int64).alias("file"))
        return LogTable(pl.concat(frames, how="diagonal") if frames else empty_rows(), broken)

    def _checked(self, path: str, table: pl.DataFrame) -> pl.DataFrame:
        """The records; those that lack what an event needs, or are of another kind than such a file's, are bad."""
        kinds = [*self.kinds(path)]
        if strange := [kind for kind in kinds if kind not in KINDS]:
            raise SettingsError(f"The format {self.name!r} has kinds that do not exist: {strange}.", hint=_NOT_OURS)
        pointers = any(kind != "keyboard" for kind in kinds)
        needed = ["line", "problem", "kind", "t"]
        needed += ["x", "y"] if pointers else []
        needed += ["key"] if "keyboard" in kinds else []
        if missing := [name for name in needed if name not in table.columns]:
            message = f"The format {self.name!r} gave no column {', '.join(missing)} for {path}."
            raise SettingsError(message, hint=_NOT_OURS)
        kind = pl.col("kind").cast(pl.String)
        known = {name: pl.col(name).is_finite().fill_null(False) for name in "txy"}
        place = (known["x"] & known["y"]) | (kind == "keyboard") if pointers else pl.lit(True)
        problems = [
            pl.col("problem"),
            pl.when(~kind.is_in(kinds).fill_null(False)).then(pl.lit("unknown_kind")),
            pl.when(~(known["t"] & place)).then(pl.lit("not_a_number")),
        ]
        return table.with_columns(pl.coalesce(problems).alias("problem"))


_NOT_OURS = "Tell those who made the format, or describe the log by an EventFormat."
_COLUMNS: dict[str, type[pl.DataType]] = {"file": pl.Int64, **ROW_SCHEMA, **dict.fromkeys(NAMES, pl.String)}


def empty_rows() -> pl.DataFrame:
    """Not made once and for all: a parent process that has run polars deadlocks its children."""
    return pl.DataFrame(schema=_COLUMNS)


def cast_rows(table: pl.DataFrame) -> pl.DataFrame:
    """The columns that are known, each in its type."""
    return table.select(pl.col(name).cast(kind) for name, kind in _COLUMNS.items() if name in table.columns)
