"""All events of one kind in a shard, as arrays grouped by trial.

A CSV parser opened per file costs a hundred times more than the file's bytes, so members that look as the logger
writes them are joined and parsed at once; their row counts say which rows are whose. A batch that does not come
out as counted is halved until the odd lines stand alone, and those are read by `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.archive import CHUNK_BYTES, Archive, Member, MemberUnreadableError
from analytics_kit.study.issues import Issues
from analytics_kit.study.keys import CODE, key_class
from analytics_kit.study.parse import count_lines, native_start, parsed, regular
from analytics_kit.study.rows import (
    Rows,
    decode_bytewise,
    end_of_records,
    native_header,
    read_member,
    read_records,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.int8]

JOIN_BYTES = 200_000
"""Members up to this size are joined; larger ones fill a parse of their own."""
BATCH_BYTES = 8 << 20
ODD_BYTES = 2048
"""A piece of text this small is not halved again but read record by record."""


@dataclass(slots=True)
class MemberRows:
    """What became of a member: which rows of the table are its, and on which lines they stood."""

    member: str
    slot: int
    rows_in: int = 0
    rows_kept: int = 0
    clock: str = ""
    readable: bool = True
    lines: list[tuple[int, Sequence[int] | None, int]] = field(default_factory=list)
    """(first line, lines one by one where they are not consecutive, rows) of each piece."""

    def line_of(self, row: int) -> int:
        """Line of the member's `row`th kept row."""
        for first, exact, count in self.lines:
            if row < count:
                return first + row if exact is None else exact[row]
            row -= count
        return 0


@dataclass(slots=True)
class EventTable:
    """Rows of one kind, grouped by trial slot in the order of `members`."""

    kind: Kind
    members: list[MemberRows]
    t: Floats
    x: Floats
    y: Floats
    key_class: Bytes
    key: pl.Series | None


def read_events(
    archive: Archive,
    work: Sequence[tuple[Member, int]],
    kind: Kind,
    issues: Issues,
    keep_keys: bool = False,
    advance: Callable[[int], None] = lambda raw_bytes: None,
) -> EventTable:  # fmt: skip
    """The events of `work`, pairs of member and trial slot. `advance` is told of bytes as they are inflated."""
    reader = _Reader(kind, issues, keep_keys)
    for member, slot in work:
        stats = MemberRows(member.name, slot)
        reader.members.append(stats)
        try:
            if member.raw_bytes <= CHUNK_BYTES:
                raw = archive.read(member)
                advance(len(raw))
                reader.take(raw, stats)
            else:
                reader.take_large(archive.chunks(member), stats, advance)
        except MemberUnreadableError as error:
            reader.give_up(stats, error)
    return reader.table()


class _Reader:
    """Collects blocks in member order; small regular members wait in a batch that is parsed as one."""

    def __init__(self, kind: Kind, issues: Issues, keep_keys: bool) -> None:
        self.kind = kind
        self.issues = issues
        self.keep_keys = keep_keys
        self.members: list[MemberRows] = []
        self.blocks: list[pl.DataFrame] = []
        self.batch: list[tuple[bytes, int, MemberRows, int]] = []  # text, records, member, line
        self.batch_bytes = 0

    def take(self, raw: bytes, stats: MemberRows) -> None:
        """A member that is in memory as a whole."""
        header = native_start(raw, self.kind)
        body = None if header is None else regular(raw[len(header) :], self.kind, header.endswith(b"\r\n"))
        if body is None:
            self._slow(read_member(raw, self.kind, stats.member, self.issues), stats)
        else:
            self._add(body, stats, 2)

    def take_large(self, chunks: Iterator[bytes], stats: MemberRows, advance: Callable[[int], None]) -> None:
        """A member that comes in pieces: cut at line ends, each piece is parsed by itself."""
        self._flush()
        mark = len(self.blocks)
        rest, line, header, irregular = b"", 2, None, list[bytes]()
        try:
            for chunk in chunks:
                advance(len(chunk))
                text = rest + chunk
                if header is None:
                    header = None if irregular else native_start(text, self.kind)
                    if header is None:
                        irregular.append(chunk)
                        continue
                    text = text[len(header) :]
                cut = end_of_records(text)
                rest = text[cut:]
                line += self._piece(text[:cut], stats, line, header)
            if header is None:
                self.take(b"".join(irregular), stats)
            elif rest:
                self._piece(rest, stats, line, header)
            self._flush()
        except MemberUnreadableError as error:
            stats.rows_in += sum(piece[1] for piece in self.batch) + sum(
                1 for row in rest.splitlines() if row.strip()
            )
            error.partial = b"".join(irregular)
            self.batch.clear()
            del self.blocks[mark:]
            raise

    def _piece(self, text: bytes, stats: MemberRows, line: int, header: bytes) -> int:
        body = regular(text, self.kind, header.endswith(b"\r\n"))
        if body is not None:
            self._add(body, stats, line)
            return body.count(b"\n")
        self._flush()
        decoded = decode_bytewise(text, stats.member, self.issues)
        self._slow(read_records(decoded, native_header(self.kind), line, self.kind, stats.member, self.issues), stats)
        return len(text.splitlines())

    def give_up(self, stats: MemberRows, error: MemberUnreadableError) -> None:
        """A member whose bytes can't be had: what could be counted of it counts as dropped."""
        records = stats.rows_in + read_member(error.partial, self.kind, stats.member, Issues()).rows_in
        stats.rows_in, stats.rows_kept, stats.readable, stats.lines = records, 0, False, []
        issues = self.issues  # the rows that were dropped one by one are lost with the others
        issues.list = [issue for issue in issues.list if issue.member != stats.member or not issue.rows_dropped]
        self.issues.add(stats.member, error.kind, str(error), rows_dropped=records, lost=True)

    def _add(self, body: bytes, stats: MemberRows, line: int) -> None:
        if len(body) > JOIN_BYTES:
            self._flush()
            self._parse([(body, count_lines(body), stats, line)])
            return
        self.batch.append((body, count_lines(body), stats, line))
        self.batch_bytes += len(body)
        if self.batch_bytes > BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self.batch, self.batch_bytes = self.batch, [], 0
        if batch:
            self._parse(batch)

    def _parse(self, pieces: list[tuple[bytes, int, MemberRows, int]]) -> None:
        """Parse pieces as one, or halve them until what is odd stands alone."""
        text = pieces[0][0] if len(pieces) == 1 else b"".join(piece[0] for piece in pieces)
        block = parsed(text, sum(piece[1] for piece in pieces), self.kind)
        if block is not None:
            self.blocks.append(block)
            for body, records, stats, line in pieces:
                if not stats.rows_kept:
                    stats.clock = body[: body.find(b",")].decode("ascii", errors="replace").strip()
                stats.rows_in += records
                stats.rows_kept += records
                stats.lines.append((line, None, records))
        elif len(pieces) > 1:
            half = len(pieces) // 2
            self._parse(pieces[:half])
            self._parse(pieces[half:])
        else:
            self._halve(*pieces[0])

    def _halve(self, text: bytes, records: int, stats: MemberRows, line: int) -> None:
        middle = text.find(b"\n", len(text) // 2) + 1
        if len(text) > ODD_BYTES and 0 < middle < len(text):
            before = text.count(b"\n", 0, middle)
            self._parse([(text[:middle], before, stats, line)])
            self._parse([(text[middle:], records - before, stats, line + before)])
            return
        header = native_header(self.kind)
        self._slow(read_records(text.decode(), header, line, self.kind, stats.member, self.issues), stats)

    def _slow(self, rows: Rows, stats: MemberRows) -> None:
        self._flush()  # what waits stands before these rows
        if not stats.rows_kept:
            stats.clock = rows.clock
        stats.rows_in += rows.rows_in
        stats.rows_kept += len(rows.t)
        stats.lines.append((0, rows.line, len(rows.t)))
        self.blocks.append(_block(rows, self.kind))

    def table(self) -> EventTable:
        """All rows, in member order."""
        self._flush()
        rows = pl.concat([_block(Rows(), self.kind), *self.blocks], how="vertical_relaxed")
        self.blocks = []
        empty = np.empty(0)
        t = rows["t"].to_numpy(writable=True)
        if self.kind == "keyboard":
            key = rows["key"] if self.keep_keys else None
            return EventTable(self.kind, self.members, t, empty, empty, _classes(rows["key"]), key)
        x, y = (rows[name].to_numpy(writable=True) for name in ("x", "y"))
        return EventTable(self.kind, self.members, t, x, y, np.empty(0, np.int8), None)


def _block(rows: Rows, kind: Kind) -> pl.DataFrame:
    """Rows that were read one by one, as a parse would give them."""
    if kind == "keyboard":
        return pl.DataFrame({"t": np.array(rows.t), "key": pl.Series(rows.key, dtype=pl.String)})
    return pl.DataFrame({name: np.array(getattr(rows, name)) for name in ("t", "x", "y")})


def _classes(keys: pl.Series) -> Bytes:
    """Class codes of a column of keys."""
    if keys.is_empty():
        return np.empty(0, np.int8)
    known = keys.unique().to_list()
    codes = pl.Series([CODE[key_class(key)] for key in known], dtype=pl.Int8)
    return keys.replace_strict(known, codes, return_dtype=pl.Int8).to_numpy(writable=True)
