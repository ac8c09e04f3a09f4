"""Read the bytes of a ZIP behind an fsspec URL: what is needed, once, in few requests."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from analytics_kit.study.archive.byte_range import ByteRange
from analytics_kit.study.storage_errors import retried, storage_errors

MAX_GAP_BYTES = 64 << 10
"""Bytes between two members that nobody asked for are read too, up to this many: a request costs more."""
MAX_PIECE_BYTES = 8 << 20
"""Members are fetched together up to this size; a larger one is streamed."""
MAX_HELD_BYTES = 96 << 20
"""Pieces are held up to this size together; beyond it the one that was used longest ago is fetched again."""

_VERSIONS = {
    "size",
    "etag",
    "content_md5",
    "last_modified",
    "lastmodified",
    "mtime",
    "updated",
    "generation",
    "version_id",
}
"""What file systems call that which changes with a file."""
Span = tuple[int, int]
"""Start and end of bytes of a ZIP."""


class RemoteRange(ByteRange):
    """The bytes of a ZIP that is elsewhere. Spans that are announced are fetched piece by piece and held."""

    def __init__(self, file: IO[bytes], size: int, name: str, look_up: Callable[[], Mapping[str, Any]]) -> None:
        self._look_up = look_up
        super().__init__(file, size, name=name)
        self._pieces: list[Span] = []
        self._held: OrderedDict[Span, bytes] = OrderedDict()
        self._fetching = threading.RLock()

    def version(self) -> object:
        """See ByteRange: size and entity tag or time, as far as `look_up` gives them."""
        with storage_errors(f"{self.name} can't be read"):
            found = retried(self._look_up)
        return {key: value for key, value in found.items() if key.lower().replace("-", "_") in _VERSIONS}

    @contextmanager
    def expecting(self, spans: Iterable[Span]) -> Iterator[None]:
        """Fetch these spans together, and hold them until the block ends."""
        pieces = join_spans(spans)
        with self._fetching:
            self._pieces = sorted([*self._pieces, *pieces])
        try:
            yield
        finally:
            with self._fetching:
                for piece in pieces:
                    self._pieces.remove(piece)
                    if piece not in self._pieces:
                        self._held.pop(piece, None)

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """See ByteRange."""
        with self._fetching:
            piece = self._piece_of(offset, min(offset + size, self.size))
            if piece is None:
                return super().read(offset, size)
            if piece not in self._held:
                self._held[piece] = bytes(super().read(piece[0], piece[1] - piece[0]))
                while len(self._held) > 1 and sum(map(len, self._held.values())) > MAX_HELD_BYTES:
                    self._held.popitem(last=False)
            self._held.move_to_end(piece)
            return memoryview(self._held[piece])[offset - piece[0] : offset - piece[0] + size]

    def _piece_of(self, start: int, end: int) -> Span | None:
        """Return the piece that holds these bytes."""
        number = bisect_right(self._pieces, (start, self.size + 1)) - 1
        for piece in self._pieces[max(0, number - 1) : number + 1]:  # neighbours may share a few bytes
            if piece[0] <= start and end <= piece[1]:
                return piece
        return None


class RangeWindow(ByteRange):
    """The bytes of a ZIP that lies unpacked in another one: `size` bytes from `start` on."""

    def __init__(self, outer: ByteRange, start: int, size: int) -> None:
        self._outer, self._begin = outer, start
        self.size, self.name = size, outer.name

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """See ByteRange."""
        size = min(size, self.size - offset)
        return b"" if offset < 0 or size <= 0 else self._outer.read(self._begin + offset, size)

    def offset_in(self, outer: ByteRange) -> int | None:
        """Return where this ZIP begins in `outer`; None where it is in another one."""
        if self._outer is outer:
            return self._begin
        within = self._outer.offset_in(outer) if isinstance(self._outer, RangeWindow) else None
        return None if within is None else within + self._begin

    def require_unchanged(self) -> None:
        """See ByteRange."""
        self._outer.require_unchanged()

    def close(self) -> None:
        """See ByteRange: the outer one closes the file."""


def join_spans(spans: Iterable[Span]) -> list[Span]:
    """Return pieces to fetch: neighbouring spans together, each span whole in one piece.

    >>> join_spans([(0, 100), (5_000_000, 5_000_100), (100, 250)])
    [(0, 250), (5000000, 5000100)]
    """
    pieces: list[Span] = []
    for start, end in sorted(spans):
        if pieces and start - pieces[-1][1] <= MAX_GAP_BYTES and end - pieces[-1][0] <= MAX_PIECE_BYTES:
            pieces[-1] = pieces[-1][0], max(end, pieces[-1][1])
        else:
            pieces.append((start, end))
    return pieces
