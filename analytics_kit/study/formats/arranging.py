"""Which trials are in the files of a described log, and which files are no logs of the format?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from analytics_kit.event_format import NAMES
from analytics_kit.study.archive import Archive, Member, MemberUnreadableError
from analytics_kit.study.formats.described import LogFormat, Names
from analytics_kit.study.formats.layout import LOG, Arrangement, Place, Trial, apart, whole_number
from analytics_kit.study.issues import Issues

START_BYTES = 4096
_LAST_DIGITS = re.compile(r"\D*(\d+)")
_MEDIA = (".mp4", ".png")


def label(group: str, names: Names) -> str:
    """A trial's identity: the files that belong together, and its names as they stand in the log."""
    return "/".join((group, *("" if name is None else name for name in names)))


def _shown(group: str, names: Names) -> str:
    return "/".join((group, *(name for name in names if name)))


def names_of(table: pl.DataFrame) -> list[pl.Expr]:
    """The five names, of a table that may lack some; an empty name is null."""
    return [
        pl.when(pl.col(name) != "").then(name).alias(name)
        if name in table.columns
        else pl.lit(None, pl.String).alias(name)
        for name in NAMES
    ]


def start_of(archive: Archive, member: Member) -> str:
    """The first lines of a file; empty where it can't be read."""
    try:
        raw = next(iter(archive.chunks(member)), b"")[:START_BYTES]
    except MemberUnreadableError:
        return ""
    return raw.decode("utf-8-sig", errors="replace").lstrip("\r\n")


def arrange(archive: Archive, log: LogFormat) -> Arrangement:
    """The trials and the place of every member; a file that holds several trials has as many places.

    Where paths do not name the trials, files are read for them.
    """
    notes = list(archive.notes)
    places: list[Place] = []
    trials: dict[str, int] = {}
    found: list[tuple[str, Names]] = []
    for index, member in enumerate(archive.members):
        role = apart(member.name) or ("media" if member.name.lower().endswith(_MEDIA) else None)
        labels: list[str] = []
        if role is None:
            try:
                for names in _names(archive, member, log):
                    group = log.group(member.name)
                    key = label(group, names)
                    labels.append(key)
                    if trials.setdefault(key, len(trials)) == len(found):
                        found.append((group, names))
            except MemberUnreadableError as error:
                kind = "unknown_file" if error.kind == "missing_column" else error.kind
                notes.append((member.name, kind, f"{error}; the file was left out"))
        places += [Place(index, LOG, trials[key], label=key) for key in labels]
        if not labels:
            places.append(Place(index, role or "other", None))
    return Arrangement(_trials(found, notes), places, notes)


def _names(archive: Archive, member: Member, log: LogFormat) -> Sequence[Names]:
    """The names of each trial in a file. Raises MemberUnreadableError where there are none."""
    if (names := log.names(member.name)) is not None:
        return [names]
    table = log.read(member.name, archive.read(member), Issues(), names_only=True)
    if not len(table):
        raise MemberUnreadableError("empty_file", "it holds no record")
    return list(table.select(names_of(table)).unique(maintain_order=True).iter_rows())


def _trials(found: Sequence[tuple[str, Names]], notes: list[tuple[str, str, str]]) -> list[Trial]:
    """Trials with their numbers: what the log gives, or the digits of it, or the place in the session."""
    sessions: defaultdict[Names, list[int]] = defaultdict(list)
    for i, (group, names) in enumerate(found):
        sessions[group, *names[:4]].append(i)
    numbers: dict[int, int | None] = {}
    for members in sessions.values():
        texts = [found[i][1][4] for i in members]
        read = [_number(text) for text in texts]
        exact = len({*read}) == len(read) and None not in read
        for place, (i, number) in enumerate(zip(members, read, strict=True), 1):
            numbers[i] = number if exact or texts == [None] else place
        if not exact and texts != [None]:
            notes.append((
                found[members[0]][0], "trial_names",
                f"{len(texts)} trials have no numbers of their own; they are numbered as they come in the file",
            ))  # fmt: skip
    return [
        Trial(_shown(group, names), names[0] or names[1], names[1] or names[0], None, names[2], names[3], numbers[i])
        for i, (group, names) in enumerate(found)
    ]


def _number(text: str | None) -> int | None:
    digits = _LAST_DIGITS.fullmatch(text or "")
    return whole_number(digits[1]) if digits else None
