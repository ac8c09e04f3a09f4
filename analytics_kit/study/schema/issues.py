"""Collect the issues of a study: what was lost or is doubtful in the data, and where."""

from __future__ import annotations

from typing import Literal, NamedTuple

from analytics_kit.errors import BadMemberError, UnsafeArchiveError


class Issue(NamedTuple):
    """A row of `StudyResult.issues`. Equal issues of a member are one row, and `line` is the first of them."""

    member: str
    line: int | None
    kind: str
    message: str
    rows_dropped: int


class Issues:
    """Collect issues or, with on_error="raise", raise the first one that loses data."""

    def __init__(self, on_error: Literal["skip", "raise"] = "skip") -> None:
        self.on_error = on_error
        self.list: list[Issue] = []

    def add(
        self,
        member: str,
        kind: str,
        message: str,
        *,
        line: int | None = None,
        rows_dropped: int = 0,
        lost: bool = False,
    ) -> None:
        """Record an issue. Set `lost` where data is lost whose rows can't be counted.

        Raises BadMemberError or, for an unsafe name, UnsafeArchiveError.
        """
        if self.on_error == "raise" and (rows_dropped or lost) and kind != "placeholder":
            location = f"{member}, line {line}" if line else member
            error = UnsafeArchiveError if kind == "unsafe_name" else BadMemberError
            raise error(f"{location}: {message.rstrip('.')} ({kind}).")
        # a member that is read in pieces reports the same issue for each of them
        for i in range(len(self.list) - 1, -1, -1):
            earlier = self.list[i]
            if earlier.member != member:
                break
            if earlier.kind == kind and (rows_dropped or earlier.message == message):
                self.list[i] = earlier._replace(rows_dropped=earlier.rows_dropped + rows_dropped)
                return
        self.list.append(Issue(member, line, kind, message, rows_dropped))

    def forget_dropped_rows(self, member: str) -> None:
        """Remove the latest issues if they are of this member and drop rows."""
        kept = []
        while self.list and self.list[-1].member == member:
            issue = self.list.pop()
            if not issue.rows_dropped:
                kept.append(issue)
        self.list += reversed(kept)

    def set_dropped_rows(self, member: str, kinds: tuple[str, ...], rows: int) -> None:
        """Set how many rows the latest issue of this member and of one of these kinds drops."""
        for i in range(len(self.list) - 1, -1, -1):
            issue = self.list[i]
            if issue.member != member:
                return
            if issue.kind in kinds:
                self.list[i] = issue._replace(rows_dropped=rows)
                return
