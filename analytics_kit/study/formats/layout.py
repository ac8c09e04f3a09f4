"""Describe the layout of a study: its trials, and the role and trial of each member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LOG_ROLE = "log"
"""The role of a file that a LogFormat reads: it may hold several kinds of events and several trials."""


class Trial(NamedTuple):
    """A trial as its folder or its log names it.

    `name` is the folder's `{task}_{factor}` while task and factor are not yet known, and `trial` its number.
    """

    folder: str
    participant: str | None
    session: str | None
    name: str | None
    task: str | None
    factor: str | None
    trial: int | None


class MemberAssignment(NamedTuple):
    """The role and trial of a member. A file that holds several trials has an assignment for each of them.

    `member` is its index in `Archive.members`, `role` a kind of events, or log, survey, media, manifest, clutter,
    unsafe_name or other; `trial` is an index in `StudyLayout.trials`, and `label` distinguishes the trials of a file.
    """

    member: int
    role: str
    trial: int | None
    participant: str | None = None
    session: str | None = None
    survey: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class StudyLayout:
    """The trials of a study, the assignments of its members, and its issues as (member, kind, message)."""

    trials: list[Trial]
    assignments: list[MemberAssignment]
    issues: list[tuple[str, str, str]]


def ignored_role(path: str) -> str | None:
    """Return "clutter" or "unsafe_name" for a path that does not belong to a study, else None.

    >>> [ignored_role(path) for path in ("a/b.csv", "__MACOSX/b.csv", ".git/b.csv", "../b.csv", "C:/b.csv")]
    [None, 'clutter', 'clutter', 'unsafe_name', 'unsafe_name']
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\\" in path or ":" in path[:2]:
        return "unsafe_name"
    is_clutter = (part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in parts)
    return "clutter" if any(is_clutter) else None
