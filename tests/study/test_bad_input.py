"""Damaged, irregular or hostile input is read, or listed exactly, and the rest is processed."""

import io
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from analytics_kit.errors import (
    AnalyticsKitError,
    BadArchiveError,
    BadMemberError,
    NoEventsError,
    SourceNotFoundError,
    StoreError,
    UnsafeArchiveError,
)
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store
from tests.study.make_study import KEYS, MOUSE, balance, folder, issues_of, mouse, patched, typed, zip_bytes

GOOD = f"{folder(trial=1)}/Mouse Movement.csv"
GOOD_ROWS = [(0.0, 1.0, 2.0), (0.5, 30.0, 40.0), (1.25, 50.0, 60.0)]
R1, R2, R3 = "10:00:00,0.10,11,21\n", "10:00:00,0.20,12,22\n", "10:00:00,0.30,13,23\n"
ROWS = [(0.1, 11.0, 21.0), (0.2, 12.0, 22.0), (0.3, 13.0, 23.0)]
FIRST, SECOND, THIRD = ROWS


@dataclass(frozen=True)
class Case:
    """The content of a file, and the rows and issues expected of it."""

    raw: bytes
    rows_in: int
    kept: list
    issues: tuple = ()
    file: str = "Mouse Movement"

    @property
    def member(self):
        return f"{folder(trial=2)}/{self.file}.csv"

    @property
    def zip(self):
        return zip_bytes({GOOD: mouse(*GOOD_ROWS), self.member: self.raw})


def pointer(text, rows_in, kept, *issues, encoding="utf-8", file="Mouse Movement"):
    return Case(text.encode(encoding), rows_in, kept, issues, file)


def keyboard(text, rows_in, kept, *issues, encoding="utf-8"):
    return Case(text.encode(encoding), rows_in, kept, issues, "Keyboard Inputs")


BIG = "9" * 400
FILES = {
    "missing column": pointer("Time,running_time,x\n10:00:00,0.1,11\n10:00:00,0.2,12\n", 2, [],
                              (1, "missing_column", 2)),
    "missing time column": pointer("Time,x,y\n10:00:00,0.1,11\n", 1, [], (1, "missing_column", 1)),
    "missing key column": keyboard("Time,running_time\n10:00:00,0.1\n", 1, [], (1, "missing_column", 1)),
    "extra column": pointer(
        "Time,running_time,button,x,y\n10:00:00,0.10,left,11,21\n", 1, [FIRST], (1, "extra_column", 0)
    ),
    "reordered columns": pointer("y,x,running_time,Time\n21,11,0.10,10:00:00\n22,12,0.20,10:00:00\n", 2,
                                 [FIRST, SECOND]),
    "other case in header": pointer("time, Running_Time ,X,Y\n" + R1, 1, [FIRST]),
    "quoted header": pointer('"Time","running_time","x","y"\n' + R1, 1, [FIRST]),
    "missing header": pointer(R1 + R2 + R3, 3, [], (1, "missing_header", 3)),
    "missing header, keys": keyboard("10:00:00,0.10,a\n", 1, [], (1, "missing_header", 1)),
    "missing header below blank lines": pointer("\n\n" + R1 + R2, 2, [], (3, "missing_header", 2)),
    "header only": pointer(MOUSE, 0, []),
    "header only, no newline": pointer(MOUSE.strip(), 0, []),
    "empty file": pointer("", 0, [], (None, "empty_file", 0)),
    "blank file": pointer("\n \r\n\t\n", 0, [], (None, "empty_file", 0)),
    "BOM": pointer(MOUSE + R1 + R2, 2, [FIRST, SECOND], encoding="utf-8-sig"),
    "BOM only": pointer("", 0, [], (None, "empty_file", 0), encoding="utf-8-sig"),
    "CRLF": pointer((MOUSE + R1 + R2).replace("\n", "\r\n"), 2, [FIRST, SECOND]),
    "CRLF but for the header": pointer(MOUSE + (R1 + R2).replace("\n", "\r\n"), 2, [FIRST, SECOND]),
    "lone CR": pointer((MOUSE + R1 + R2).replace("\n", "\r"), 2, [FIRST, SECOND]),
    "one lone CR": pointer(MOUSE + R1 + R2.replace("\n", "\r") + R3, 3, ROWS),
    "semicolons": pointer((MOUSE + R1 + R2).replace(",", ";"), 2, [FIRST, SECOND]),
    "tabs": pointer((MOUSE + R1 + R2).replace(",", "\t"), 2, [FIRST, SECOND]),
    "UTF-16": pointer(MOUSE + R1 + R2, 2, [FIRST, SECOND], (None, "encoding", 0), encoding="utf-16"),
    "UTF-16, big end first": Case(
        b"\xfe\xff" + (MOUSE + R1).encode("utf-16-be"), 1, [FIRST], ((None, "encoding", 0),)
    ),
    "UTF-16 without mark": pointer(MOUSE + R1, 1, [FIRST], (None, "encoding", 0), encoding="utf-16-le"),
    "Latin-1": keyboard(
        typed((0.1, "é"), (0.2, "a")), 2, [(0.1, "letter"), (0.2, "letter")], (None, "encoding", 0),
        encoding="latin-1",
    ),
    "NUL in a number": pointer(MOUSE + R1 + "10:00:00,0.20,1\0,22\n" + R3, 3, [FIRST, THIRD], (3, "not_a_number", 1)),
    "NUL as key": keyboard(typed((0.1, "\0"), (0.2, "a")), 2, [(0.1, "other"), (0.2, "letter")]),
    "NULs at the end": pointer(MOUSE + R1 + "\0" * 600, 2, [FIRST], (3, "missing_fields", 1)),
    "quoted newline": keyboard(typed((0.1, '"\n"'), (0.2, "a")), 2, [(0.1, "other"), (0.2, "letter")]),
    "quoted CRLF": keyboard(typed((0.1, '"\r\n"'), (0.2, "a")), 2, [(0.1, "other"), (0.2, "letter")]),
    "quoted comma and quote": keyboard(
        typed((0.1, '","'), (0.2, '""""'), (0.3, "'a'")), 3,
        [(0.1, "punctuation"), (0.2, "punctuation"), (0.3, "letter")]
    ),
    "quoted numbers": pointer(MOUSE + '"10:00:00","0.10","11","21"\n' + R2, 2, [FIRST, SECOND]),
    "open quote": keyboard(
        typed((0.1, "a"), (0.2, '"'), (0.3, "b"), (0.4, "c"), (0.5, "d")), 5,
        [(0.1, "letter"), (0.3, "letter"), (0.4, "letter"), (0.5, "letter")], (3, "open_quote", 1),
    ),
    "open quote in the last line": keyboard(
        typed((0.1, "a"), (0.2, '"b')), 2, [(0.1, "letter")], (3, "open_quote", 1)
    ),
    "no number": pointer(MOUSE + R1 + "10:00:00,abc,12,22\n" + R3, 3, [FIRST, THIRD], (3, "not_a_number", 1)),
    "empty number": pointer(MOUSE + R1 + "10:00:00,0.20,,22\n", 2, [FIRST], (3, "not_a_number", 1)),
    "hexadecimal": pointer(MOUSE + R1 + "10:00:00,0.20,0x10,22\n", 2, [FIRST], (3, "not_a_number", 1)),
    "underscore in a number": pointer(MOUSE + "10:00:00,0.20,1_0,22\n" + R3, 2, [THIRD], (2, "not_a_number", 1)),
    "two rows without a number": pointer(
        MOUSE + "10:00:00,abc,1,1\n" + R2 + "10:00:00,0.3,?,1\n", 3, [SECOND], (2, "not_a_number", 2)
    ),
    "number without key's": keyboard(typed(("x", "a"), (0.2, "b")), 2, [(0.2, "letter")], (2, "not_a_number", 1)),
    "nan": pointer(MOUSE + R1 + "10:00:00,0.20,nan,22\n" + R3, 3, [FIRST, THIRD], (3, "not_a_number", 1)),
    "inf": pointer(MOUSE + R1 + "10:00:00,inf,12,22\n" + R3, 3, [FIRST, THIRD], (3, "not_a_number", 1)),
    "1e400": pointer(MOUSE + R1 + "10:00:00,0.20,12,1e400\n" + R3, 3, [FIRST, THIRD], (3, "not_finite", 1)),
    "-1e400": pointer(MOUSE + "10:00:00,0.20,-1e400,1\n" + R3, 2, [THIRD], (2, "not_finite", 1)),
    "400 digits": pointer(MOUSE + f"10:00:00,0.20,{BIG},1\n" + R3, 2, [THIRD], (2, "not_finite", 1)),
    "key at an infinite time": keyboard(typed(("1e999", "a"), (0.2, "b")), 2, [(0.2, "letter")],
                                        (2, "not_finite", 1)),
    "decimal commas and semicolons": pointer(
        "Time;running_time;x;y\n10:00:00;0,10;11;21\n10:00:00;0,20;12,0;22\n", 2, [FIRST, SECOND]
    ),
    "decimal commas and commas": pointer(
        MOUSE + R1 + "10:00:00,0,20,12,22\n10:00:00,0,30,13,23\n", 3, [FIRST], (3, "extra_fields", 2)
    ),
    "missing fields": pointer(MOUSE + R1 + "10:00:00,0.20,12\n" + R3, 3, [FIRST, THIRD], (3, "missing_fields", 1)),
    "cut in the middle of a row": pointer(MOUSE + R1 + "10:00:00,0.2", 2, [FIRST], (3, "missing_fields", 1)),
    "a field too few in one row, one too many in the next": pointer(
        MOUSE + "10:00:00,0.10,11\n10:00:00,0.20,12,22,0\n" + R3, 3, [THIRD],
        (2, "missing_fields", 1), (3, "extra_fields", 1),
    ),
    "a key too few in one row, one too many in the next": keyboard(
        KEYS + "10:00:00,0.10\n10:00:00,0.20,,\n10:00:00,0.30,a\n", 3, [(0.3, "letter")],
        (2, "missing_fields", 1), (3, "extra_fields", 1),
    ),
    "empty key": keyboard(typed((0.1, ""), (0.2, "a")), 2, [(0.1, "other"), (0.2, "letter")]),
    "control character as key": keyboard(typed((0.1, "\x01"), (0.2, "\x1b")), 2, [(0.1, "other"), (0.2, "other")]),
    "times out of order": pointer(MOUSE + R3 + R1 + R2, 3, ROWS, (3, "time_backwards", 0)),
    "key times out of order": keyboard(
        typed((0.3, "1"), (0.1, "a"), (0.2, "Key.shift")), 3, [(0.1, "letter"), (0.2, "modifier"), (0.3, "digit")],
        (3, "time_backwards", 0),
    ),
    "duplicate times": pointer(MOUSE + R1 + "10:00:00,0.10,12,22\n" + R3, 3, [FIRST, (0.1, 12.0, 22.0), THIRD]),
    "negative times": pointer(
        MOUSE + "10:00:00,-1.50,11,21\n10:00:00,-0.20,12,22\n" + R3, 3,
        [(-1.5, 11.0, 21.0), (-0.2, 12.0, 22.0), THIRD], (2, "negative_time", 0),
    ),
    "enormous values": pointer(
        MOUSE + R1 + "10:00:00,1e12,1e300,-1e300\n", 2, [FIRST, (1e12, 1e300, -1e300)], (3, "artefact", 0)
    ),
    "artefact coordinates": pointer(
        MOUSE + R1 + "10:00:00,0.20,65535,65535\n" + R3, 3,
        [FIRST, (0.2, 65535.0, 65535.0), THIRD], (3, "artefact", 0)
    ),
    "blank lines": pointer(f"\n{MOUSE}\n{R1}\n  \n\n{R2}\n\n", 2, [FIRST, SECOND]),
    "bad line after blank lines": pointer(f"{MOUSE}\n{R1}\n\n?\n{R2}", 3, [FIRST, SECOND], (6, "missing_fields", 1)),
    "no newline at the end": pointer(MOUSE + R1 + R2.rstrip("\n"), 2, [FIRST, SECOND]),
    "spaces around numbers": pointer(MOUSE + "10:00:00, 0.10 , 11, 21\n" + R2, 2, [FIRST, SECOND]),
    "placeholder": pointer(
        "timestamp,running_time,x,y\n00:00:00,0,0,0\n", 1, [], (2, "placeholder", 1)
    ),
    "odd number of clicks": pointer(
        MOUSE + R1 + R2 + R3, 3, ROWS, (None, "odd_clicks", 0), file="Mouse Clicks"
    ),
    "line of a megabyte": pointer(MOUSE + R1 + "x" * 1_000_000 + "\n" + R3, 3, [FIRST, THIRD],
                                 (3, "missing_fields", 1)),
    "header of a megabyte": pointer("x" * 1_000_000 + "\n" + R1, 1, [], (1, "missing_column", 1)),
    "cell of a megabyte": keyboard(
        typed((0.1, "a"), (0.2, "x" * 1_000_000)), 2, [(0.1, "letter"), (0.2, "other")]
    ),
    "only commas": pointer(MOUSE + R1 + ",,,\n", 2, [FIRST], (3, "not_a_number", 1)),
}  # fmt: skip
KINDS = {"Mouse Movement": "mouse_movement", "Mouse Clicks": "mouse_clicks", "Keyboard Inputs": "keyboard"}
each_file = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in FILES.items()])


@each_file
def test_bad_rows_are_listed_exactly(process, case):
    result = process(case.zip)
    events = result.events(KINDS[case.file], trial=2)
    columns = ["t_s", "key_class"] if case.file == "Keyboard Inputs" else ["t_s", "x_px", "y_px"]
    assert list(events[columns].itertuples(index=False, name=None)) == case.kept
    good = result.events("mouse_movement", trial=1)[["t_s", "x_px", "y_px"]]
    assert list(good.itertuples(index=False, name=None)) == GOOD_ROWS
    assert issues_of(result) == [(case.member, *issue) for issue in case.issues]
    members = result.members.set_index("member")
    assert members.rows_in[case.member] == case.rows_in
    assert members.rows_kept[case.member] == len(case.kept)
    assert balance(result) == (3 + case.rows_in, 3 + len(case.kept), case.rows_in - len(case.kept))


@each_file
def test_on_error_raise_raises_for_bad_rows(process, case):
    lost = [
        issue for issue in case.issues if issue[1] == "missing_header" or (issue[2] and issue[1] != "placeholder")
    ]
    if not lost:
        assert process(case.zip, on_error="raise").members.rows_kept.sum() == 3 + len(case.kept)
        return
    line, kind, _ = lost[0]
    with pytest.raises(BadMemberError) as caught:
        process(case.zip, on_error="raise")
    assert caught.value.message.startswith(f"{case.member}, line {line}: ")
    assert f"({kind})" in caught.value.message
    assert caught.value.hint


def test_decimal_commas_are_suggested(process):
    (message,) = process(FILES["decimal commas and commas"].zip).issues.message
    assert "decimal commas?" in message


def test_missing_column_suggests_the_nearest(process):
    member = f"{folder()}/Mouse Movement.csv"
    (message,) = process({member: "Time,runing_time,x,y\n" + R1}).issues.message
    assert "no column running_time" in message
    assert "Did you mean 'runing_time'?" in message


# --- members of the archive -------------------------------------------------------------------------------------

BAD = f"{folder(trial=2)}/Mouse Movement.csv"
LATIN = "1_participant_session/T\xe4sk_Easy_trial_2/Mouse Movement.csv"


def two(bad=None, name=BAD, **settings):
    """Return a ZIP with a good member and one more of 3 rows."""
    return zip_bytes([(GOOD, mouse(*GOOD_ROWS)), (name, MOUSE + R1 + R2 + R3 if bad is None else bad)], **settings)


def damaged_stream():
    raw = bytearray(two())
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        start = archive.getinfo(BAD).header_offset + 30 + len(BAD)
    raw[start : start + 8] = b"\xff" * 8
    return bytes(raw)


def renamed(placeholder, name):
    """Return a ZIP whose second member has a name of these bytes and no mark of its encoding."""
    raw = two(name=placeholder)
    assert len(placeholder.encode()) == len(name)
    return raw.replace(placeholder.encode(), name)


ARCHIVES = {
    # name: (ZIP, issues as (member, line, kind, rows dropped), rows in, rows kept)
    "encrypted member": (patched(two(), BAD, flag=1), [(BAD, None, "encrypted", 0)], 3, 3),
    "CRC mismatch": (patched(two(), BAD, crc=1), [(BAD, None, "crc_mismatch", 3)], 6, 3),
    "CRC mismatch, stored": (
        patched(two(compression=zipfile.ZIP_STORED), BAD, crc=1), [(BAD, None, "crc_mismatch", 3)], 6, 3
    ),
    "CRC mismatch, blank lines, no newline": (
        patched(two("\n" + MOUSE + "\n" + R1 + "\n" + R2.strip()), BAD, crc=1), [(BAD, None, "crc_mismatch", 2)], 5, 3
    ),
    "CRC mismatch, bad rows": (
        patched(two(MOUSE + "?\n" + R1), BAD, crc=1), [(BAD, None, "crc_mismatch", 2)], 5, 3
    ),
    "damaged data": (damaged_stream(), [(BAD, None, "unreadable", 0)], 3, 3),
    "longer than in the directory": (
        patched(two(), BAD, raw=len(MOUSE + R1)), [(BAD, None, "unreadable", 2)], 5, 3
    ),
    "shorter than in the directory": (patched(two(), BAD, raw=5000), [(BAD, None, "unreadable", 3)], 6, 3),
    "header with another method": (
        patched(two(), BAD, local_method=0), [(BAD, None, "unreadable", 0)], 3, 3
    ),
    "header with an encryption flag": (
        patched(two(), BAD, local_flag=1), [(BAD, None, "unreadable", 0)], 3, 3
    ),
    "header with another name": (
        two(name=BAD).replace(BAD.encode(), BAD.replace("Search", "Seerch").encode(), 1),
        [(BAD, None, "unreadable", 0)], 3, 3,
    ),
    "unsupported method": (patched(two(), BAD, method=97), [(BAD, None, "unsupported_method", 0)], 3, 3),
    "bzip2": (two(compression=zipfile.ZIP_BZIP2), [], 6, 6),
    "lzma": (two(compression=zipfile.ZIP_LZMA), [], 6, 6),
    "damaged bzip2": (
        patched(two(compression=zipfile.ZIP_BZIP2), BAD, crc=1), [(BAD, None, "crc_mismatch", 3)], 6, 3
    ),
    "duplicate name": (
        zip_bytes([(GOOD, mouse(*GOOD_ROWS)), (BAD, MOUSE + R1 + R2), (BAD, MOUSE + R3)]),
        [(BAD, None, "duplicate_member", 2)], 6, 4,
    ),
    "absolute name": (two(name="/etc/" + BAD), [("/etc/" + BAD, None, "unsafe_name", 3)], 6, 3),
    "name that leaves the folder": (two(name=f"a/../../{BAD}"), [(f"a/../../{BAD}", None, "unsafe_name", 3)], 6, 3),
    "name with a drive": (two(name=f"C:/{BAD}"), [(f"C:/{BAD}", None, "unsafe_name", 3)], 6, 3),
    "name in Latin-1": (
        renamed(LATIN.replace("\xe4", "~"), LATIN.encode("latin-1")), [(LATIN, None, "name_encoding", 0)], 6, 6
    ),
    "name in UTF-8 without a mark": (
        renamed(LATIN.replace("\xe4", "~~"), LATIN.encode()), [(LATIN, None, "name_encoding", 0)], 6, 6
    ),
    "name in UTF-8": (two(name=LATIN), [], 6, 6),
    "nested ZIP": (two(zip_bytes({"A_B_trial_1/Mouse Movement.csv": MOUSE + R1}), name="2_participant_session.zip"),
                   [], 4, 4),
    "broken nested ZIP": (
        two(b"PK\3\4 no more", name="2_participant_session.zip"),
        [("2_participant_session.zip", None, "unreadable_zip", 0)], 3, 3,
    ),
    "nested ZIP with a damaged member": (
        two(
            patched(
                zip_bytes({"A_B_trial_1/Mouse Movement.csv": MOUSE + R1}), "A_B_trial_1/Mouse Movement.csv", crc=5
            ),
            name="2_participant_session.zip",
        ),
        [("2_participant_session.zip/A_B_trial_1/Mouse Movement.csv", None, "crc_mismatch", 1)], 4, 3,
    ),
    "nested ZIP that is encrypted": (
        patched(two(zip_bytes({GOOD: MOUSE}), name="2.zip"), "2.zip", flag=1),
        [("2.zip", None, "unreadable_zip", 0)], 3, 3,
    ),
}  # fmt: skip
each_archive = pytest.mark.parametrize("name", ARCHIVES)


@each_archive
def test_bad_members_are_listed_exactly(process, name):
    raw, issues, rows_in, kept = ARCHIVES[name]
    result = process(raw)
    assert issues_of(result) == issues
    assert balance(result) == (rows_in, kept, rows_in - kept)
    assert len(result.events("mouse_movement", participant="1", task="Search", trial=1)) == 3


@each_archive
def test_on_error_raise_raises_for_bad_members(process, name):
    raw, issues, _, _ = ARCHIVES[name]
    if not issues or issues[0][2] == "name_encoding":
        assert process(raw, on_error="raise").summary["rows_dropped"] == 0
        return
    member, _, kind, _ = issues[0]
    with pytest.raises(UnsafeArchiveError if kind == "unsafe_name" else BadMemberError) as caught:
        process(raw, on_error="raise")
    assert member in caught.value.message
    assert f"({kind})" in caught.value.message


def test_name_encodings_are_guessed_right(process):
    for name in ("name in Latin-1", "name in UTF-8 without a mark", "name in UTF-8"):
        assert process(ARCHIVES[name][0]).trials.task.tolist() == ["Search", "T\xe4sk"]


def test_unreadable_members_are_na_not_0(process):
    trials = process(ARCHIVES["CRC mismatch"][0]).trials
    assert trials.movement_count.tolist()[0] == 3
    assert trials.movement_count.isna().tolist() == [False, True]
    assert trials.path_length_px.isna().tolist() == [False, True]


def test_nothing_is_written_outside_the_store(studies):
    before = set(studies.root.rglob("*"))
    for name in ("absolute name", "name that leaves the folder", "name with a drive"):
        studies.process(ARCHIVES[name][0])
    outside = set(studies.root.rglob("*")) - before - {studies.root / "study.zip"}
    assert all(path.is_relative_to(studies.root / "store") for path in outside)
    assert not Path("/etc/1_participant_session").exists()


# --- archives that can't be read at all --------------------------------------------------------------------------

UNREADABLE = {
    "no ZIP": (b"Time,running_time,x,y\n", BadArchiveError, "study.zip is not a readable ZIP"),
    "empty file": (b"", BadArchiveError, "study.zip is not a readable ZIP"),
    "truncated": (two()[:-30], BadArchiveError, "study.zip is not a readable ZIP"),
    "cut in half": (two()[:120], BadArchiveError, "study.zip is not a readable ZIP"),
    "all encrypted": (patched(two(), GOOD, BAD, flag=1), BadArchiveError, "study.zip is encrypted"),
    "all damaged": (patched(two(), GOOD, BAD, crc=7), BadArchiveError, "None of the 2 event files"),
    "no members": (zip_bytes({}), NoEventsError, "study.zip is empty"),
    "folders only": (zip_bytes({"1_participant_session/A_B_trial_1/": ""}), NoEventsError, "study.zip is empty"),
    "no event files": (
        zip_bytes({"readme.txt": "hello", "data/numbers.csv": "a,b\n1,2\n"}), NoEventsError,
        "none of them a log of events",
    ),
    "only a broken nested ZIP": (
        zip_bytes({"1_participant_session.zip": b"nothing"}), NoEventsError, "none of them a log of events"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("on_error", ["skip", "raise"])
def test_unreadable_archives_raise(studies, name, on_error):
    raw, error, message = UNREADABLE[name]
    if on_error == "raise" and name in ("all damaged", "only a broken nested ZIP"):
        error, message = BadMemberError, r"Mouse Movement|session\.zip"  # the error names the first bad file
    with pytest.raises(error, match=message) as caught:
        studies.process(raw, on_error=on_error)
    assert caught.value.hint
    assert studies.stored == []


def test_source_that_vanishes_raises(studies):
    source = studies.zip(two())
    Path(source).unlink()
    with pytest.raises(SourceNotFoundError, match=r"There is no study at .*study\.zip"):
        studies.process(source)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.csv", "nowhere.zip", "study.zip/inner.zip"])
def test_source_that_does_not_exist_raises(studies, name):
    studies.zip(two())
    with pytest.raises(SourceNotFoundError):
        studies.process(studies.root / name)


@pytest.mark.parametrize("url", ["nosuchscheme://bucket/study.zip", "memory://nothing/study.zip"])
def test_url_that_cannot_be_opened_raises(studies, url):
    with pytest.raises(SourceNotFoundError, match=url):
        studies.process(url)


def test_store_that_cannot_be_written_raises(studies):
    (studies.root / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"The store can't be used at /.*/file/store/\.probe"):
        pipeline.run(studies.zip(two()), Options(), Store(str(studies.root / "file" / "store")), "r")


# --- everything at once ------------------------------------------------------------------------------------------


def test_study_of_bad_files_lists_them_all(process):
    members = [(GOOD, mouse(*GOOD_ROWS))]
    for number, case in enumerate(FILES.values(), 2):
        members.append((f"{folder(trial=number)}/{case.file}.csv", case.raw))
    result = process(members)
    rows_in = 3 + sum(case.rows_in for case in FILES.values())
    kept = 3 + sum(len(case.kept) for case in FILES.values())
    assert balance(result) == (rows_in, kept, rows_in - kept)
    expected = [
        (f"{folder(trial=number)}/{case.file}.csv", *issue)
        for number, case in enumerate(FILES.values(), 2)
        for issue in case.issues
    ]
    assert sorted(map(str, issues_of(result))) == sorted(map(str, expected))
    assert result.summary["rows_in"] == rows_in
    assert result.summary["rows_dropped"] == rows_in - kept


def test_messages_are_not_empty(process):
    for case in FILES.values():
        for row in process(case.zip).issues.itertuples():
            assert len(row.message) > 15


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_give_a_result_or_a_named_error(studies, seed):
    rng = random.Random(seed)
    whole = two()
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            rows_in, kept, dropped = balance(studies.process(bytes(raw)))
        except AnalyticsKitError as error:
            assert not isinstance(error, StoreError)  # noqa: PT017
        else:
            assert rows_in == kept + dropped


def test_truncated_bytes_raise_a_named_error(studies):
    whole = two()
    for end in range(0, len(whole), 7):
        with pytest.raises(BadArchiveError):
            studies.process(whole[:end])
