"""Cells of CSV text: the same read at once or row by row, with a problem for each irregular row."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.study.csv.cells import parse_irregular_cells, parse_regular_cells

POSITIONS = {"first": 0, "last": 2}


def rows(body, delimiter=",", quoted=True, width=3, positions=POSITIONS):
    """Return (line, problem, wanted cells) of each row, read at once if possible."""
    table = parse_regular_cells(body.encode(), delimiter, quoted, width, positions)
    if table is None:
        table = parse_irregular_cells(body.encode(), delimiter, quoted, width, positions)
    else:
        table = table.with_columns(pl.int_range(2, len(table) + 2).alias("line"), pl.lit(None).alias("problem"))
    return list(table.select("line", "problem", *positions).iter_rows())


def test_regular_text_has_a_row_per_line():
    assert rows("a,b,c\nd,e,f\n") == [(2, None, "a", "c"), (3, None, "d", "f")]
    assert rows("a,b,c\nd,e,f") == rows("a,b,c\nd,e,f\n")
    assert rows("") == rows("\n\n") == []


def test_empty_cell_is_empty_text():
    assert rows(",b,\n") == [(2, None, "", "")]
    assert rows('"",b,""\n') == [(2, None, "", "")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a,b,c\n\nd,e,f\n", [(2, None, "a", "c"), (4, None, "d", "f")]),
        ("a,b\nd,e,f\n", [(2, "missing_fields", "a", ""), (3, None, "d", "f")]),
        ("a,b,c,d\nd,e,f\n", [(2, "extra_fields", "a", "c"), (3, None, "d", "f")]),
        # too many in one line and too few in the next make the right number of commas
        ("a,b,c,d\nd,e\n", [(2, "extra_fields", "a", "c"), (3, "missing_fields", "d", "")]),
        ("a,b,c,\nd,e\n", [(2, "extra_fields", "a", "c"), (3, "missing_fields", "d", "")]),
        # an empty cell too many is one too many also where cells are quoted: a decimal comma makes one, too
        ('"a",b,c,\nd,e,f\n', [(2, "extra_fields", "a", "c"), (3, None, "d", "f")]),
        # damaged quotes have the meaning that the module `csv` gives them
        ('""a"",b,""c""\nd,e,f\n', [(2, None, 'a""', 'c""'), (3, None, "d", "f")]),
        ('"a,a",b,c\nd,e,f\n', [(2, None, "a,a", "c"), (3, None, "d", "f")]),
        ('a,"b\nb",c\nd,e,f\n', [(2, None, "a", "c"), (4, None, "d", "f")]),
        ('a,"b,c\nd,e,f\n', [(2, "open_quote", "", ""), (3, None, "d", "f")]),
        ('"a",b\n"d",e,f\n', [(2, "missing_fields", "a", ""), (3, None, "d", "f")]),
        ("a,b,c\rd,e,f\r", [(2, None, "a", "c"), (3, None, "d", "f")]),
        ("a,b,c\0\nd,e,f\n", [(2, None, "a", "c\0"), (3, None, "d", "f")]),
    ],
)
def test_irregular_rows_have_a_problem(body, expected):
    assert rows(body) == expected


def test_unquoted_text_keeps_quotes_as_characters():
    assert rows('"a\tb\tc\nd\te"\tf\n', "\t", quoted=False) == [(2, None, '"a', "c"), (3, None, "d", "f")]
    odd = rows('"a\tb\n\nd\te"\tf\n', "\t", quoted=False)
    assert odd == [(2, "missing_fields", '"a', ""), (4, None, "d", "f")]


def test_single_column_is_read():
    assert rows("a\nb\n", width=1, positions={"first": 0}) == [(2, None, "a"), (3, None, "b")]


@given(
    st.lists(st.lists(st.text(st.sampled_from("a1 .é"), max_size=3), min_size=3, max_size=3), max_size=5),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_regular_parse_equals_irregular_parse(table, delimiter, quoted):
    mark = '"' if quoted else ""
    body = "".join(delimiter.join(f"{mark}{cell}{mark}" for cell in row) + "\n" for row in table)
    slow = parse_irregular_cells(body.encode(), delimiter, quoted, 3, POSITIONS)
    fast = parse_regular_cells(body.encode(), delimiter, quoted, 3, POSITIONS)
    if fast is not None:
        assert fast.equals(slow.select(fast.columns))
        assert slow["line"].to_list() == list(range(2, len(fast) + 2))
        assert not slow["problem"].drop_nulls().len()
    plain = table and all(row[2] for row in table)
    assert (fast is not None) >= bool(plain)


@given(st.text(st.sampled_from('a1 ."",,\n'), max_size=60), st.integers(1, 3), st.booleans())
def test_what_is_read_at_once_equals_what_is_read_row_by_row(body, width, quoted):
    positions = {"first": 0, "last": width - 1}
    fast = parse_regular_cells(body.encode(), ",", quoted, width, positions)
    if fast is not None:
        slow = parse_irregular_cells(body.encode(), ",", quoted, width, positions)
        assert fast.equals(slow.select(fast.columns))
        assert not slow["problem"].drop_nulls().len()


@given(st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.just("")), min_size=1))
def test_numbers_equal_those_of_python(values):
    body = "".join(f"a,{value},b\n" for value in values)
    read = parse_regular_cells(body.encode(), ",", True, 3, {"number": 1}, numeric=["number"])
    if read["number"].dtype == pl.String:  # too large a whole number for it
        assert read["number"].to_list() == [str(value) for value in values]
    else:
        assert read["number"].to_list() == [None if value == "" else float(value) for value in values]


def test_cell_wanted_as_number_and_text_is_text():
    read = parse_regular_cells(b"1.0,a\n", ",", True, 2, {"number": 0, "text": 0}, numeric=["number"])
    assert read.to_dict(as_series=False) == {"number": ["1.0"], "text": ["1.0"]}


def test_column_with_a_cell_that_is_no_number_is_text():
    for odd in ("1,5", "x", "1_0"):
        read = parse_regular_cells(f"2;{odd}\n3;4\n".encode(), ";", True, 2, {"a": 0, "b": 1}, numeric=["a", "b"])
        assert read.to_dict(as_series=False) == {"a": ["2", "3"], "b": [odd, "4"]}
