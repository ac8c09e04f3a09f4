"""Plan how a study is processed: settle the names of its trials and cut them into shards."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple, cast

from analytics_kit.errors import BadArchiveError, NoEventsError, nearest
from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options, format_names
from analytics_kit.study.archive.base import Archive, MemberUnreadableError
from analytics_kit.study.csv.log_limits import LogLimits
from analytics_kit.study.events.reading import count_rows
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.formats.layout import LOG_ROLE, MemberAssignment, StudyLayout, Trial
from analytics_kit.study.formats.registry import NATIVE, FormatChoice, choose_format, load_format
from analytics_kit.study.formats.task_factor import split_names
from analytics_kit.study.formats.trials import find_trials
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.text import natural_key

SHARD_BYTES = 64 << 20
_EVENT_ROLES = (*KINDS, LOG_ROLE)
_LOSES_DATA = ("unreadable_zip", "unreadable", "link", "device", "crc_mismatch", "encrypted", "unsupported_method")
"""Kinds of issues of planning that lose data."""
_ENCRYPTED_HINT = "Make the ZIP again without a password."
_UNSAFE_NAME = "the name points outside the study; the file was left out"
_DUPLICATE = "the ZIP holds this name twice; the later one was read"
"""The later one is what every unzip program would leave on disk."""


class ShardMember(NamedTuple):
    """A member that a shard reads: its index in the archive, the slot of its trial in the shard, and its kind.

    A log of a described format is listed once for each of its trials, with the trial's label.
    """

    member: int
    slot: int
    kind: Kind | Literal["log"]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """Whole trials that are processed together, from index `first_trial` on, with all their members.

    `index` numbers the shards in the order of their trials; `raw_bytes` is the inflated size of the members.
    """

    index: int
    first_trial: int
    trials: int
    raw_bytes: int
    members: tuple[ShardMember, ...]
    format: str = NATIVE

    def trial_index(self, slot: int) -> int:
        """Return the index in the study of the trial in a slot of this shard."""
        return self.first_trial + slot


class MemberRow(NamedTuple):
    """A row of `StudyResult.members`; `trial_index` is its column `trial_row`.

    `trial_index` is None for a member of no trial or of several, numbers of rows for one that holds no events.
    """

    member: str
    role: str
    trial_index: int | None
    raw_bytes: int
    rows_in: int | None
    rows_kept: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The trials in the order of the result, the shards that cover them, and the members that no shard reads."""

    trials: tuple[Trial, ...]
    shards: tuple[Shard, ...]
    others: tuple[MemberRow, ...]
    surveys: tuple[MemberAssignment, ...]
    raw_bytes: int
    format: FormatChoice


def make_plan(archive: Archive, options: Options, issues: Issues, shard_bytes: int = SHARD_BYTES) -> Plan:
    """Return the plan of a study, with shards of about `shard_bytes`.

    Raises NoEventsError and BadArchiveError where there is nothing to process.
    """
    format_choice, layout = _find_layout(archive, options)
    for name, kind, message in layout.issues:
        issues.add(name, kind, message, lost=kind in _LOSES_DATA)
    named = _settle_names(layout.trials, options, issues)
    chosen = {
        i: trial
        for i, trial in named.items()
        if options.participants is None or trial.participant in options.participants
    }
    order = sorted(chosen, key=lambda i: natural_key(chosen[i].folder))
    trial_index = {i: index for index, i in enumerate(order)}
    to_read, others = _sort_out_members(archive, layout, trial_index, issues)
    _require_events(archive, layout, to_read, named, options)
    trials = tuple(chosen[i] for i in order)
    _report_same_names(trials, issues)
    surveys = tuple(assignment for assignment in layout.assignments if assignment.role == "survey")
    raw_bytes = sum(archive.members[number].raw_bytes for number in {assignment.member for assignment in to_read})
    shards = _cut(archive, to_read, trial_index, shard_bytes, format_choice.name)
    return Plan(trials, shards, tuple(others), surveys, raw_bytes, format_choice)


def _find_layout(archive: Archive, options: Options) -> tuple[FormatChoice, StudyLayout]:
    choice = choose_format(archive, options)
    if choice.name == NATIVE:
        return choice, fulcrum.find_trials(archive, options.kinds)
    return choice, find_trials(archive, load_format(choice.name, options), LogLimits.of(options))


def members_of(archive: Archive, options: Options, participant: str) -> frozenset[str]:
    """Return the names of the members that hold data of a participant, maybe of others too. Raises as `make_plan`."""
    _, layout = _find_layout(archive, options)
    of_trial = [trial.participant for trial in layout.trials]
    return frozenset(
        archive.members[each.member].name
        for each in layout.assignments
        if participant == (each.participant if each.trial is None else of_trial[each.trial])
    )


def _sort_out_members(
    archive: Archive, layout: StudyLayout, trial_index: Mapping[int, int], issues: Issues
) -> tuple[list[MemberAssignment], list[MemberRow]]:
    """Return the members that shards read, and a row for each other one: it holds no events or is left out."""
    to_read: list[MemberAssignment] = []
    others: list[MemberRow] = []
    latest = {member.name: index for index, member in enumerate(archive.members)}
    trial_counts = Counter(assignment.member for assignment in layout.assignments)
    chosen = {a.member for a in layout.assignments if a.trial in trial_index and a.role in _EVENT_ROLES}
    listed = {number for number in chosen if latest[archive.members[number].name] == number}  # shards list these
    for assignment in layout.assignments:
        number, trial = assignment.member, assignment.trial
        member = archive.members[number]
        if assignment.role == "unsafe_name":
            others.append(_left_out(archive, assignment, None, issues, "unsafe_name", _UNSAFE_NAME))
        elif assignment.role not in _EVENT_ROLES or trial is None:
            index = None if trial is None else trial_index.get(trial)
            others.append(MemberRow(member.name, assignment.role, index, member.raw_bytes, None, None))
        elif trial in trial_index and latest[member.name] == number:
            to_read.append(assignment)
        elif number not in listed:
            listed.add(number)  # one row for all its trials
            if number in chosen:
                index = trial_index[trial] if trial_counts[number] == 1 else None
                others.append(_left_out(archive, assignment, index, issues, "duplicate_member", _DUPLICATE))
            else:
                others.append(MemberRow(member.name, "not_chosen", None, member.raw_bytes, None, None))
    return to_read, others


def _settle_names(trials: Sequence[Trial], options: Options, issues: Issues) -> dict[int, Trial]:
    """Return the trials with task and factor, by their number; only those of the tasks and factors in the options."""
    names = split_names((trial.name for trial in trials if trial.name), options.tasks, options.factors)
    for name in names.guesses:
        task, factor = names.cuts[name]
        issues.add(
            name, "ambiguous_name",
            f"read as task {task!r}, factor {factor!r}; another cut is as good: settle it by tasks=[…], factors=[…]",
        )  # fmt: skip
    settled: dict[int, Trial] = {}
    for i, found in enumerate(trials):
        trial = found
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
    archive: Archive, assignment: MemberAssignment, index: int | None, issues: Issues, kind: str, message: str
) -> MemberRow:
    """Return the row of a member that is not read, and report an issue with the number of rows lost with it.

    `index` is that of its trial.
    """
    member = archive.members[assignment.member]
    try:
        raw = archive.read_short(member) if member.name.lower().endswith(".csv") else b""
        rows = count_rows(raw, member.name) if raw else 0
    except MemberUnreadableError:
        rows = 0
    issues.add(member.name, kind, message, rows_dropped=rows, lost=True)
    return MemberRow(member.name, assignment.role, index, member.raw_bytes, rows, 0)


def _require_events(
    archive: Archive,
    layout: StudyLayout,
    to_read: Sequence[MemberAssignment],
    named: Mapping[int, Trial],
    options: Options,
) -> None:
    if not archive.members:
        raise NoEventsError(f"{archive.name} is empty.")
    if all(member.encrypted for member in archive.members):
        raise BadArchiveError(f"{archive.name} is encrypted.", hint=_ENCRYPTED_HINT)
    if not any(assignment.role in _EVENT_ROLES for assignment in layout.assignments):
        names = ", ".join(member.name for member in archive.members[:3])
        first_issue = next((f" {member}: {message}." for member, _, message in layout.issues), "")
        raise NoEventsError(
            f"{archive.name} holds {len(archive.members)} files, none of them a log of events: "
            f"{names} …{first_issue}",
            hint=f"Known formats: {', '.join(format_names()[1:])}. Describe another with format=EventFormat(…).",
        )
    if not to_read:
        candidates = named.values() if options.participants else layout.trials
        participants = sorted({trial.participant for trial in candidates if trial.participant}, key=natural_key)
        names_found = {name for trial in layout.trials for name in (trial.name, trial.task, trial.factor) if name}
        tasks_and_factors = sorted(names_found, key=natural_key)
        near = nearest(options.participants[0], participants) if options.participants else ""
        raise NoEventsError(
            f"None of the trials of {archive.name} is chosen by participants, tasks and factors.{near}",
            hint=f"Its participants: {', '.join(participants[:20]) or 'unknown'}. "
            f"Its tasks and factors: {', '.join(tasks_and_factors[:20]) or 'unknown'}.",
        )
    if all(archive.members[assignment.member].encrypted for assignment in to_read):
        raise BadArchiveError(f"{archive.name} is encrypted.", hint=_ENCRYPTED_HINT)


def _report_same_names(trials: Sequence[Trial], issues: Issues) -> None:
    """Report folders whose five names are those of an earlier folder; they stay trials of their own."""
    first: dict[tuple[object, ...], str] = {}
    for trial in trials:
        names = (trial.participant, trial.session, trial.task, trial.factor, trial.trial)
        other = first.setdefault(names, trial.folder)
        if other != trial.folder:
            issues.add(
                trial.folder or "(root)", "same_names", f"has the same names as {other!r}; both are kept apart"
            )


def _cut(
    archive: Archive,
    to_read: Sequence[MemberAssignment],
    trial_index: Mapping[int, int],
    shard_bytes: int,
    format_name: str,
) -> tuple[Shard, ...]:
    """Return shards of whole trials and whole members, of sizes as equal as can be.

    Trials without members go with their neighbours. Trials that share a member go into one shard.
    """
    by_trial: list[list[MemberAssignment]] = [[] for _ in trial_index]
    in_member: defaultdict[int, list[int]] = defaultdict(list)
    for assignment in to_read:
        assert assignment.trial is not None  # noqa: S101
        by_trial[trial_index[assignment.trial]].append(assignment)
        in_member[assignment.member].append(trial_index[assignment.trial])
    sizes, joined_to_previous = [0] * len(by_trial), [False] * len(by_trial)
    for number, trials in in_member.items():
        sizes[min(trials)] += archive.members[number].raw_bytes
        joined_to_previous[min(trials) + 1 : max(trials) + 1] = [True] * (max(trials) - min(trials))
    bounds = [*(trial for trial, joined in enumerate(joined_to_previous) if not joined), len(by_trial)]
    units = [sum(sizes[start:end]) for start, end in pairwise(bounds)]
    ends = [bounds[end] for end in even_cuts(units, shard_bytes)]
    shards = []
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        members = tuple(
            ShardMember(assignment.member, slot, cast(Kind, assignment.role), assignment.label)
            for slot, assignments in enumerate(by_trial[start:end])
            for assignment in assignments
        )
        shards.append(Shard(index, start, end - start, sum(sizes[start:end]), members, format_name))
    return tuple(shards)


def even_cuts(sizes: Sequence[int], limit: int) -> list[int]:
    """Return where to cut items of these sizes into runs of at most `limit` in sum; a larger item is a run alone.

    The runs are as few as possible, but an even number where possible, which suits two, four or more workers. The
    largest run is as small as possible.

    >>> even_cuts([60, 1, 3, 3], 64), even_cuts([20] * 7, 64), even_cuts([1, 500, 0, 1], 64)
    ([1, 4], [2, 4, 6, 7], [1, 3, 4])
    """
    before = [0, *accumulate(sizes)]

    def cuts(most: int) -> list[int]:
        ends = [0]
        while ends[-1] < len(sizes):
            start = before[ends[-1]]
            following = bisect_right(before, start)  # a run has at least one item of some size, unless none is left
            reach = max(start + most, before[min(following, len(sizes))])
            ends.append(bisect_right(before, reach) - 1)
        return ends[1:]

    count = len(cuts(limit))
    if count <= 1:
        return cuts(limit)
    count += count % 2
    return cuts(bisect_left(range(limit), True, key=lambda most: len(cuts(most)) <= count))
