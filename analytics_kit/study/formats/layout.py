"""What does every format say of a study? Its trials, and the place of each file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from analytics_kit.study.schema.text import parse_whole_number

LOG_ROLE = "log"
"""The role of a file that a described format reads: it may hold several kinds and several trials."""


class Trial(NamedTuple):
    """A trial as its folder names it. `name` is the folder's `{task}_{factor}`, still to be cut."""

    folder: str
    participant: str | None
    session: str | None
    name: str | None
    task: str | None
    factor: str | None
    trial: int | None


class MemberAssignment(NamedTuple):
    """Where a member belongs: `role` is a kind of events, or log, survey, media, manifest, clutter, other."""

    member: int
    role: str
    trial: int | None
    participant: str | None = None
    session: str | None = None
    survey: str | None = None
    label: str = ""
    """Which of a file's trials it is, where a file may hold several."""


@dataclass(frozen=True, slots=True)
class StudyLayout:
    """The trials of a study, the place of each member, and (member, issue kind, message) of what is amiss."""

    trials: list[Trial]
    assignments: list[MemberAssignment]
    issues: list[tuple[str, str, str]]


def ignored_role(path: str) -> str | None:
    """ "clutter" or "unsafe_name" for what is no part of a study."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\\" in path or ":" in path[:2]:
        return "unsafe_name"
    clutter = (part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in parts)
    return "clutter" if any(clutter) else None


natural_key: Callable[[str], list[tuple[int, int, str]]] = lambda text: [  # noqa: E731
    (1, 0, part) if (number := parse_whole_number(part)) is None else (0, number, "")
    for part in re.split(r"(\d+)", text)
    if part
]
"""Sort key under which `trial_10` comes after `trial_9`."""
