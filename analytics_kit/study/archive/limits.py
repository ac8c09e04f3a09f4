"""Refuse a ZIP that would inflate beyond the limits, or whose files share bytes, before it is inflated."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from operator import add, attrgetter, sub

from analytics_kit.errors import UnsafeArchiveError
from analytics_kit.options import Options
from analytics_kit.study.archive.central_directory import CentralDirectory, CentralEntry, decode_name

RATIO_FROM_BYTES = 64 << 20
"""A ZIP that inflates to less does no harm, whatever its ratio."""
_LOCAL_HEADER_BYTES = 30
_DEVICE = ("device", "a device, pipe or socket and no file; it was left out")
SPECIAL_FILES = {
    stat.S_IFLNK >> 12: ("link", "a link to another file; it was left out"),
    **{mode >> 12: _DEVICE for mode in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)},
}
"""Issue kind and message for the types of entries that are never read or followed."""


class ArchiveLimits:
    """Check the ZIPs of a study, all together, against the limits in `options`."""

    def __init__(self, options: Options, name: str) -> None:
        self._options, self._name = options, name
        self._packed = self._raw = self._entries = self._directory_bytes = 0

    @property
    def entries_left(self) -> int:
        """Return how many more entries are within the limit."""
        return self._options.max_members - self._entries

    def check_nesting(self, depth: int, name: str) -> None:
        """Check the depth of a ZIP inside `depth` others. Raises UnsafeArchiveError."""
        limit = self._options.max_nesting
        if depth > limit:
            raise limit_error(
                f"{short_name(name)} is a ZIP inside {depth} other ZIPs",
                f"{limit} (max_nesting)",
                f"max_nesting={depth}",
            )

    def check_directory(self, directory: CentralDirectory) -> None:
        """Check the length of a directory before it is read. Raises UnsafeArchiveError."""
        self._directory_bytes += directory.length
        limit = self._options.max_directory_bytes
        if self._directory_bytes > limit:
            raise limit_error(
                f"{self._name} has a directory of {size_text(self._directory_bytes)}",
                f"{size_text(limit)} (max_directory_bytes)",
                f"max_directory_bytes={2 * self._directory_bytes}",
            )

    def check(
        self,
        name: str,
        entries: Sequence[CentralEntry],
        directory: CentralDirectory,
        size: int,
        packed_bytes: int | None,
    ) -> None:
        """Check the listing of one ZIP; `packed_bytes` is the packed size of a nested one, None for the outer one.

        Raises UnsafeArchiveError.
        """
        self._entries += len(entries)
        limit = self._options.max_members
        if self._entries > limit:
            raise limit_error(
                f"{self._name} holds more than {limit:,} files",
                f"{limit:,} (max_members)",
                f"max_members={2 * limit}",
            )
        if not entries:
            return
        names, _, _, _, packed_sizes, raw_sizes, offsets, _ = zip(*entries, strict=True)
        lengths = [*map(len, names)]
        largest, longest = max(raw_sizes), max(lengths)
        if largest > (limit := self._options.max_member_bytes):
            raise limit_error(
                f"{_file(entries[raw_sizes.index(largest)])} in {name} would inflate to {size_text(largest)}",
                f"{size_text(limit)} (max_member_bytes)",
                f"max_member_bytes={largest}",
            )
        if longest > (limit := self._options.max_name_length):
            raise limit_error(
                f"{_file(entries[lengths.index(longest)])} in {name} has a name of {longest:,} bytes",
                f"{limit:,} (max_name_length)",
                f"max_name_length={longest}",
            )
        raw, packed = sum(raw_sizes), sum(packed_sizes)
        self._raw += raw
        if packed_bytes is None:
            self._packed = min(packed, size)  # more where files overlap
        else:
            self._check_ratio(name, raw, packed_bytes)
        self._check_ratio(self._name, self._raw, self._packed)
        if self._raw > self._options.max_raw_bytes:
            raise limit_error(
                f"{self._name} would inflate to {size_text(self._raw)}",
                f"{size_text(self._options.max_raw_bytes)} (max_raw_bytes)",
                f"max_raw_bytes={self._raw}",
            )
        ends = [*map(add, map(add, offsets, lengths), packed_sizes)]  # all but the fixed part of the headers
        if max(map(sub, ends, [*offsets[1:], directory.start])) > -_LOCAL_HEADER_BYTES:
            _check_positions(name, sorted(entries, key=attrgetter("offset")), directory, size)

    def _check_ratio(self, name: str, raw: int, packed: int) -> None:
        limit = self._options.max_ratio
        if raw > RATIO_FROM_BYTES and raw > limit * packed:
            ratio = -(-raw // max(packed, 1))
            raise limit_error(
                f"{name} would inflate to {size_text(raw)}, {ratio:,} times its packed size",
                f"{limit:,} times (max_ratio)",
                f"max_ratio={ratio}",
            )


def _check_positions(name: str, entries: Sequence[CentralEntry], directory: CentralDirectory, size: int) -> None:
    """Require the files, sorted by offset, to lie before the directory of the ZIP without overlaps.

    A local header counts with its minimal length. A longer one may reach into the next file unseen, but the packed
    data of all files together can't exceed the size of the ZIP, as a bomb needs.
    """
    ends = [entry.offset + _LOCAL_HEADER_BYTES + len(entry.name) + entry.packed_bytes for entry in entries]
    starts = [*(entry.offset for entry in entries[1:]), directory.start]
    first = next((i for i, (end, start) in enumerate(zip(ends, starts, strict=True)) if end > start), None)
    if first is None:
        return
    entry = entries[first]
    if max(entry.offset, ends[first]) > size:
        fault = f"lies outside the ZIP: it would end at byte {ends[first]:,} of {size:,}"
    elif first + 1 < len(entries):
        fault = f"shares bytes with {_file(entries[first + 1])}"
    else:
        fault = "overlaps the ZIP's directory"
    raise UnsafeArchiveError(
        f"{_file(entry)} in {name} {fault}. No ZIP program writes that.",
        hint="Download or make the ZIP again. If it is the same then, it was made to do harm. No setting permits it.",
    )


def limit_error(found: str, limit: str, option: str) -> UnsafeArchiveError:
    """Return the error for what was found beyond a limit; `option` is the one that raises it, with its value."""
    return UnsafeArchiveError(
        f"{found}; the limit is {limit}.",
        hint=f"If you trust its origin, raise the limit: submit(…, {option}).",
    )


def _file(entry: CentralEntry) -> str:
    return short_name(decode_name(entry.name, entry.flags)[0])


def short_name(name: str) -> str:
    """Return the name of a file, shortened for a message."""
    return name if len(name) <= 100 else f"{name[:60]}…{name[-30:]}"


def size_text(count: int) -> str:
    """Format a number of bytes for a message.

    >>> size_text(5_500_000_000), size_text(999)
    ('5.5 GB', '999 bytes')
    """
    for unit, name in ((10**18, "EB"), (10**15, "PB"), (10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
