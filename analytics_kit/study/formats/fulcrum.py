"""Find the trials of a Fulcrum download, and the role and trial of each file, by names and manifests."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from analytics_kit.model import KINDS, Kind
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError, ShortFiles
from analytics_kit.study.formats.layout import MemberAssignment, StudyLayout, Trial, ignored_role
from analytics_kit.study.schema.text import parse_whole_number

MEASUREMENTS: dict[str, Kind] = {
    "mouse movement": "mouse_movement",
    "mouse clicks": "mouse_clicks",
    "mouse scrolls": "mouse_scrolls",
    "keyboard inputs": "keyboard",
    "keyboard input": "keyboard",
}
"""The kind of events in a file of this name, without its ending."""
_EARLY_MEASUREMENTS: dict[str, Kind] = {
    "mouse_movement": "mouse_movement",
    "mouse_clicks": "mouse_clicks",
    "mouse_scroll": "mouse_scrolls",
    "mouse_scrolls": "mouse_scrolls",
    "keyboard": "keyboard",
}
"""The same for downloads of early versions, whose files are named `{task}_{measurement}_data.csv`."""
_SESSION_FOLDER = re.compile(r"(?P<session>.+)_participant_session(_id)?", re.DOTALL)
_TRIAL_FOLDER = re.compile(r"(?P<name>.*)_trial_(?P<trial>\d+|UnknownTrialOrdering)", re.DOTALL)
_TRIAL_ID_FOLDER = re.compile(r"(?P<trial>\d+)_trial_id")
_EARLY_FILE = re.compile(
    rf"(?P<task>.+)_(?P<kind>{'|'.join(_EARLY_MEASUREMENTS)})_data\.csv", re.IGNORECASE | re.DOTALL
)
_SURVEY_FOLDER = re.compile(r"(?P<survey>.+)_survey", re.DOTALL)
PEEK_BYTES = 256
"""The number of bytes at the start of a file that hold its header."""
MAX_EXTRA_LINES = 10_000
"""The number of lines by which a manifest may exceed twice the number of files."""


class _Folder(NamedTuple):
    """What the path of a file's folder means: `key` is the path of the trial's folder, `name` its task and factor."""

    key: str | None
    participant: str | None
    name: str | None
    trial: int | None
    survey: str | None
    is_server: bool
    """Whether the platform's server wrote it, whose folders and files have ids; a manifest has their names."""
    ignored_role: str | None
    """"clutter" or "unsafe_name" if nothing below is part of the study."""


class _File(NamedTuple):
    """What the name of a file means: its role, None if the name does not give it, and its task."""

    stem: str
    is_csv: bool
    role: str | None
    task: str | None


def _read_folder(path: str) -> _Folder:
    participant = name = survey = key = None
    trial: int | None = None
    is_server = False
    above = ""
    for folder in path.split("/") if path else []:
        above = f"{above}/{folder}" if above else folder
        stem = folder[:-4] if folder.lower().endswith(".zip") else folder
        if found := _SESSION_FOLDER.fullmatch(stem):
            participant = None if found["session"] == "UnknownSession" else found["session"]
        elif found := _TRIAL_FOLDER.fullmatch(folder):
            key, name = above, found["name"] or None
            trial = parse_whole_number(found["trial"])
        elif found := _TRIAL_ID_FOLDER.fullmatch(folder):
            key, trial, is_server = above, parse_whole_number(found["trial"]), True
        elif found := _SURVEY_FOLDER.fullmatch(folder):
            survey = found["survey"]
        elif stem != folder:  # a nested ZIP not named like a session names the participant
            participant = stem
    return _Folder(key, participant, name, trial, survey, is_server, ignored_role(path))


def _read_file(file: str) -> _File:
    stem, _, ending = file.rpartition(".")
    kind = MEASUREMENTS.get(stem.lower())
    if ignored := ignored_role(file):
        return _File(stem, False, ignored, None)
    if ending.lower() != "csv":
        return _File(stem, False, "media" if ending.lower() in ("mp4", "png") else "other", None)
    if early := _EARLY_FILE.fullmatch(file):
        return _File(stem, True, _EARLY_MEASUREMENTS[early["kind"].lower()], early["task"])
    return _File(stem, True, "manifest" if stem.lower() == "manifest" else kind, None)


class _Trials:
    """The trials found so far, in the order of their first file."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self.list: list[Trial] = []

    def index(self, key: str, folder: _Folder, task: str | None = None) -> int:
        """Return the index of a trial, which is added if it is new."""
        if key not in self._indices:
            self._indices[key] = len(self.list)
            self.list.append(
                Trial(key, folder.participant, folder.participant, folder.name, task, None, folder.trial)
            )
        return self._indices[key]


def participant_of(path: str) -> str | None:
    """Return the participant to whom a folder or file of a download belongs; None where its path names nobody.

    >>> participant_of("7_participant_session/Search_Easy_trial_1/screen.mp4"), participant_of("study.json")
    ('7', None)
    """
    return _read_folder(path).participant


def takes(path: str) -> bool:
    """Return whether a path looks like that of a CSV file in a download of the platform."""
    above, _, name = path.rpartition("/")
    folder, file = _read_folder(above), _read_file(name)
    is_named = file.role in KINDS or folder.key is not None or folder.survey is not None
    return file.is_csv and folder.ignored_role is None and is_named


def find_trials(archive: Archive, kinds: Mapping[str, Kind] | None = None) -> StudyLayout:
    """Return the trials and the assignments of all members.

    Manifests are read and, where names do not give the kind, first lines. `kinds` adds the kinds of files by their
    names without endings.
    """
    trials = _Trials()
    issues = list(archive.issues)
    read_folder, read_file = cache(_read_folder), cache(_read_file)
    for path in archive.folders:
        folder = read_folder(path)
        if folder.key == path and folder.ignored_role is None:
            trials.index(path, folder)
    manifests = _Manifests(archive, issues)
    assignments = []
    for index, member in enumerate(archive.members):
        path, slash, name = member.name.rpartition("/")
        folder, file = read_folder(path if path else slash), read_file(name)
        role = folder.ignored_role or ("survey" if folder.survey is not None else None) or file.role
        if file.is_csv and file.role != "manifest" and role == file.role and kinds and file.stem in kinds:
            role = kinds[file.stem]
        if role is None:
            role = (
                (manifests.entry(path, name).get("kind") or _kind_of_header(archive, member))
                if folder.is_server
                else "other"
            )
        trial = None
        if role not in ("clutter", "unsafe_name", "survey"):
            key = folder.key
            if file.task is not None:
                key = f"{path}/{file.task}".lstrip("/")
            elif key is None and role in KINDS:
                key = path
            trial = None if key is None else trials.index(key, folder, file.task)
        if trial is not None and folder.is_server:
            _apply_manifest(trials, trial, manifests.entry(path, name))
        if issue := _ROLE_ISSUES.get("unknown_file" if role == "other" and file.is_csv else role):
            issues.append((member.name, *issue))
        assignments.append(
            MemberAssignment(index, role, trial, folder.participant, folder.participant, folder.survey)
        )
    return StudyLayout(trials.list, assignments, issues)


_ROLE_ISSUES = {
    "unknown_file": ("unknown_file", "no measurement has this name; the file was left out"),
    "mouse_unknown": (
        "mouse_unknown", "it is unknown if these are movements, clicks or scrolls: add a manifest.csv or kinds={…}"
    ),
}  # fmt: skip


def _kind_of_header(archive: Archive, member: Member) -> Kind:
    """Return the kind of events in a file by its first line."""
    try:
        start = archive.start(member, PEEK_BYTES)
    except MemberUnreadableError:
        return "mouse_unknown"
    header = next(iter(start.removeprefix(b"\xef\xbb\xbf").splitlines()), b"").lower()
    return "keyboard" if b"keys" in re.split(rb"[,;\t]", header) else "mouse_unknown"


def _apply_manifest(trials: _Trials, index: int, entry: Mapping[str, str]) -> None:
    """Set the names of a trial, whose folder has only a number, from the manifest."""
    trial = trials.list[index]
    number = parse_whole_number(entry.get("trial", ""))
    trials.list[index] = trial._replace(
        task=entry.get("task") or trial.task,
        factor=entry.get("factor") or trial.factor,
        trial=trial.trial if number is None else number,
    )


class _Manifests:
    """Read the `manifest.csv` files: id → kind, task, factor, trial. Of several above a file the nearest counts."""

    def __init__(self, archive: Archive, issues: list[tuple[str, str, str]]) -> None:
        self._entries: dict[str, dict[str, dict[str, str]]] = {}
        files = ShortFiles("manifests")
        for member in archive.members:
            path, _, file = member.name.rpartition("/")
            if file.lower() != "manifest.csv":
                continue
            try:
                text = files.read(archive, member).decode("utf-8-sig")
                limit = MAX_EXTRA_LINES + 2 * len(archive.members)
                rows: Sequence[dict[str, str]] = list(islice(csv.DictReader(io.StringIO(text)), limit + 1))
                if len(rows) > limit:
                    raise csv.Error(f"it has more than {limit:,} lines for {len(archive.members):,} files")
            except (MemberUnreadableError, UnicodeDecodeError, csv.Error) as error:
                issues.append((member.name, "manifest", f"the manifest can't be read: {error}"))
                continue
            self._entries[path] = {}
            for line, row in enumerate(rows, 2):
                entry = {str(k).strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
                kind = MEASUREMENTS.get(entry.get("kind", "").lower(), entry.get("kind", ""))
                if kind and kind not in KINDS:
                    issues.append(
                        (member.name, "manifest", f"line {line}: {kind!r} is no kind; expected {', '.join(KINDS)}")
                    )
                    kind = ""
                self._entries[path][entry.get("id", "")] = entry | {"kind": kind}

    def entry(self, path: str, file: str) -> dict[str, str]:
        """Return the manifest's entry for a file; empty if there is none."""
        identity = file[:-4]
        while self._entries:
            if found := self._entries.get(path, {}).get(identity):
                return found
            if not path:
                break
            path = path.rpartition("/")[0]
        return {}
