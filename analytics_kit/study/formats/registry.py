"""List the formats of logs, load one by name, and determine which one a study has."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import NamedTuple

from analytics_kit.errors import SettingsError
from analytics_kit.event_format import EventFormat
from analytics_kit.model import Kind
from analytics_kit.options import PLUG_INS, Options, format_names
from analytics_kit.study.archive.base import Archive, Member
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.formats.base import UNITS_PER_SECOND, LogFormat
from analytics_kit.study.formats.event_format import DescribedFormat
from analytics_kit.study.formats.layout import ignored_role
from analytics_kit.study.formats.trials import read_start

NATIVE = "fulcrum"
"""The format of the Fulcrum platform, whose files `events.native` reads; the others are LogFormats."""
MAX_SAMPLED_MEMBERS = 40
"""The number of files, spread over the study, that decide its format."""
SMALL_MEMBER_BYTES = 64 << 10
"""Of a larger member only the start is fetched to decide the format."""
CLEAR_FACTOR = 10
"""A format is certain if it takes this many times more of them than any other."""

_POINTER: dict[str, Kind] = {
    "Move": "mouse_movement", "Drag": "mouse_movement", "Pressed": "mouse_clicks", "Released": "mouse_clicks",
    "Up": "mouse_scrolls", "Down": "mouse_scrolls",
}  # fmt: skip
BALABIT = EventFormat(
    name="balabit",
    path=r"(?:.*/)?(?P<participant>[^/]+?)(?:\.zip)?[/_]session_(?P<session>\d+)(?:\.csv)?",
    columns={"t": "client timestamp", "x": "x", "y": "y", "kind": "state", "action": "state", "wheel": "state"},
    kinds=_POINTER,
    actions={"Pressed": "press", "Released": "release"},
    wheel={"Up": -1, "Down": 1},
    delimiter=",",
)
"""The Balabit Mouse Dynamics Challenge: a file for each session, in a folder for each user. A drag is movement."""
KEYSTROKES = EventFormat(
    name="keystrokes",
    columns={
        "participant": "PARTICIPANT_ID",
        "trial": "TEST_SECTION_ID",
        "t": "PRESS_TIME",
        "release": "RELEASE_TIME",
        "key": "LETTER",
        "key_code": "KEYCODE",
    },
    kind="keyboard",
    time_unit="ms",
    time_origin="trial",
    delimiter="\t",
    quoted=False,
)
"""The keystrokes of Dhakal et al. (2018): a file for each participant, a trial for each sentence."""
MOUSETRACKING = EventFormat(
    name="mousetracking",
    columns={
        "participant": ("participant", "participant_id", "subject", "subject_id", "subject_nr", "subject_number"),
        "session": ("session", "session_id"),
        "task": "task",
        "factor": ("factor", "condition"),
        "trial": ("mt_id", "trial_id", "trial", "trial_nr", "trial_number"),
        "t": ("timestamps", "timestamp"),
        "x": ("xpos", "x"),
        "y": ("ypos", "y"),
    },
    kind="mouse_movement",
    time_unit="ms",
)
"""Mouse-tracking data in long form, a row for each sample, as mt_export_long of mousetrap writes it."""
BUILT_IN = {described.name: described for described in (BALABIT, KEYSTROKES, MOUSETRACKING)}


class FormatChoice(NamedTuple):
    """The name of a study's format, and why it was chosen."""

    name: str
    reason: str


def load_format(name: str, options: Options) -> LogFormat:
    """Return the format of this name, other than the platform's own. Raises SettingsError if it can't be loaded."""
    if isinstance(options.format, EventFormat):
        return DescribedFormat(options.format)
    return DescribedFormat(BUILT_IN[name]) if name in BUILT_IN else _load_installed(name)


@cache
def _load_installed(name: str) -> LogFormat:
    """Return the format that an entry point of this name offers."""
    for point in entry_points(group=PLUG_INS, name=name):
        try:
            loaded = point.load()
            offered = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # a package may raise anything at its import
            raise SettingsError(
                f"The format {name!r}, which {point.value} offers, can't be loaded: {type(error).__name__}: {error}.",
                hint="Fix or reinstall the package that brings it.",
            ) from error
        if isinstance(offered, EventFormat):
            return DescribedFormat(offered)
        if not isinstance(offered, LogFormat) or offered.time_unit not in UNITS_PER_SECOND:
            raise SettingsError(
                f"The format {name!r}, which {point.value} offers, is neither an EventFormat nor a LogFormat with "
                f"times in {', '.join(UNITS_PER_SECOND)}.", hint="Fix or reinstall the package that brings it.",
            )  # fmt: skip
        return offered
    raise SettingsError(
        f"The format {name!r} is not installed here.", hint="Install the package that brings it, for workers too."
    )


def choose_format(archive: Archive, options: Options) -> FormatChoice:
    """Return the format of a study. Raises SettingsError if it could be of several."""
    if isinstance(options.format, EventFormat):
        return FormatChoice(options.format.name, "described by an EventFormat")
    if options.format != "auto":
        return FormatChoice(options.format, "named by format=")
    sampled = _sample([member for member in archive.members if ignored_role(member.name) is None])
    matches = {NATIVE: sum(fulcrum.takes(member.name) for member in sampled)}
    faults = ""
    if matches[NATIVE] < len(sampled):
        with archive.expecting(member for member in sampled if member.packed_bytes <= SMALL_MEMBER_BYTES):
            starts = {member.name: read_start(archive, member) for member in sampled}
        for name in format_names():
            if name in ("auto", NATIVE):
                continue
            try:
                log = load_format(name, options)
                matches[name] = sum(log.takes(path, start) for path, start in starts.items())
            except SettingsError as error:
                faults += f"; {error.message}"
            except Exception as error:  # the fault of another package must not keep a study from being read
                faults += f"; The format {name!r} can't recognise its files: {type(error).__name__}."
    first, *others = sorted(matches, key=lambda name: -matches[name])
    if others and matches[others[0]] * CLEAR_FACTOR > matches[first]:
        candidates = [name for name in (first, *others) if matches[name] * CLEAR_FACTOR > matches[first]]
        raise SettingsError(
            f"{archive.name} could be of the format {' or '.join(candidates)}: of {len(sampled)} files looked at, "
            f"{', '.join(f'{matches[name]} look like {name}' for name in candidates)}.",
            hint=f'Name the right one, as in format="{first}".',
        )
    if not matches[first]:
        return FormatChoice(NATIVE, f"no file was recognised by its name or header{faults}")
    evidence = "names" if first == NATIVE else "names and headers"
    return FormatChoice(first, f"by {evidence} of files: {matches[first]} of the {len(sampled)} looked at{faults}")


def _sample(members: list[Member]) -> list[Member]:
    """Return up to MAX_SAMPLED_MEMBERS members, spread over the study."""
    step = max(1, len(members) // MAX_SAMPLED_MEMBERS)
    return members[::step][:MAX_SAMPLED_MEMBERS]
