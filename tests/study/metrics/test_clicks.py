"""Clicks, keys and the wheel: pairs, doubles, rage, drags, bursts, pauses, dwell and flight, homing; by hand."""

import math

import numpy as np
import pytest

from analytics_kit.options import Options
from analytics_kit.study.metrics import press_release
from analytics_kit.study.metrics.evaluate import evaluate
from tests.study.metrics.trial_metrics import group, measured, settled


def pressed(*presses, far=0):
    """Click rows of presses at (t, x, y), each released 0.01 s later and `far` px to the right."""
    return [row for t, x, y in presses for row in ((t, x, y), (t + 0.01, x + far, y))]


@pytest.mark.parametrize(
    ("presses", "doubles"),
    [
        ([], 0),
        ([(1, 0, 0)], 0),
        ([(1, 0, 0), (1.5, 0, 4)], 1),  # at both edges
        ([(1, 0, 0), (1.51, 0, 0)], 0),
        ([(1, 0, 0), (1.2, 3, 3)], 0),  # 4.2 px
        ([(1, 0, 0), (1.2, 0, 0), (1.4, 0, 0)], 1),  # the second is in one pair only
        ([(1, 0, 0), (1.2, 0, 0), (1.4, 0, 0), (1.6, 0, 0)], 2),
        ([(1, 0, 0), (1.2, 9, 9), (1.4, 9, 9)], 1),
    ],
)
def test_double_clicks(presses, doubles):
    assert measured(clicks=pressed(*presses))["double_click_count"] == doubles


@pytest.mark.parametrize(
    ("presses", "rages"),
    [
        ([(1, 0, 0), (1.5, 0, 0)], 0),
        ([(1, 0, 0), (1.5, 10, 19), (2.4, 0, 0)], 1),
        ([(1, 0, 0), (1.5, 15, 15), (2.4, 0, 0)], 0),  # |dx| + |dy| is 30, not less
        ([(0.2, 0, 0), (1.2, 0, 0), (2.1, 0, 0)], 0),  # 1 s is not less than 1 s
        ([(k / 2, 0, 0) for k in range(5)], 1),
        ([(k / 2, 0, 0) for k in range(6)], 2),
        ([(0, 0, 0), (2, 0, 0), (2.5, 0, 0), (3, 0, 0)], 1),
    ],
)
def test_rage_clicks(presses, rages):
    assert measured(clicks=pressed(*presses))["rage_click_count"] == rages


@pytest.mark.parametrize(("far", "drags"), [(4, 0), (4.1, 2)])
def test_drags(far, drags):
    rows = pressed((1, 0, 0), (2, 0, 0), far=far)
    assert measured(clicks=rows)["drag_count"] == drags
    odd = measured(clicks=rows[:-1])
    assert math.isnan(odd["drag_count"])
    assert (odd["click_count"], odd["unpaired_click_events"]) == (1, 1)


@pytest.mark.parametrize(
    ("option", "name", "at_it", "below"),
    [
        ("double_click_s", "double_click_count", 0.3, 0.29), ("double_click_px", "double_click_count", 3, 2.9),
        ("rage_click_s", "rage_click_count", 0.31, 0.3), ("rage_click_px", "rage_click_count", 3.1, 3),
        ("drag_px", "drag_count", 1.9, 2),
    ],
)  # fmt: skip
def test_thresholds_of_clicks(option, name, at_it, below):
    rows = pressed((1, 0, 0), (1.3, 3, 0), (1.6, 0, 0), far=2)
    assert measured({option: at_it}, clicks=rows)[name] >= 1
    assert measured({option: below}, clicks=rows)[name] == 0


def with_columns(kind, rows, **columns):
    """The metrics of one trial whose log has more columns than the platform's."""
    made = group(kind, [rows])
    for name, values in columns.items():
        setattr(made.table, name, np.array(values, getattr(made.table, name).dtype))
    return {name: float(v[0]) for name, v in settled(evaluate({kind: made}, 1, Options())).items()}


def test_clicks_pair_as_logged():
    rows = [(t, t, 0.0) for t in (1.0, 1.1, 2.0, 3.0, 3.5, 4.0)]
    values = with_columns("mouse_clicks", rows, action=[1, 0, 0, 1, 1, 0])
    # a release without a press, a press without a release, a pair of 1 s, a release, a press
    assert (values["click_count"], values["unpaired_click_events"], values["click_event_count"]) == (1, 4, 6)
    assert values["click_hold_mean_s"] == values["click_hold_median_s"] == 1.0
    assert values["time_to_first_click_s"] == 1.1
    assert values["inter_click_interval_median_s"] == pytest.approx((0.9 + 2.0) / 2)
    assert values["drag_count"] == 0
    alone = with_columns("mouse_clicks", rows[:2], action=[0, 0])
    assert (alone["click_count"], alone["unpaired_click_events"]) == (0, 2)
    assert math.isnan(alone["drag_count"])
    assert math.isnan(alone["click_hold_mean_s"])


# a down, b down before a is up, both up, a again twice (repeated), up once; c is never let go
STROKES = [(1.0, "a", 0), (1.2, "b", 0), (1.3, "a", 1), (1.5, "b", 1), (2.0, "a", 0), (2.04, "a", 0), (2.5, "a", 1),
           (3.0, "c", 0)]  # fmt: skip


def stroked(strokes, known=True):
    number = {"a": 1, "b": 2, "c": 3}
    return with_columns(
        "keyboard", [(t, key) for t, key, _ in strokes], action=[action for *_, action in strokes],
        **({"key_number": [number[key] for _, key, _ in strokes]} if known else {}),
    )  # fmt: skip


def test_dwell_flight_and_rollover():
    values = stroked(STROKES)
    assert values["keystroke_count"] == 5
    assert values["dwell_time_mean_s"] == pytest.approx((0.3 + 0.3 + 0.46) / 3)
    assert values["dwell_time_median_s"] == pytest.approx(0.3)
    # a → b: 1.2 - 1.3, b → a: 2.0 - 1.5, the first of the repeated has no release, a → c: 3.0 - 2.5
    assert values["flight_time_mean_s"] == pytest.approx((-0.1 + 0.5 + 0.5) / 3)
    assert values["flight_time_median_s"] == pytest.approx(0.5)
    assert values["rollover_ratio"] == pytest.approx(1 / 3)
    assert values["auto_repeat_share"] == pytest.approx(1 / 5)
    assert values["inter_key_interval_median_s"] == pytest.approx((0.2 + 0.8) / 2)
    assert values["completion_time_s"] == 3.0


@pytest.mark.parametrize(
    ("strokes", "dwell", "flight"),
    [([], math.nan, math.nan), (STROKES[:1], math.nan, math.nan), ([STROKES[0], STROKES[2]], 0.3, math.nan),
     ([STROKES[2]], math.nan, math.nan), ([STROKES[0], STROKES[2], STROKES[4]], 0.3, 0.7)],
)  # fmt: skip
def test_few_strokes(strokes, dwell, flight):
    values = stroked(strokes)
    assert values["dwell_time_mean_s"] == pytest.approx(dwell, nan_ok=True)
    assert values["flight_time_mean_s"] == pytest.approx(flight, nan_ok=True)
    assert math.isnan(values["rollover_ratio"]) == math.isnan(flight)


def test_releases_of_unknown_keys():
    values = stroked(STROKES, known=False)
    assert values["keystroke_count"] == 5
    assert values["inter_key_interval_median_s"] == pytest.approx((0.2 + 0.8) / 2)
    assert math.isnan(values["dwell_time_mean_s"])
    assert math.isnan(values["auto_repeat_share"])


def test_a_key_held_from_one_trial_to_the_next_is_not_paired():
    t, number, action = np.array([1.0, 0.5, 0.6]), np.array([1, 1, 1]), np.array([0, 1, 0], np.int8)
    rows, released, starts, ends = press_release.pair_keys(t, number, action, np.array([0, 1]), np.array([1, 3]))
    assert (rows.tolist(), starts.tolist(), ends.tolist()) == ([0, 2], [0, 1], [1, 2])
    assert np.isnan(released).all()


@pytest.mark.parametrize(("gap", "share"), [(0.05, 0.5), (0.051, 0)])
def test_auto_repeat(gap, share):
    assert with_columns("keyboard", [(1.0, "a"), (1.0 + gap, "a")], key_number=[7, 7])["auto_repeat_share"] == share
    assert with_columns("keyboard", [(1.0, "a"), (1.0 + gap, "b")], key_number=[7, 8])["auto_repeat_share"] == 0
    assert math.isnan(with_columns("keyboard", [], key_number=[])["auto_repeat_share"])


def test_pauses_and_bursts():
    keys = [(t, "a") for t in (1.0, 1.5, 3.5, 5.4, 5.5, 9.5)]  # pauses of 2.0 and 4.0 s
    values = measured(keys=keys)
    assert (values["typing_pause_count"], values["typing_pause_time_s"]) == (2, pytest.approx(6.0))
    assert (values["p_burst_count"], values["p_burst_length_mean"]) == (3, 2)
    assert measured({"typing_pause_s": 2.01}, keys=keys)["typing_pause_count"] == 1


def test_correction_bursts():
    names = ["Key.delete", "Key.backspace", "a", "Key.backspace", "Key.shift", "Key.backspace"]
    values = measured(keys=[(float(i), name) for i, name in enumerate(names)])
    assert values["correction_burst_count"] == 3
    assert values["correction_burst_length_mean"] == pytest.approx(4 / 3)
    assert values["key_share_backspace"] == values["backspace_rate"] == 0.5
    assert sum(values[f"key_share_{name}"] for name in ("letter", "delete", "modifier")) == 0.5


def test_shares_of_keys_and_directions_add_up():
    keys = ["a", "1", ",", " ", "Key.enter", "Key.backspace", "Key.delete", "Key.left", "Key.ctrl", "Key.f5", ""]
    values = measured(keys=[(i / 7, key) for i, key in enumerate(keys)])
    shares = [value for name, value in values.items() if name.startswith("key_share_")]
    assert shares == pytest.approx([1 / 11] * 11)


def test_the_wheels_own_steps():
    rows = [(i / 10, 0, 0) for i in range(6)]
    values = with_columns("mouse_scrolls", rows, dx=[0, 3, 0, 0, 0, -1], dy=[2, 4, 0, -5, 1, 0])
    assert values["scroll_distance_px"] == pytest.approx(2 + 5 + 0 + 5 + 1 + 1)
    assert values["scroll_reversal_count"] == 3  # down, up, down again; right, left
    one = with_columns("mouse_scrolls", rows[:1], dx=[0], dy=[0])
    assert (one["scroll_distance_px"], one["scroll_reversal_count"]) == (0, 0)
    none = measured(scrolls=rows)
    assert math.isnan(none["scroll_distance_px"])
    assert math.isnan(none["scroll_reversal_count"])


def test_a_pointer_log_of_unknown_kind_is_the_mouse():
    groups = {
        "mouse_clicks": group("mouse_clicks", [[(1.0, 0, 0), (1.1, 0, 0)]]),
        "keyboard": group("keyboard", [[(2.0, "a")]]),
        "mouse_unknown": group("mouse_unknown", [[(2.0, 0, 0), (2.5, 0, 0)]]),
    }
    values = evaluate(groups, 1, Options()).values
    assert values["device_switch_count"].tolist() == [2]
    assert values["homing_time_median_s"].tolist() == [0.25]


@pytest.mark.parametrize(
    ("trial", "switches", "homing"),
    [
        ({"keys": [(1, "a"), (2, "b")]}, 0, math.nan),
        ({"moves": [(1, 0, 0)], "clicks": [(2, 0, 0)], "scrolls": [(3, 0, 0)]}, 0, math.nan),
        ({"moves": [(1, 0, 0), (4, 0, 0)], "keys": [(2, "a"), (3.5, "a")]}, 2, 0.75),
        ({"moves": [(1, 0, 0), (2, 0, 0)], "keys": [(2, "a")]}, 1, 0),  # at equal times the hand stays
        ({"keys": [(1, "a"), (2, "a")], "clicks": [(2, 0, 0)]}, 1, 0),
        ({"keys": [(i, "a") for i in range(9)], "moves": [(i + 0.5, 0, 0) for i in range(9)]}, 17, 0.5),
    ],
)
def test_homing(trial, switches, homing):
    values = measured(**trial)
    assert values["device_switch_count"] == switches
    assert values["homing_time_median_s"] == pytest.approx(homing, nan_ok=True)
