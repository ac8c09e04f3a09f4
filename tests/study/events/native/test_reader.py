"""Reading the logger's files at once: the same rows and issues as reading each member row by row."""

import contextlib
import os
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analytics_kit.study.archive import zip_archive
from analytics_kit.study.archive.base import Archive, Member, MemberUnreadableError
from analytics_kit.study.csv import scan
from analytics_kit.study.events.native import reader as native_reader
from analytics_kit.study.events.native import scanned
from analytics_kit.study.events.native.careful import read_member
from analytics_kit.study.events.native.fast import decode
from analytics_kit.study.events.native.reader import read_events
from analytics_kit.study.schema.issues import Issues
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, classify_key
from tests.study.make_study import KEYS, MOUSE

quick = settings(
    max_examples=int(os.environ.get("EXAMPLES", "60")), derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


class MemoryArchive(Archive):
    """An archive of members in memory, read in pieces of `piece_bytes`; those of `bad` have a wrong checksum."""

    def __init__(self, contents, piece_bytes=1 << 20, bad=()):
        super().__init__("archive", 0)
        self.contents, self.piece_bytes, self.bad = contents, piece_bytes, bad
        self.members = [Member(str(i), len(raw), 0, 0, 0, False, 0, 0) for i, raw in enumerate(contents)]

    def chunks(self, member):
        raw = self.contents[int(member.name)]
        yield from (raw[i : i + self.piece_bytes] for i in range(0, len(raw), self.piece_bytes))
        if int(member.name) in self.bad:
            raise MemberUnreadableError("crc_mismatch", "its checksum is wrong")


def read_joined(contents, kind, keep_keys=True, **how):
    """Return table and issues of the reader under test."""
    issues = Issues()
    archive = MemoryArchive(contents, **how)
    table = read_events(archive, [(m, i) for i, m in enumerate(archive.members)], kind, issues, keep_keys)
    return table, issues.list


def read_carefully(contents, kind):
    """Return (rows, issues) of each member by the careful reader, which defines what is right."""
    result = []
    for i, raw in enumerate(contents):
        issues = Issues()
        result.append((read_member(raw, kind, str(i), issues), issues.list))
    return result


def assert_same(contents, kind, table, issues):
    careful = read_carefully(contents, kind)
    start = 0
    for i, (rows, expected) in enumerate(careful):
        stats, part = table.members[i], slice(start, start + len(rows.t))
        assert (stats.rows_in, stats.rows_kept) == (rows.rows_in, len(rows.t))
        np.testing.assert_array_equal(table.t[part], rows.t)
        if kind == "keyboard":
            assert table.key is None or table.key[part.start : part.stop].to_list() == rows.key
            assert table.key_class[part].tolist() == [KEY_CLASS_CODES[classify_key(key)] for key in rows.key]
        else:
            np.testing.assert_array_equal(table.x[part], rows.x)
            np.testing.assert_array_equal(table.y[part], rows.y)
        assert [stats.line_of(row) for row in range(len(rows.t))] == list(rows.line)
        if rows.t:
            assert stats.clock == rows.clock
        assert [issue for issue in issues if issue.member == str(i)] == expected
        assert stats.rows_in == stats.rows_kept + sum(issue.rows_dropped for issue in expected)
        start = part.stop
    assert start == len(table.t)


# --- generated content of logs --------------------------------------------------------------------------------------

whole = st.integers(-3, 3000).map(str)
seconds = st.integers(0, 9999).map(lambda n: f"{n // 100}.{n % 100:02}")
odd_number = st.sampled_from([
    "", " ", "nan", "NaN", "inf", "-Infinity", "1e400", "1e5", "-0", "+4", "1.", ".5", ".", "1e", "0x1F", "1_0", " 7",
    "7 ", "1e-400", "abc", '"8"', '"8', "\0", "1\0", "\xe4", "\u0663", "1,5", "9" * 25, "0.1000000000000000055511151",
])  # fmt: skip
clock = st.sampled_from(["10:00:00", "23:59:59", "", "?", '"10:00:00"'])
plain_key = st.sampled_from(
    ["a", "Z", "7", "Key.backspace", "Key.space", '","', '""""', "'a'", "ß", "", ".", ";", " "]
)
odd_key = st.sampled_from(['"', '"\n"', '"\r\n"', '"\n\n"', '"a', 'a"', "\0", "\x01", "\x85", "\u2028", ",", "a,b",
                           '"a,b"',
                           "\xff", "\r", '","","', '"""'])  # fmt: skip
odd_line = st.sampled_from(
    ["", " ", "\t", ",", ",,", ",,,", "?", '"', "\0\0", "Time,running_time,x,y", "#", "1,2,3,4,5"]
)
odd_content = st.sampled_from([b"", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"?", b"\0", b"Time", MOUSE.encode()[:-1]])
line_end = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"])


def sometimes(usual, odd, one_in=12):
    """Draw from `odd` once in about `one_in` draws."""
    return st.integers(0, one_in).flatmap(lambda n: odd if n == one_in else usual)


mouse_line = st.tuples(
    sometimes(st.just("10:00:00"), clock), sometimes(seconds, odd_number, 30), sometimes(whole, odd_number, 30),
    sometimes(whole, odd_number, 30),
).map(",".join)  # fmt: skip
key_line = st.tuples(
    sometimes(st.just("10:00:00"), clock), sometimes(seconds, odd_number, 30), sometimes(plain_key, odd_key)
).map(",".join)
HEADERS = {
    "mouse_movement": [MOUSE, MOUSE, MOUSE, "time,running_time,y,x\n", "\ufeff" + MOUSE, "\n" + MOUSE,
                       "running_time,x,y\n", ""],
    "keyboard": [KEYS, KEYS, KEYS, "running_time,keys,Time\n", "\ufeff" + KEYS, "\n" + KEYS,
                 "Time,keys,running_time\n", ""],
}  # fmt: skip


@st.composite
def content(draw, kind):
    """Draw the bytes of a file."""
    if draw(st.integers(0, 20)) == 20:
        return draw(odd_content)
    line = mouse_line if kind == "mouse_movement" else key_line
    lines = draw(st.lists(sometimes(line, odd_line, 20), max_size=12))
    end = draw(line_end)
    header = draw(st.sampled_from(HEADERS[kind]))
    if draw(st.booleans()):
        header = header.replace("\n", end)
    ends = [draw(line_end) if draw(st.integers(0, 30)) == 30 else end for _ in lines]
    text = header + "".join(line + end for line, end in zip(lines, ends, strict=True))
    if draw(st.booleans()):
        text = text.removesuffix(end)
    encodings = ["utf-8"] * 12 + ["utf-16", "utf-16-le", "latin-1"]
    return text.encode(draw(st.sampled_from(encodings)), errors="replace")


kinds = st.sampled_from(["mouse_movement", "keyboard"])
studies = kinds.flatmap(lambda kind: st.tuples(st.just(kind), st.lists(content(kind), min_size=1, max_size=6)))


@quick
@given(
    studies, st.sampled_from([0, 4]), st.sampled_from([40, 200_000]), st.sampled_from([100, 8 << 20]),
    st.sampled_from([1, 3, 1 << 17]), st.sampled_from([0, 30]),
)  # fmt: skip
def test_joined_parse_equals_the_careful_one(study, alone, join_bytes, batch_bytes, scan_rows, few_numbers):
    kind, contents = study
    with (
        patch.object(native_reader, "MAX_ALONE", alone),
        patch.object(scan, "MAX_FOUND_ROWS", scan_rows),
        patch.object(scanned, "FEW_NUMBERS", few_numbers),
        patch.object(native_reader, "MAX_JOINED_MEMBER_BYTES", join_bytes),
        patch.object(native_reader, "MAX_JOINED_BYTES", batch_bytes),
    ):
        for keep_keys in (True, False):  # keys are read by another reader if only their class is kept
            table, issues = read_joined(contents, kind, keep_keys)
            assert_same(contents, kind, table, issues)


@contextlib.contextmanager
def pieces_of(size):
    with patch.object(native_reader, "CHUNK_BYTES", size), patch.object(zip_archive, "CHUNK_BYTES", size):
        yield


@settings(quick, max_examples=20)
@given(studies, st.integers(100, 400))
@example(("keyboard", [(KEYS + '10:00:00,0.10,"\n"\n' * 9).encode()]), 60)
def test_large_members_in_pieces_equal_the_whole(study, size):
    kind, contents = study
    if any(_is_mixed(raw) for raw in contents):
        return  # a piece that is no UTF-8 is read as Latin-1 alone, not the whole file
    for keep_keys in (True, False):
        with pieces_of(size):
            table, issues = read_joined(contents, kind, keep_keys, piece_bytes=size)
        assert_same(contents, kind, table, issues)


def _is_mixed(raw):
    """Return whether some lines are UTF-8 beyond ASCII and others are no UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return not raw.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\xc3\x9f" in raw
    return False


@quick
@given(studies, st.integers(40, 400))
def test_damaged_members_have_equal_counts_whole_and_in_pieces(study, size):
    kind, contents = study
    bad = {0}
    whole_table, whole_issues = read_joined(contents, kind, bad=bad)
    with pieces_of(size):
        table, issues = read_joined(contents, kind, piece_bytes=size, bad=bad)
    for read, found in ((whole_table, whole_issues), (table, issues)):
        first = read.members[0]
        assert (first.rows_kept, first.readable) == (0, False)
        dropped = [issue for issue in found if issue.member == "0" and issue.rows_dropped]
        assert sum(issue.rows_dropped for issue in dropped) == first.rows_in
        assert {issue.kind for issue in dropped} <= {"crc_mismatch"}
    assert len(table.t) == sum(member.rows_kept for member in table.members)


def log(rows, kind="mouse_movement"):
    line = "10:00:00,{:.2f},{},{}\n" if kind != "keyboard" else "10:00:00,{:.2f},{}\n"
    header = KEYS if kind == "keyboard" else MOUSE
    return (header + "".join(line.format(i / 100, *row) for i, row in enumerate(rows))).encode()


@pytest.mark.parametrize(
    ("kind", "row", "keep_keys", "reader"),
    [
        ("mouse_movement", (7, 7), False, "decode"),
        ("keyboard", ("Key.space",), False, "decode"),
        ("keyboard", ("Key.space",), True, "read_scanned"),
        ("keyboard", ("ß",), True, "read_scanned"),
    ],
)
def test_regular_members_are_read_at_once(monkeypatch, kind, row, keep_keys, reader):
    calls = []
    read = getattr(native_reader, reader)
    monkeypatch.setattr(native_reader, reader, lambda text, *how: calls.append(len(text)) or read(text, *how))
    if reader != "read_scanned":
        monkeypatch.setattr(native_reader, "read_scanned", None)
    table, issues = read_joined([log([row] * 5, kind) for _ in range(300)], kind, keep_keys)
    assert (len(calls), len(table.t), issues) == (1, 1500, [])


def test_numbers_with_exponents_are_parsed_at_once(monkeypatch):
    lines = [f"10:00:00,{i / 7!r},{i}e0,{-i / 3!r}" for i in range(1, 200)]
    table, issues = read_joined([(MOUSE + "\n".join(lines)).encode()], "mouse_movement", False)
    assert issues == []
    assert table.t.tolist() == [i / 7 for i in range(1, 200)]
    assert table.y.tolist() == [-i / 3 for i in range(1, 200)]


@pytest.mark.parametrize(("irregular", "scanned_members"), [((40,), 1), (range(3, 61), 4 + 57)])
def test_irregular_members_are_read_alone_or_where_many_with_all_that_follow(monkeypatch, irregular, scanned_members):
    contents = [log([(i, i)] * 50) for i in range(64)]
    for number in irregular:
        contents[number] = contents[number].replace(b"0.20,", b"??,")
    members = []
    read = native_reader.read_scanned
    monkeypatch.setattr(
        native_reader, "read_scanned", lambda text, ends, *rest: members.extend(ends) or read(text, ends, *rest)
    )
    table, issues = read_joined(contents, "mouse_movement", False)
    assert len(members) == scanned_members
    assert len(table.t) == 64 * 50 - len(irregular)
    assert [(issue.member, issue.line, issue.kind, issue.rows_dropped) for issue in issues] == [
        (str(number), 22, "not_a_number", 1) for number in irregular
    ]


def test_several_bad_lines_of_a_large_member_are_one_issue(monkeypatch):
    monkeypatch.setattr(scan, "MAX_FOUND_ROWS", 100)
    raw = log([(i, i) for i in range(500)]).replace(b",77,77", b",?,77").replace(b",400,400", b",?,1")
    _, issues = read_joined([raw], "mouse_movement")
    assert [(issue.line, issue.kind, issue.rows_dropped) for issue in issues] == [(79, "not_a_number", 2)]


@pytest.mark.parametrize("size", range(40, 80))
def test_no_piece_ends_in_a_quoted_cell(size):
    cells = ['"\n"', "a", '"\n\n"', '","', '"\r\n"', '""""', '"\n"', '"']
    content = log([(cell,) for cell in cells * 4], "keyboard")
    with pieces_of(size):
        table, issues = read_joined([content], "keyboard", piece_bytes=size)
    assert_same([content], "keyboard", table, issues)


def test_text_with_a_quote_in_every_line_is_cut(monkeypatch):
    monkeypatch.setattr("analytics_kit.study.csv.rows.MAX_BOUNDARY_STEPS", 5)
    content = log([('"',)] * 50, "keyboard")
    with pieces_of(200):
        table, issues = read_joined([content], "keyboard", piece_bytes=200)
    assert table.members[0].rows_in == len(table.t) + sum(issue.rows_dropped for issue in issues)
    assert 25 <= table.members[0].rows_in <= 50  # two quotes make a cell with a line break in it


@pytest.mark.parametrize("size", [60, 90, 120])
def test_lines_are_numbered_through_all_pieces(size):
    content = (MOUSE + "10:00:00,0.10,1,1\r10:00:00,0.20,1,1\n" * 9 + "10:00:00,0.30,?,1\n").encode()
    with pieces_of(size):
        table, issues = read_joined([content], "mouse_movement", piece_bytes=size)
    assert [(issue.line, issue.kind) for issue in issues] == [(20, "not_a_number")]
    assert_same([content], "mouse_movement", table, issues)


@pytest.mark.parametrize(
    ("kind", "line"),
    [("mouse_movement", "10:00:00,0.20,2,2,"), ("mouse_movement", "10:00:00,0.20,2,2,2"),
     ("keyboard", "10:00:00,0.20,,"),
     ("keyboard", '10:00:00,0.20,b,","'), ("keyboard", '10:00:00,0.20,","'), ("keyboard", "10:00:00,0.20")],
)  # fmt: skip
def test_line_with_a_wrong_number_of_fields_is_dropped(kind, line):
    regular = (
        [log([(1, 1)] * 3), log([(1, 1)] * 3)] if kind != "keyboard" else [log([("a",)], kind), log([("",)], kind)]
    )
    contents = [regular[0], regular[1] + line.encode() + b"\n", regular[0]]
    table, issues = read_joined(contents, kind)
    assert_same(contents, kind, table, issues)


def test_clock_of_a_member_in_pieces_is_the_first():
    content = (MOUSE + "".join(f"10:00:{i:02},0.{i:02},1,1\n" for i in range(60))).encode()
    with pieces_of(200):
        table, _ = read_joined([content], "mouse_movement", piece_bytes=200)
    assert table.members[0].clock == "10:00:00"


def test_clock_is_that_of_the_first_kept_row():
    text = MOUSE + "09:00:00,?,1,1\n10:00:00,0.50,1,1\n"
    table, _ = read_joined([text.encode()], "mouse_movement")
    assert table.members[0].clock == "10:00:00"


@pytest.mark.parametrize("kind", ["mouse_movement", "mouse_unknown", "keyboard"])
def test_no_members_give_an_empty_table(kind):
    table, issues = read_joined([], kind)
    assert [len(table.t), len(table.x), len(table.y), len(table.key_class), issues] == [0, 0, 0, 0, []]


def test_keys_are_kept_only_on_request():
    archive = MemoryArchive([log([("a",), ('"\n"',)], "keyboard"), log([("b",)], "keyboard")])
    work = [(m, i) for i, m in enumerate(archive.members)]
    assert read_events(archive, work, "keyboard", Issues()).key is None
    assert read_events(archive, work, "keyboard", Issues(), keep_keys=True).key.to_list() == ["a", "\n", "b"]


@pytest.mark.parametrize("size", [50, 1 << 20])
@pytest.mark.parametrize("text", [MOUSE + "10:00:00,0.10,1,1\n" * 9, "\n" + MOUSE + "10:00:00,0.10,1,1\n" * 9])
def test_advance_counts_every_byte(size, text):
    advances = []
    archive = MemoryArchive([text.encode()], piece_bytes=size)
    with pieces_of(size):
        read_events(archive, [(archive.members[0], 0)], "mouse_movement", Issues(), advance=advances.append)
    assert sum(advances) == len(text)


def test_numbers_are_read_exactly():
    numbers = ["0.1", "0.30000000000000004", "1e-7", "123456789.123456789", "4.35", "1e22", "2.2250738585072014e-308"]
    text = MOUSE + "".join(f"10:00:00,{n},{n},-{n}\n" for n in numbers)
    table, _ = read_joined([text.encode()], "mouse_movement")
    assert table.t.tolist() == [float(n) for n in numbers]
    assert table.y.tolist() == [-float(n) for n in numbers]


@pytest.mark.parametrize(("width", "text"), [(1, b"10:00:00,7\n"), (1, b"10:00:00,7,a\n"), (3, b"10:00:00,1,2,3\n")])
def test_decode_stops_when_the_columns_are_full(width, text):
    columns, codes = np.zeros((width, 1)), np.zeros(1 if width == 1 else 0, np.int8)
    free = tuple(column[1:] for column in columns)
    counts = np.full(1, -1)
    rows = decode(np.frombuffer(text, np.uint8), np.array([0]), np.array([len(text)]), counts, free, codes[1:])
    assert (rows, counts.tolist()) == (0, [-1])
    assert not columns.any()


def test_claimed_size_takes_no_memory():
    archive = MemoryArchive([log([(1, 1)] * 3)])
    member = archive.members[0]._replace(raw_bytes=1 << 60, packed_bytes=1 << 60)
    assert len(read_events(archive, [(member, 0)], "mouse_movement", Issues()).t) == 3


def test_columns_grow_beyond_the_reserved_rows(monkeypatch):
    monkeypatch.setattr(native_reader, "MAX_RESERVED_BYTES", 0)
    monkeypatch.setattr(native_reader, "CHUNK_BYTES", 64)
    content = log([(i, -i) for i in range(5000)])
    table, _ = read_joined([content, content], "mouse_movement", False)
    assert table.y.tolist() == [-i for i in range(5000)] * 2
