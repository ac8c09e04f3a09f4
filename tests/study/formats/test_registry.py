"""The built-in and installed formats, and the recognition of a study's format."""

import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from analytics_kit import EventFormat
from analytics_kit.errors import NoEventsError, SettingsError
from analytics_kit.options import FORMATS
from analytics_kit.study.formats.registry import BUILT_IN, NATIVE
from tests.study.make_study import balance, folder, issues_of, mouse, named, zip_bytes

BALABIT = "record timestamp,client timestamp,button,state,x,y\n"
KEYSTROKES = (
    "PARTICIPANT_ID\tTEST_SECTION_ID\tSENTENCE\tUSER_INPUT\tKEYSTROKE_ID\tPRESS_TIME\tRELEASE_TIME\tLETTER\tKEYCODE\n"
)
MOUSETRACKING = "mt_id,mt_seq,timestamps,xpos,ypos\n"
START_MS = 1471948645498


def balabit(*rows):
    """Return a session of (client time, button, state, x, y)."""
    return BALABIT + "".join(f"{t},{t},{button},{state},{x},{y}\n" for t, button, state, x, y in rows)


def keystrokes(*rows, participant=7):
    """Return a participant's file of (section, press, release, letter, code), times in ms after the start of all."""
    cells = [
        (participant, section, 'Say "so.', "Say so", number, START_MS + press, START_MS + release, letter, code)
        for number, (section, press, release, letter, code) in enumerate(rows)
    ]
    return KEYSTROKES + "".join("\t".join(map(str, row)) + "\n" for row in cells)


SESSION = balabit(
    (0.0, "NoButton", "Move", 10, 10), (0.5, "NoButton", "Move", 13, 14), (0.5, "Left", "Pressed", 13, 14),
    (0.625, "NoButton", "Drag", 19, 22), (0.75, "Left", "Released", 19, 22), (1.0, "Scroll", "Down", 19, 22),
    (1.1, "Scroll", "Down", 19, 22), (1.2, "Scroll", "Up", 19, 22), (1.5, "Right", "Pressed", 65535, 22),
)  # fmt: skip


def test_formats_listed_are_those_implemented():
    assert set(FORMATS) == {"auto", NATIVE, *BUILT_IN}
    assert all(name == described.name for name, described in BUILT_IN.items())


@pytest.mark.parametrize(
    "name", ["t/user12/session_0041", "user12.zip/session_0041", "user12/session_0041.csv", "user12_session_0041.csv"]
)
def test_balabit_session_is_measured(process, name):
    outer, _, inner = name.partition(".zip/")
    result = process({f"{outer}.zip": zip_bytes({inner: SESSION})} if inner else {name: SESSION})
    assert result.provenance["format"] == "balabit"
    assert result.provenance["format_chosen"] == "by names and headers of files: 1 of the 1 looked at"
    assert named(result) == [("user12", "0041", None, None, None)]
    trial = result.trials.iloc[0]
    assert (trial.movement_count, trial.click_event_count, trial.scroll_event_count) == (3, 3, 3)
    assert pd.isna(trial.keystroke_count)
    assert trial.path_length_px == 5 + 10
    assert (trial.click_count, trial.unpaired_click_events, trial.drag_count) == (1, 1, 1)
    assert trial.click_hold_mean_s == pytest.approx(0.25)
    assert (trial.scroll_reversal_count, trial.scroll_burst_count) == (1, 1)
    assert result.events("mouse_clicks").action.tolist() == ["press", "release", "press"]
    assert issues_of(result) == [(name, 10, "artefact", 0)]
    assert "Log format balabit, by names and headers of files: 1 of the 1 looked at." in result._repr_html_()
    assert balance(result) == (9, 9, 0)


def test_balabit_sessions_of_the_same_name_in_two_folders_are_two(process):
    result = process({"training_files/user1/session_1": SESSION, "test_files/user1/session_1": SESSION})
    assert len(result.trials) == 2
    assert "same_names" in {issue[2] for issue in issues_of(result)}


@pytest.mark.parametrize("session", ["2144641057", "5265929106", "9838420452"])
def test_real_balabit_sessions_equal_their_published_counts(process, shared_data, session):
    at = shared_data / "balabit_sample"
    known = pd.read_csv(at / "training_session_stats.csv").set_index("session").loc[int(session)]
    result = process(at / f"user12_session_{session}.csv")
    trial = result.trials.iloc[0]
    assert result.summary["rows_in"] == result.summary["rows_kept"] == known.rows
    assert trial.scroll_event_count == known.scroll
    assert trial.click_event_count == known.press + known.rel
    assert trial.click_count == known.press == known.rel
    assert trial.unpaired_click_events == 0
    assert trial.movement_count == known.rows - known.scroll - known.press - known.rel
    assert trial.completion_time_s - trial.time_to_first_event_s == pytest.approx(known.dur, abs=1e-9)
    artefacts = result.issues[result.issues.kind == "artefact"]
    assert int(artefacts.message.str.split().str[0].sum()) == known.oob


def test_keystrokes_are_measured_per_section(process):
    text = keystrokes(
        (9, 60_000, 60_100, "y", 89), (4, 0, 160, "SHIFT", 16), (4, 120, 200, "H", 72), (4, 300, 390, "i", 73),
        (4, 500, 560, " ", 32), (4, 700, 750, "BKSP", 8), (9, 60_050, 60_200, "o", 79),
    )  # fmt: skip
    result = process({"files/7_keystrokes.txt": text, "metadata_participants.txt": "PARTICIPANT_ID\tAGE\n"})
    assert result.provenance["format"] == "keystrokes"
    assert named(result) == [("7", "7", None, None, 4), ("7", "7", None, None, 9)]
    assert result.trials.trial_order.tolist() == [1, 2]
    one, two = result.trials.iloc[0], result.trials.iloc[1]
    assert (one.keystroke_count, two.keystroke_count) == (5, 2)
    assert one.dwell_time_mean_s == pytest.approx((0.160 + 0.080 + 0.090 + 0.060 + 0.050) / 5)
    assert one.flight_time_mean_s == pytest.approx((-0.040 + 0.100 + 0.110 + 0.140) / 4)
    assert one.rollover_ratio == pytest.approx(1 / 4)
    assert two.rollover_ratio == 1
    assert one.inter_key_interval_median_s == pytest.approx(0.19)
    assert (one.backspace_rate, one.key_share_modifier, one.key_share_letter) == (0.2, 0.2, 0.4)
    events = result.events("keyboard", trial=9)
    assert list(events[["t_s", "action"]].itertuples(index=False, name=None)) == [
        (0.0, "press"), (0.05, "press"), (0.1, "release"), (0.2, "release"),
    ]  # fmt: skip
    assert events.key.isna().all()
    assert balance(result) == (7, 7, 0)
    assert issues_of(result) == [("metadata_participants.txt", None, "unknown_file", 0)]


def test_sentences_to_type_are_not_stored(process, studies):
    result = process({"7_keystrokes.txt": keystrokes((4, 0, 100, "q", 81))}, keys="class")
    assert "Say" not in result.surveys.to_string() + result.issues.to_string() + str(result.provenance)
    assert not any(b"Say" in path.read_bytes() for path in studies.stored)
    full = process({"7_keystrokes.txt": keystrokes((4, 0, 100, "q", 81), (4, 200, 300, "CTRL", 17))}, keys="full")
    assert full.events("keyboard").query("action == 'press'").key.tolist() == ["q", "Key.ctrl"]
    assert full.digraphs[["key", "next_key", "count"]].values.tolist() == [["q", "Key.ctrl", 1]]


def test_mousetracking_is_measured_per_id(process):
    text = MOUSETRACKING + "id0002,1,0,0,-400\nid0002,2,10,0,-399\nid0001,1,0,5,5\nid0001,2,20,8,9\n"
    result = process({"export.csv": text})
    assert result.provenance["format"] == "mousetracking"
    assert named(result) == [(None, None, None, None, 1), (None, None, None, None, 2)]
    assert result.trials.path_length_px.tolist() == [5.0, 1.0]
    assert result.trials.completion_time_s.tolist() == [0.02, 0.01]


def test_mousetracking_as_written_by_r_has_participants_and_conditions(process):
    text = '"subject_nr","Condition","trial","timestamps","xpos","ypos"\n' + "".join(
        f'"{who}","{condition}",{trial},{t},1,{t}\n'
        for who in (2, 1) for trial, condition in ((1, "near"), (2, "far")) for t in (0, 100)
    )  # fmt: skip
    result = process({"data.csv": text})
    assert named(result) == [
        ("1", "1", None, "far", 2), ("1", "1", None, "near", 1),
        ("2", "2", None, "far", 2), ("2", "2", None, "near", 1),
    ]  # fmt: skip
    assert process({"data.csv": text}, participants=2, factors="far").trials.trial.tolist() == [2]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_header_is_recognised_in_any_encoding(process, encoding, end):
    text = end + MOUSETRACKING + "1,1,0,5,é\n1,2,10,5,6\n"
    result = process({"a.csv": text.replace("\n", end).encode(encoding)})
    assert result.provenance["format"] == "mousetracking"
    assert balance(result) == (2, 1, 1)


def native(trials=3):
    return {f"{folder(trial=n)}/Mouse Movement.csv": mouse((0.1, 1, 1), (0.2, 20, 2)) for n in range(1, trials + 1)}


def test_fulcrum_is_recognised_by_names(process):
    result = process(native())
    assert result.provenance["format"] == "fulcrum"
    assert result.provenance["format_chosen"] == "by names of files: 3 of the 3 looked at"
    assert "Log format" not in result._repr_html_()
    assert process(native(), format="fulcrum").provenance["format_chosen"] == "named by format="


def test_stray_file_of_another_format_is_left_out(process):
    result = process({**native(30), "x_session_1.csv": SESSION})
    assert result.provenance["format"] == "fulcrum"
    assert issues_of(result) == [("x_session_1.csv", None, "unknown_file", 0)]


def test_study_of_two_formats_raises(process):
    members = {**native(2), "user1/session_1.csv": SESSION, "7_keystrokes.txt": keystrokes((1, 0, 5, "a", 65))}
    with pytest.raises(SettingsError) as caught:
        process(members)
    assert "study.zip could be of the format fulcrum or balabit or keystrokes" in str(caught.value)
    assert 'format="fulcrum"' in caught.value.hint
    result = process(members, format="balabit")
    assert named(result) == [("user1", "1", None, None, None)]
    assert {issue[2] for issue in issues_of(result)} == {"unknown_file", "artefact"}


def test_unrecognised_study_raises(process):
    with pytest.raises(NoEventsError) as caught:
        process({"a.csv": "p,q\n1,2\n"})
    assert "fulcrum, balabit, keystrokes, mousetracking" in caught.value.hint
    assert "EventFormat" in caught.value.hint


PLUG_IN = """
import polars as pl

from analytics_kit import EventFormat
from analytics_kit.study.formats.base import LogFormat

LINES = EventFormat(name="lines", columns={"t": "when", "x": "across", "y": "down"}, kind="mouse_movement")


class Pairs(LogFormat):
    "A position every 10 ms, without times or a header."
    name = "pairs"
    time_unit = "ms"

    def takes(self, path, start):
        return path.endswith(".pairs")

    def kinds(self, path):
        return ["mouse_movement"]

    def read(self, path, raw, issues, names_only=False):
        positions = [line.split() for line in raw.decode().splitlines()]
        return pl.DataFrame({
            "line": range(1, len(positions) + 1), "t": [10 * n for n in range(len(positions))],
            "x": [float(x) for x, _ in positions], "y": [float(y) for _, y in positions],
        }).with_columns(pl.lit("mouse_movement").alias("kind"), pl.lit(None).alias("problem"))
"""
USE = """
import sys
import analytics_kit as ak
for source, format in (("lines.zip", "auto"), ("lines.zip", "lines"), ("pairs.zip", "auto"), ("pairs.zip", "pairs")):
    result = ak.process(source, format=format)
    events = result.events("mouse_movement", columns=["t_s", "x_px", "y_px"])
    auto = result.provenance["format_chosen"] if format == "auto" else auto
    print(result.provenance["format"], events.values.tolist(), len(result.issues))
try:
    ak.process("pairs.zip", format="pears")
except ak.SettingsError as error:
    print(error.message)
try:
    ak.process("lines.zip", format="broken")
except ak.SettingsError as error:
    print(error.message)
print(auto)
"""


def test_formats_of_installed_packages_are_used(tmp_path, studies):
    wheel = tmp_path / "other_logs-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "other_logs-1.0.dist-info"
        archive.writestr("other_logs.py", PLUG_IN)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: other_logs\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{about}/entry_points.txt",
            "[analytics_kit.formats]\nlines = other_logs:LINES\npairs = other_logs:Pairs\nbroken = other_logs:gone\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    there = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(there)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    studies.zip({"a.csv": "when,across,down\n0,1,2\n"}, "lines.zip")
    studies.zip({"a.pairs": "1 2\n3 4\n"}, "pairs.zip")
    run = subprocess.run(
        [sys.executable, "-c", USE], cwd=studies.root, capture_output=True, text=True,
        env={"PYTHONPATH": str(there), "ANALYTICS_KIT_HOME": str(tmp_path / "home"), "PATH": ""},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    broken = "The format 'broken', which other_logs:gone offers, can't be loaded: AttributeError: "
    broken += "module 'other_logs' has no attribute 'gone'"
    assert run.stdout.splitlines() == [
        "lines [[0.0, 1.0, 2.0]] 0",
        "lines [[0.0, 1.0, 2.0]] 0",
        "pairs [[0.0, 1.0, 2.0], [0.01, 3.0, 4.0]] 0",
        "pairs [[0.0, 1.0, 2.0], [0.01, 3.0, 4.0]] 0",
        "Option 'format' can't be 'pears': there is no such format. Did you mean 'pairs'? Known: auto, fulcrum, "
        "balabit, keystrokes, mousetracking, broken, lines, pairs.",
        f"{broken}.",
        f"by names and headers of files: 1 of the 1 looked at; {broken}.",
    ]


def test_format_missing_on_the_worker_raises(process, monkeypatch):
    """A job may be submitted where a package is installed that the worker lacks."""
    monkeypatch.setattr("analytics_kit.options.format_names", lambda: (*FORMATS, "theirs"))
    with pytest.raises(SettingsError, match="'theirs' is not installed here"):
        process({"a.csv": SESSION}, format="theirs")


def test_described_format_may_have_any_name(process):
    described = EventFormat(name="ours", columns={"t": "client timestamp", "x": "x", "y": "y"}, kind="mouse_movement")
    assert process({"a.csv": SESSION}, format=described).provenance["format"] == "ours"
