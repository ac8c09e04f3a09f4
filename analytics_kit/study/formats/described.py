"""The records of a file that an `EventFormat` describes, as a table of the same columns whatever the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

from analytics_kit.event_format import NAMES, EventFormat, Role
from analytics_kit.model import Kind
from analytics_kit.study.archive import MemberUnreadableError
from analytics_kit.study.formats.cells import cells_of
from analytics_kit.study.issues import Issues
from analytics_kit.study.keys import key_name
from analytics_kit.study.rows import DELIMITERS, decode_text

TROUBLES = {
    "missing_fields": "fewer fields than the header has",
    "extra_fields": "more fields than the header has",
    "open_quote": "a quote is opened and not closed",
    "not_a_number": "the time or the place is not a number",
    "unknown_kind": "the record's kind is not among those described",
    "unknown_action": "the record is neither described as a press nor as a release",
}
"""Why a record can't be kept: kind and message of the issue. What was typed is never quoted."""


Names = tuple[str | None, ...]
"""Participant, session, task, factor and trial, as they stand in the log."""


class LogFormat(Protocol):
    """What the kit asks of a format of logs; packages offer one by an entry point of the group analytics_kit.formats.

    `read` gives a row per data record, in the order of the file: `line`; `problem` (null, or the kind of issue why
    it can't be kept); `kind`; `t` in `time_unit`; for pointers `x`, `y` in px; for keys `key`, as pynput prints them,
    and `release` (in `time_unit`) where it is known; `action` ("press", "release") where it is; `dx`, `dy` in px; and
    `participant`, `session`, `task`, `factor`, `trial` as text. Columns that a log has not may be left out, but for
    `line`, `problem`, `kind` and `t`. It raises MemberUnreadableError for what it can't read at all.
    """

    name: str

    @property
    def time_unit(self) -> str:
        """ "s", "ms", "us" or "ns"."""
        ...

    @property
    def time_origin(self) -> str:
        """ "log" where each trial starts at 0, "trial" where its first event is to become 0."""
        ...

    def takes(self, path: str, start: str) -> bool:
        """Whether the file of this path, which starts with this text, is a log of this format."""
        ...

    def kinds(self, path: str) -> Sequence[Kind]:
        """The kinds of events that such a file can hold."""
        ...

    def group(self, path: str) -> str:
        """The same text for files that may hold different kinds of one trial."""
        ...

    def names(self, path: str) -> Names | None:
        """The names of the one trial that the file holds; None where its records tell.

        Raises MemberUnreadableError for a file that is no such log by its path.
        """
        ...

    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """The records; with `names_only` the columns that name the trial are enough."""
        ...


class Described:
    """An `EventFormat` at work, as a LogFormat."""

    def __init__(self, described: EventFormat) -> None:
        self.described = described
        self.name = described.name
        self.time_unit = "us" if described.time_unit == "datetime" else described.time_unit
        self.time_origin = described.time_origin
        self._path = re.compile(described.path) if described.path else None

    def takes(self, path: str, start: str) -> bool:
        """See LogFormat."""
        return self._fits(path) and not self._missing(self._header(start.partition("\n")[0])[1])

    def kinds(self, path: str) -> Sequence[Kind]:
        """See LogFormat."""
        told = self._of_path(path).get("kind")
        if told is None:
            return self.described.all_kinds
        return [self.described.kinds[told]] if told in self.described.kinds else []

    def group(self, path: str) -> str:
        """See LogFormat."""
        found = self._path.fullmatch(path) if self._path and "kind" in self._path.groupindex else None
        if not found:
            return path
        start, end = found.span("kind")
        return f"{path[:start]}*{path[end:]}"

    def names(self, path: str) -> Names | None:
        """See LogFormat."""
        if not self._fits(path):
            raise MemberUnreadableError("unknown_file", f"its path is not that of a log of the format {self.name}")
        if any(name in self.described.columns for name in NAMES):
            return None
        told = self._of_path(path)
        return tuple(told.get(name) for name in NAMES)

    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """See LogFormat."""
        text = decode_text(raw, path, issues)
        if "\r\n" in text:
            text = text.replace("\r\n", "\n")
        first, _, body = text.partition("\n")
        delimiter, header = self._header(first)
        if missing := self._missing(header):
            raise MemberUnreadableError("missing_column", f"no column {', '.join(missing)} in the header", raw)
        columns = self.described.columns
        wanted = [role for role in columns if role in NAMES] if names_only else list(columns)
        places: dict[str, int] = {role: place for role in wanted if (place := self._place(role, header)) is not None}
        found = cells_of(body, delimiter, self.described.quoted, len(header), places)
        told = {name: value for name, value in self._of_path(path).items() if name not in places}
        named = found.with_columns(pl.lit(value, pl.String).alias(name) for name, value in told.items())
        return named if names_only else self._measured(named, delimiter)

    def _fits(self, path: str) -> bool:
        return self._path is None or self._path.fullmatch(path) is not None

    def _of_path(self, path: str) -> dict[str, str]:
        found = self._path.fullmatch(path) if self._path else None
        return {name: value for name, value in found.groupdict().items() if value} if found else {}

    def _header(self, line: str) -> tuple[str, list[str]]:
        """The delimiter, and the columns' names in lower case."""

        def cut(delimiter: str) -> list[str]:
            return [cell.strip().strip('"').lower() for cell in line.strip("\r").split(delimiter)]

        known = {name.lower() for names in self.described.columns.values() for name in names}
        best = self.described.delimiter or max(DELIMITERS, key=lambda sign: len(known.intersection(cut(sign))))
        return best, cut(best)

    def _place(self, role: Role, header: Sequence[str]) -> int | None:
        names = [name.lower() for name in self.described.columns[role]]
        return next((header.index(name) for name in names if name in header), None)

    def _missing(self, header: Sequence[str]) -> list[str]:
        """The columns that have to be there and are not, by their first name."""
        columns = self.described.columns
        absent = [role for role in columns if self._place(role, header) is None]
        keys = [role for role in ("key", "key_code") if role in columns]
        if not all(role in absent for role in keys):
            absent = [role for role in absent if role not in keys]
        return list(dict.fromkeys(columns[role][0] for role in absent if role not in _OPTIONAL))

    def _measured(self, table: pl.DataFrame, delimiter: str) -> pl.DataFrame:
        described, here = self.described, {*table.columns}
        told = pl.lit(described.kind, pl.String) if described.kind else _meaning("kind", described.kinds)
        columns = [told.alias("kind")]
        moment = _moment if described.time_unit == "datetime" else _number
        columns += [moment(role, delimiter) for role in ("t", "release") if role in here]
        columns += [_number(role, delimiter) for role in ("x", "y", "dx", "dy") if role in here]
        if "action" in here:
            columns.append(_meaning("action", described.actions))
        if "wheel" in here:
            turned = {value: float(way) for value, way in described.wheel.items()}
            columns.append(pl.col("wheel").replace_strict(turned, default=0.0, return_dtype=pl.Float64).alias("dy"))
        table = table.with_columns(columns)
        if here & {"key", "key_code"}:
            table = _with_keys(table)
        bad = pl.col("t").is_null()
        if "x" in here:
            bad |= (pl.col("kind") != "keyboard") & (pl.col("x").is_null() | pl.col("y").is_null())
        odd = pl.col("action").is_null() & pl.col("kind").is_in(_ACTED) if "action" in here else pl.lit(False)
        problems = [
            pl.col("problem"),
            pl.when(pl.col("kind").is_null()).then(pl.lit("unknown_kind")),
            pl.when(bad).then(pl.lit("not_a_number")),
            pl.when(odd).then(pl.lit("unknown_action")),
        ]
        return table.with_columns(pl.coalesce(problems).alias("problem"))


_OPTIONAL = ("participant", "session", "task", "factor", "release", "dx", "dy", "wheel")
_ACTED = ("mouse_clicks", "keyboard")


def _meaning(column: str, values: Mapping[str, str]) -> pl.Expr:
    return pl.col(column).str.strip_chars().replace_strict(values, default=None, return_dtype=pl.String)


def _number(column: str, delimiter: str) -> pl.Expr:
    """The finite number that a cell holds; null where it holds none."""
    text = pl.col(column).str.strip_chars()
    if delimiter != ",":
        text = text.str.replace(",", ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number).alias(column)


def _moment(column: str, delimiter: str) -> pl.Expr:
    """Microseconds since 1970 of a date with a time."""
    text = pl.col(column).str.strip_chars().str.replace("T", " ", literal=True).str.replace("Z$", "")
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False).dt.epoch("us").cast(pl.Float64)


def _with_keys(table: pl.DataFrame) -> pl.DataFrame:
    """`key` as pynput prints it, from key and key_code."""
    table = table.with_columns(pl.lit("").alias(name) for name in ("key", "key_code") if name not in table.columns)
    pairs = table.select("key", "key_code").unique()
    names = [key_name(key, code) for key, code in pairs.iter_rows()]
    named = pairs.with_columns(pl.Series("name", names, pl.String))
    found = table.join(named, on=["key", "key_code"], how="left", maintain_order="left")
    return found.with_columns(pl.col("name").alias("key")).drop("name", "key_code")
