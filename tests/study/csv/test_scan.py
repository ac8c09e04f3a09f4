"""Rows and cells found at once: those that `split_rows` finds one by one."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_kit.study.csv import scan
from analytics_kit.study.csv.rows import split_rows

PROBLEMS = {None: scan.NO_PROBLEM, **{name: code for code, name in scan.PROBLEM_NAMES.items()}}
part = st.sampled_from(
    ['"', ",", ";", "\n", "\r", "\r\n", "a", "1", "é", "\u3000", "\x85", "\x1f", " ", "\t", '""', "\0", '","', ",,\n"]
)
piece = st.lists(part, max_size=30).map("".join)


def array(text):
    return np.frombuffer(text, np.uint8)


def found(pieces, delimiter, width, positions, quoted=True):
    """Return (line, problem, fields, cells) of each row."""
    raws = [text.encode() for text in pieces]
    text = array(b"".join(raws))
    ends, lines = np.cumsum([len(raw) for raw in raws]), np.array([2 + i for i in range(len(raws))])
    rows = []
    for part in scan.find_rows(text, ends, lines, scan.Dialect(delimiter, width, quoted), positions):
        cells = [scan.read_text(text, part.cells[:, i], quoted).to_list() for i in range(len(positions))]
        rows += zip(part.lines.tolist(), part.problems.tolist(), part.fields.tolist(), *cells, strict=True)
    return rows


def expected(pieces, delimiter, width, positions):
    rows = []
    for number, text in enumerate(pieces):
        for line, cells in split_rows(text, delimiter, width, 2 + number):
            fields = -1 if cells is None else len(cells)
            problem = (
                None if fields == width else "open_quote" if fields < 0
                else "missing_fields" if fields < width else "extra_fields"
            )  # fmt: skip
            chosen = [cells[i] if cells and i < len(cells) else "" for i in positions]
            rows.append((line, PROBLEMS[problem], fields, *chosen))
    return rows


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(
    st.lists(piece, min_size=1, max_size=3), st.sampled_from(",;\t"), st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2, 1 << 17]),
)  # fmt: skip
def test_rows_equal_those_found_one_by_one(pieces, delimiter, width, max_rows):
    with patch.object(scan, "MAX_FOUND_ROWS", max_rows):
        assert found(pieces, delimiter, width, [0, 1, 2]) == expected(pieces, delimiter, width, [0, 1, 2])


def test_a_field_longer_than_the_csv_module_takes_is_damage():
    for characters, fields in ((scan._FIELD_CHARACTERS, 2), (scan._FIELD_CHARACTERS + 1, -1)):
        text = '"' + "é" * characters + '",1\n'
        assert [row[:3] for row in found([text], ",", 2, [])] == [row[:3] for row in expected([text], ",", 2, [])]
        assert found([text], ",", 2, [])[0][2] == fields


@pytest.mark.parametrize(
    ("cell", "number"),
    [("7", 7.0), ("-0", -0.0), ("+4", 4.0), ("1.", 1.0), (".5", 0.5), (' "', None), ('" 7 "', 7.0), ("1,5", 1.5),
     (",5", 0.5), ("1,", None), ("", None), (".", None), ("1e5", None), ("9" * 16, None), ("--1", None),
     ("1.2.3", None), ("0.30000000000004", 0.30000000000004)],
)  # fmt: skip
def test_plain_numbers_are_read_exactly_and_others_left(cell, number):
    text, out = array(f"{cell};x\n".encode()), np.full((1, 1), np.nan)
    (rows,) = scan.find_rows(text, np.array([len(text)]), np.array([1]), scan.Dialect(";", 2, False), [0])
    scan.read_plain_numbers(text, rows.cells, np.array([0]), True, rows.problems, out)
    if number is None:
        assert rows.problems.tolist() == [scan.NO_PLAIN_NUMBER]
    else:
        assert (str(out[0, 0]), rows.problems.tolist()) == (str(number), [scan.NO_PROBLEM])
