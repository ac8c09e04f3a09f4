"""Refuse a log with longer lines, or more columns, than any real log, and a large one that would be read whole."""

from __future__ import annotations

from typing import Any, NamedTuple

from analytics_kit.options import Options
from analytics_kit.study.archive.base import Member
from analytics_kit.study.archive.limits import limit_error, short_name, size_text
from analytics_kit.study.csv.rows import DELIMITERS, count_line_breaks

_DEFAULTS: Any = Options.model_fields


class LogLimits(NamedTuple):
    """The limits of a log, of the options with these names."""

    max_line_bytes: int = _DEFAULTS["max_line_bytes"].default
    max_columns: int = _DEFAULTS["max_columns"].default
    max_log_bytes: int = _DEFAULTS["max_log_bytes"].default
    max_log_rows: int = _DEFAULTS["max_log_rows"].default
    max_trials: int = _DEFAULTS["max_trials"].default

    @classmethod
    def of(cls, options: Options) -> LogLimits:
        """Return the limits that options set."""
        return cls(*(getattr(options, name) for name in cls._fields))

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

    def check_size(self, member: Member) -> None:
        """Check the size of a log that is read whole, before it is read. Raises UnsafeArchiveError."""
        if member.raw_bytes > self.max_log_bytes:
            raise limit_error(
                f"{short_name(member.name)} has {size_text(member.raw_bytes)}, and its format is read whole",
                f"{size_text(self.max_log_bytes)} (max_log_bytes)",
                f"max_log_bytes={member.raw_bytes}",
            )

    def check_trials(self, trials: int, study: str) -> None:
        """Check the number of trials that the rows of logs name. Raises UnsafeArchiveError."""
        if trials > self.max_trials:
            raise limit_error(
                f"{study} has more than {self.max_trials:,} trials",
                f"{self.max_trials:,} (max_trials)",
                f"max_trials={2 * trials}",
            )

    def check_whole(self, raw: bytes, member: str) -> None:
        """Check the lines of a log that is read whole, before they are parsed. Raises UnsafeArchiveError."""
        self.check_lines(raw, member)
        rows = count_line_breaks(raw)
        if rows > self.max_log_rows:
            raise limit_error(
                f"{short_name(member)} has {rows:,} lines, and its format is read whole",
                f"{self.max_log_rows:,} (max_log_rows)",
                f"max_log_rows={rows}",
            )
        first = raw[: self.max_line_bytes].lstrip().replace(b"\r", b"\n").partition(b"\n")[0]
        self.check_columns(1 + max(first.count(sign.encode()) for sign in DELIMITERS), member)


DEFAULT_LIMITS = LogLimits()
