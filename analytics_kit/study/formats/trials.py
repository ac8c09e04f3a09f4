"""Find the trials of a study whose files a LogFormat reads, by their paths or by reading them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from analytics_kit.event_format import TRIAL_KEYS
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError
from analytics_kit.study.csv.log_limits import DEFAULT_LIMITS, LogLimits
from analytics_kit.study.csv.rows import decode_text
from analytics_kit.study.formats.base import LogFormat, TrialNames
from analytics_kit.study.formats.layout import LOG_ROLE, MemberAssignment, StudyLayout, Trial, ignored_role
from analytics_kit.study.schema.compiling import Ints
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.text import parse_whole_number

START_BYTES = 4096
"""The length of a file's start, by which its format is recognised."""
READ_BATCH_BYTES = 8 << 20
"""Files are read together up to this size."""
Item = TypeVar("Item")
_LAST_DIGITS = re.compile(r"\D*(\d+)")
_MEDIA = (".mp4", ".png")


def trial_label(group: str, names: TrialNames) -> str:
    """Return the identity of a trial: the group of its files, and its names as the log has them."""
    return json.dumps((group, *names))  # JSON, because names may hold any separator


def _display_name(group: str, names: TrialNames) -> str:
    return "/".join((group, *(name for name in names if name)))


def find_names(rows: pl.DataFrame) -> tuple[list[tuple[int, TrialNames]], Ints]:
    """Return each file and names of a trial that rows have, in the order of the rows, and the index of each row's."""
    named = [name for name in TRIAL_KEYS if name in rows.columns]
    keys = ["file", *named]
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in keys)
    first = rows.select(~same).to_series()  # the first row always begins a run, as nothing is before it
    runs = rows.select(keys).filter(first)
    distinct = runs.unique(maintain_order=True)
    numbered = runs.join(
        distinct.with_row_index("index"), on=keys, how="left", nulls_equal=True, maintain_order="left"
    )  # fmt: skip
    names = [distinct[name] if name in named else [None] * len(distinct) for name in TRIAL_KEYS]
    heads = [(n, tuple(name or None for name in row)) for n, *row in zip(distinct["file"], *names, strict=True)]
    run_of_row = (first.cast(pl.Int64).cum_sum() - 1).to_numpy()
    return heads, numbered["index"].to_numpy().astype(np.int64)[run_of_row]


def read_start(archive: Archive, member: Member) -> str:
    """Return the first lines of a file, with line feeds at their ends; empty if it can't be read."""
    try:
        raw = archive.start(member, START_BYTES)
    except MemberUnreadableError:
        return ""
    return decode_text(raw, member.name, Issues()).replace("\r", "\n").lstrip("\n")


def find_trials(archive: Archive, log: LogFormat, limits: LogLimits = DEFAULT_LIMITS) -> StudyLayout:
    """Return the trials and the assignments of all members; files are read if paths do not name the trials.

    Raises UnsafeArchiveError for a log beyond the limits.
    """
    issues = list(archive.issues)
    roles = [ignored_role(m.name) or ("media" if m.name.lower().endswith(_MEDIA) else None) for m in archive.members]
    names_of: dict[int, list[TrialNames]] = {}
    errors: dict[int, MemberUnreadableError] = {}
    unnamed: list[int] = []
    for index, member in enumerate(archive.members):
        if roles[index] is None:
            try:
                names = log.names(member.name)
            except MemberUnreadableError as error:
                errors[index] = error
            else:
                if names is None:
                    unnamed.append(index)
                else:
                    names_of[index] = [names]
    for batch in batch_by_size(unnamed, [archive.members[index].raw_bytes for index in unnamed]):
        with archive.expecting(archive.members[index] for index in batch):
            _read_names(archive, log, batch, names_of, errors, limits)
    assignments: list[MemberAssignment] = []
    trials: dict[str, int] = {}
    found: list[tuple[str, TrialNames]] = []
    for index, member in enumerate(archive.members):
        if unreadable := errors.get(index):
            kind = "unknown_file" if unreadable.kind == "missing_column" else unreadable.kind
            issues.append((member.name, kind, f"{unreadable}; the file was left out"))
        group = log.group(member.name)
        for names in names_of.get(index, ()):
            key = trial_label(group, names)
            if trials.setdefault(key, len(trials)) == len(found):
                found.append((group, names))
            assignments.append(MemberAssignment(index, LOG_ROLE, trials[key], label=key))
        if index not in names_of:
            assignments.append(MemberAssignment(index, roles[index] or "other", None))
    return StudyLayout(_number_trials(found, issues), assignments, issues)


def _read_names(
    archive: Archive, log: LogFormat, batch: Sequence[int], names_of: dict[int, list[TrialNames]],
    errors: dict[int, MemberUnreadableError], limits: LogLimits,
) -> None:  # fmt: skip
    """Add the names of the trials in each file of a batch to `names_of`; a file without any is in `errors`."""
    files, numbers = [], []
    for index in batch:
        member = archive.members[index]
        limits.check_size(member)
        try:
            files.append((member.name, archive.read(member)))
            limits.check_whole(files[-1][1], member.name)
            numbers.append(index)
        except MemberUnreadableError as error:
            errors[index] = error
    table = log.read_all(files, Issues(), names_only=True)
    errors.update((numbers[n], error) for n, error in table.broken.items())
    found, _ = find_names(table.rows)
    limits.check_trials(len(found) + sum(map(len, names_of.values())), archive.name)
    for n, names in dict.fromkeys(found):
        names_of.setdefault(numbers[n], []).append(names)
    for index in numbers:
        if index not in names_of and index not in errors:
            errors[index] = MemberUnreadableError("empty_file", "it holds no row")


def batch_by_size(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """Yield runs of items of at most READ_BATCH_BYTES together, or of one that is larger."""
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


def _number_trials(found: Sequence[tuple[str, TrialNames]], issues: list[tuple[str, str, str]]) -> list[Trial]:
    """Return the trials with their numbers.

    The number is that at the end of the name in the log or, if these are not unique in a session, the position in it.
    """
    sessions: defaultdict[TrialNames, list[int]] = defaultdict(list)
    for i, (group, names) in enumerate(found):
        sessions[group, *names[:4]].append(i)
    numbers: dict[int, int | None] = {}
    for in_session in sessions.values():
        texts = [found[i][1][4] for i in in_session]
        parsed = [_trailing_number(text) for text in texts]
        exact = len({*parsed}) == len(parsed) and None not in parsed
        for position, (i, number) in enumerate(zip(in_session, parsed, strict=True), 1):
            numbers[i] = number if exact or texts == [None] else position
        if not exact and texts != [None]:
            issues.append((
                found[in_session[0]][0], "trial_names",
                f"{len(texts)} trials have no unique numbers; they are numbered in the order of the file",
            ))  # fmt: skip
    return [
        Trial(
            _display_name(group, names),
            participant or session,
            session or participant,
            None,
            task,
            factor,
            numbers[i],
        )
        for i, (group, names) in enumerate(found)
        for participant, session, task, factor, _ in [names]
    ]


def _trailing_number(text: str | None) -> int | None:
    """Return the number at the end of a name without other digits."""
    digits = _LAST_DIGITS.fullmatch(text or "")
    return parse_whole_number(digits[1]) if digits else None
