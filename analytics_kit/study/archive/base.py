"""Define what an archive and its members offer, whatever they are stored in."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

CHUNK_BYTES = 16 << 20
"""Members are inflated in pieces of at most this size when they are streamed."""


SHORT_MEMBER_BYTES = 8 << 20
"""Surveys and manifests are a few kilobytes; what is larger than this is not read as one."""


class Member(NamedTuple):
    """One file of a study. `name` has forward slashes; members of a nested ZIP are named `outer.zip/inner`."""

    name: str
    raw_bytes: int
    packed_bytes: int
    crc: int
    method: int
    encrypted: bool
    offset: int
    zip_number: int
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
        self.issues: list[tuple[str, str, str]] = []
        """(member, issue kind, message) of what was noticed while listing."""

    def list_members(self) -> None:
        """Fill `members`, and what else can be said without reading them."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A hash of names, sizes and CRCs (of loose files: times), the same wherever the study lies.

        Raises BadArchiveError.
        """
        raise NotImplementedError

    def read(self, member: Member) -> bytes:
        """All bytes of a member, CRC checked. Raises MemberUnreadableError."""
        pieces: list[bytes] = []
        try:
            pieces.extend(self.chunks(member))
        except MemberUnreadableError as error:
            error.partial = b"".join(pieces)
            raise
        return b"".join(pieces)

    def read_short(self, member: Member) -> bytes:
        """`read` for what is turned into a table at once. Raises MemberUnreadableError also for what is too large."""
        if member.raw_bytes > SHORT_MEMBER_BYTES:
            raise MemberUnreadableError(
                "too_large", f"it has {member.raw_bytes:,} bytes, where such a file may have {SHORT_MEMBER_BYTES:,}"
            )
        return self.read(member)

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The same in pieces; the CRC is checked after the last one."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the files."""

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
