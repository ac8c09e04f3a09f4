"""What is in a study that is a ZIP, or a ZIP of ZIPs, and the verified bytes of each member."""

from __future__ import annotations

import gc
import hashlib
import io
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from isal import isal_zlib

from analytics_kit.errors import BadArchiveError
from analytics_kit.study.directory import ENCRYPTED, UTF8_NAME, Entry, read_directory

CHUNK_BYTES = 16 << 20
"""Members are inflated in pieces of at most this size when they are streamed."""
_HEADER_ROOM = 128
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_READABLE = {_STORED, _DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


class Member(NamedTuple):
    """One file of a study. `name` has forward slashes; members of a nested ZIP are named `outer.zip/inner`."""

    name: str
    raw_bytes: int
    packed_bytes: int
    crc: int
    method: int
    encrypted: bool
    offset: int
    container: int
    """Which ZIP holds it: 0 is the outer one, 1 the first of `Archive.nested`, …"""
    changed: str = ""
    """When a loose file was last written; empty in a ZIP."""


class MemberUnreadableError(Exception):
    """A member's bytes can't be had: `kind` and message of the issue, and what could be inflated."""

    def __init__(self, kind: str, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.kind = kind
        self.partial = partial


class Archive:
    """An opened study: `members` in archive order, and `read`/`chunks` for their bytes. Close it after use."""

    def __init__(self, source: str, size_bytes: int) -> None:
        self.source = source
        self.name = source.rpartition("/")[2]
        self.size_bytes = size_bytes
        self.members: list[Member] = []
        self.nested: list[Member] = []
        """The ZIPs in the ZIP whose members are listed too, in the order of their container numbers."""
        self.folders: list[str] = []
        """Folders that are listed by name, which matters where they are empty."""
        self.notes: list[tuple[str, str, str]] = []
        """(member, issue kind, message) of what was noticed while listing."""
        self._lock = threading.Lock()

    def list_members(self) -> None:
        """Fill `members`, and what else can be said without reading them."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A hash of names, sizes and CRCs (of loose files: times), the same wherever the study lies."""
        digest = hashlib.sha256()
        for m in self._listed():
            digest.update(f"{m.name}\0{m.raw_bytes}\0{m.crc}\0{m.changed}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _listed(self) -> Iterator[Member]:
        yield from self.members

    def read(self, member: Member) -> bytes:
        """All bytes of a member, CRC checked. Raises MemberUnreadableError."""
        pieces: list[bytes] = []
        try:
            pieces.extend(self.chunks(member))
        except MemberUnreadableError as error:
            error.partial = b"".join(pieces)
            raise
        return b"".join(pieces)

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The same in pieces; the CRC is checked after the last one."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the files."""

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ZipArchive(Archive):
    """A ZIP file and the ZIPs that lie in it, each of which is inflated when it is first needed."""

    def __init__(self, file: IO[bytes], source: str, size_bytes: int) -> None:
        super().__init__(source, size_bytes)
        self._files: dict[int, IO[bytes]] = {0: file}
        self._loaded: dict[int, memoryview] = {}
        """All bytes of those files that are in memory, where no seeking and no lock is needed."""
        self._inflating = threading.RLock()
        self._hold(0, file)

    def list_members(self, look_inside: bool = True) -> None:
        """See Archive. With `look_inside=False` a ZIP in the ZIP is a member like any other."""
        with without_gc():
            self._list(0, "", look_inside)

    def _listed(self) -> Iterator[Member]:
        yield from sorted(
            (m for m in (*self.members, *self.nested) if m.container == 0), key=lambda m: (m.offset, m.name)
        )

    def _list(self, container: int, prefix: str, look_inside: bool) -> None:
        file = self._file(container)
        with _bad_zip(prefix.removesuffix("/") or self.name):
            entries = list(read_directory(file))
        nested: list[Member] = []
        for entry in entries:
            name = prefix + self._name(entry, prefix)
            if name.endswith("/"):
                self.folders.append(name.rstrip("/"))
                continue
            member = Member(
                name, entry.raw_bytes, entry.packed_bytes, entry.crc, entry.method,
                bool(entry.flags & ENCRYPTED), entry.offset, container,
            )  # fmt: skip
            (nested if look_inside and name.lower().endswith(".zip") else self.members).append(member)
        for member in nested:
            self.nested.append(member)
            try:
                self._list(len(self.nested), member.name + "/", False)
            except (BadArchiveError, MemberUnreadableError) as error:
                self._forget(len(self.nested))
                self.nested.pop()
                self.notes.append((member.name, "unreadable_zip", f"nested ZIP can't be read: {error.args[0]}"))
                self.members.append(member)

    def _file(self, container: int) -> IO[bytes]:
        """The bytes of one of the ZIPs."""
        with self._inflating:
            if container not in self._files:
                self._hold(container, io.BytesIO(self.read(self.nested[container - 1])))
            return self._files[container]

    def _hold(self, container: int, file: IO[bytes]) -> None:
        self._files[container] = file
        if isinstance(file, io.BytesIO):
            self._loaded[container] = memoryview(file.getvalue())

    def _forget(self, container: int) -> None:
        self._files.pop(container, None)
        self._loaded.pop(container, None)

    def _name(self, entry: Entry, prefix: str) -> str:
        """A member's name; where its encoding is not marked, UTF-8 if it can be, else Latin-1."""
        raw = entry.name.partition(b"\0")[0]
        if entry.flags & UTF8_NAME or raw.isascii():
            return raw.decode("utf-8", errors="replace")
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
        self.notes.append((prefix + name, "name_encoding", "the file name has no encoding mark; it was guessed"))
        return name

    def read(self, member: Member) -> bytes:
        """See Archive. The usual small file is inflated in one go."""
        if member.method != _DEFLATED or member.encrypted or member.raw_bytes > CHUNK_BYTES:
            return super().read(member)
        packed_bytes = min(member.packed_bytes, 2 * CHUNK_BYTES)  # more is a lie
        # its own header and data in one read; how long the header is, it says itself
        data = self._packed(member, member.offset, _HEADER_ROOM + 3 * len(member.name) + packed_bytes)
        start = _header_bytes(data)
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
        if member.encrypted:
            raise MemberUnreadableError("encrypted", "the file is encrypted; make the ZIP without a password")
        if member.method not in _READABLE:
            raise MemberUnreadableError(
                "unsupported_method", f"ZIP method {member.method} is not supported; use deflate or store"
            )
        if member.method not in (_STORED, _DEFLATED):
            yield self._by_zipfile(member)
            return
        header = self._packed(member, member.offset, _LOCAL_HEADER.size)
        offset, left = member.offset + _header_bytes(header), member.packed_bytes
        unpacker = isal_zlib.decompressobj(-15)
        crc = done = 0
        while left > 0 and done <= member.raw_bytes:
            data = self._packed(member, offset, min(left, CHUNK_BYTES // 4))
            if not data:
                break
            offset, left = offset + len(data), left - len(data)
            while done <= member.raw_bytes:
                try:
                    raw = bytes(data) if member.method == _STORED else unpacker.decompress(data, CHUNK_BYTES)
                except isal_zlib.error as error:  # type: ignore[misc]  # its stub calls the class an instance
                    raise _damaged(error) from None
                if not raw:  # only now: what does not fit into a piece may be kept inside the unpacker
                    break
                data = b"" if member.method == _STORED else unpacker.unconsumed_tail
                crc = isal_zlib.crc32(raw, crc)
                done += len(raw)
                yield raw
        _verify(member, crc, done)

    def _packed(self, member: Member, offset: int, size: int) -> bytes | memoryview:
        file = self._files.get(member.container) or self._file(member.container)
        loaded = self._loaded.get(member.container)
        if loaded is not None and offset >= 0:
            return loaded[offset : offset + size]
        try:
            with self._lock:  # threads share the file
                file.seek(offset)
                return file.read(size)
        except (OSError, ValueError, OverflowError) as error:
            raise MemberUnreadableError("unreadable", f"byte {offset} of the ZIP can't be read: {error}") from error

    def _by_zipfile(self, member: Member) -> bytes:
        """The rare methods, bzip2 and lzma."""
        try:
            with self._lock, zipfile.ZipFile(self._file(member.container)) as opened:
                info = next(i for i in opened.infolist() if i.header_offset == member.offset)
                return opened.read(info)
        except Exception as error:  # zipfile lets the errors of bz2 and lzma through as they are
            raise MemberUnreadableError("unreadable", f"it can't be unpacked: {error}") from error

    def close(self) -> None:
        """See Archive."""
        for file in self._files.values():
            file.close()


def _header_bytes(header: bytes | memoryview) -> int:
    """How far behind the start of its own header a member's data begins."""
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
        raise MemberUnreadableError("unreadable", "its header is not where the ZIP's directory says")
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(header)
    return _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)


def _damaged(error: Exception) -> MemberUnreadableError:
    return MemberUnreadableError("unreadable", f"its packed data is damaged: {error}")


def _verify(member: Member, crc: int, done: int, partial: bytes = b"") -> None:
    if done != member.raw_bytes:
        raise MemberUnreadableError(
            "unreadable", f"it inflates to {done} bytes where the ZIP's directory says {member.raw_bytes}", partial
        )
    if crc != member.crc:
        raise MemberUnreadableError("crc_mismatch", "its checksum is wrong: the file was damaged", partial)


@contextmanager
def without_gc() -> Iterator[None]:
    """Listing thousands of files makes many objects and no garbage: each collection that sets off is in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _bad_zip(name: str) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        struct.error,
        OSError,
        EOFError,
        ValueError,
        OverflowError,
    ) as error:
        raise BadArchiveError(f"{name} is not a readable ZIP: {error}.") from error
