"""Read the files that an `EventFormat` describes into rows with the columns of `LogFormat.read`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from analytics_kit.event_format import TRIAL_KEYS, EventFormat, Role
from analytics_kit.model import Kind
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.csv.cells import (
    FIRST_ROW_LINE,
    microseconds_of,
    number_of,
    parse_irregular_cells,
    parse_regular_cells,
)
from analytics_kit.study.csv.rows import DELIMITERS, MAX_HEADER_CHARACTERS, decode_text, split_cells
from analytics_kit.study.formats.base import ROW_SCHEMA, LogFormat, LogTable, TrialNames, cast_rows, empty_rows
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.keys import normalise_key

ROW_ISSUES = {
    "missing_fields": "fewer fields than the header has",
    "extra_fields": "more fields than the header has",
    "open_quote": "a quote is opened and not closed",
    "not_a_number": "the time or a coordinate is not a number",
    "unknown_kind": "the row's kind is not among those described",
    "unknown_action": "the row is neither described as a press nor as a release",
}
"""The message of the issue for each problem of a row. What was typed is never quoted."""
_OPTIONAL = ("participant", "session", "task", "factor", "release", "dx", "dy", "wheel")
"""Roles whose column may be missing in a file."""
_KINDS_WITH_ACTIONS = ("mouse_clicks", "keyboard")
_COORDINATES = ("x", "y", "dx", "dy")
_TIME_ROLES = ("t", "release")


class DescribedFormat(LogFormat):
    """The LogFormat that an `EventFormat` describes."""

    def __init__(self, described: EventFormat) -> None:
        self.described = described
        self.name = described.name
        self.time_unit = "us" if described.time_unit == "datetime" else described.time_unit
        self.time_origin = described.time_origin
        self._path = re.compile(described.path) if described.path else None
        self._groups = described.path_groups

    def takes(self, path: str, start: str) -> bool:
        """See LogFormat."""
        return self._fits(path) and not self._missing_columns(self._split_header(start.partition("\n")[0])[1])

    def kinds(self, path: str) -> Sequence[Kind]:
        """See LogFormat."""
        if "kind" not in self._groups:
            return self.described.all_kinds
        kind = self._names_in_path(path).get("kind", "")
        return [self.described.kinds[kind]] if kind in self.described.kinds else []

    def group(self, path: str) -> str:
        """See LogFormat."""
        found = self._path.fullmatch(path) if self._path and "kind" in self._groups else None
        start, end = found.span("kind") if found else (-1, -1)
        return path if start < 0 else f"{path[:start]}*{path[end:]}"

    def names(self, path: str) -> TrialNames | None:
        """See LogFormat."""
        if not self._fits(path):
            raise MemberUnreadableError("unknown_file", f"its path is not that of a log of the format {self.name}")
        if any(name in self.described.columns for name in TRIAL_KEYS):
            return None
        in_path = self._names_in_path(path)
        return tuple(in_path.get(name) for name in TRIAL_KEYS)

    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """See LogFormat."""
        table = self.read_all([(path, raw)], issues, names_only)
        for error in table.broken.values():
            raise error
        return table.rows.drop("file")

    def read_all(self, files: Sequence[tuple[str, bytes]], issues: Issues, names_only: bool = False) -> LogTable:
        """See LogFormat. Files with the same header are joined: opening a parser costs more than a small file."""
        by_header: defaultdict[str, list[int]] = defaultdict(list)
        bodies: dict[int, bytes] = {}
        broken: dict[int, MemberUnreadableError] = {}
        for number, (path, raw) in enumerate(files):
            text = _utf8(raw, path, issues)
            blank = len(text) - len(text.lstrip(b"\n"))
            first, _, body = text[blank:].partition(b"\n")
            header = first.decode()
            if missing := self._missing_columns(self._split_header(header)[1]):
                message = f"no column {', '.join(missing)} in the header"
                broken[number] = MemberUnreadableError("missing_column", message, raw)
            else:
                bodies[number] = text[:blank] + body  # so that each row keeps the number of its line
                by_header[header].append(number)
        frames = [
            frame
            for header, numbers in by_header.items()
            for frame in self._read_joined(header, numbers, [bodies[n] for n in numbers], files, names_only)
        ]
        return LogTable(pl.concat(frames, how="diagonal") if frames else empty_rows(), broken)

    def _read_joined(
        self,
        header: str,
        numbers: list[int],
        bodies: list[bytes],
        files: Sequence[tuple[str, bytes]],
        names_only: bool,
    ) -> list[pl.DataFrame]:
        """Return the rows of files with the same header: read as one, or halved until irregular ones are alone."""
        delimiter, columns = self._split_header(header)
        roles = [role for role in self.described.columns if role in TRIAL_KEYS or not names_only]
        positions: dict[str, int] = {r: i for r in roles if (i := self._position(r, columns)) is not None}
        in_path = {n: self._names_in_path(files[n][0]) for n in numbers}
        lacks_break = [body[-1:] not in b"\n" for body in bodies]
        text = b"".join(body + b"\n" if lacks else body for body, lacks in zip(bodies, lacks_break, strict=True))
        shape = (delimiter, self.described.quoted, len(columns), positions)
        cells = parse_regular_cells(
            text, *shape, _COORDINATES if self.described.time_unit == "datetime" else _COORDINATES + _TIME_ROLES
        )
        if cells is not None:
            counts = [body.count(b"\n") + lacks for body, lacks in zip(bodies, lacks_break, strict=True)]
            lines = np.concatenate([np.arange(FIRST_ROW_LINE, FIRST_ROW_LINE + count) for count in counts])
            none = pl.lit(None, pl.String)
            cells = pl.DataFrame({"line": lines}).with_columns(none.alias("problem"), *cells.get_columns())
        elif len(bodies) > 1:
            half = len(bodies) // 2
            halves = ((numbers[:half], bodies[:half]), (numbers[half:], bodies[half:]))
            return [
                frame
                for half_numbers, half_bodies in halves
                for frame in self._read_joined(header, half_numbers, half_bodies, files, names_only)
            ]
        else:
            cells = parse_irregular_cells(text, *shape).with_columns(
                _name_of_row(name) for name in TRIAL_KEYS if name in positions
            )
            counts = [len(cells)]
        file_index = np.repeat(np.arange(len(numbers)), counts)
        cells = cells.with_columns(pl.col(name).str.strip_chars() for name in TRIAL_KEYS if name in positions)
        for name in self._groups - positions.keys():
            values = pl.Series(name, [in_path[n].get(name) for n in numbers], pl.String)
            cells = cells.with_columns(values.gather(file_index))
        cells = cells.with_columns(pl.Series("file", np.array(numbers, np.int64)[file_index]))
        if names_only:
            return [cells.select("file", *(name for name in TRIAL_KEYS if name in cells.columns))]
        return [self._event_rows(cells)]

    def _fits(self, path: str) -> bool:
        return self._path is None or self._path.fullmatch(path) is not None

    def _names_in_path(self, path: str) -> dict[str, str]:
        found = self._path.fullmatch(path) if self._path else None
        return {name: value for name, value in found.groupdict().items() if value} if found else {}

    def _split_header(self, line: str) -> tuple[str, list[str]]:
        """Return the delimiter, and the names of the columns in lower case."""
        line = line[:MAX_HEADER_CHARACTERS]

        def split(delimiter: str) -> list[str]:
            quoted = self.described.quoted and '"' in line
            cells = split_cells(line, delimiter) if quoted else line.split(delimiter)
            return [cell.strip().strip('"').lower() for cell in cells or ()]

        known = {name.lower() for names in self.described.columns.values() for name in names}
        best = self.described.delimiter or max(
            DELIMITERS, key=lambda candidate: len(known.intersection(split(candidate)))
        )
        return best, split(best)

    def _position(self, role: Role, header: Sequence[str]) -> int | None:
        names = [name.lower() for name in self.described.columns[role]]
        return next((header.index(name) for name in names if name in header), None)

    def _missing_columns(self, header: Sequence[str]) -> list[str]:
        """Return the required columns that a header lacks, by their first name."""
        columns = self.described.columns
        absent = [role for role in columns if self._position(role, header) is None]
        keys = [role for role in ("key", "key_code") if role in columns]
        if not all(role in absent for role in keys):
            absent = [role for role in absent if role not in keys]
        return list(dict.fromkeys(columns[role][0] for role in absent if role not in _OPTIONAL))

    def _event_rows(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of events in their types, with the problem of each bad one."""
        described, columns = self.described, cells.schema
        kind_type = ROW_SCHEMA["kind"]
        kind = pl.lit(described.kind, kind_type) if described.kind else _translate("kind", described.kinds, kind_type)
        values = [kind.alias("kind")]
        dates = _TIME_ROLES if described.time_unit == "datetime" else ()
        values += [microseconds_of(role) for role in dates if role in columns]
        values += [
            number_of(role, columns[role])
            for role in (*_COORDINATES, *_TIME_ROLES)
            if role in columns and role not in dates
        ]
        if "action" in columns:
            values.append(_translate("action", described.actions, ROW_SCHEMA["action"]))
        if "wheel" in columns:
            directions = {value: float(direction) for value, direction in described.wheel.items()}
            values.append(
                pl.col("wheel").replace_strict(directions, default=0.0, return_dtype=pl.Float64).alias("dy")
            )
        table = cells.with_columns(values)
        if "key" in columns or "key_code" in columns:
            table = _with_keys(table)
        not_a_number = pl.col("t").is_null()
        if "x" in columns:
            not_a_number |= (pl.col("kind") != "keyboard") & (pl.col("x").is_null() | pl.col("y").is_null())
        unknown_action = (
            pl.col("action").is_null() & pl.col("kind").is_in(_KINDS_WITH_ACTIONS)
            if "action" in columns
            else pl.lit(False)
        )
        problems = [
            pl.col("problem"),
            pl.when(pl.col("kind").is_null()).then(pl.lit("unknown_kind")),
            pl.when(not_a_number).then(pl.lit("not_a_number")),
            pl.when(unknown_action).then(pl.lit("unknown_action")),
        ]
        return cast_rows(table.with_columns(pl.coalesce(problems).alias("problem")))


def _utf8(raw: bytes, path: str, issues: Issues) -> bytes:
    """Return the text in UTF-8, with line feeds at the ends of lines."""
    if not raw.isascii() or b"\0" in raw[:2]:  # UTF-16 without a byte order mark has zeros
        raw = decode_text(raw, path, issues).encode()
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def _name_of_row(name: str) -> pl.Expr:
    """Return the name in each row; a row with a problem, whose cells may hold anything, has the one before."""
    regular = pl.when(pl.col("problem").is_null()).then(pl.col(name))
    return regular.forward_fill().backward_fill().fill_null("").alias(name)


def _translate(column: str, values: Mapping[str, str], dtype: type[pl.DataType]) -> pl.Expr:
    """Return the meaning of each value of a column; null for others."""
    return pl.col(column).str.strip_chars().replace_strict(values, default=None, return_dtype=dtype).alias(column)


def _with_keys(table: pl.DataFrame) -> pl.DataFrame:
    """Set `key` to what pynput prints, from key and key_code."""
    table = table.with_columns(pl.lit("").alias(name) for name in ("key", "key_code") if name not in table.columns)
    pairs = table.select("key", "key_code").unique()
    names = [normalise_key(key, code) for key, code in pairs.iter_rows()]
    named = pairs.with_columns(pl.Series("name", names, pl.String))
    found = table.join(named, on=["key", "key_code"], how="left", maintain_order="left")
    return found.with_columns(pl.col("name").alias("key")).drop("name", "key_code")
