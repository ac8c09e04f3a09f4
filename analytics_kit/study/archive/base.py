"""Define an archive and its members, independently of how they are stored."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

CHUNK_BYTES = 16 << 20
"""Members are inflated in pieces of at most this size when they are streamed."""

SHORT_MEMBER_BYTES = 8 << 20
"""Surveys and manifests have a few kilobytes; a member larger than this is not read as one."""


SHORT_FILES_BYTES = 64 << 20
"""All surveys, or all manifests, of a study together may have this many bytes."""

SHORT_FILE_COLUMNS = 10_000
"""A survey or manifest has no more cells in a line."""


class Member(NamedTuple):
    """A file of a study.

    Attributes
    ----------
    name
        Its path in the study with forward slashes; in a nested ZIP `outer.zip/inner`.
    raw_bytes, packed_bytes
        Its size, and the bytes it takes in the ZIP. Both are what the directory claims until the member is read.
    crc
        The CRC-32 of its raw bytes; 0 for a loose file.
    method
        The number of its compression method, as in `zipfile`.
    encrypted
        Whether its bytes are encrypted.
    offset
        Where its local header begins in its ZIP, in bytes.
    zip_number
        The ZIP that holds it: 0 is the outer one, 1 the first of `Archive.nested`, …
    changed
        When a loose file was last written, in ns since 1970; empty in a ZIP.
    """

    name: str
    raw_bytes: int
    packed_bytes: int
    crc: int
    method: int
    encrypted: bool
    offset: int
    zip_number: int
    changed: str = ""


class MemberUnreadableError(Exception):
    """A member can't be read: the kind and message of the issue, and the bytes that could be inflated."""

    def __init__(self, kind: str, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.kind = kind
        self.partial = partial


class Archive:
    """An opened study. Close it after use, or use it as a context manager.

    `open_archive` makes one. A subclass defines how members are listed and how their bytes are read.

    Attributes
    ----------
    source, name
        The path or URL, and its last part, both without secrets.
    size_bytes
        The size of the ZIP, or the sum of the loose files.
    members
        The files of the study, in archive order.
    nested
        The ZIPs inside the ZIP whose members are listed too, in the order of their `zip_number`.
    folders
        The folders listed by name, which matter where they are empty.
    issues
        (member, kind of issue, message) of what is wrong with the listing.

    See Also
    --------
    analytics_kit.study.archive.source.open_archive
    """

    def __init__(self, source: str, size_bytes: int) -> None:
        self.source = source
        self.name = source.rpartition("/")[2]
        self.size_bytes = size_bytes
        self.members: list[Member] = []
        self.nested: list[Member] = []
        self.folders: list[str] = []
        self.issues: list[tuple[str, str, str]] = []

    def list_members(self) -> None:
        """Fill `members`, `nested`, `folders` and `issues`, without reading members."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a hash of names, sizes and CRCs (of loose files: times), which does not depend on the location.

        Raises BadArchiveError.
        """
        raise NotImplementedError

    def expect(self, fingerprint: str) -> None:
        """Say what the fingerprint of a study was that another process listed: other content is no damage."""

    def read(self, member: Member) -> bytes:
        """Return all bytes of a member, with the CRC checked.

        Raises
        ------
        MemberUnreadableError
            If they are encrypted, damaged, or packed by an unsupported method.
        StoreError
            If the storage of the study fails, or the study was written to since it was opened: that is no damage.
        """
        pieces: list[bytes] = []
        try:
            pieces.extend(self.chunks(member))
        except MemberUnreadableError as error:
            error.partial = b"".join(pieces)
            raise
        return b"".join(pieces)

    def read_short(self, member: Member) -> bytes:
        """Return all bytes of a survey or manifest. Raises MemberUnreadableError also if it is too large for one."""
        if member.raw_bytes > SHORT_MEMBER_BYTES:
            raise MemberUnreadableError(
                "too_large", f"it has {member.raw_bytes:,} bytes, where such a file may have {SHORT_MEMBER_BYTES:,}"
            )
        return self.read(member)

    @contextmanager
    def expecting(self, members: Iterable[Member]) -> Iterator[None]:
        """Announce members that are read in the block, in any order: they can be fetched together."""
        yield

    def start(self, member: Member, raw_bytes: int) -> bytes:
        """Return up to `raw_bytes` from the start of a member, unchecked. Raises MemberUnreadableError."""
        return next(iter(self.chunks(member)), b"")[:raw_bytes]

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a member in pieces of at most CHUNK_BYTES; the CRC is checked after the last one.

        Raises MemberUnreadableError.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ShortFiles:
    """Read the surveys, or the manifests, of a study, which together may have SHORT_FILES_BYTES."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, SHORT_FILES_BYTES

    def read(self, archive: Archive, member: Member) -> bytes:
        """Return all bytes of a member. Raises MemberUnreadableError also if they or its cells are too many."""
        if member.raw_bytes > self._left:
            raise MemberUnreadableError(
                "too_large", f"the {self._what} of a study may have {SHORT_FILES_BYTES:,} bytes together"
            )
        raw = archive.read_short(member)
        self._left -= len(raw)
        if raw.count(b",") > SHORT_FILE_COLUMNS and (
            (columns := max(line.count(b",") for line in raw.splitlines()) + 1) > SHORT_FILE_COLUMNS
        ):
            raise MemberUnreadableError(
                "too_large", f"it has a line of {columns:,} cells, where such a file may have {SHORT_FILE_COLUMNS:,}"
            )
        return raw


@contextmanager
def without_gc() -> Iterator[None]:
    """Pause the garbage collector, for work that makes many objects and no garbage, such as a long listing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
