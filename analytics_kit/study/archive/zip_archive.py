"""Open a study that is a ZIP, or a ZIP of ZIPs, and read the verified bytes of its members."""

from __future__ import annotations

import hashlib
import struct
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from isal import isal_zlib

from analytics_kit.errors import BadArchiveError
from analytics_kit.options import Options
from analytics_kit.study.archive.base import CHUNK_BYTES, Archive, Member, MemberUnreadableError, without_gc
from analytics_kit.study.archive.byte_range import ByteRange, Spool, changed
from analytics_kit.study.archive.central_directory import (
    ENCRYPTED,
    CentralEntry,
    decode_name,
    find_directory,
    read_directory,
)
from analytics_kit.study.archive.decompress import (
    AES,
    DEFLATED,
    STORED,
    DamagedError,
    inflate,
    is_supported,
    method_name,
)
from analytics_kit.study.archive.limits import SPECIAL_FILES, ArchiveLimits
from analytics_kit.study.archive.remote_range import MAX_PIECE_BYTES, RangeWindow, RemoteRange, Span

_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")
_HEADER_READ_BYTES = 128
"""Read of a local header besides its name: its fixed part and the usual extra fields."""
MIN_WINDOW_BYTES = 1 << 20
"""A ZIP in a ZIP behind a URL up to this size is fetched whole, which takes fewer requests than its parts."""
START_PACKED_BYTES = 64 << 10
"""So much is read at a time of a member of which only the start is wanted."""


class ZipArchive(Archive):
    """A study that is a ZIP, with the ZIPs inside it, each inflated when it is first needed."""

    def __init__(self, zip_bytes: ByteRange, source: str, options: Options | None = None) -> None:
        super().__init__(source, zip_bytes.size)
        self._options = options or Options()
        self._zips: dict[int, ByteRange] = {0: zip_bytes}
        self._spool = Spool()
        self._inflating = threading.RLock()
        self._fingerprint: str | None = None
        self._planned: str | None = None

    def list_members(self) -> None:
        """See Archive. Raises BadArchiveError and UnsafeArchiveError."""
        with without_gc():
            self._list(0, self.name, "", 0, ArchiveLimits(self._options, self.name))

    def fingerprint(self) -> str:
        """See Archive. Nothing is inflated; the directory of a ZIP that was not listed is read piece by piece."""
        if self._fingerprint is not None:
            return self._fingerprint
        with self._bad_zip(self.name):
            zip_bytes = self._zips[0]
            entries = read_directory(zip_bytes, find_directory(zip_bytes))
            fingerprint = _digest(islice(entries, self._options.max_members))
            if next(entries, None) is not None:
                raise ValueError("it holds too many files")
        return fingerprint

    def expect(self, fingerprint: str) -> None:
        """See Archive. It is compared before a file is called damaged: what could be read is what was listed."""
        self._planned = fingerprint

    def _require_unchanged(self) -> None:
        """Raise StoreError if the ZIP was written to since it was opened, or is not the one that was expected."""
        self._zips[0].require_unchanged()
        if self._planned is None:
            return
        planned, self._planned = self._planned, None  # once: what is written from now on is noticed above
        try:
            found = _digest(read_directory(self._zips[0], find_directory(self._zips[0])))
        except (zipfile.BadZipFile, struct.error, ValueError, OverflowError):
            found = ""
        if found != planned:
            raise changed(self.source)

    def _list(self, number: int, name: str, prefix: str, depth: int, limits: ArchiveLimits) -> None:
        zip_bytes = self._zip(number)
        with self._bad_zip(name):
            directory = find_directory(zip_bytes)
            limits.check_directory(directory)
            entries = list(islice(read_directory(zip_bytes, directory), limits.entries_left + 1))
        packed_bytes = self.nested[number - 1].packed_bytes if number else None
        limits.check(name, entries, directory, zip_bytes.size, packed_bytes)
        if number == 0:
            self._fingerprint = _digest(entries)
        members: list[Member] = []
        nested: list[Member] = []
        for raw_name, flags, method, crc, packed, raw, offset, file_type in entries:
            if raw_name.isascii() and 0 not in raw_name:  # nearly always; the general case is slower
                text = prefix + raw_name.decode()
            else:
                decoded, is_known = decode_name(raw_name, flags)
                text = prefix + decoded
                if not is_known:
                    self.issues.append((text, "name_encoding", "the file name has no encoding mark; it was guessed"))
            if file_type in SPECIAL_FILES:
                self.issues.append((text, *SPECIAL_FILES[file_type]))
                continue
            if text.endswith("/"):
                self.folders.append(text.rstrip("/"))
                continue
            member = Member._make((text, raw, packed, crc, method, bool(flags & ENCRYPTED), offset, number, ""))
            # macOS adds `._` files of the same name, which are no ZIPs
            is_zip = text[-4:].lower() == ".zip" and not text.rpartition("/")[2].startswith("._")
            (nested if is_zip else members).append(member)
        self.members += members
        with self.expecting([] if number else [member for member in nested if not _is_window(member)]):
            for member in nested:
                self._list_nested(member, depth + 1, limits)

    def _list_nested(self, member: Member, depth: int, limits: ArchiveLimits) -> None:
        limits.check_nesting(depth, member.name)
        self.nested.append(member)
        try:
            self._list(len(self.nested), member.name, member.name + "/", depth, limits)
        except (BadArchiveError, MemberUnreadableError) as error:
            self._zips.pop(len(self.nested), None)
            self.nested.pop()
            self.issues.append((member.name, "unreadable_zip", f"nested ZIP can't be read: {error.args[0]}"))
            self.members.append(member)

    def _zip(self, number: int) -> ByteRange:
        """Return the bytes of one of the ZIPs."""
        with self._inflating:
            if number not in self._zips:
                member = self.nested[number - 1]
                holder = self._zips.get(member.zip_number) or self._zip(member.zip_number)
                if _is_window(member) and isinstance(holder, RemoteRange | RangeWindow):
                    start = _data_start(holder.read(member.offset, _header_read_bytes(member)), member)
                    self._zips[number] = RangeWindow(holder, member.offset + start, member.raw_bytes)
                else:
                    self._zips[number] = self._spool.hold(self.chunks(member), member.raw_bytes)
            return self._zips[number]

    @contextmanager
    def expecting(self, members: Iterable[Member]) -> Iterator[None]:
        """See Archive."""
        zip_bytes = self._zips[0]
        if not isinstance(zip_bytes, RemoteRange):
            yield
            return
        spans = {self._outer_span(member, zip_bytes) for member in members}
        with zip_bytes.expecting(span for span in spans if span[1] - span[0] <= MAX_PIECE_BYTES):
            yield

    def _outer_span(self, member: Member, outer: RemoteRange) -> Span:
        """Return the bytes of the outer ZIP that hold a member, or the ZIP with it that has to be inflated."""
        shift = 0
        while member.zip_number:
            nested = self.nested[member.zip_number - 1]
            window = self._zip(member.zip_number) if _is_window(nested) else None
            if isinstance(window, RangeWindow) and (begin := window.offset_in(outer)) is not None:
                shift = begin
                break
            member = nested
        end = shift + member.offset + _header_read_bytes(member) + member.packed_bytes
        return shift + member.offset, min(end, outer.size)

    def start(self, member: Member, raw_bytes: int) -> bytes:
        """See Archive."""
        self._require_readable(member)
        with self._damage_is_of_the_file():
            try:
                pieces = inflate(member.method, self._pieces(member, START_PACKED_BYTES), member.raw_bytes, raw_bytes)
                return next(pieces, b"")
            except DamagedError as error:
                raise _damaged(error) from None

    def read(self, member: Member) -> bytes:
        """See Archive. The usual small file is inflated in one go."""
        try:
            return self._read(member)
        except MemberUnreadableError:
            self._require_unchanged()
            raise

    def _read(self, member: Member) -> bytes:
        if member.method != DEFLATED or member.encrypted or member.raw_bytes > CHUNK_BYTES:
            return super().read(member)
        # deflate never grows a member that much: a larger size is false
        packed_bytes = min(member.packed_bytes, 2 * CHUNK_BYTES)
        # local header and data in one read; the header's length is known only from the header
        data = self._packed(member, member.offset, _header_read_bytes(member) + packed_bytes)
        start = _data_start(data, member)
        data = data[start : start + packed_bytes]
        if len(data) < packed_bytes:
            data = self._packed(member, member.offset + start, packed_bytes)
        try:
            raw = isal_zlib.decompressobj(-15).decompress(data, member.raw_bytes + 1)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub calls the class an instance
            raise _damaged(error) from None
        _verify(member, isal_zlib.crc32(raw), len(raw), raw)
        return raw

    def chunks(self, member: Member) -> Iterator[bytes]:
        """See Archive."""
        self._require_readable(member)
        crc = done = 0
        with self._damage_is_of_the_file():
            try:
                for raw in inflate(member.method, self._pieces(member), member.raw_bytes, CHUNK_BYTES):
                    crc = isal_zlib.crc32(raw, crc)
                    done += len(raw)
                    yield raw
            except DamagedError as error:
                raise _damaged(error) from None
            _verify(member, crc, done)

    def _require_readable(self, member: Member) -> None:
        if member.encrypted:
            by = " by WinZip AES" if member.method == AES else ""
            raise MemberUnreadableError("encrypted", f"the file is encrypted{by}; make the ZIP without a password")
        if not is_supported(member.method):
            raise MemberUnreadableError(
                "unsupported_method",
                f"it is packed by {method_name(member.method)}, which is not supported; use deflate or store",
            )

    @contextmanager
    def _damage_is_of_the_file(self) -> Iterator[None]:
        """Raise StoreError instead of an error of a member where the ZIP was written to since it was opened."""
        try:
            yield
        except MemberUnreadableError:
            self._require_unchanged()
            raise

    def _pieces(self, member: Member, piece_bytes: int = CHUNK_BYTES // 4) -> Iterator[bytes]:
        """Yield the packed bytes of a member."""
        start = _data_start(self._packed(member, member.offset, _header_read_bytes(member)), member)
        offset, left = member.offset + start, member.packed_bytes
        while left > 0:
            data = bytes(self._packed(member, offset, min(left, piece_bytes)))
            if not data:
                return
            offset, left = offset + len(data), left - len(data)
            yield data

    def _packed(self, member: Member, offset: int, size: int) -> bytes | memoryview:
        return (self._zips.get(member.zip_number) or self._zip(member.zip_number)).read(offset, size)

    @contextmanager
    def _bad_zip(self, name: str) -> Iterator[None]:
        """Translate the errors of a damaged ZIP into BadArchiveError."""
        try:
            yield
        except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, ValueError, OverflowError) as error:
            self._require_unchanged()
            raise BadArchiveError(f"{name} is not a readable ZIP: {error}.") from error

    def close(self) -> None:
        """See Archive."""
        self._spool.close()
        for zip_bytes in self._zips.values():
            zip_bytes.close()


def _is_window(nested: Member) -> bool:
    """Return whether a nested ZIP lies unpacked in its ZIP and is so large that reading parts of it saves time."""
    is_unpacked = nested.method == STORED and not nested.encrypted and nested.packed_bytes == nested.raw_bytes
    return is_unpacked and nested.raw_bytes > MIN_WINDOW_BYTES


def _digest(entries: Iterable[CentralEntry]) -> str:
    """Return a hash of names, sizes and CRCs."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(b"%b\0%d\0%d\n" % (entry.name, entry.raw_bytes, entry.crc))
    return digest.hexdigest()


def _header_read_bytes(member: Member) -> int:
    """Return how many bytes to read for a member's local header; only its extra fields may be longer."""
    return _HEADER_READ_BYTES + 4 * len(member.name)


def _data_start(header: bytes | memoryview, member: Member) -> int:
    """Return the offset of a member's data from the start of its local header.

    The header has to agree with the ZIP's directory. If it does not, only this member is lost: all bytes are read by
    the offsets and sizes of the directory, so nothing else is in danger.
    """
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
        raise MemberUnreadableError("unreadable", "its header is not at the offset in the ZIP's directory")
    _, flags, method, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(header)
    start = _LOCAL_HEADER.size + int(name_bytes)
    name = header[_LOCAL_HEADER.size : start]
    is_same = method == member.method and bool(flags & ENCRYPTED) == member.encrypted
    if not is_same or not (
        member.name.endswith(str(name, "utf-8", "replace"))  # quick, and nearly always right
        or member.name.endswith(decode_name(bytes(name), flags)[0])
    ):
        raise MemberUnreadableError("unreadable", "its header contradicts the ZIP's directory")
    return start + int(extra_bytes)


def _damaged(error: Exception) -> MemberUnreadableError:
    return MemberUnreadableError("unreadable", f"its packed data is damaged: {error}")


def _verify(member: Member, crc: int, done: int, partial: bytes = b"") -> None:
    if done != member.raw_bytes:
        size = f"more than {member.raw_bytes}" if done > member.raw_bytes else done
        raise MemberUnreadableError(
            "unreadable", f"it inflates to {size} bytes, not the {member.raw_bytes} in the ZIP's directory", partial
        )
    if crc != member.crc:
        raise MemberUnreadableError("crc_mismatch", "its checksum is wrong: the file was damaged", partial)
