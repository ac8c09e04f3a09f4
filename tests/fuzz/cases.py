"""Make the cases of the fuzzer and judge what processing one gives."""

from __future__ import annotations

import random
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import fsspec

from analytics_kit.errors import AnalyticsKitError, StoreError
from analytics_kit.model import KINDS
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store
from tests.fuzz import mutations
from tests.fuzz.intact import FORMATS, Intact
from tests.study.make_study import balance, zip_bytes

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
SHARD_BYTES = (2000, 64 << 20)
"""With the first most studies have several shards."""
STORE = "memory://fuzz"
ASCII_BLANKS = "".join(map(chr, range(33)))
VIEWED = 8
"""Of one in so many cases the summaries and the HTML of the result are made too."""
Steps = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Case:
    """A study of a format, made with `seed` and changed by mutations, each with a seed of its own."""

    format: str
    seed: int
    steps: Steps

    def __str__(self) -> str:
        return f"Case({self.format!r}, {self.seed}, {self.steps!r})"


def make_case(seed: int, number: int) -> Case:
    """Return the case with this number of a run with this seed."""
    chance = random.Random(f"{seed} {number}")
    names = [*mutations.TEXT, *mutations.RAW] * 2 + [*mutations.STUDY, *mutations.ZIP]
    count = chance.choice([1, 1, 2, 2, 3, 5])
    steps = tuple((chance.choice(names), chance.randrange(2**32)) for _ in range(count))
    return Case(chance.choice(sorted(FORMATS)), chance.randrange(2**32), steps)


def build(case: Case) -> tuple[bytes, Intact]:
    """Return the bytes of the study, and the study with its options."""
    chance = random.Random(case.seed)
    study = FORMATS[case.format](chance)
    method = chance.choice(METHODS)
    for name, seed in case.steps:
        if name in mutations.STUDY:
            mutations.STUDY[name](random.Random(seed), study)
        elif name not in mutations.ZIP:
            mutations.apply_to_member(name, random.Random(seed), study)
    if study.suffix == ".csv" and len(study.members) == 1:
        raw = bytearray(study.members[0][1])
    else:
        study.suffix = ".zip"
        raw = bytearray(_zipped(study, method))
    for name, seed in case.steps:
        if name in mutations.ZIP:
            mutations.ZIP[name](random.Random(seed), raw)
    return bytes(raw), study


def _zipped(study: Intact, method: int) -> bytes:
    members = []
    for name, content in study.members:
        try:
            zip_bytes([(name, b"")])
            members.append((name, content))
        except (ValueError, IndexError, struct.error, zipfile.LargeZipFile):  # a name that no ZIP can hold
            continue
    return zip_bytes(members, method)


def judge(case: Case, folder: Path) -> list[str]:
    """Process the case, whose study is written to a folder, and return what is wrong, if anything.

    An error of the package is right, but for one of the store. Any other exception is raised.
    """
    raw, study = build(case)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"study{study.suffix}"
    path.write_bytes(raw)
    store, chance = Store(STORE), random.Random(case.seed)
    shard_bytes = chance.choice(SHARD_BYTES)
    try:
        pipeline.run(str(path), Options.of(**study.options), store, "r", shard_bytes=shard_bytes)
        result = StudyResult.open(store, "r")
        is_whole = not any(name in mutations.ZIP for name, _ in case.steps)
        return check(result, with_views=chance.randrange(VIEWED) == 0) + (
            miscounted(result, study) if is_whole else []
        )
    except StoreError as error:
        return [f"an error of the store: {error}"]
    except AnalyticsKitError as error:
        return [] if error.message else ["an error without a message"]
    finally:
        path.unlink()
        fsspec.filesystem("memory").rm("/fuzz", recursive=True) if store.exists() else None


def check(result: StudyResult, with_views: bool) -> list[str]:
    """Return what is inconsistent in a result: rows that are not accounted for, tables that contradict each other."""
    wrong = []
    members, issues, summary = result.members, result.issues, result.summary
    rows_in, kept, dropped = balance(result)
    if rows_in != kept + dropped:
        wrong.append(f"{rows_in} rows in, {kept} kept, {dropped} dropped")
    if (summary["rows_in"], summary["rows_kept"], summary["rows_dropped"]) != (rows_in, kept, dropped):
        wrong.append(f"the summary has other counts of rows: {summary}")
    lost = issues.groupby("member")["rows_dropped"].sum()
    counted = members.dropna(subset=["rows_in"]).groupby("member")[["rows_in", "rows_kept"]].sum()
    for name, row in counted.iterrows():
        if row.rows_in != row.rows_kept + lost.get(name, 0):
            wrong.append(f"{name!r}: {row.rows_in} in, {row.rows_kept} kept, {lost.get(name, 0)} dropped")
    events = {kind: len(result.events(kind)) for kind in (KINDS if with_views else result.kinds)}
    if {kind: rows for kind, rows in events.items() if rows} != summary["events"]:
        wrong.append(f"{events} events, the summary has {summary['events']}")
    has_releases = result.provenance["format"] == "keystrokes"  # whose rows are two events each
    if not has_releases and sum(events.values()) != kept:
        wrong.append(f"{kept} rows kept, {sum(events.values())} events")
    if len(result.trials) != summary["trials"] or len(members) != summary["members"]:
        wrong.append("the summary has other numbers of trials or members")
    trial_rows = members["trial_row"].dropna()
    if len(trial_rows) and not trial_rows.between(0, len(result.trials) - 1).all():
        wrong.append("a member's trial_row is no row of the trials")
    if with_views:
        result.quality()
        result.participants  # noqa: B018
        result._repr_html_()
    return wrong


def miscounted(result: StudyResult, study: Intact) -> list[str]:
    """Return the files whose rows are not the lines with text below their header, and those that are not listed.

    Where cells are quoted, a row may have several lines; such files are left out. In a file without a header all
    lines are rows, and there is an issue. Rows of a file with an unsafe name are counted only where it ends in .csv.
    """
    contents = {name: content for name, content in study.members if _is_plain(name)}
    if study.suffix == ".csv":
        contents = {"study.csv": study.members[0][1]}
    listed = set(result.members["member"])
    wrong = [f"{name!r} is not listed" for name in contents if name not in listed]
    if {"participants", "tasks", "factors"} & study.options.keys() or len(contents) < len(study.members):
        return wrong
    with_issue = set(result.issues["member"])
    for row in result.members.dropna(subset=["rows_in"]).itertuples():
        content = contents.get(row.member, b'"')
        if b'"' in content or (row.role == "unsafe_name" and not row.member.endswith(".csv")) or b"\0" in content:
            continue
        try:
            lines = re.split("\r\n|\n|\r", content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            continue
        if any(line.strip() != line.strip(ASCII_BLANKS) for line in lines):
            continue  # what else is blank is not counted as such where no row can be read
        rows = sum(bool(line.strip()) for line in lines)
        if row.rows_in != max(0, rows - 1) and not (row.rows_in == rows and row.member in with_issue):
            wrong.append(f"{row.member!r} has {rows} lines with text, {row.rows_in} rows are counted")
    return wrong


def _is_plain(name: str) -> bool:
    is_file = bool(name) and not name.lower().endswith(("/", ".zip"))
    return is_file and name.isascii() and name.isprintable() and "\\" not in name and len(name) < 500


def smaller(case: Case, is_wrong) -> Case:
    """Return the case with as few mutations as still make it wrong."""
    for i in range(len(case.steps) - 1, -1, -1):
        without = Case(case.format, case.seed, case.steps[:i] + case.steps[i + 1 :])
        if is_wrong(without):
            return smaller(without, is_wrong)
    return case
