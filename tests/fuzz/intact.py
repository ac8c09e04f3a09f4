"""Make small intact studies of every format, which the fuzzer then mutates: members, and the options to read them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from analytics_kit.event_format import EventFormat
from tests.study.make_study import zip_bytes

TYPED = ["a", "'b'", "Key.space", "Key.enter", "ä", "1", '","', '""""', "Key.shift_r", "\\", "=1+1"]
NATIVE_FILES = {
    "Mouse Movement": "Time,running_time,x,y",
    "Mouse Clicks": "Time,running_time,x,y",
    "Mouse Scrolls": "Time,running_time,x,y",
    "Keyboard Inputs": "Time,running_time,keys",
}
DATED = EventFormat(
    columns={"t": "at", "x": "x", "y": "y", "kind": "what", "action": "what", "participant": "who", "trial": "run"},
    kinds={"move": "mouse_movement", "down": "mouse_clicks", "up": "mouse_clicks"},
    actions={"down": "press", "up": "release"},
    time_unit="datetime",
    time_origin="trial",
)
BY_PATH = EventFormat(
    columns={"t": "ms", "x": "xpos", "y": "ypos", "key": "key"},
    kinds={"pointer": "mouse_movement", "wheel": "mouse_scrolls", "keys": "keyboard"},
    path=r"(?P<participant>[^/]+)/(?P<task>[^/]+)/(?P<kind>[a-z]+)\.csv",
    time_unit="ms",
    name="by-path",
)


@dataclass
class Intact:
    """A study: pairs of name and content in the order of the ZIP, and options. `suffix` of a lone file is .csv."""

    members: list[tuple[str, bytes]]
    options: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".zip"


def native_text(chance: random.Random, file: str, rows: int) -> str:
    """Return a log as the Fulcrum logger writes it."""
    lines, t = [NATIVE_FILES[file]], 0.0
    for _ in range(rows):
        t += chance.choice([0.01, 0.02, 0.05, 0.5, 2.5])
        end = (
            chance.choice(TYPED)
            if file.startswith("Keyboard")
            else f"{chance.randrange(1920)},{chance.randrange(1080)}"
        )
        lines.append(f"10:{int(t) // 60:02}:{t % 60:05.2f},{t:.2f},{end}")
    return "\n".join(lines) + "\n"


def _native_trial(chance: random.Random, folder: str) -> list[tuple[str, bytes]]:
    files = chance.sample(sorted(NATIVE_FILES), chance.randint(1, 4))
    return [
        (f"{folder}/{file}.csv", native_text(chance, file, chance.choice([0, 1, 2, 30])).encode()) for file in files
    ]


def fulcrum(chance: random.Random) -> Intact:
    """Return a study as the platform's client downloads it, with a survey and files of other kinds."""
    members: list[tuple[str, bytes]] = []
    for participant in range(1, chance.randint(2, 4)):
        session = f"{participant}_participant_session"
        for trial in range(1, chance.randint(2, 4)):
            members += _native_trial(chance, f"{session}/Search_{chance.choice(['Easy', 'Hard'])}_trial_{trial}")
        members.append((f"{session}/Demographics_survey/answers.csv", b"age,hand\n31,left\n"))
    members += [("study.json", b"{}"), ("1_participant_session/Search_Easy_trial_1/screen.mp4", b"\0\0\0")]
    return Intact(members, _native_options(chance))


def fulcrum_of_server(chance: random.Random) -> Intact:
    """Return a study as the platform's server stores it, whose names are in a manifest."""
    lines, members = ["id,kind,task,factor,trial"], []
    for trial in range(1, 4):
        for file in sorted(NATIVE_FILES):
            identity = f"{chance.randrange(16**8):08x}"
            lines.append(f"{identity},{file},Search,Easy,{trial}")
            text = native_text(chance, file, 10)
            members.append((f"7_participant_session_id/{trial}_trial_id/{identity}.csv", text.encode()))
    members.append(("7_participant_session_id/manifest.csv", "\n".join(lines).encode()))
    return Intact(members, _native_options(chance))


def fulcrum_of_zips(chance: random.Random) -> Intact:
    """Return a study with a ZIP for each participant."""
    members = []
    for participant in range(1, 4):
        inner = _native_trial(chance, "Search_Easy_trial_1") + _native_trial(chance, "Search_Hard_trial_2")
        members.append((f"{participant}_participant_session.zip", zip_bytes(inner)))
    return Intact(members, _native_options(chance))


def fulcrum_early(chance: random.Random) -> Intact:
    """Return a study as early versions of the platform download it."""
    names = {"mouse_movement": "Mouse Movement", "mouse_clicks": "Mouse Clicks", "keyboard": "Keyboard Inputs"}
    members = [
        (f"{p}_participant_session/Search_{kind}_data.csv", native_text(chance, file, 12).encode())
        for p in (1, 2)
        for kind, file in names.items()
    ]
    return Intact(members, _native_options(chance))


def balabit(chance: random.Random) -> Intact:
    """Return a study of the Balabit challenge."""
    members = []
    for user in ("user7", "user9"):
        lines, t = ["record timestamp,client timestamp,button,state,x,y"], 0.0
        for _ in range(20):
            t += chance.choice([0.0, 0.1, 1.0])
            state = chance.choice(["Move", "Move", "Drag", "Pressed", "Released", "Up", "Down"])
            lines.append(f"{t:.3f},{t:.3f},Left,{state},{chance.randrange(2000)},{chance.randrange(2000)}")
        members.append((f"training/{user}/session_{chance.randrange(10**6)}", "\n".join(lines).encode()))
    return Intact(members, {"format": chance.choice(["auto", "balabit"])})


def keystrokes(chance: random.Random) -> Intact:
    """Return a study of the keystrokes of Dhakal et al."""
    header = "PARTICIPANT_ID TEST_SECTION_ID SENTENCE USER_INPUT KEYSTROKE_ID PRESS_TIME RELEASE_TIME LETTER KEYCODE"
    members = []
    for participant in (3, 5):
        lines, t = [header.replace(" ", "\t")], 1_472_052_799_000
        for section in (11, 12):
            for stroke in range(8):
                t += chance.choice([0, 60, 250, 4000])
                letter, code = chance.choice([("a", 65), (" ", 32), ("SHIFT", 16), ("", 0), ("ß", 219)])
                release = chance.choice([t + 80, t + 80, t - 5])
                lines.append(f"{participant}\t{section}\tSay it\tSay\t{stroke}\t{t}\t{release}\t{letter}\t{code}")
        members.append((f"{participant}_keystrokes.txt", "\n".join(lines).encode()))
    return Intact(
        members, {"format": chance.choice(["auto", "keystrokes"]), "keys": chance.choice(["class", "full"])}
    )


def mousetracking(chance: random.Random) -> Intact:
    """Return mouse-tracking data in long form: one file for all participants, alone or in a ZIP."""
    lines = ["subject_nr,condition,mt_id,timestamps,xpos,ypos"]
    for subject in (1, 2, 3):
        for trial in (1, 2):
            t = 0
            for _ in range(6):
                t += chance.choice([10, 16, 0])
                lines.append(f"{subject},{chance.choice('AB')},id{trial},{t},{chance.uniform(-1, 1):.4f},{t / 9}")
    alone = chance.random() < 0.4
    members = [("mt.csv", "\n".join(lines).encode())]
    return Intact(members, {"format": chance.choice(["auto", "mousetracking"])}, ".csv" if alone else ".zip")


def described_by_columns(chance: random.Random) -> Intact:
    """Return a study that an EventFormat describes, whose rows have dates and name their trials."""
    lines, second = ["who;run;at;what;x;y"], 0.0
    for who in ("anna", "ben"):
        for run in (1, 2):
            for _ in range(6):
                second += chance.choice([0.05, 0.5])
                at = f"2026-03-29T01:59:{second % 60:06.3f}{chance.choice(['', 'Z', '+02:00'])}"
                lines.append(f"{who};{run};{at};{chance.choice(['move', 'down', 'up'])};{chance.randrange(99)};7")
    return Intact([("logs/all.csv", "\n".join(lines).encode()), ("logs/notes.txt", b"-")], {"format": DATED})


def described_by_path(chance: random.Random) -> Intact:
    """Return a study that an EventFormat describes, whose paths name the trials."""
    members = []
    for who in ("anna", "ben"):
        for kind in ("pointer", "wheel", "keys"):
            rows = "".join(f"{20 * i},{i},{i * i},{chance.choice('abc')}\n" for i in range(chance.choice([0, 1, 15])))
            members.append((f"{who}/Search/{kind}.csv", f"ms,xpos,ypos,key\n{rows}".encode()))
    return Intact(members, {"format": BY_PATH, "keys": chance.choice(["class", "full"])})


def _native_options(chance: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {"keys": chance.choice(["class", "full"])}
    if chance.random() < 0.1:
        options["participants"] = ["1"]
    return options


FORMATS: dict[str, Callable[[random.Random], Intact]] = {
    make.__name__: make
    for make in (
        fulcrum, fulcrum_of_server, fulcrum_of_zips, fulcrum_early, balabit, keystrokes, mousetracking,
        described_by_columns, described_by_path,
    )
}  # fmt: skip
