"""A log's description: what can't work is refused at once, in words, and what can survives as JSON."""

import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError

MOVES = {"columns": {"t": "ms", "x": "xpos", "y": "ypos"}, "kind": "mouse_movement"}
KEYS = {"columns": {"t": "ms", "key": "key"}, "kind": "keyboard"}


def test_survives_as_json():
    described = ak.EventFormat(**MOVES, path=r"(?P<participant>\w+)\.csv", time_unit="ms", delimiter=";")
    options = ak.Options.of(format=described)
    again = ak.Options.of(**options.to_json())
    assert again == options
    assert again.format == described
    assert ak.Options.of(format=described.model_dump(mode="json")) == options


def test_is_part_of_the_result_key():
    one, other = (ak.EventFormat(**MOVES, time_unit=unit) for unit in ("s", "ms"))
    assert ak.Options.of(format=one).to_json() != ak.Options.of(format=other).to_json()


def test_one_name_stands_for_itself():
    assert ak.EventFormat(**MOVES).columns["t"] == ("ms",)
    columns = MOVES["columns"] | {"t": ["ms", "time"]}
    assert ak.EventFormat(columns=columns, kind="mouse_movement").columns["t"] == ("ms", "time")


def test_kinds_that_files_can_hold():
    assert ak.EventFormat(**MOVES).all_kinds == ("mouse_movement",)
    columns = MOVES["columns"] | {"kind": "event"}
    kinds = {"m": "mouse_movement", "d": "mouse_movement", "c": "mouse_clicks"}
    assert ak.EventFormat(columns=columns, kinds=kinds).all_kinds == ("mouse_movement", "mouse_clicks")


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"columns": {"x": "x", "y": "y"}, "kind": "mouse_movement"}, "the column of the time: t"),
        ({"columns": {"t": "ms", "x": "x"}, "kind": "mouse_movement"}, "the columns of x and y"),
        ({"columns": {"t": "ms"}, "kind": "keyboard"}, "the column of the key or the key_code"),
        ({"columns": MOVES["columns"]}, "exactly one of kind, the column kind, and the path's group kind"),
        (MOVES | {"path": "(?P<kind>a)"}, "exactly one of kind"),
        ({"columns": MOVES["columns"], "path": "(?P<kind>a)"}, "map each value to a kind"),
        (MOVES | {"columns": MOVES["columns"] | {"particpant": "p"}}, "can't name 'particpant'. Did you mean 'part"),
        (MOVES | {"columns": MOVES["columns"] | {"task": ()}}, "task"),
        (MOVES | {"path": "("}, "it is no regular expression"),
        (MOVES | {"path": "(?P<particpant>a)"}, "can't be called 'particpant'. Did you mean 'participant'"),
        (MOVES | {"time_units": "ms"}, "EventFormat has no 'time_units'. Did you mean 'time_unit'?"),
        (MOVES | {"time_unit": "minutes"}, "time_unit"),
        (MOVES | {"kind": "mouse_move"}, "kind"),
        (MOVES | {"delimiter": "||"}, "delimiter: it must be one ASCII character"),
        (MOVES | {"delimiter": "→"}, "delimiter"),
        (MOVES | {"delimiter": "\n"}, "delimiter"),
        (MOVES | {"delimiter": '"'}, "delimiter"),
        (MOVES | {"time_unit": "datetime"}, 'use time_origin="trial"'),
        (MOVES | {"name": "a b"}, "name"),
        (KEYS | {"actions": {"down": "press"}}, "column action and what its values mean"),
        (KEYS | {"columns": KEYS["columns"] | {"action": "state"}}, "column action and what its values mean"),
        (KEYS | {"columns": KEYS["columns"] | {"wheel": "state"}}, "column wheel and wheel go together"),
    ],
)
def test_what_cannot_work_is_refused(described, message):
    with pytest.raises(SettingsError) as caught:
        ak.EventFormat(**described)
    assert message in str(caught.value)
    with pytest.raises(SettingsError):
        ak.Options.of(format=described)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "balabt",
            "Option 'format' can't be 'balabt': there is no such format. Did you mean 'balabit'? Known: auto,",
        ),
        (None, "Option 'format'"),
        (["balabit"], "Option 'format'"),
    ],
)
def test_formats_that_do_not_exist(given, message):
    with pytest.raises(SettingsError) as caught:
        ak.Options.of(format=given)
    assert message in str(caught.value)
