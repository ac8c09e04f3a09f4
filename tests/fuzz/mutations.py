"""Mutate studies with knowledge of their structure: cells and lines of CSV, members and headers of ZIPs, raw bytes.

A mutation takes its own source of chance and changes what it is given in place. So a case is a list of the names of
mutations with a seed each, and can be made smaller by leaving some out.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

from tests.fuzz.intact import Intact

CELLS = [
    "", " ", "nan", "NaN", "inf", "-inf", "-0", "1e308", "1e-320", "9" * 400, "-" + "9" * 30, "0x10", "1_000", "1,5",
    "\uff11\uff12", "\u0663", "1e", "+", ".", "-.5", "5.", "1e999", "\0", "\x1b[31m",
    "=cmd|' /C calc'!A0", "2026-13-45T99:99:99",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999999", "true", "null", "NULL", "Key.ctrl_l", '"', '""', '"a',
    "'", "a\u2028b", "\ufeff", "\ud7ff", "x" * 5000, "1" * 308, "4294967296", "9223372036854775808", "10:00:00",
]  # fmt: skip
NAMES = [
    "", ".", "..", "/etc/passwd", "../../x.csv", "a\\b.csv", "C:/x.csv", "x" * 1000, "x" * 70_000, "a\0b.csv", "nul",
    "\u202e.csv", "ä/Mouse Movement.csv", "1_participant_session/", "__MACOSX/x.csv", ".DS_Store", "x.zip", "x/",
    "a/../b.csv", "1_participant_session/A_B_trial_99999999999999999999999/Mouse Movement.csv",
    "1_participant_session/_trial_1/Mouse Movement.csv", "UnknownSession_participant_session/A_B_trial_1/x.csv",
    "a\nb.csv", "trial_1/Keyboard Inputs.csv", "Mouse Movement.csv", "manifest.csv", "e\u0301.csv", "CON.csv",
]  # fmt: skip
_HEADERS = {b"PK\3\4": 30, b"PK\1\2": 46, b"PK\5\6": 22, b"PK\6\6": 56, b"PK\6\7": 20, b"PK\7\x08": 16}
_VALUES = [0, 1, 2, 7, 8, 9, 12, 14, 0x7F, 0xFF, 0xFFFF, 0x8000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE]

TextMutation = Callable[[random.Random, list[str]], None]
BytesMutation = Callable[[random.Random, bytearray], None]
StudyMutation = Callable[[random.Random, Intact], None]
TEXT: dict[str, TextMutation] = {}
RAW: dict[str, BytesMutation] = {}
STUDY: dict[str, StudyMutation] = {}
ZIP: dict[str, BytesMutation] = {}


def _in(group):
    def register(mutation):
        group[mutation.__name__] = mutation
        return mutation

    return register


def _position(chance: random.Random, items) -> int:
    return chance.randrange(len(items)) if items else 0


@_in(TEXT)
def replace_cell(chance, lines):
    if lines:
        i = _position(chance, lines)
        delimiter = chance.choice(",;\t")
        cells = lines[i].split(delimiter)
        cells[_position(chance, cells)] = chance.choice(CELLS)
        lines[i] = delimiter.join(cells)


@_in(TEXT)
def replace_column(chance, lines):
    delimiter, cell, column = chance.choice(",;\t"), chance.choice(CELLS), chance.randrange(8)
    for i in range(1, len(lines)):
        cells = lines[i].split(delimiter)
        if column < len(cells):
            cells[column] = cell
            lines[i] = delimiter.join(cells)


@_in(TEXT)
def drop_line(chance, lines):
    if lines:
        del lines[_position(chance, lines)]


@_in(TEXT)
def drop_header(chance, lines):
    del lines[:1]


@_in(TEXT)
def repeat_lines(chance, lines):
    if len(lines) > 1:
        start = chance.randrange(1, len(lines))
        lines[start:start] = lines[start : start + chance.randint(1, 5)] * chance.choice([1, 2, 50, 2000])


@_in(TEXT)
def reverse_lines(chance, lines):
    lines[1:] = lines[:0:-1]


@_in(TEXT)
def shuffle_lines(chance, lines):
    chance.shuffle(lines)


@_in(TEXT)
def blank_lines(chance, lines):
    i = _position(chance, lines)
    lines[i:i] = [chance.choice(["", " ", "\t", ",", ",,,", "\x0c", "\x85", "\xa0"])] * chance.choice([1, 3, 5000])


@_in(TEXT)
def extra_cells(chance, lines):
    if lines:
        lines[_position(chance, lines)] += chance.choice(",;\t") * chance.choice([1, 2, 300, 70_000])


@_in(TEXT)
def missing_cells(chance, lines):
    if lines:
        i = _position(chance, lines)
        lines[i] = lines[i][: _position(chance, lines[i])]


@_in(TEXT)
def open_quote(chance, lines):
    if lines:
        i = _position(chance, lines)
        at = _position(chance, lines[i])
        lines[i] = lines[i][:at] + '"' + lines[i][at:]


@_in(TEXT)
def quote_all(chance, lines):
    delimiter = chance.choice(",;\t")
    lines[:] = [delimiter.join(f'"{cell}"' for cell in line.split(delimiter)) for line in lines]


@_in(TEXT)
def break_in_cell(chance, lines):
    if lines:
        lines[_position(chance, lines)] += ',"a' + "\n" * chance.choice([1, 2, 9]) + 'b"'


@_in(TEXT)
def other_delimiter(chance, lines):
    old, new = chance.choice(",;\t"), chance.choice([",", ";", "\t", "|", " ", ", "])
    lines[:] = [line.replace(old, new) for line in lines]


@_in(TEXT)
def change_header(chance, lines):
    if lines:
        header, backwards = lines[0], ",".join(reversed(lines[0].split(",")))
        changed = [header.upper(), header.title(), f" {header}", f"{header},{header}", f"\ufeff{header}", backwards]
        lines[0] = chance.choice([*changed, header.replace("x", "xx", 1)])


@_in(TEXT)
def second_header(chance, lines):
    if lines:
        lines.insert(_position(chance, lines), lines[0])


@_in(TEXT)
def long_line(chance, lines):
    if lines:
        lines[_position(chance, lines)] += chance.choice("0 ,\"'a") * chance.choice([1000, 70_000, 300_000])


@_in(TEXT)
def time_jumps(chance, lines):
    for i in range(1, len(lines)):
        cells = lines[i].split(",")
        if len(cells) > 1 and chance.random() < 0.3:
            cells[1] = chance.choice(["-1", "0", "1e9", "86400", "0.001", cells[1]])
            lines[i] = ",".join(cells)


@_in(RAW)
def flip_bytes(chance, raw):
    for _ in range(chance.randint(1, 8)):
        if raw:
            raw[_position(chance, raw)] = chance.randrange(256)


@_in(RAW)
def truncate(chance, raw):
    del raw[_position(chance, raw) :]


@_in(RAW)
def cut_out(chance, raw):
    start = _position(chance, raw)
    del raw[start : start + chance.choice([1, 2, 10, 100])]


@_in(RAW)
def insert_bytes(chance, raw):
    junk = chance.choice([b"\0", b"\xff", b"\xfe\xff", b"PK\3\4", b"PK\5\6", b"\r", b"\n", b'"', b"\xc3", b"\x1a"])
    start = _position(chance, raw)
    raw[start:start] = junk * chance.choice([1, 2, 100, 10_000])


@_in(RAW)
def repeat_bytes(chance, raw):
    start = _position(chance, raw)
    raw[start:start] = raw[start : start + chance.choice([1, 10, 1000])] * chance.choice([1, 3, 100])


@_in(RAW)
def empty(chance, raw):
    raw.clear()


@_in(RAW)
def other_encoding(chance, raw):
    text = bytes(raw).decode(errors="replace")
    encoding = chance.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037", "utf-8-sig", "utf-7"])
    raw[:] = text.encode(encoding, errors="replace")


@_in(RAW)
def other_line_ends(chance, raw):
    raw[:] = bytes(raw).replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n", b"\n\r", b"\0\n", b""]))


@_in(STUDY)
def rename_member(chance, study):
    if study.members:
        i = _position(chance, study.members)
        name = study.members[i][0]
        folder = name.rpartition("/")[0]
        renamed = chance.choice(NAMES)
        study.members[i] = (chance.choice([renamed, f"{folder}/{renamed}", f"{renamed}/{name}", name.upper()]),
                            study.members[i][1])  # fmt: skip


@_in(STUDY)
def duplicate_member(chance, study):
    if study.members:
        study.members += [chance.choice(study.members)] * chance.choice([1, 1, 2, 500])


@_in(STUDY)
def drop_member(chance, study):
    if study.members:
        del study.members[_position(chance, study.members)]


@_in(STUDY)
def swap_contents(chance, study):
    if study.members:
        i, j = _position(chance, study.members), _position(chance, study.members)
        (a, first), (b, second) = study.members[i], study.members[j]
        study.members[i], study.members[j] = (a, second), (b, first)


@_in(STUDY)
def add_member(chance, study):
    content = chance.choice([b"", b"\0" * 100, b"a,b\n1,2\n", b"PK\3\4", b"Time,running_time,x,y\n", b"\xff" * 5000])
    study.members.insert(_position(chance, study.members), (chance.choice(NAMES), content))


@_in(STUDY)
def many_members(chance, study):
    study.members += [(f"extra/{i}.csv", b"") for i in range(chance.choice([10, 1000]))]


@_in(STUDY)
def many_trials(chance, study):
    text = b"Time,running_time,x,y\n10:00:00,0.1,1,1\n"
    count = chance.choice([20, 400])
    study.members += [(f"1_participant_session/A_B_trial_{i}/Mouse Movement.csv", text) for i in range(count)]


@_in(STUDY)
def nest(chance, study):
    from tests.study.make_study import zip_bytes

    try:
        inner = zip_bytes(study.members)
    except (ValueError, IndexError, struct.error, zipfile.LargeZipFile):
        return
    study.members = [(chance.choice(["inner.zip", "4_participant_session.zip", "x.ZIP"]), inner)]
    study.suffix = ".zip"


@_in(STUDY)
def options(chance, study):
    study.options |= chance.choice(
        [
            {"on_error": "raise"}, {"keys": "full"}, {"max_members": 3}, {"max_raw_bytes": 500}, {"max_nesting": 0},
            {"participants": ["1"]}, {"participants": ["nobody"]}, {"tasks": ["Search"]}, {"factors": ["Easy"]},
            {"metrics": ["path_length_px", "click_count"]}, {"kinds": {"answers": "keyboard"}}, {"resample_s": 0.001},
            {"max_member_bytes": 100}, {"max_name_length": 10}, {"format": "fulcrum"}, {"format": "mousetracking"},
        ]
    )  # fmt: skip


@_in(ZIP)
def change_field(chance, raw):
    """Write a value into a field of a header."""
    signature = chance.choice(sorted(_HEADERS))
    places = [i for i in range(len(raw) - 4) if raw[i : i + 4] == signature] if len(raw) < 300_000 else []
    if places:
        start = chance.choice(places)
        at = start + 4 + 2 * chance.randrange((_HEADERS[signature] - 4) // 2)
        layout = chance.choice(["<H", "<I"])
        value = chance.choice(_VALUES) if chance.random() < 0.7 else chance.randrange(2**32)
        if at + struct.calcsize(layout) <= len(raw):
            struct.pack_into(layout, raw, at, value & (0xFFFF if layout == "<H" else 0xFFFFFFFF))


@_in(ZIP)
def prefix(chance, raw):
    raw[:0] = chance.choice([b"#!/bin/sh\n", b"\0" * 1000, b"PK\5\6" + b"\0" * 18, b"MZ"])


@_in(ZIP)
def append(chance, raw):
    raw += chance.choice([b"\0" * 100, b"PK\5\6" + b"\0" * 18, b"\n", bytes(raw[:100_000]), b"x" * 70_000])


@_in(ZIP)
def comment(chance, raw):
    try:
        buffer = io.BytesIO(raw)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = chance.choice([b"PK\5\6", b"x" * 65_535, b"\0"])
    except Exception:  # it is no ZIP any more
        return
    raw[:] = buffer.getvalue()


for _name in ("flip_bytes", "truncate", "cut_out", "insert_bytes", "repeat_bytes"):
    ZIP[f"zip_{_name}"] = RAW[_name]


def apply_to_member(name: str, chance: random.Random, study: Intact) -> None:
    """Apply a mutation of text or bytes to one member; it is of a ZIP in the study too."""
    if not study.members:
        return
    i = _position(chance, study.members)
    path, content = study.members[i]
    if name in TEXT:
        lines = content.decode("utf-8", errors="surrogateescape").split("\n")
        TEXT[name](chance, lines)
        content = "\n".join(lines).encode("utf-8", errors="surrogateescape")
    else:
        raw = bytearray(content)
        RAW[name](chance, raw)
        content = bytes(raw)
    study.members[i] = (path, content)
