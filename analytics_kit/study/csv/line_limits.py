"""Refuse a log whose lines are longer, or have more columns, than any real log: each would be held in memory."""

from __future__ import annotations

from typing import NamedTuple

from analytics_kit.options import Options
from analytics_kit.study.archive.limits import limit_error, short_name, size_text

_DEFAULTS = Options.model_fields


class LineLimits(NamedTuple):
    """The limits of one line of a log, of the options with these names."""

    max_line_bytes: int = _DEFAULTS["max_line_bytes"].default
    max_columns: int = _DEFAULTS["max_columns"].default

    @classmethod
    def of(cls, options: Options) -> LineLimits:
        """Return the limits that options set."""
        return cls(options.max_line_bytes, options.max_columns)

    def check_lines(self, text: bytes, member: str) -> None:
        """Check the length of each line of a text. Raises UnsafeArchiveError.

        A longer line covers one of the positions that are multiples of the limit, so only these are looked at.
        """
        limit = self.max_line_bytes
        for position in range(limit, len(text), limit):
            start = text.rfind(b"\n", 0, position) + 1
            end = text.find(b"\n", position)
            end = len(text) if end < 0 else end
            if end - start > limit and b"\r" in text[start:end]:
                start = max(start, text.rfind(b"\r", start, position) + 1)
                stop = text.find(b"\r", position, end)
                end = end if stop < 0 else stop
            if end - start > limit:
                raise limit_error(
                    f"{short_name(member)} has a line of more than {size_text(limit)}",
                    f"{size_text(limit)} (max_line_bytes)",
                    f"max_line_bytes={2 * max(limit, end - start)}",
                )

    def check_columns(self, columns: int, member: str) -> None:
        """Check the number of columns of a header. Raises UnsafeArchiveError."""
        if columns > self.max_columns:
            raise limit_error(
                f"{short_name(member)} has a header of {columns:,} columns",
                f"{self.max_columns:,} (max_columns)",
                f"max_columns={columns}",
            )


DEFAULT_LIMITS = LineLimits()
