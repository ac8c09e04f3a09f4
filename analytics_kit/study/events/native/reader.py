"""Read all events of one kind in a shard, from files of the logger.

Opening a CSV parser per file costs a hundred times more than the file's bytes. So members in the logger's own form
are joined and read at once, by `fast` or, if that stops, by `bulk`. A batch that both refuse is halved until the
irregular lines are alone, and those are read by `careful`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics_kit.model import Kind
from analytics_kit.study.archive.base import CHUNK_BYTES, Archive, Member, MemberUnreadableError
from analytics_kit.study.csv.rows import decode_utf8_or_latin1, find_row_boundary
from analytics_kit.study.events.native.buffers import RowBuffers
from analytics_kit.study.events.native.bulk import count_lines, is_regular, match_header, parse_rows
from analytics_kit.study.events.native.careful import ParsedRows, native_header, read_member, read_rows
from analytics_kit.study.events.native.fast import SHORTEST_LINE_BYTES, decode
from analytics_kit.study.events.table import EventTable, ReadMember, classify_keys
from analytics_kit.study.schema.compiling import Ints
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
MAX_CAREFUL_BYTES = 2048
"""A piece of text this small is not halved again but read row by row."""


def read_events(
    archive: Archive,
    members: Sequence[tuple[Member, int]],
    kind: Kind,
    issues: Issues,
    keep_keys: bool = False,
    advance: Callable[[int], None] = lambda raw_bytes: None,
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

    Returns
    -------
    EventTable
        All good rows, in the order of `members`: t, x, y, or t, key_class and, on request, key and key_number.

    Raises
    ------
    BadMemberError
        If `issues` raises and data is lost.
    """
    claimed = min(sum(member.raw_bytes for member, _ in members), MAX_RESERVED_BYTES)
    rows = claimed // NATIVE_LINE_BYTES + CHUNK_BYTES // SHORTEST_LINE_BYTES
    reader = _Reader(kind, issues, keep_keys and kind == "keyboard", rows)
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


class _Reader:
    """Collect rows in the order of members; small members wait in a batch that is read as one."""

    def __init__(self, kind: Kind, issues: Issues, keep_keys: bool, rows: int) -> None:
        self.kind = kind
        self.issues = issues
        self.keep_keys = keep_keys
        self.members: list[ReadMember] = []
        self.columns = RowBuffers(kind, rows)
        self.batch: list[Piece] = []
        self.batch_bytes = 0

    def read_whole(self, raw: bytes, stats: ReadMember) -> None:
        """Read a member that is in memory as a whole."""
        header = match_header(raw, self.kind)
        if header is None:
            self._append_rows(read_member(raw, self.kind, stats.member, self.issues), stats)
        else:
            self._add(raw, len(header), header, stats, 2)

    def read_pieces(self, chunks: Iterator[bytes], stats: ReadMember, advance: Callable[[int], None]) -> None:
        """Read a member that comes in pieces, which are cut at line ends."""
        self._flush()
        rows_before = self.columns.rows
        rest, line, header, irregular = b"", 2, None, list[bytes]()
        try:
            for chunk in chunks:
                advance(len(chunk))
                text = rest + chunk
                if header is None:
                    header = None if irregular else match_header(text, self.kind)
                    if header is None:
                        irregular.append(chunk)
                        continue
                    text = text[len(header) :]
                boundary = find_row_boundary(text)
                rest = text[boundary:]
                self._add(text[:boundary], 0, header, stats, line)
                line += text.count(b"\n", 0, boundary) if b"\r" not in text else len(text[:boundary].splitlines())
            if header is None:
                self.read_whole(b"".join(irregular), stats)
            elif rest:
                self._add(rest, 0, header, stats, line)
            self._flush()
        except MemberUnreadableError as error:
            waiting = [text[start:] for text, start, _, _ in self.batch] + [rest]
            stats.rows_in += sum(1 for text in waiting for row in text.splitlines() if row.strip())
            error.partial = b"".join(irregular)
            self.batch, self.batch_bytes = [], 0
            self.columns.truncate(rows_before)
            raise

    def drop(self, stats: ReadMember, error: MemberUnreadableError) -> None:
        """Report a member that can't be read: the rows that could be counted are dropped."""
        rows_in = stats.rows_in + read_member(error.partial, self.kind, stats.member, Issues()).rows_in
        stats.rows_in, stats.rows_kept, stats.readable, stats.lines = rows_in, 0, False, []
        issues = self.issues  # rows dropped one by one are lost with the others
        issues.list = [issue for issue in issues.list if issue.member != stats.member or not issue.rows_dropped]
        self.issues.add(stats.member, error.kind, str(error), rows_dropped=rows_in, lost=True)

    def _add(self, text: bytes, start: int, header: bytes, stats: ReadMember, line: int) -> None:
        if header.endswith(b"\r\n"):
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
        """Read pieces as one, or halve them until irregular ones are alone."""
        counts = self._decode_fast(pieces)
        if counts is None:
            counts = self._parse_bulk(pieces)
        if counts is not None:
            for (text, start, stats, line), rows in zip(pieces, counts.tolist(), strict=True):
                if not stats.rows_kept:
                    stats.clock = text[start : text.find(b",", start)].decode("ascii", errors="replace").strip()
                stats.rows_in += rows
                stats.rows_kept += rows
                stats.lines.append((line, None, rows))
        elif len(pieces) > 1:
            half = len(pieces) // 2
            self._parse(pieces[:half])
            self._parse(pieces[half:])
        else:
            self._halve(*pieces[0])

    def _decode_fast(self, pieces: list[Piece]) -> Ints | None:
        """Append rows as the logger writes them; return their number per piece, None if a line differs."""
        if self.keep_keys:
            return None
        text = pieces[0][0] if len(pieces) == 1 else b"".join(piece[0] for piece in pieces)
        ends = np.cumsum([len(piece[0]) for piece in pieces])
        starts = np.array([piece[1] for piece in pieces])
        starts[1:] += ends[:-1]
        counts = np.empty(len(pieces), np.int64)
        numbers, codes = self.columns.free(len(text) // SHORTEST_LINE_BYTES)
        rows = decode(np.frombuffer(text, np.uint8), starts, ends, counts, numbers, codes)
        if rows < 0:
            return None
        self.columns.rows += rows
        return counts

    def _parse_bulk(self, pieces: list[Piece]) -> Ints | None:
        """Append rows of a line each; return their number per piece, None if a line is no good row."""
        bodies = [text[start:] for text, start, _, _ in pieces]
        text = b"".join(bodies)
        frame = parse_rows(text, self.kind)
        if frame is None:
            return None
        keys = frame.drop_in_place("key") if self.kind == "keyboard" else None
        self._append([column.to_numpy() for column in frame], keys)
        return count_lines(text, np.cumsum([len(body) for body in bodies]))

    def _append(self, numbers: Sequence[npt.ArrayLike], keys: pl.Series | None) -> None:
        codes = None if keys is None else classify_keys(keys)
        self.columns.add(numbers, codes, keys if self.keep_keys else None)

    def _halve(self, whole: bytes, start: int, stats: ReadMember, line: int) -> None:
        """Read the halves of a piece or, if it is small or irregular, its rows one by one."""
        text = whole[start:]
        regular = is_regular(text, self.kind)
        middle = text.find(b"\n", len(text) // 2) + 1
        if regular and len(text) > MAX_CAREFUL_BYTES and 0 < middle < len(text):
            self._parse([(text[:middle], 0, stats, line)])
            self._parse([(text[middle:], 0, stats, line + text.count(b"\n", 0, middle))])
            return
        decoded = text.decode() if regular else decode_utf8_or_latin1(text, stats.member, self.issues)
        self._append_rows(
            read_rows(decoded, native_header(self.kind), line, self.kind, stats.member, self.issues), stats
        )

    def _append_rows(self, rows: ParsedRows, stats: ReadMember) -> None:
        self._flush()  # the waiting members come before these rows
        if not stats.rows_kept:
            stats.clock = rows.clock
        stats.rows_in += rows.rows_in
        stats.rows_kept += len(rows.t)
        stats.lines.append((0, rows.line, len(rows.t)))
        if self.kind == "keyboard":
            self._append([rows.t], pl.Series(rows.key, dtype=pl.String))
        else:
            self._append([rows.t, rows.x, rows.y], None)

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
