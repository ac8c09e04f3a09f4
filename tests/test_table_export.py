"""Tables on their way out: what JSON can't say, what a spreadsheet would run, and never all of the events at once."""

import io

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.table_export import TableName, csv_of, parquet_of, plain, rows_of, table_of

DANGEROUS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"]  # noqa: RUF001


@pytest.fixture(scope="module")
def result(data):
    return ak.process(data / "ok.zip")


def test_every_name_is_a_table(result):
    for name in TableName.__args__:
        table = table_of(result, name)
        assert sum(len(part) for part in table.parts) == table.total


def test_na_and_infinity_are_none():
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None, 3], "Int64"),
            "x": [1.5, float("nan"), float("inf")],
            "t": pd.array(["a", None, ""], "str"),
        }
    )
    assert plain(frame) == [[1, 1.5, "a"], [None, None, None], [3, None, ""]]
    assert [type(value) for value in plain(frame)[0]] == [int, float, str]
    assert plain(frame.iloc[:0]) == []


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_a_spreadsheet_would_run_is_text_in_csv(text):
    frame = pd.DataFrame({"participant": [text, None], "x": [-1.5, 2.0]})
    found = pd.read_csv(io.BytesIO(b"".join(csv_of([frame]))), lineterminator="\n", dtype={"participant": str})
    assert found["participant"][0].replace("\r\n", "\n") == "'" + text
    assert found["x"].tolist() == [-1.5, 2.0], "a number stays one"


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e5", "a=b", "Fill Form", "-.5", "'=1", ""])
def test_what_no_spreadsheet_runs_stays(text):
    (line,) = b"".join(csv_of([pd.DataFrame({"x": [text]})])).decode().splitlines()[1:]
    assert line.strip('"') == text


def test_events_are_read_one_participant_after_the_other(result, monkeypatch):
    asked = []
    events = type(result).events
    monkeypatch.setattr(
        type(result), "events", lambda self, kind, **how: asked.append(how) or events(self, kind, **how)
    )
    table = table_of(result, "mouse_movement")
    parts = list(table.parts)
    assert asked == [{"participant": "1"}, {"participant": "2"}]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), events(result, "mouse_movement"))


def test_a_page_reads_no_further_than_it_has_to(result):
    table = table_of(result, "mouse_movement")
    columns, rows = rows_of(table, 5, 2)
    expected = result.events("mouse_movement")
    assert columns == list(expected.columns)
    assert rows == plain(expected.iloc[5:7])
    assert next(table.parts)["participant"].unique().tolist() == ["2"], "the second part was not asked for"


def test_an_empty_table_has_its_columns(result):
    empty = table_of(result, "mouse_unknown")
    assert empty.total == 0
    assert b"".join(csv_of(empty.parts)).startswith(b"participant,session,")
    found = pd.read_parquet(io.BytesIO(b"".join(parquet_of(table_of(result, "mouse_unknown").parts))))
    pd.testing.assert_frame_equal(found, result.events("mouse_unknown"))


def test_parts_of_which_one_is_all_na_make_one_file():
    parts = [pd.DataFrame({"x": pd.array([text], "str")}) for text in (None, "a")]
    found = pd.read_parquet(io.BytesIO(b"".join(parquet_of(parts))))
    assert found["x"].isna().tolist() == [True, False]
