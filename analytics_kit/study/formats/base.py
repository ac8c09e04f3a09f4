"""Define `LogFormat`, the class from which a format of logs other than the platform's own is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from analytics_kit.errors import AnalyticsKitError, SettingsError
from analytics_kit.event_format import TRIAL_KEYS
from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.schema.issues import Issues

TrialNames = tuple[str | None, ...]
"""Participant, session, task, factor and trial, as the log has them."""
ROW_SCHEMA: dict[str, type[pl.DataType]] = {
    "line": pl.Int64, "problem": pl.String, "kind": pl.Categorical, "t": pl.Float64, "x": pl.Float64, "y": pl.Float64,
    "dx": pl.Float64, "dy": pl.Float64, "key": pl.String, "action": pl.Categorical,
    "release": pl.Float64,
}  # fmt: skip
"""The columns of a row besides the names of its trial; a column that a log lacks is left out."""
UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""The units that times may have."""


class LogTable(NamedTuple):
    """The rows of several files, with the index of the file in column `file`, and the errors of unreadable ones."""

    rows: pl.DataFrame
    broken: Mapping[int, MemberUnreadableError]


class LogFormat(ABC):
    """A format of logs that a package provides.

    Derive a class that takes no arguments, set its attributes, implement `takes`, `kinds` and `read`, and name it in
    an entry point of the group `analytics_kit.formats`. The name of the entry point is the value of `format=`.
    Override `names` and `group` if paths name the trials. A log with a header and a row on each line needs no class:
    an `analytics_kit.EventFormat` describes it, and an entry point may name that too.

    Attributes
    ----------
    name
        Its name in error messages.
    time_unit
        The unit of the columns `t` and `release`: "s", "ms", "us" or "ns".
    time_origin
        "log" if the times of each trial start at 0; "trial" if they go on through the session, so that the first
        event of each trial becomes 0 s.

    See Also
    --------
    analytics_kit.EventFormat : Describe a log without a class.
    analytics_kit.study.archive.base.MemberUnreadableError : Raise it for a file that can't be read.

    Examples
    --------
    A format for files with an x and a y coordinate on each line, a sample every 10 ms:

    >>> import polars as pl
    >>> class Samples(LogFormat):
    ...     name = "samples"
    ...     time_unit = "ms"
    ...     def takes(self, path, start):
    ...         return path.endswith(".xy")
    ...     def kinds(self, path):
    ...         return ["mouse_movement"]
    ...     def names(self, path):
    ...         return (path.removesuffix(".xy"), None, None, None, None)
    ...     def read(self, path, raw, issues, names_only=False):
    ...         rows = [line.split() for line in raw.decode().splitlines()]
    ...         return pl.DataFrame({
    ...             "line": range(1, len(rows) + 1), "problem": None, "kind": "mouse_movement",
    ...             "t": [10.0 * i for i in range(len(rows))],
    ...             "x": [float(x) for x, _ in rows], "y": [float(y) for _, y in rows],
    ...         })
    >>> Samples().read("anna.xy", b"0 0\\n3 4\\n", None)["x"].to_list()
    [0.0, 3.0]
    """

    name: str
    time_unit: str = "s"
    time_origin: str = "log"

    @abstractmethod
    def takes(self, path: str, start: str) -> bool:
        """Return whether a file is a log of this format.

        Parameters
        ----------
        path
            Its path in the study, with forward slashes.
        start
            Its first 4096 bytes as text, with line feeds at the ends of lines; empty if they can't be read.
        """

    @abstractmethod
    def kinds(self, path: str) -> Sequence[Kind]:
        """Return the kinds of events that a file can hold, each one of `analytics_kit.model.KINDS`.

        A kind without events in such a file counts 0; one that the file can't hold is NA.
        """

    @abstractmethod
    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """Return the rows of a file, in its order.

        Parameters
        ----------
        path
            Its path in the study.
        raw
            Its bytes.
        issues
            Where to report what is doubtful in the whole file: `issues.add(path, kind, message, line=…)`.
        names_only
            Whether the columns with the names of the trial are enough.

        Returns
        -------
        polars.DataFrame
            A row for each event, or for each press of a key with its release. Columns:

            - `line`: int64, the line in the file.
            - `problem`: null, or the kind of the issue for which the row is dropped.
            - `kind`: one of `kinds(path)`; other rows are dropped.
            - `t`: float64, in `time_unit`; rows without a finite value are dropped.
            - `x`, `y`: float64, in px, for kinds of the mouse; rows without finite values are dropped.
            - `key`: str, as pynput prints it, for "keyboard".
            - `release`: optional float64, in `time_unit`, when the key was released; null if unknown.
            - `action`: optional, "press" or "release", for "keyboard" and "mouse_clicks".
            - `dx`, `dy`: optional float64, in px, the steps of the wheel, for "mouse_scrolls".
            - `participant`, `session`, `task`, `factor`, `trial`: optional str, the names of the trial.

        Raises
        ------
        MemberUnreadableError
            If the file can't be read; it is left out, which is an issue.
        """

    def names(self, path: str) -> TrialNames | None:
        """Return participant, session, task, factor and trial of the one trial in a file.

        None, the default, means that the rows name their trials. Raises MemberUnreadableError if the path shows that
        the file is no log of this format.
        """
        return None

    def group(self, path: str) -> str:
        """Return the same text for files that hold different kinds of the same trial; by default the path."""
        return path

    def read_all(self, files: Sequence[tuple[str, bytes]], issues: Issues, names_only: bool = False) -> LogTable:
        """Read many files, pairs of path and bytes, by `read`, and check the columns and values that it returns.

        Raises SettingsError if `read` breaks its contract.
        """
        frames, broken = [], {}
        for number, (path, raw) in enumerate(files):
            try:
                rows = cast_rows(self.read(path, raw, issues, names_only))
                frames.append(rows if names_only else self._checked(path, rows))
            except MemberUnreadableError as error:
                broken[number] = error
            except AnalyticsKitError:
                raise
            except Exception as error:  # its message may quote what was typed
                raise SettingsError(
                    f"The format {self.name!r} can't read {path}: {type(error).__name__}.", hint=_HINT
                ) from error
            else:
                frames[-1] = frames[-1].with_columns(pl.lit(number, pl.Int64).alias("file"))
        return LogTable(pl.concat(frames, how="diagonal") if frames else empty_rows(), broken)

    def _checked(self, path: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows, with a problem for those that lack a value or have a kind that the file can't hold."""
        kinds = [*self.kinds(path)]
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise SettingsError(f"The format {self.name!r} has kinds that do not exist: {unknown}.", hint=_HINT)
        has_pointer = any(kind != "keyboard" for kind in kinds)
        required = ["line", "problem", "kind", "t"]
        required += ["x", "y"] if has_pointer else []
        required += ["key"] if "keyboard" in kinds else []
        if missing := [name for name in required if name not in rows.columns]:
            message = f"The format {self.name!r} gave no column {', '.join(missing)} for {path}."
            raise SettingsError(message, hint=_HINT)
        kind = pl.col("kind").cast(pl.String)
        is_finite = {name: pl.col(name).is_finite().fill_null(False) for name in "txy"}
        has_position = (is_finite["x"] & is_finite["y"]) | (kind == "keyboard") if has_pointer else pl.lit(True)
        problems = [
            pl.col("problem"),
            pl.when(~kind.is_in(kinds).fill_null(False)).then(pl.lit("unknown_kind")),
            pl.when(~(is_finite["t"] & has_position)).then(pl.lit("not_a_number")),
        ]
        return rows.with_columns(pl.coalesce(problems).alias("problem"))


_HINT = "Report it to the authors of the format, or describe the log by an EventFormat."
_ALL_COLUMNS: dict[str, type[pl.DataType]] = {"file": pl.Int64, **ROW_SCHEMA, **dict.fromkeys(TRIAL_KEYS, pl.String)}


def empty_rows() -> pl.DataFrame:
    """Return a table without rows; no constant, since a process that has run polars deadlocks its forks."""
    return pl.DataFrame(schema=_ALL_COLUMNS)


def cast_rows(table: pl.DataFrame) -> pl.DataFrame:
    """Return the known columns of a table, each in its type."""
    return table.select(pl.col(name).cast(dtype) for name, dtype in _ALL_COLUMNS.items() if name in table.columns)
