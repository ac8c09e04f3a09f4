"""The records of files that an `EventFormat` describes, as a table of the same columns whatever the log."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from analytics_kit.event_format import NAMES, EventFormat, Role
from analytics_kit.model import Kind
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.csv.cells import FIRST_ROW_LINE, parse_irregular_cells, parse_regular_cells
from analytics_kit.study.csv.records import DELIMITERS, MAX_HEADER_CHARACTERS, decode_text
from analytics_kit.study.formats.base import ROW_SCHEMA, LogFormat, LogTable, TrialNames, cast_rows, empty_rows
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.keys import normalise_key

ROW_ISSUES = {
    "missing_fields": "fewer fields than the header has",
    "extra_fields": "more fields than the header has",
    "open_quote": "a quote is opened and not closed",
    "not_a_number": "the time or the place is not a number",
    "unknown_kind": "the record's kind is not among those described",
    "unknown_action": "the record is neither described as a press nor as a release",
}
"""Why a record can't be kept: kind and message of the issue. What was typed is never quoted."""
_OPTIONAL = ("participant", "session", "task", "factor", "release", "dx", "dy", "wheel")
_ACTED = ("mouse_clicks", "keyboard")
_NUMBERS = ("x", "y", "dx", "dy")
_TIMES = ("t", "release")


class DescribedFormat(LogFormat):
    """An `EventFormat` at work."""

    def __init__(self, described: EventFormat) -> None:
        self.described = described
        self.name = described.name
        self.time_unit = "us" if described.time_unit == "datetime" else described.time_unit
        self.time_origin = described.time_origin
        self._path = re.compile(described.path) if described.path else None
        self._groups = described.path_groups

    def takes(self, path: str, start: str) -> bool:
        """See LogFormat."""
        return self._fits(path) and not self._missing(self._header(start.partition("\n")[0])[1])

    def kinds(self, path: str) -> Sequence[Kind]:
        """See LogFormat."""
        if "kind" not in self._groups:
            return self.described.all_kinds
        told = self._of_path(path).get("kind", "")
        return [self.described.kinds[told]] if told in self.described.kinds else []

    def group(self, path: str) -> str:
        """See LogFormat."""
        found = self._path.fullmatch(path) if self._path and "kind" in self._groups else None
        start, end = found.span("kind") if found else (-1, -1)
        return path if start < 0 else f"{path[:start]}*{path[end:]}"

    def names(self, path: str) -> TrialNames | None:
        """See LogFormat."""
        if not self._fits(path):
            raise MemberUnreadableError("unknown_file", f"its path is not that of a log of the format {self.name}")
        if any(name in self.described.columns for name in NAMES):
            return None
        told = self._of_path(path)
        return tuple(told.get(name) for name in NAMES)

    def read(self, path: str, raw: bytes, issues: Issues, names_only: bool = False) -> pl.DataFrame:
        """See LogFormat."""
        table = self.read_all([(path, raw)], issues, names_only)
        for error in table.broken.values():
            raise error
        return table.rows.drop("file")

    def read_all(self, files: Sequence[tuple[str, bytes]], issues: Issues, names_only: bool = False) -> LogTable:
        """See LogFormat. Files with the same header are joined, for opening a parser costs more than a small file."""
        alike: defaultdict[str, list[int]] = defaultdict(list)
        bodies: dict[int, bytes] = {}
        broken: dict[int, MemberUnreadableError] = {}
        for number, (path, raw) in enumerate(files):
            text = _utf8(raw, path, issues)
            blank = len(text) - len(text.lstrip(b"\n"))
            header, _, body = text[blank:].partition(b"\n")
            head = header.decode()
            if missing := self._missing(self._header(head)[1]):
                message = f"no column {', '.join(missing)} in the header"
                broken[number] = MemberUnreadableError("missing_column", message, raw)
            else:
                bodies[number] = text[:blank] + body  # so that each record keeps the number of its line
                alike[head].append(number)
        frames = [
            frame
            for header, numbers in alike.items()
            for frame in self._alike(header, numbers, [bodies[n] for n in numbers], files, names_only)
        ]
        return LogTable(pl.concat(frames, how="diagonal") if frames else empty_rows(), broken)

    def _alike(
        self,
        header: str,
        numbers: list[int],
        bodies: list[bytes],
        files: Sequence[tuple[str, bytes]],
        names_only: bool,
    ) -> list[pl.DataFrame]:
        """The records of files with the same header: read as one, or halved until what is odd stands alone."""
        delimiter, columns = self._header(header)
        roles = [role for role in self.described.columns if role in NAMES or not names_only]
        places: dict[str, int] = {r: place for r in roles if (place := self._place(r, columns)) is not None}
        told = {n: self._of_path(files[n][0]) for n in numbers}
        open_ended = [body[-1:] not in b"\n" for body in bodies]
        text = b"".join(body + b"\n" if more else body for body, more in zip(bodies, open_ended, strict=True))
        shape = (delimiter, self.described.quoted, len(columns), places)
        cells = parse_regular_cells(
            text, *shape, _NUMBERS if self.described.time_unit == "datetime" else _NUMBERS + _TIMES
        )
        if cells is not None:
            counts = [body.count(b"\n") + more for body, more in zip(bodies, open_ended, strict=True)]
            lines = np.concatenate([np.arange(FIRST_ROW_LINE, FIRST_ROW_LINE + count) for count in counts])
            none = pl.lit(None, pl.String)
            cells = pl.DataFrame({"line": lines}).with_columns(none.alias("problem"), *cells.get_columns())
        elif len(bodies) > 1:
            half = len(bodies) // 2
            parts = ((numbers[:half], bodies[:half]), (numbers[half:], bodies[half:]))
            return [frame for part in parts for frame in self._alike(header, *part, files, names_only)]
        else:
            cells = parse_irregular_cells(text, *shape).with_columns(
                _of_whole(name) for name in NAMES if name in places
            )
            counts = [len(cells)]
        of = np.repeat(np.arange(len(numbers)), counts)
        cells = cells.with_columns(pl.col(name).str.strip_chars() for name in NAMES if name in places)
        for name in self._groups - places.keys():
            values = pl.Series(name, [told[n].get(name) for n in numbers], pl.String)
            cells = cells.with_columns(values.gather(of))
        cells = cells.with_columns(pl.Series("file", np.array(numbers, np.int64)[of]))
        if names_only:
            return [cells.select("file", *(name for name in NAMES if name in cells.columns))]
        return [self._measured(cells)]

    def _fits(self, path: str) -> bool:
        return self._path is None or self._path.fullmatch(path) is not None

    def _of_path(self, path: str) -> dict[str, str]:
        found = self._path.fullmatch(path) if self._path else None
        return {name: value for name, value in found.groupdict().items() if value} if found else {}

    def _header(self, line: str) -> tuple[str, list[str]]:
        """The delimiter, and the columns' names in lower case."""
        line = line[:MAX_HEADER_CHARACTERS]

        def cut(delimiter: str) -> list[str]:
            quoted = self.described.quoted and '"' in line
            cells = next(csv.reader([line], delimiter=delimiter), []) if quoted else line.split(delimiter)
            return [cell.strip().strip('"').lower() for cell in cells]

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

    def _measured(self, cells: pl.DataFrame) -> pl.DataFrame:
        """The records, in their types, with what keeps them from being kept."""
        described, here = self.described, cells.schema
        kind = ROW_SCHEMA["kind"]
        told = pl.lit(described.kind, kind) if described.kind else _meaning("kind", described.kinds, kind)
        columns = [told.alias("kind")]
        dates = _TIMES if described.time_unit == "datetime" else ()
        columns += [_moment(role) for role in dates if role in here]
        columns += [_number(role, here[role]) for role in (*_NUMBERS, *_TIMES) if role in here and role not in dates]
        if "action" in here:
            columns.append(_meaning("action", described.actions, ROW_SCHEMA["action"]))
        if "wheel" in here:
            ways = {value: float(way) for value, way in described.wheel.items()}
            columns.append(pl.col("wheel").replace_strict(ways, default=0.0, return_dtype=pl.Float64).alias("dy"))
        table = cells.with_columns(columns)
        if "key" in here or "key_code" in here:
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
        return cast_rows(table.with_columns(pl.coalesce(problems).alias("problem")))


def _utf8(raw: bytes, path: str, issues: Issues) -> bytes:
    """The text in UTF-8, with line feeds at the ends of lines."""
    if not raw.isascii() or b"\0" in raw[:2]:  # UTF-16 without a mark has zeros
        raw = decode_text(raw, path, issues).encode()
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def _of_whole(name: str) -> pl.Expr:
    """The name in each record; what is none has that of the one before it, for it may hold anything typed."""
    whole = pl.when(pl.col("problem").is_null()).then(pl.col(name))
    return whole.forward_fill().backward_fill().fill_null("").alias(name)


def _meaning(column: str, values: Mapping[str, str], kind: type[pl.DataType]) -> pl.Expr:
    return pl.col(column).str.strip_chars().replace_strict(values, default=None, return_dtype=kind).alias(column)


def _number(column: str, kind: pl.DataType) -> pl.Expr:
    """The finite number that a cell holds; null where it holds none. A decimal comma is one."""
    number = pl.col(column)
    if kind == pl.String:
        number = number.str.strip_chars().str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number).alias(column)


def _moment(column: str) -> pl.Expr:
    """Microseconds since 1970 of a date with a time; one that does not say its zone is taken for UTC."""
    text = pl.col(column).str.strip_chars().str.replace("[Tt]", " ").str.replace(",", ".", literal=True)
    zoned = pl.when(text.str.contains(r"[+-]\d\d:?\d\d$")).then(text).otherwise(text.str.replace("[Zz]?$", "+0000"))
    moment = zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
    return moment.dt.epoch("us").cast(pl.Float64).alias(column)


def _with_keys(table: pl.DataFrame) -> pl.DataFrame:
    """`key` as pynput prints it, from key and key_code."""
    table = table.with_columns(pl.lit("").alias(name) for name in ("key", "key_code") if name not in table.columns)
    pairs = table.select("key", "key_code").unique()
    names = [normalise_key(key, code) for key, code in pairs.iter_rows()]
    named = pairs.with_columns(pl.Series("name", names, pl.String))
    found = table.join(named, on=["key", "key_code"], how="left", maintain_order="left")
    return found.with_columns(pl.col("name").alias("key")).drop("name", "key_code")
