"""Classes and names of keys, and that nothing else of a key is kept by default."""

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_kit.errors import BadMemberError
from analytics_kit.study.schema.keys import KEY_CLASSES, classify_key, normalise_key
from tests.study.make_study import KEYS, MOUSE, folder, mouse, patched, typed, zip_bytes


@pytest.mark.parametrize(
    ("name", "keys"),
    {
        "letter": ["a", "Z", "ß", "é", "я", "あ", "'a'", '"b"'],
        "digit": ["0", "9", "٣", "½"],
        "punctuation": [",", ".", "-", '"', "'", "+", "€", "`", "','"],
        "space": [" ", "\xa0", "Key.space"],
        "enter": ["Key.enter"],
        "backspace": ["Key.backspace"],
        "delete": ["Key.delete"],
        "navigation": ["Key.left", "Key.right", "Key.up", "Key.down", "Key.home", "Key.end", "Key.page_up",
                       "Key.page_down"],
        "modifier": ["Key.shift", "Key.shift_r", "Key.ctrl_l", "Key.alt_gr", "Key.cmd", "Key.caps_lock", "Key.SHIFT"],
        "function": ["Key.f1", "Key.f12", "Key.f24"],
        "other": ["", "\x01", "\x7f", "\n", "Key.", "Key.media_next", "Key.f25", "Key.esc", "Key.tab", "ab",
                  "<65>", "hello"],
    }.items(),
)  # fmt: skip
def test_classify_key_returns_the_class(name, keys):
    assert {key: classify_key(key) for key in keys} == dict.fromkeys(keys, name)


@settings(max_examples=200, derandomize=True, database=None)
@given(st.text(max_size=4))
def test_every_text_has_a_class(key):
    assert classify_key(key) in KEY_CLASSES


SECRET = "hunter2"
BAD_ROWS = [
    f'10:00:00,0.30,"{SECRET}', f"10:00:00,{SECRET},a", f"10:00:00,0.5,{SECRET},{SECRET}", SECRET,
    f"{SECRET},{SECRET}", f"10:00:00,1e999,{SECRET}", f"10:00:00,,{SECRET}", f"{SECRET},0.70,{SECRET}",
    f'"{SECRET}","{SECRET}","{SECRET}","{SECRET}"',
]  # fmt: skip
SECRETS = {
    "keys": typed((0.1, SECRET), (0.2, f'"{SECRET}"'), (0.3, f"'{SECRET}'"), (0.4, "Key.enter")),
    **{f"bad row {i}": KEYS + row + "\n" for i, row in enumerate(BAD_ROWS)},
    "bad rows": KEYS + "\n".join(BAD_ROWS) + "\n",
    "no header": f"10:00:00,0.10,{SECRET}\n10:00:00,0.20,{SECRET}\n",
    "no header, no number": f"10:00:00,,{SECRET}\n10:00:00,,{SECRET}\n",
    "no header, key like a column": f"10:00:00,,Key{SECRET}\n",
    "one line": SECRET,
    "UTF-16": typed((0.1, SECRET)).encode("utf-16"),
    "Latin-1": typed((0.1, SECRET), (0.2, "ä" + SECRET), ("x", SECRET)).encode("latin-1"),
    "NUL": typed((0.1, f"{SECRET}\0"), ("\0", SECRET)),
    "backwards": typed((0.3, SECRET), (0.1, SECRET), (-1, SECRET)),
    "semicolons": typed((0.1, SECRET), ("?", SECRET)).replace(",", ";"),
}
each = pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in SECRETS.items()])
OTHER = {f"{folder(trial=9)}/Mouse Movement.csv": mouse((0.1, 1, 1))}


def stored_text(studies):
    """Return the store as text: the bytes of all files, and all cells and metadata of the tables in them."""
    seen = []
    for path in studies.stored:
        seen.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            seen += [str(file.read().to_pylist()), str(file.metadata), str(file.schema_arrow.metadata)]
            seen += [
                str(file.metadata.row_group(g).column(c).statistics)
                for g in range(file.num_row_groups) for c in range(file.metadata.num_columns)
            ]  # fmt: skip
    return "\n".join(seen)


@each
def test_nothing_typed_is_stored(studies, text):
    result = studies.process(OTHER | {f"{folder()}/Keyboard Inputs.csv": text})
    everything = stored_text(studies)
    assert "Search" in everything  # the scan does see the content
    assert SECRET not in everything
    assert result.events("keyboard").key.isna().all()
    assert SECRET not in result.issues.to_csv() + result._repr_html_() + result.events("keyboard").to_csv()


@each
def test_nothing_typed_is_in_errors(studies, text):
    try:
        studies.process(OTHER | {f"{folder()}/Keyboard Inputs.csv": text}, on_error="raise")
    except BadMemberError as error:
        while error is not None:
            assert SECRET not in repr(error) + str(error)  # noqa: PT017
            error = error.__cause__ or error.__context__
    assert SECRET not in stored_text(studies)


def test_single_keys_are_not_stored(studies):
    studies.process({f"{folder()}/Keyboard Inputs.csv": typed((0.1, "q"), (0.2, "§"))})
    (path,) = (path for path in studies.stored if path.name.startswith("keyboard"))
    assert set(pq.read_schema(path).names) == {"trial_index", "t_cs", "key_class"}
    assert "§" not in stored_text(studies)


def test_keys_full_keeps_the_keys(process):
    cells = ["a", '","', '""""', "", "Key.shift", '"\n"', "ä"]
    result = process({f"{folder()}/Keyboard Inputs.csv": typed(*((i, c) for i, c in enumerate(cells)))}, keys="full")
    assert result.events("keyboard").key.tolist() == ["a", ",", '"', "", "Key.shift", "\n", "ä"]
    assert result.provenance["options"]["keys"] == "full"
    assert process({f"{folder()}/Keyboard Inputs.csv": KEYS}).provenance["options"]["keys"] == "class"


def test_classes_are_the_same_with_and_without_keys(process):
    members = {f"{folder()}/Keyboard Inputs.csv": typed((0.3, "a"), (0.1, "7"), (0.2, '"\n"'), (0.4, "Key.f1"))}
    with_keys, without = process(members, keys="full"), process(members)
    assert with_keys.events("keyboard").key_class.equals(without.events("keyboard").key_class)
    assert without.events("keyboard").key_class.tolist() == ["digit", "other", "letter", "function"]
    assert with_keys.trials.auto_repeat_share.tolist() == [0]
    assert without.trials.auto_repeat_share.isna().all()
    assert with_keys.trials.drop(columns="auto_repeat_share").equals(without.trials.drop(columns="auto_repeat_share"))


def test_key_code_of_any_length_is_accepted():
    assert normalise_key("", "9" * 5000) == ""
    assert normalise_key("", "65 ") == "a"


def test_pointer_cells_may_be_quoted_in_messages(process):
    (message,) = process({f"{folder()}/Mouse Movement.csv": MOUSE + "10:00:00,0.1,abc,2\n"}).issues.message
    assert "'abc'" in message


def test_keys_in_a_damaged_zip_are_not_stored(studies):
    name = f"{folder()}/Keyboard Inputs.csv"
    raw = patched(zip_bytes(OTHER | {name: typed((0.1, SECRET))}), name, crc=1)
    studies.process(raw)
    assert SECRET not in stored_text(studies)


@pytest.mark.parametrize(
    "text", [f"10:00:00|0.1|{SECRET}\n", f"{SECRET},Key.enter\n", MOUSE + f"10:00:00,{SECRET},1,2\n"]
)
def test_a_file_of_unknown_kind_may_hold_keys(studies, text):
    name = "1_study_id/1_participant_session_id/1_trial_id/7.csv"
    result = studies.process({"Task 1_mouse_movement_data.csv": mouse((0.1, 1, 2)), name: text})
    assert "mouse_unknown" in set(result.issues.kind)
    assert SECRET not in stored_text(studies)
