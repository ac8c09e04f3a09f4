"""Which trials are in the files of a described log, and which files are no logs of the format?"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import polars as pl

from analytics_kit.event_format import NAMES
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError
from analytics_kit.study.csv.records import decode_text
from analytics_kit.study.formats.base import LogFormat, TrialNames
from analytics_kit.study.formats.layout import LOG_ROLE, MemberAssignment, StudyLayout, Trial, ignored_role
from analytics_kit.study.schema.compiling import Ints
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.text import parse_whole_number

START_BYTES = 4096
READ_BATCH_BYTES = 8 << 20
"""Files are read together up to so many bytes."""
Item = TypeVar("Item")
_LAST_DIGITS = re.compile(r"\D*(\d+)")
_MEDIA = (".mp4", ".png")


def trial_label(group: str, names: TrialNames) -> str:
    """A trial's identity: the files that belong together, and its names as they stand in the log."""
    return json.dumps((group, *names))  # names may hold any sign that could stand between them


def _shown(group: str, names: TrialNames) -> str:
    return "/".join((group, *(name for name in names if name)))


def find_runs(rows: pl.DataFrame) -> tuple[list[tuple[int, TrialNames]], Ints]:
    """File and names of each run of records that have the same; the run of each record."""
    named = [name for name in NAMES if name in rows.columns]
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in ("file", *named))
    first = rows.select(~same).to_series()  # nothing stands before the first
    runs = rows.filter(first)
    names = [runs[name] if name in named else [None] * len(runs) for name in NAMES]
    told = [(n, tuple(name or None for name in row)) for n, *row in zip(runs["file"], *names, strict=True)]
    return told, (first.cast(pl.Int64).cum_sum() - 1).to_numpy()


def read_start(archive: Archive, member: Member) -> str:
    """The first lines of a file, with line feeds at their ends; empty where it can't be read."""
    try:
        raw = next(iter(archive.chunks(member)), b"")[:START_BYTES]
    except MemberUnreadableError:
        return ""
    return decode_text(raw, member.name, Issues()).replace("\r", "\n").lstrip("\n")


def find_trials(archive: Archive, log: LogFormat) -> StudyLayout:
    """The trials and the place of every member; a file that holds several trials has as many places.

    Where paths do not name the trials, files are read for them.
    """
    issues = list(archive.issues)
    roles = [ignored_role(m.name) or ("media" if m.name.lower().endswith(_MEDIA) else None) for m in archive.members]
    told: dict[int, list[TrialNames]] = {}
    troubles: dict[int, MemberUnreadableError] = {}
    waiting: list[int] = []
    for index, member in enumerate(archive.members):
        if roles[index] is None:
            try:
                names = log.names(member.name)
            except MemberUnreadableError as error:
                troubles[index] = error
            else:
                if names is None:
                    waiting.append(index)
                else:
                    told[index] = [names]
    for batch in batch_by_size(waiting, [archive.members[index].raw_bytes for index in waiting]):
        _read_names(archive, log, batch, told, troubles)
    assignments: list[MemberAssignment] = []
    trials: dict[str, int] = {}
    found: list[tuple[str, TrialNames]] = []
    for index, member in enumerate(archive.members):
        if trouble := troubles.get(index):
            kind = "unknown_file" if trouble.kind == "missing_column" else trouble.kind
            issues.append((member.name, kind, f"{trouble}; the file was left out"))
        group = log.group(member.name)
        for names in told.get(index, ()):
            key = trial_label(group, names)
            if trials.setdefault(key, len(trials)) == len(found):
                found.append((group, names))
            assignments.append(MemberAssignment(index, LOG_ROLE, trials[key], label=key))
        if index not in told:
            assignments.append(MemberAssignment(index, roles[index] or "other", None))
    return StudyLayout(_trials(found, issues), assignments, issues)


def _read_names(
    archive: Archive, log: LogFormat, batch: Sequence[int], told: dict[int, list[TrialNames]],
    troubles: dict[int, MemberUnreadableError],
) -> None:  # fmt: skip
    """The names of the trials in each file of a batch, or why there are none."""
    files, numbers = [], []
    for index in batch:
        try:
            files.append((archive.members[index].name, archive.read(archive.members[index])))
            numbers.append(index)
        except MemberUnreadableError as error:
            troubles[index] = error
    table = log.read_all(files, Issues(), names_only=True)
    troubles.update((numbers[n], error) for n, error in table.broken.items())
    found, _ = find_runs(table.rows)
    for n, names in dict.fromkeys(found):
        told.setdefault(numbers[n], []).append(names)
    for index in numbers:
        if index not in told and index not in troubles:
            troubles[index] = MemberUnreadableError("empty_file", "it holds no record")


def batch_by_size(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """Runs of items of at most READ_BATCH_BYTES together, or one that is larger."""
    batch: list[Item] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if batch and total + size > READ_BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def _trials(found: Sequence[tuple[str, TrialNames]], issues: list[tuple[str, str, str]]) -> list[Trial]:
    """Trials with their numbers: what the log gives, or the digits of it, or the place in the session."""
    sessions: defaultdict[TrialNames, list[int]] = defaultdict(list)
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
            issues.append((
                found[members[0]][0], "trial_names",
                f"{len(texts)} trials have no numbers of their own; they are numbered as they come in the file",
            ))  # fmt: skip
    return [
        Trial(_shown(group, names), names[0] or names[1], names[1] or names[0], None, names[2], names[3], numbers[i])
        for i, (group, names) in enumerate(found)
    ]


def _number(text: str | None) -> int | None:
    digits = _LAST_DIGITS.fullmatch(text or "")
    return parse_whole_number(digits[1]) if digits else None
