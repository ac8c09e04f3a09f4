"""What is to be done for a study: its trials with their names settled, and the shards they are worked on in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple, cast

from analytics_kit.errors import BadArchiveError, NoEventsError, nearest
from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options, format_names
from analytics_kit.study.archive.base import Archive, MemberUnreadableError
from analytics_kit.study.events.native.careful import read_member
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.formats.layout import LOG_ROLE, MemberAssignment, StudyLayout, Trial, natural_key
from analytics_kit.study.formats.registry import NATIVE, FormatChoice, choose_format, load_format
from analytics_kit.study.formats.task_factor import split_names
from analytics_kit.study.formats.trials import find_trials
from analytics_kit.study.schema.issues import Issues

SHARD_BYTES = 64 << 20
_EVENTS = (*KINDS, LOG_ROLE)
_LOST = ("unreadable_zip", "unreadable", "link", "device", "crc_mismatch", "encrypted", "unsupported_method")
"""Issues of planning by which data is lost."""


_ENCRYPTED_HINT = "Make the ZIP again without a password."


class ShardMember(NamedTuple):
    """A member to be read: its index in the archive, its trial's place in the shard, its kind.

    A log of a described format stands here once for each of its trials, with the trial's label.
    """

    member: int
    slot: int
    kind: Kind | Literal["log"]
    label: str = ""


UNSAFE = "the name points outside the study; the file was left out"
# The one that every unzip program would leave on disk.
TWICE = "the ZIP holds this name twice; the later one was read"


@dataclass(frozen=True, slots=True)
class Shard:
    """Whole trials, `first_trial` on, with all their files, which have `raw_bytes`."""

    index: int
    first_trial: int
    trials: int
    raw_bytes: int
    work: tuple[ShardMember, ...]
    format: str = NATIVE


class MemberRow(NamedTuple):
    """One line of `StudyResult.members`; rows are NA for what holds no events. `trial_row` counts trials from 0."""

    member: str
    role: str
    trial_index: int | None
    raw_bytes: int
    rows_in: int | None
    rows_kept: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """`trials` in the order of the result, `shards` that cover them, `others` that hold no events to be read."""

    trials: tuple[Trial, ...]
    shards: tuple[Shard, ...]
    others: tuple[MemberRow, ...]
    surveys: tuple[MemberAssignment, ...]
    raw_bytes: int
    format: FormatChoice


def make_plan(archive: Archive, options: Options, issues: Issues, shard_bytes: int = SHARD_BYTES) -> Plan:
    """The plan. Raises NoEventsError and BadArchiveError where there is nothing to plan."""
    chosen_format = choose_format(archive, options)
    if chosen_format.name == NATIVE:
        layout = fulcrum.find_trials(archive, options.kinds)
    else:
        layout = find_trials(archive, load_format(chosen_format.name, options))
    for name, kind, message in layout.issues:
        issues.add(name, kind, message, lost=kind in _LOST)
    trials = _settle_names(layout.trials, options, issues)
    chosen = {
        i: trial
        for i, trial in trials.items()
        if options.participants is None or trial.participant in options.participants
    }
    order = sorted(chosen, key=lambda i: natural_key(chosen[i].folder))
    position = {old: new for new, old in enumerate(order)}
    events: list[MemberAssignment] = []
    others: list[MemberRow] = []
    read = {p.member for p in layout.assignments if p.trial in position and p.role in _EVENTS}
    latest = {member.name: index for index, member in enumerate(archive.members)}
    for place in layout.assignments:
        member = archive.members[place.member]
        if place.role == "unsafe_name":
            others.append(_left_out(archive, place, None, issues, "unsafe_name", UNSAFE))
        elif place.role not in _EVENTS or place.trial is None:
            row = None if place.trial is None else position.get(place.trial)
            others.append(MemberRow(member.name, place.role, row, member.raw_bytes, None, None))
        elif place.trial not in position:
            if place.member not in read:
                read.add(place.member)  # said once for all its trials
                others.append(MemberRow(member.name, "not_chosen", None, member.raw_bytes, None, None))
        elif latest[member.name] != place.member:
            row = position[place.trial]
            if place.member in read:
                read.discard(place.member)
                others.append(_left_out(archive, place, row, issues, "duplicate_member", TWICE))
        else:
            events.append(place)
    _require_events(archive, layout, events, trials, options)
    settled = tuple(chosen[i] for i in order)
    _name_twins(settled, issues)
    surveys = tuple(place for place in layout.assignments if place.role == "survey")
    raw_bytes = sum(archive.members[number].raw_bytes for number in {place.member for place in events})
    shards = _cut(archive, events, position, shard_bytes, chosen_format.name)
    return Plan(settled, shards, tuple(others), surveys, raw_bytes, chosen_format)


def _settle_names(trials: Sequence[Trial], options: Options, issues: Issues) -> dict[int, Trial]:
    """Trials with task and factor, by their number; only those of the tasks and factors asked for."""
    names = split_names((trial.name for trial in trials if trial.name), options.tasks, options.factors)
    for name in names.guesses:
        task, factor = names.cuts[name]
        issues.add(
            name, "ambiguous_name",
            f"read as task {task!r}, factor {factor!r}; another cut is as good: settle it by tasks=[…], factors=[…]",
        )  # fmt: skip
    settled: dict[int, Trial] = {}
    for i, given in enumerate(trials):
        trial = given
        if trial.name is not None and trial.name not in names.cuts:
            continue
        if trial.name is not None:
            trial = trial._replace(task=names.cuts[trial.name][0], factor=names.cuts[trial.name][1])
        if (not options.tasks or trial.task in options.tasks) and (
            not options.factors or trial.factor in options.factors
        ):
            settled[i] = trial
    return settled


def _left_out(
    archive: Archive, place: MemberAssignment, row: int | None, issues: Issues, kind: str, message: str
) -> MemberRow:
    """A member that is not read, for the reason given; the rows that are lost with it are counted."""
    member = archive.members[place.member]
    try:
        raw = archive.read_short(member) if member.name.lower().endswith(".csv") else b""
        rows = read_member(raw, "keyboard", member.name, Issues()).rows_in if raw else 0
    except MemberUnreadableError:
        rows = 0
    issues.add(member.name, kind, message, rows_dropped=rows, lost=True)
    return MemberRow(member.name, place.role, row, member.raw_bytes, rows, 0)


def _require_events(
    archive: Archive,
    layout: StudyLayout,
    events: Sequence[MemberAssignment],
    trials: Mapping[int, Trial],
    options: Options,
) -> None:
    if not archive.members:
        raise NoEventsError(f"{archive.name} is empty.")
    found = [place for place in layout.assignments if place.role in _EVENTS]
    if all(member.encrypted for member in archive.members):
        raise BadArchiveError(f"{archive.name} is encrypted.", hint=_ENCRYPTED_HINT)
    if not found:
        names = ", ".join(member.name for member in archive.members[:3])
        amiss = next((f" {member}: {message}." for member, _, message in layout.issues), "")
        raise NoEventsError(
            f"{archive.name} holds {len(archive.members)} files, none of them a log of events: {names} …{amiss}",
            hint=f"Formats known here: {', '.join(format_names()[1:])}. Describe another by format=EventFormat(…).",
        )
    if not events:
        here = trials.values() if options.participants else layout.trials
        known = sorted({trial.participant for trial in here if trial.participant}, key=natural_key)
        told = {name for trial in layout.trials for name in (trial.name, trial.task, trial.factor) if name}
        folders = sorted(told, key=natural_key)
        near = nearest(options.participants[0], known) if options.participants else ""
        raise NoEventsError(
            f"None of the trials of {archive.name} is chosen by participants, tasks and factors.{near}",
            hint=f"Participants here: {', '.join(known[:20]) or 'unknown'}. "
            f"Tasks and factors here: {', '.join(folders[:20]) or 'unknown'}.",
        )
    if all(archive.members[place.member].encrypted for place in events):
        raise BadArchiveError(f"{archive.name} is encrypted.", hint=_ENCRYPTED_HINT)


def _name_twins(trials: Sequence[Trial], issues: Issues) -> None:
    """Two folders with the same five names stay two trials; that is said."""
    first: dict[tuple[object, ...], str] = {}
    for trial in trials:
        names = (trial.participant, trial.session, trial.task, trial.factor, trial.trial)
        other = first.setdefault(names, trial.folder)
        if other != trial.folder:
            issues.add(
                trial.folder or "(root)", "same_names", f"has the same names as {other!r}; both are kept apart"
            )


def _cut(
    archive: Archive, events: Sequence[MemberAssignment], position: dict[int, int], shard_bytes: int, name: str
) -> tuple[Shard, ...]:  # fmt: skip
    """Shards of whole trials and whole files, as equal as can be; trials without files go with their neighbours."""
    by_trial: list[list[MemberAssignment]] = [[] for _ in position]
    in_member: defaultdict[int, list[int]] = defaultdict(list)
    for place in events:
        assert place.trial is not None  # noqa: S101
        by_trial[position[place.trial]].append(place)
        in_member[place.member].append(position[place.trial])
    sizes, joined = [0] * len(by_trial), [False] * len(by_trial)
    for number, trials in in_member.items():
        sizes[min(trials)] += archive.members[number].raw_bytes
        joined[min(trials) + 1 : max(trials) + 1] = [True] * (max(trials) - min(trials))
    first = [trial for trial, with_one_before in enumerate(joined) if not with_one_before]
    bounds = [*first, len(by_trial)]
    units = [sum(sizes[start:end]) for start, end in pairwise(bounds)]
    ends = [bounds[end] for end in even_cuts(units, shard_bytes)]
    shards = []
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        work = tuple(
            ShardMember(place.member, slot, cast(Kind, place.role), place.label)
            for slot, places in enumerate(by_trial[start:end])
            for place in places
        )
        shards.append(Shard(index, start, end - start, sum(sizes[start:end]), work, name))
    return tuple(shards)


def even_cuts(sizes: Sequence[int], limit: int) -> list[int]:
    """Where runs of items of these sizes end that are at most `limit` in sum, or one item that is larger.

    The runs are as few as can be, but an even number where that is possible, which suits two, four or more workers;
    the largest is as small as can be.

    >>> even_cuts([60, 1, 3, 3], 64), even_cuts([20] * 7, 64), even_cuts([1, 500, 0, 1], 64)
    ([1, 4], [2, 4, 6, 7], [1, 3, 4])
    """
    before = [0, *accumulate(sizes)]

    def cuts(most: int) -> list[int]:
        ends = [0]
        while ends[-1] < len(sizes):
            start = before[ends[-1]]
            following = bisect_right(before, start)  # up to here there is one item, unless nothing is left
            reach = max(start + most, before[min(following, len(sizes))])
            ends.append(bisect_right(before, reach) - 1)
        return ends[1:]

    count = len(cuts(limit))
    if count <= 1:
        return cuts(limit)
    count += count % 2
    return cuts(bisect_left(range(limit), True, key=lambda most: len(cuts(most)) <= count))
