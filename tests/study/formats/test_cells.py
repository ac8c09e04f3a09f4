"""Are the cells of a text the same whether it is read at once or record by record, and is what is odd said?"""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.study.formats import cells
from analytics_kit.study.formats.cells import cells_of

PLACES = {"first": 0, "last": 2}


def rows(body, delimiter=",", quoted=True, width=3, places=PLACES):
    table = cells_of(body, delimiter, quoted, width, places)
    return list(table.select("line", "problem", *places).iter_rows())


def test_a_plain_text():
    assert rows("a,b,c\nd,e,f\n") == [(2, None, "a", "c"), (3, None, "d", "f")]
    assert rows("a,b,c\nd,e,f") == rows("a,b,c\nd,e,f\n")
    assert rows("") == rows("\n\n") == []


def test_an_empty_cell_is_an_empty_text():
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
        ('"a,a",b,c\nd,e,f\n', [(2, None, "a,a", "c"), (3, None, "d", "f")]),
        ('a,"b\nb",c\nd,e,f\n', [(2, None, "a", "c"), (4, None, "d", "f")]),
        ('a,"b,c\nd,e,f\n', [(2, "open_quote", "", ""), (3, None, "d", "f")]),
        ('"a",b\n"d",e,f\n', [(2, "missing_fields", "a", ""), (3, None, "d", "f")]),
        ("a,b,c\rd,e,f\r", [(2, None, "a", "c"), (3, None, "d", "f")]),
        ("a,b,c\0\nd,e,f\n", [(2, None, "a", "c\0"), (3, None, "d", "f")]),
    ],
)
def test_what_is_odd(body, expected):
    assert rows(body) == expected


def test_a_quote_is_a_character_where_nothing_is_quoted():
    assert rows('"a\tb\tc\nd\te"\tf\n', "\t", quoted=False) == [(2, None, '"a', "c"), (3, None, "d", "f")]
    odd = rows('"a\tb\n\nd\te"\tf\n', "\t", quoted=False)
    assert odd == [(2, "missing_fields", '"a', ""), (4, None, "d", "f")]


def test_a_file_of_one_column():
    assert rows("a\nb\n", width=1, places={"first": 0}) == [(2, None, "a"), (3, None, "b")]


@given(
    st.lists(st.lists(st.text(st.sampled_from("a1 .é"), max_size=3), min_size=3, max_size=3), max_size=5),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_at_once_is_as_one_by_one(records, delimiter, quoted):
    mark = '"' if quoted else ""
    body = "".join(delimiter.join(f"{mark}{cell}{mark}" for cell in record) + "\n" for record in records)
    slow = cells._one_by_one(body, delimiter, quoted, 3, PLACES)
    fast = cells._all_at_once(body, delimiter, quoted, 3, PLACES)
    if fast is not None:
        assert fast.select(slow.columns).equals(slow)
    plain = records and all(record[2] for record in records)
    assert (fast is not None) >= bool(plain)
    assert isinstance(slow, pl.DataFrame)
