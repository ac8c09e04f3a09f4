"""The simulated study has the layout and quirks of a real download, and is reproducible."""

import csv
import io
import itertools
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from statistics import fmean

import numpy as np
import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.study.sample.behaviour import logged_rows
from analytics_kit.study.sample.study import sample_study

FOLDER = re.compile(r"(\d+)_participant_session/(Search|Fill_Form)_(Baseline|Cluttered)_trial_(\d+)/(.+)\.csv")
KINDS = ("Mouse Movement", "Mouse Clicks", "Mouse Scrolls", "Keyboard Inputs")
DAY_S = 86_400


def table(archive, name):
    return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


def members(path):
    """{(participant, task, factor, trial): {kind: rows}} of a study."""
    study = defaultdict(dict)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            participant, task, factor, trial, kind = FOLDER.fullmatch(name).groups()
            study[int(participant), task, factor, int(trial)][kind] = table(archive, name)
    return dict(study)


def clock_s(row):
    hours, minutes, seconds = map(int, row["Time"].split(":"))
    return hours * 3600 + minutes * 60 + seconds


def xy(rows):
    return np.array([(int(row["x"]), int(row["y"])) for row in rows])


def steps_px(rows):
    return np.hypot(*np.diff(xy(rows), axis=0).T)


def by_clock(trials):
    """A participant's trials in the order they were done: the longest break of the day is the night."""
    starts = sorted((min(clock_s(row) for row in kinds["Mouse Movement"]), key) for key, kinds in trials.items())
    breaks = [(start - starts[i - 1][0]) % DAY_S for i, (start, _) in enumerate(starts)]
    morning = breaks.index(max(breaks))
    return [key for _, key in starts[morning:] + starts[:morning]]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return sample_study(tmp_path_factory.mktemp("sample") / "study.zip")


@pytest.fixture(scope="module")
def study(path):
    return members(path)


@pytest.fixture(scope="module")
def long_study(tmp_path_factory):
    """Thirteen participants, so that one session runs over midnight."""
    return members(sample_study(tmp_path_factory.mktemp("long") / "study.zip", 13, 2, seed=5, trial_s=30))


def test_every_trial_has_every_kind(study):
    assert len(study) == 8 * 2 * 2 * 3
    assert all(tuple(kinds) == KINDS for kinds in study.values())


def test_every_file_has_its_header(path):
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            header = archive.read(name).split(b"\n")[0]
            assert header == b"Time,running_time," + (b"keys" if "Keyboard" in name else b"x,y")


def test_archive_is_sound(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {(entry.date_time, entry.create_system) for entry in archive.infolist()} == {
            ((2025, 3, 3, 12, 0, 0), 3)
        }


def test_same_arguments_give_the_same_bytes(tmp_path):
    first = sample_study(tmp_path / "a.zip", 2, 2, seed=7)
    again = sample_study(tmp_path / "b.zip", 2, 2, seed=7)
    other = sample_study(tmp_path / "c.zip", 2, 2, seed=8)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_participants_stay_the_same_in_a_larger_study(tmp_path):
    small = zipfile.ZipFile(sample_study(tmp_path / "small.zip", 2, 2, seed=3))
    large = zipfile.ZipFile(sample_study(tmp_path / "large.zip", 5, 2, seed=3))
    with small, large:
        assert all(small.read(name) == large.read(name) for name in small.namelist())


def test_participants_differ(study):
    assert study[1, "Search", "Baseline", 1] != study[2, "Search", "Baseline", 1]


def test_cells_are_written_as_the_logger_writes_them(path):
    pointer = re.compile(r"\d\d:\d\d:\d\d,\d+\.\d\d,\d{1,4},\d{1,4}")
    key = re.compile(r'\d\d:\d\d:\d\d,\d+\.\d\d,([^,"\s]|Key\.[a-z]+|","|"""")')
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            text = archive.read(name).decode()
            assert text.endswith("\n")
            pattern = key if "Keyboard" in name else pointer
            assert [line for line in text.splitlines()[1:] if not pattern.fullmatch(line)] == []


def test_a_movement_row_needs_more_than_10_px(study):
    assert min(steps_px(kinds["Mouse Movement"]).min() for kinds in study.values()) > 10


def test_the_10_px_are_measured_across_trials(tmp_path):
    study = members(sample_study(tmp_path / "s.zip", 1, 60, trial_s=1))
    rows = [study[key]["Mouse Movement"] for key in by_clock(study)]
    first_px = [steps_px([before[-1], after[0]])[0] for before, after in itertools.pairwise(rows)]
    assert 10 < min(first_px) < 40  # now and then the pointer is still where the trial before left it


def test_positions_are_on_the_screen(study):
    for kinds in study.values():
        for kind in KINDS[:3]:
            points = xy(kinds[kind]).reshape(-1, 2)
            assert ((points >= 0) & (points < (1920, 1080))).all()


def test_running_time_never_steps_back(long_study):
    for kinds in long_study.values():
        for rows in kinds.values():
            times = [float(row["running_time"]) for row in rows]
            assert times == sorted(times)


def test_a_few_running_times_are_equal(study):
    times = [np.array([float(row["running_time"]) for row in kinds["Mouse Movement"]]) for kinds in study.values()]
    share = np.concatenate([np.diff(t) == 0 for t in times]).mean()
    assert 0.005 < share < 0.02


def test_clock_and_running_time_agree(long_study):
    for kinds in long_study.values():
        starts = [
            (clock_s(row) - float(row["running_time"]) + DAY_S / 2) % DAY_S for rows in kinds.values() for row in rows
        ]
        assert max(starts) - min(starts) < 1.01 or max(starts) - min(starts) > DAY_S - 1.01


def test_clicks_are_a_press_and_a_release(study):
    presses = drags = 0
    for kinds in study.values():
        rows = kinds["Mouse Clicks"]
        assert len(rows) % 2 == 0
        for press, release in zip(rows[::2], rows[1::2], strict=True):
            hold_s = round(float(release["running_time"]) - float(press["running_time"]), 2)
            drag = (press["x"], press["y"]) != (release["x"], release["y"])
            assert drag or 0.07 <= hold_s <= 0.11
            presses, drags = presses + 1, drags + drag
    assert 0 < drags < 0.05 * presses


def test_clicks_are_at_the_position_of_the_pointer(study):
    for kinds in study.values():
        movement = kinds["Mouse Movement"]
        for click in kinds["Mouse Clicks"][1::2]:
            before = [row for row in movement if float(row["running_time"]) <= float(click["running_time"])]
            assert steps_px([before[-1], click]) <= 10


def test_the_newest_trial_is_number_1(long_study):
    for participant in range(1, 14):
        order = by_clock({key: kinds for key, kinds in long_study.items() if key[0] == participant})
        for condition in {key[1:3] for key in order}:
            assert [key[3] for key in order if key[1:3] == condition] == [2, 1]


def test_twelfth_session_crosses_midnight(long_study):
    hours = defaultdict(set)
    for (participant, *_), kinds in long_study.items():
        hours[participant] |= {clock_s(row) // 3600 for row in kinds["Mouse Movement"]}
    crossing = {participant for participant, seen in hours.items() if {23, 0} <= seen}
    assert crossing == {12}


def test_order_of_conditions_is_balanced(study):
    first = [by_clock({key: kinds for key, kinds in study.items() if key[0] == p})[0][1:3] for p in range(1, 5)]
    assert len(set(first)) == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cluttered_paths_are_longer_slower_and_less_direct(tmp_path, seed):
    seen = defaultdict(list)
    for (participant, _, factor, _), kinds in members(sample_study(tmp_path / "s.zip", seed=seed)).items():
        points, lengths_px = xy(kinds["Mouse Movement"]), steps_px(kinds["Mouse Movement"])
        times = [float(row["running_time"]) for rows in kinds.values() for row in rows]
        seen[participant, factor].append(
            (lengths_px.sum(), max(times), -np.hypot(*(points[-1] - points[0])) / lengths_px.sum())
        )
    more = np.array([np.mean(seen[p, "Cluttered"], 0) - np.mean(seen[p, "Baseline"], 0) for p in range(1, 9)])
    assert (more.mean(0) / more.std(0, ddof=1) > 0.8).all()


def test_times_fall_with_practice(tmp_path):
    durations_s = defaultdict(list)
    for (_, _, _, trial), kinds in members(sample_study(tmp_path / "s.zip", 6, 10)).items():
        durations_s[trial].append(float(kinds["Mouse Clicks"][-1]["running_time"]))
    newest, oldest = (fmean(np.ravel([durations_s[trial] for trial in trials])) for trials in ((1, 2, 3), (8, 9, 10)))
    assert newest < 0.85 * oldest


def test_trial_s_is_the_mean_duration(study):
    assert 16 < fmean(float(kinds["Mouse Clicks"][-1]["running_time"]) for kinds in study.values()) < 24


def test_keys_are_corrected_quoted_and_paused(tmp_path):
    study = members(sample_study(tmp_path / "s.zip", 2, 2, trial_s=300))
    rows = [kinds["Keyboard Inputs"] for (_, task, *_), kinds in study.items() if task == "Fill_Form"]
    keys = {row["keys"] for trial in rows for row in trial}
    assert {",", '"', "a", "M", "1"} | {f"Key.{name}" for name in ("space", "backspace", "tab", "shift")} <= keys
    searched = {row["keys"] for key, kinds in study.items() if key[1] == "Search" for row in kinds["Keyboard Inputs"]}
    assert "Key.enter" in searched
    pauses_s = np.concatenate([np.diff([float(row["running_time"]) for row in trial]) for trial in rows])
    assert (pauses_s >= 2).mean() > 0.005
    assert np.median(pauses_s) < 0.3


def test_form_has_typing_and_search_has_scrolling(study):
    count = {
        (task, kind): sum(len(kinds[kind]) for key, kinds in study.items() if key[1] == task)
        for task in ("Search", "Fill_Form")
        for kind in KINDS
    }
    assert count["Fill_Form", "Keyboard Inputs"] > 3 * count["Search", "Keyboard Inputs"]
    assert count["Search", "Mouse Scrolls"] > 3 * count["Fill_Form", "Mouse Scrolls"]
    assert count["Search", "Mouse Clicks"] > count["Fill_Form", "Mouse Clicks"]


@pytest.mark.parametrize("trial_s", [0.01, 1, 900])
def test_smallest_study_can_be_written(tmp_path, trial_s):
    study = members(sample_study(tmp_path / "s.zip", 1, 1, trial_s=trial_s))
    assert len(study) == 4
    assert all(kinds["Mouse Movement"] and kinds["Mouse Clicks"] for kinds in study.values())


def test_path_is_returned_and_an_older_file_replaced(tmp_path):
    target = tmp_path / "study.zip"
    target.write_text("older")
    assert sample_study(str(target), 1, 1) == target
    assert zipfile.is_zipfile(target)
    assert [path.name for path in tmp_path.iterdir()] == ["study.zip"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"participants": 0}, {"participants": -1}, {"participants": 2.5}, {"trials": 0}, {"trials": "3"},
        {"seed": -1}, {"trial_s": 0}, {"trial_s": -1.0}, {"trial_s": float("nan")}, {"trial_s": float("inf")},
        {"trial_s": 1e6}, {"trial_s": "20"},
    ],
)  # fmt: skip
def test_invalid_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))) as caught:
        sample_study(tmp_path / "s.zip", **wrong)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere.*is missing"):
        sample_study(tmp_path / "nowhere" / "s.zip")


def test_folder_as_target_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="is a folder"):
        sample_study(tmp_path)


def test_failure_leaves_no_file(tmp_path, monkeypatch):
    (tmp_path / "s.zip").write_text("older")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space"):
        sample_study(tmp_path / "s.zip", 1, 1)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("s.zip", "older")]


def test_logged_rows_equal_the_plain_rule():
    rng = np.random.default_rng(1)
    for size in (0, 1, 2, 400):
        x, y = rng.integers(-6, 7, (2, size)).cumsum(1)
        expected, at = [], (3, 4)
        for i in range(size):
            if (x[i] - at[0]) ** 2 + (y[i] - at[1]) ** 2 > 100:
                expected.append(i)
                at = x[i], y[i]
        assert logged_rows(x, y, (3, 4)).tolist() == expected


def test_import_is_light():
    code = "import sys, analytics_kit.study.sample.study; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"polars", "pandas", "numba", "pyarrow", "plotly", "redis"} & set(loaded.stdout.split())
