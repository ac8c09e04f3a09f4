"""LogFormat classes of other packages: their rows are checked, and their faults named without harm to a study."""

from importlib.metadata import EntryPoint

import polars as pl
import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.options import PLUG_INS
from analytics_kit.study.formats.base import LogFormat
from tests.study.make_study import balance, issues_of


class Lines(LogFormat):
    """Two movements in every file, with a fault made by `change`."""

    name = "lines"

    def takes(self, path, start):
        return path.endswith(".lines")

    def kinds(self, path):
        return ["mouse_movement"]

    def read(self, path, raw, issues, names_only=False):
        table = {"line": [1, 2], "problem": [None, None], "kind": ["mouse_movement"] * 2, "t": [0.0, 1.0]}
        return self.change(pl.DataFrame(table | {"x": [0.0, 3.0], "y": [0.0, 4.0], "key": ["a", "b"]}))

    def change(self, table):
        return table


class Minutes(Lines):
    time_unit = "min"


class Blind(Lines):
    def takes(self, path, start):
        raise KeyError(path)


class Unmade(Lines):
    def __init__(self):
        raise OSError("no licence")


def no_format():
    """An entry point may name anything."""


@pytest.fixture
def offered(monkeypatch):
    """Return a function that offers a name of this file as an entry point."""

    def offer(name):
        points = [EntryPoint(name, f"{__name__}:{name}", PLUG_INS)]
        for module in ("options", "study.formats.registry"):
            monkeypatch.setattr(f"analytics_kit.{module}.entry_points", lambda **_: points)
        return name

    return offer


@pytest.fixture
def changed(monkeypatch, offered):
    """Return a function that makes a fault in the rows of Lines."""

    def change(function):
        monkeypatch.setattr(Lines, "change", lambda self, table: function(table))
        return offered("Lines")

    return change


def test_format_of_another_package_is_read(process, offered):
    result = process({"a.lines": "1"}, format=offered("Lines"))
    assert result.trials.path_length_px.tolist() == [5.0]
    assert balance(result) == (2, 2, 0)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("t", None, "not_a_number"), ("t", float("nan"), "not_a_number"), ("x", None, "not_a_number"),
        ("y", float("inf"), "not_a_number"), ("kind", "keyboard", "unknown_kind"), ("kind", "mouse", "unknown_kind"),
        ("kind", None, "unknown_kind"), ("problem", "torn", "torn"),
    ],
)  # fmt: skip
def test_rows_without_an_event_are_dropped_with_an_issue(process, changed, column, value, problem):
    name = changed(lambda table: table.with_columns(pl.Series(column, [table[column][0], value], strict=False)))
    result = process({"a.lines": "1"}, format=name)
    assert issues_of(result) == [("a.lines", 2, problem, 1)]
    assert balance(result) == (2, 1, 1)
    assert result.trials.movement_count.tolist() == [1]


@pytest.mark.parametrize("column", ["line", "problem", "kind", "t", "x", "y"])
def test_missing_column_raises_settings_error(process, changed, column):
    name = changed(lambda table: table.drop(column))
    with pytest.raises(SettingsError, match=rf"The format 'lines' gave no column {column} for a\.lines\."):
        process({"a.lines": "1"}, format=name)


def test_exception_of_a_format_is_not_quoted(process, changed):
    name = changed(lambda table: int("secret"))
    with pytest.raises(SettingsError, match=r"The format 'lines' can't read a\.lines: ValueError\.") as caught:
        process({"a.lines": "1"}, format=name)
    assert "secret" not in str(caught.value)


def test_unknown_kinds_raise_settings_error(process, offered, monkeypatch):
    monkeypatch.setattr(Lines, "kinds", lambda self, path: ["mouse"])
    with pytest.raises(SettingsError, match=r"'lines' has kinds that do not exist: \['mouse'\]"):
        process({"a.lines": "1"}, format=offered("Lines"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Minutes", "is neither an EventFormat nor a LogFormat with times in s, ms, us, ns"),
        ("no_format", "is neither an EventFormat nor a LogFormat"),
        ("Unmade", "can't be loaded: OSError: no licence"),
        ("Blind", "The format 'Blind' can't recognise its files: KeyError"),
    ],
)
def test_broken_format_does_not_prevent_reading_a_study(process, offered, name, message):
    result = process({"a.csv": "mt_id,timestamps,xpos,ypos\n1,0,1,2\n"}, format=(offered(name), "auto")[1])
    assert result.provenance["format"] == "mousetracking"
    assert message in result.provenance["format_chosen"]
    if name != "Blind":
        with pytest.raises(SettingsError, match=f"The format '{name}'"):
            process({"a.lines": "1"}, format=name)
