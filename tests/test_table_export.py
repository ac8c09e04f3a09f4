"""Exported tables: missing values in JSON, formulas in CSV, and events read one participant at a time."""

import io
from typing import get_args

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit import table_export
from analytics_kit.errors import SettingsError
from analytics_kit.table_export import (
    FrameName,
    TableName,
    csv_chunks,
    json_rows,
    parquet_chunks,
    read_page,
    read_table,
    row_chunks,
)
from analytics_kit.visible_text import visible

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"]  # noqa: RUF001


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return ak.process(ak.sample_study(tmp_path_factory.mktemp("data") / "ok.zip", participants=2, trials=1))


def test_every_table_name_is_a_table_of_the_result(result):
    for name in get_args(TableName):
        table = read_table(result, name)
        assert sum(len(chunk) for chunk in table.chunks) == table.row_count


def test_every_frame_name_is_an_attribute_of_the_result(result):
    assert all(isinstance(getattr(result, name), pd.DataFrame) for name in get_args(FrameName))


def test_a_table_without_participants_cannot_be_filtered_by_one(result):
    with pytest.raises(SettingsError, match="tasks has no participant column") as error:
        read_table(result, "tasks", "1")
    assert "trials, participants, surveys" in error.value.hint


def test_json_rows_have_none_for_na_and_infinity():
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None, 3], "Int64"),
            "x": [1.5, float("nan"), float("inf")],
            "t": pd.array(["a", None, ""], "str"),
        }
    )
    assert json_rows(frame) == [[1, 1.5, "a"], [None, None, None], [3, None, ""]]
    assert [type(value) for value in json_rows(frame)[0]] == [int, float, str]
    assert json_rows(frame.iloc[:0]) == []


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_escapes_what_a_spreadsheet_would_run(text):
    frame = pd.DataFrame({"participant": [text, None], "x": [-1.5, 2.0]})
    read = pd.read_csv(io.BytesIO(b"".join(csv_chunks([frame]))), lineterminator="\n", dtype={"participant": str})
    assert read["participant"][0] == "'" + visible(text)
    assert read["x"].tolist() == [-1.5, 2.0], "a number stays one"


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e5", "a=b", "Fill Form", "-.5", "'=1", ""])
def test_csv_leaves_what_no_spreadsheet_runs(text):
    (line,) = b"".join(csv_chunks([pd.DataFrame({"x": [text]})])).decode().splitlines()[1:]
    assert line.strip('"') == text


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\nb", "\u202eb", "\x9b2J", "a\x00"])
def test_csv_shows_control_characters_unless_it_is_written_as_logged(text):
    frame = pd.DataFrame({text: [text, "x"]})
    assert b"".join(csv_chunks([frame])).decode().splitlines() == [visible(text), visible(text), "x"]
    assert b"".join(csv_chunks([frame], as_logged=True)) == frame.to_csv(index=False).encode()


def test_csv_escapes_a_formula_in_the_name_of_a_column():
    assert b"".join(csv_chunks([pd.DataFrame({"=1+1": ["x"]})])).splitlines()[0] == b"'=1+1"


@pytest.mark.parametrize("name", get_args(FrameName))
def test_one_chunk_is_written_byte_for_byte_as_pandas_writes_it(result, name):
    frame = getattr(result, name)
    assert b"".join(csv_chunks([frame], as_logged=True)) == frame.to_csv(index=False).encode()
    assert b"".join(parquet_chunks([frame])) == frame.to_parquet(index=False)


def test_a_table_is_written_in_chunks_of_rows_as_in_one(result, monkeypatch):
    monkeypatch.setattr(table_export, "CHUNK_ROWS", 5)
    chunks = list(row_chunks(result.members))
    assert {len(chunk) for chunk in chunks[:-1]} == {5}
    assert len(chunks[-1]) <= 5
    assert b"".join(csv_chunks(chunks, as_logged=True)) == result.members.to_csv(index=False).encode()


def test_events_are_read_one_participant_after_the_other(result, monkeypatch):
    calls = []
    events = type(result).events
    monkeypatch.setattr(
        type(result), "events", lambda self, kind, **where: calls.append(where) or events(self, kind, **where)
    )
    table = read_table(result, "mouse_movement")
    chunks = list(table.chunks)
    assert calls == [{"participant": "1"}, {"participant": "2"}]
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), events(result, "mouse_movement"))


def test_a_page_reads_no_chunk_after_its_last_row(result):
    table = read_table(result, "mouse_movement")
    columns, rows = read_page(table, 5, 2)
    expected = result.events("mouse_movement")
    assert columns == list(expected.columns)
    assert rows == json_rows(expected.iloc[5:7])
    assert next(table.chunks)["participant"].unique().tolist() == ["2"], "the second chunk was not read"


def test_an_empty_table_has_its_columns(result):
    empty = read_table(result, "mouse_unknown")
    assert empty.row_count == 0
    assert b"".join(csv_chunks(empty.chunks)).startswith(b"participant,session,")
    read = pd.read_parquet(io.BytesIO(b"".join(parquet_chunks(read_table(result, "mouse_unknown").chunks))))
    pd.testing.assert_frame_equal(read, result.events("mouse_unknown"))


def test_chunks_of_which_one_is_all_na_make_one_parquet_file():
    chunks = [pd.DataFrame({"x": pd.array([text], "str")}) for text in (None, "a")]
    read = pd.read_parquet(io.BytesIO(b"".join(parquet_chunks(chunks))))
    assert read["x"].isna().tolist() == [True, False]
