"""Read all events of one kind in a shard, from files of the logger.

Opening a CSV parser per file costs a hundred times more than the file's bytes. So members in the logger's own form
are joined and read at once, by `fast`. It stops at the first member that has other lines; that one, or all that are
left where many are irregular, are read by `scanned`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.archive.base import CHUNK_BYTES, Archive, Member, MemberUnreadableError
from analytics_kit.study.csv import scan
from analytics_kit.study.csv.log_limits import DEFAULT_LIMITS, LogLimits
from analytics_kit.study.csv.pieces import as_utf8, whole_rows
from analytics_kit.study.csv.rows import DELIMITERS, MAX_HEADER_CHARACTERS, count_line_breaks
from analytics_kit.study.events.native.buffers import RowBuffers
from analytics_kit.study.events.native.careful import (
    PLACEHOLDER,
    CsvHeader,
    add_placeholder,
    is_data,
    match_header,
    native_header,
    parse_header,
    read_member,
)
from analytics_kit.study.events.native.fast import SHORTEST_LINE_BYTES, decode
from analytics_kit.study.events.native.scanned import read_scanned
from analytics_kit.study.events.table import EventTable, ReadMember, classify_keys
from analytics_kit.study.schema.issues import Issues

MAX_JOINED_MEMBER_BYTES = 200_000
"""Members up to this size are joined; a larger one is parsed alone."""
MAX_JOINED_BYTES = 8 << 20
"""Joined members are parsed when they exceed this size."""
REPORT_BYTES = 256 << 10
"""Progress is reported after this many bytes: small members are not worth a report each."""
MAX_RESERVED_BYTES = 512 << 20
"""At most this much is reserved for the size that a directory claims, which may be false."""
NATIVE_LINE_BYTES = len("10:00:00,0.00,a\n")
"""The length of the shortest line that the logger writes."""
MAX_CAREFUL_BYTES = 512
"""The rows of a smaller file are counted one by one, which takes less time than to prepare a scan."""
MAX_PLACEHOLDER_BYTES = 4096
"""A larger file is no placeholder."""
MAX_ALONE = 4
"""This many irregular members of a batch are read alone, then all that are left at once."""


def read_events(
    archive: Archive,
    members: Sequence[tuple[Member, int]],
    kind: Kind,
    issues: Issues,
    keep_keys: bool = False,
    advance: Callable[[int], None] = lambda raw_bytes: None,
    limits: LogLimits = DEFAULT_LIMITS,
) -> EventTable:  # fmt: skip
    """Read the events of one kind of the members of a shard.

    Parameters
    ----------
    archive
        The opened study.
    members
        Pairs of a member, which holds events of one trial, and the slot of that trial.
    kind
        The kind of events.
    issues
        Where lost and doubtful rows are reported.
    keep_keys
        Whether the table keeps the keys besides their classes.
    advance
        Called with the number of bytes as they are inflated.
    limits
        What a line may have.

    Returns
    -------
    EventTable
        All good rows, in the order of `members`: t, x, y, or t, key_class and, on request, key and key_number.

    Raises
    ------
    BadMemberError
        If `issues` raises and data is lost.
    UnsafeArchiveError
        If a line is longer, or has more columns, than it may.
    """
    claimed = min(sum(member.raw_bytes for member, _ in members), MAX_RESERVED_BYTES)
    rows = claimed // NATIVE_LINE_BYTES + CHUNK_BYTES // SHORTEST_LINE_BYTES
    reader = _Reader(kind, issues, keep_keys and kind == "keyboard", rows, limits)
    unreported = 0
    for member, slot in members:
        stats = ReadMember(member.name, slot)
        reader.members.append(stats)
        try:
            if member.raw_bytes <= CHUNK_BYTES:
                raw = archive.read(member)
                unreported += len(raw)
                if unreported > REPORT_BYTES:
                    advance(unreported)
                    unreported = 0
                reader.read_whole(raw, stats)
            else:
                reader.read_pieces(archive.chunks(member), stats, advance)
        except MemberUnreadableError as error:
            reader.drop(stats, error)
    advance(unreported)
    return reader.table()


Piece = tuple[bytes, int, ReadMember, int]
"""Lines of a member, from a position in a text to its end, and the number of the first one."""


class _Chunks:
    """The chunks of a member, whose end may be an error that is raised when all of them are read."""

    def __init__(self, chunks: Iterable[bytes], advance: Callable[[int], None]) -> None:
        self._chunks, self._advance = chunks, advance
        self.error: MemberUnreadableError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self._advance(len(chunk))
                yield chunk
        except MemberUnreadableError as error:
            self.error = error


class _Reader:
    """Collect rows in the order of members; small members wait in a batch that is read as one."""

    def __init__(self, kind: Kind, issues: Issues, keep_keys: bool, rows: int, limits: LogLimits) -> None:
        self.kind = kind
        self.issues = issues
        self.keep_keys = keep_keys
        self.limits = limits
        self.members: list[ReadMember] = []
        self.columns = RowBuffers(kind, rows)
        self.batch: list[Piece] = []
        self.batch_bytes = 0

    def read_whole(self, raw: bytes, stats: ReadMember) -> None:
        """Read a member that is in memory as a whole."""
        header = match_header(raw, self.kind)
        if header is None:
            self._read_irregular([raw], stats)
        else:
            self.limits.check_lines(raw, stats.member)
            self._add(raw, len(header), header, stats, 2)

    def read_pieces(self, member_chunks: Iterable[bytes], stats: ReadMember, advance: Callable[[int], None]) -> None:
        """Read a member that comes in chunks, without holding it as a whole."""
        self._flush()
        rows_before = self.columns.rows
        reported = _Chunks(member_chunks, advance)
        chunks = iter(reported)
        first = next(chunks, b"")
        header = match_header(first, self.kind)
        if header is None:
            self._read_irregular(chain([first], chunks), stats)
        else:
            line = 2
            rows = chain([first[len(header) :]], chunks)
            for text in whole_rows(rows, stats.member, self.issues, self.limits):
                self._add(text, 0, header, stats, line)
                line += count_line_breaks(text)
        self._flush()
        if reported.error is not None:
            self.columns.truncate(rows_before)
            raise reported.error

    def drop(self, stats: ReadMember, error: MemberUnreadableError) -> None:
        """Report a member that can't be read: the rows that could be counted are dropped."""
        rows_in = stats.rows_in + count_rows(error.partial, self.kind, stats.member, self.limits)
        stats.rows_in, stats.rows_kept, stats.readable, stats.lines = rows_in, 0, False, []
        self.issues.forget_dropped_rows(stats.member)  # rows dropped one by one are lost with the others
        self.issues.add(stats.member, error.kind, str(error), rows_dropped=rows_in, lost=True)

    def _add(self, text: bytes, start: int, header: bytes, stats: ReadMember, line: int) -> None:
        if header.endswith(b"\r\n") and b'"' not in text:  # a quoted cell may hold a line break
            text, start = text[start:].replace(b"\r\n", b"\n"), 0
        if not text.endswith(b"\n"):
            text += b"\n" if len(text) > start else b""
        if len(text) > MAX_JOINED_MEMBER_BYTES:
            self._flush()
            self._parse([(text, start, stats, line)])
            return
        self.batch.append((text, start, stats, line))
        self.batch_bytes += len(text)
        if self.batch_bytes > MAX_JOINED_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self.batch, self.batch_bytes = self.batch, [], 0
        if batch:
            self._parse(batch)

    def _parse(self, pieces: list[Piece]) -> None:
        """Read pieces as one, and irregular ones alone or, if they are many, with all that follow."""
        alone = 0
        while pieces:
            pieces = pieces[self._decode_fast(pieces) :]
            if pieces:
                alone += 1
                count = 1 if alone <= MAX_ALONE and not self.keep_keys else len(pieces)
                self._scan(pieces[:count], native_header(self.kind))
                pieces = pieces[count:]

    def _decode_fast(self, pieces: list[Piece]) -> int:
        """Append the rows of pieces as the logger writes them; return how many come before one that differs."""
        if self.keep_keys:
            return 0
        text = pieces[0][0] if len(pieces) == 1 else b"".join(piece[0] for piece in pieces)
        ends = np.cumsum([len(piece[0]) for piece in pieces])
        starts = np.array([piece[1] for piece in pieces])
        starts[1:] += ends[:-1]
        counts = np.full(len(pieces), -1)
        numbers, codes = self.columns.free(len(text) // SHORTEST_LINE_BYTES)
        self.columns.rows += decode(np.frombuffer(text, np.uint8), starts, ends, counts, numbers, codes)
        for done, ((piece, start, stats, line), rows) in enumerate(zip(pieces, counts.tolist(), strict=True)):
            if rows < 0:
                return done
            if not stats.rows_kept:
                stats.clock = piece[start : piece.find(b",", start)].decode("ascii").strip()
            stats.rows_in += rows
            stats.rows_kept += rows
            stats.lines.append((line, None, rows))
        return len(pieces)

    def _read_irregular(self, chunks: Iterable[bytes], stats: ReadMember) -> None:
        """Read a member that begins with another header than the logger's, or in another encoding."""
        self._flush()  # the waiting members come before these rows
        header: CsvHeader | None = None
        line, lost_rows = 1, -1
        for text in whole_rows(chunks, stats.member, self.issues, self.limits):
            start, next_line = 0, line + count_line_breaks(text)
            if header is None and lost_rows < 0:
                if line == 1 and len(text) <= MAX_PLACEHOLDER_BYTES and PLACEHOLDER.fullmatch(text.decode()):
                    add_placeholder(stats.member, self.issues)
                    stats.rows_in += 1
                    return
                first = scan.find_first_row(np.frombuffer(text, np.uint8), line)
                if first is not None:
                    end, line = int(first.ends[0]), int(first.lines[0])
                    row = text[first.starts[0] : end]
                    self.limits.check_columns(1 + max(row.count(sign.encode()) for sign in DELIMITERS), stats.member)
                    start = end + (2 if text[end : end + 2] == b"\r\n" else 1)
                    names = row[:MAX_HEADER_CHARACTERS].decode("utf-8", "ignore")
                    header = parse_header(names, line, self.kind, stats.member, self.issues)
                    lost_rows = -1 if header is not None else int(is_data(names))
                    line += 1
            if header is not None:
                self._scan([(text, start, stats, line)], header)
            elif lost_rows >= 0:
                lost_rows += scan.count_rows(np.frombuffer(text, np.uint8)[start:], 0)
            line = next_line
        if header is None and lost_rows < 0:
            self.issues.add(stats.member, "empty_file", "the file is empty, without even a header")
        elif lost_rows > 0:
            stats.rows_in += lost_rows
            self.issues.set_dropped_rows(stats.member, ("missing_header", "missing_column"), lost_rows)

    def _scan(self, pieces: list[Piece], header: CsvHeader) -> None:
        """Append the rows of pieces, whatever lines they have."""
        texts = [
            as_utf8(text[start:] if start else text, stats.member, self.issues) for text, start, stats, _ in pieces
        ]
        joined = texts[0] if len(texts) == 1 else b"".join(texts)
        ends = np.cumsum([len(text) for text in texts])
        lines = np.array([line for _, _, _, line in pieces])
        names = [stats.member for _, _, stats, _ in pieces]
        for part in read_scanned(np.frombuffer(joined, np.uint8), ends, lines, header, self.kind, names, self.issues):
            codes = None if part.keys is None else classify_keys(part.keys)
            self.columns.add(part.numbers, codes, part.keys if self.keep_keys else None)
            row = 0
            for number, rows, kept, clock in part.pieces:
                stats = pieces[number][2]
                stats.rows_in += rows
                if kept:
                    stats.clock = stats.clock if stats.rows_kept else clock
                    stats.rows_kept += kept
                    of_rows = part.lines[row : row + kept]
                    follows = of_rows[-1] - of_rows[0] == kept - 1
                    stats.lines.append((int(of_rows[0]), None if follows else of_rows, kept))
                    row += kept

    def table(self) -> EventTable:
        """Return all rows, in the order of members."""
        self._flush()
        t, *position = self.columns.numbers
        x, y = position or (np.empty(0), np.empty(0))
        table = EventTable(self.kind, self.members, t, x, y, self.columns.codes, None)
        if self.keep_keys:
            table.key = self.columns.keys
            table.key_number = table.key.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        return table


def count_rows(raw: bytes, kind: Kind, member: str, limits: LogLimits = DEFAULT_LIMITS) -> int:
    """Return the number of rows in the bytes of a member, readable or not, of this kind of events."""
    if len(raw) <= MAX_CAREFUL_BYTES:
        return read_member(raw, kind, member, Issues()).rows_in
    reader, stats = _Reader(kind, Issues(), False, 1, limits), ReadMember(member, 0)
    reader.read_whole(raw, stats)
    reader.table()
    return stats.rows_in
