"""What was lost or doubtful while reading a study, and where."""

from __future__ import annotations

from typing import Literal, NamedTuple

from analytics_kit.errors import BadMemberError, UnsafeArchiveError


class Issue(NamedTuple):
    """One line of `StudyResult.issues`; equal troubles of a member are one issue, `line` being the first."""

    member: str
    line: int | None
    kind: str
    message: str
    rows_dropped: int


class Issues:
    """Collects issues; with on_error="raise" the first one that loses data is raised instead."""

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
        """Record an issue; `lost` says that data is gone though no rows could be counted."""
        if self.on_error == "raise" and (rows_dropped or lost) and kind != "placeholder":
            where = f"{member}, line {line}" if line else member
            error = UnsafeArchiveError if kind == "unsafe_name" else BadMemberError
            raise error(f"{where}: {message.rstrip('.')} ({kind}).")
        for i in range(len(self.list) - 1, -1, -1):  # a member that is read in pieces has its troubles only once
            known = self.list[i]
            if known.member != member:
                break
            if known.kind == kind and (rows_dropped or known.message == message):
                self.list[i] = known._replace(rows_dropped=known.rows_dropped + rows_dropped)
                return
        self.list.append(Issue(member, line, kind, message, rows_dropped))
