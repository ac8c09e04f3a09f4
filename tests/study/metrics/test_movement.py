"""The single rules of the kernels: thresholds at their edges, signs, ties, and published reference numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_kit.study.events import quality_flags
from analytics_kit.study.metrics.deviation import area_under_curve, maximum_deviations
from analytics_kit.study.metrics.movement import path_length, speed_max, speeds
from analytics_kit.study.metrics.primitives import median, merge_equal_times, min_max
from tests.study.metrics.trial_metrics import group, measured


def corner():
    """(0, -400) → (0, 400) → (-800, 400), one pixel every 10 ms, in mousetrap's y-up coordinates."""
    x = np.concatenate([np.zeros(800), np.arange(0, -801, -1.0)])
    y = np.concatenate([np.arange(-400, 400, 1.0), np.full(801, 400.0)])
    return np.arange(1601) / 100, x, y


def diagonal():
    """(0, -400) → (-800, 400), one pixel in x and y every 10 ms."""
    x = np.arange(0, -801, -1.0)
    return np.arange(801) / 100, x, np.arange(-400, 401, 1.0)


def test_corner():
    t, x, y = corner()
    assert path_length(x, y) == pytest.approx(1600, rel=1e-12)
    assert maximum_deviations(t, x, y)[:2] == (pytest.approx(565.6854, abs=5e-5), 8.0)
    assert area_under_curve(x, y) == pytest.approx(320_000, rel=1e-12)


def test_diagonal():
    t, x, y = diagonal()
    assert path_length(x, y) == pytest.approx(1131.371, abs=5e-4)
    assert maximum_deviations(t, x, y)[0] == pytest.approx(0, abs=1e-9)
    assert area_under_curve(x, y) == pytest.approx(0, abs=1e-6)
    assert speed_max(t, speeds(t, x, y, np.empty(len(t))))[0] / 1000 == pytest.approx(math.sqrt(2) / 10, rel=1e-9)


def test_corner_through_all_metrics():
    t, x, y = corner()
    values = measured(moves=list(zip(t, x, y, strict=True)))
    assert values["path_length_px"] == pytest.approx(1600)
    assert values["maximum_absolute_deviation_px"] == pytest.approx(565.6854, abs=5e-5)
    assert values["maximum_absolute_deviation_time_s"] == 8.0
    assert values["area_under_curve_px2"] == pytest.approx(320_000)
    assert values["displacement_px"] == pytest.approx(1131.371, abs=5e-4)
    assert values["speed_max_px_s"] == pytest.approx(100)
    assert values["movement_time_s"] == pytest.approx(16)


@pytest.mark.parametrize(
    ("points", "deviation", "area"),
    [
        # end: right and down the screen (larger y)
        ([(0, 0), (0, 10), (10, 10)], 50**0.5, 50), ([(0, 0), (10, 0), (10, 10)], -(50**0.5), -50),
        # end: left and down
        ([(0, 0), (0, 10), (-10, 10)], 50**0.5, 50), ([(0, 0), (-10, 0), (-10, 10)], -(50**0.5), -50),
        # end: right and up, signs flipped
        ([(0, 0), (0, -10), (10, -10)], 50**0.5, 50), ([(0, 0), (10, 0), (10, -10)], -(50**0.5), -50),
        # end: left and up
        ([(0, 0), (0, -10), (-10, -10)], 50**0.5, 50), ([(0, 0), (-10, 0), (-10, -10)], -(50**0.5), -50),
        # level, and straight down
        ([(0, 0), (5, 5), (10, 0)], 5, -25), ([(0, 0), (5, 5), (0, 10)], 5, 25),
        # straight up, signs flipped
        ([(0, 0), (5, -5), (0, -10)], -5, -25),
        # back at the start: distances to it
        ([(0, 0), (3, 4), (0, 0)], 5, 0),
    ],
)  # fmt: skip
def test_signs_of_deviation_and_area(points, deviation, area):
    values = measured(moves=[(i / 10, *point) for i, point in enumerate(points)])
    assert values["maximum_absolute_deviation_px"] == pytest.approx(deviation)
    assert values["area_under_curve_px2"] == pytest.approx(area)


def test_of_equal_deviations_and_speeds_the_first_counts():
    zigzag = [(0.0, 0, 0), (0.1, 5, 5), (0.2, 10, 0), (0.3, 15, 5), (0.4, 20, 0)]
    values = measured(moves=zigzag)
    assert values["maximum_absolute_deviation_time_s"] == 0.1
    steps = [(0.0, 0, 0), (0.25, 10, 0), (0.5, 20, 0), (0.75, 30, 0)]
    assert measured(moves=steps)["speed_max_time_s"] == 0.125


def test_equal_times_keep_the_last_row():
    t = np.array([0.1, 0.1, 0.1, 0.2, 0.2])
    merged = np.empty((3, 5))
    assert merge_equal_times(t, np.arange(5.0), -np.arange(5.0), merged) == 2
    assert merged[:, :2].tolist() == [[0.1, 0.2], [2, 4], [-2, -4]]


def test_all_times_equal():
    values = measured(moves=[(0.5, i, i) for i in range(5)], keys=[(0.5, "a")] * 3, clicks=[(0.5, 1, 1)] * 4,
                      scrolls=[(0.5, 0, 0)] * 3)  # fmt: skip
    assert values["movement_count"] == 5
    assert values["path_length_px"] == 0
    for name in ("speed_max_px_s", "speed_mean_px_s", "speed_median_px_s", "keystroke_rate_per_s",
                 "words_per_minute_gross", "scroll_rate_per_s", "inter_key_interval_cv",
                 "path_efficiency"):  # fmt: skip
        assert math.isnan(values[name]), name
    assert values["inter_key_interval_mean_s"] == values["inter_key_interval_sd_s"] == 0


@pytest.mark.parametrize(("gap", "idle"), [(0.1, 0), (0.11, 0.11), (0.09, 0)])
@pytest.mark.parametrize("start", [0.0, 0.2, 0.3, 1.1, 7.77])
def test_a_gap_of_just_the_threshold_is_not_idle(gap, idle, start):
    """0.3 - 0.2 is 0.09999…98 and 1.2 - 1.1 is 0.10000…09 in floating point."""
    values = measured(moves=[(start, 0, 0), (round(start + gap, 2), 20, 0)])
    assert values["idle_time_s"] == pytest.approx(idle, abs=1e-12)


@pytest.mark.parametrize(
    ("option", "name", "below", "above"),
    [("idle_gap_s", "idle_time_s", 0.7, 0.0), ("hover_gap_s", "hover_count", 1, 0),
     ("scroll_gap_s", "scroll_burst_count", 2, 1), ("activity_gap_s", "active_time_s", 0.0, 0.7)],
)  # fmt: skip
def test_thresholds_are_options(option, name, below, above):
    rows = [(0.3, 0, 0), (1.0, 50, 0)]
    trial = {"scrolls": rows} if name.startswith("scroll") else {"moves": rows}
    assert measured({option: 0.69}, **trial)[name] == pytest.approx(below)
    assert measured({option: 0.7}, **trial)[name] == pytest.approx(above)


def test_active_time_over_merged_kinds():
    values = measured(moves=[(0.0, 0, 0), (3.0, 9, 9)], keys=[(1.5, "a"), (5.01, "b")])
    assert values["active_time_s"] == pytest.approx(3.0)  # 1.5 + 1.5; 2.01 is too long
    assert values["completion_time_s"] == 5.01


def test_nothing_moved_but_idle():
    values = measured(moves=[(0.0, 0, 0), (1.0, 30, 40), (2.0, 60, 80)])
    assert (values["movement_time_s"], values["idle_time_s"]) == (0, 2)
    assert math.isnan(values["speed_mean_px_s"])
    assert math.isnan(values["speed_median_px_s"])
    assert values["speed_max_px_s"] == 50


@pytest.mark.parametrize(("rows", "pairs", "odd"), [(1, 0, 1), (2, 1, 0), (3, 1, 1), (5, 2, 1)])
def test_odd_click_files(rows, pairs, odd):
    values = measured(clicks=[(i / 10, 5, 5) for i in range(rows)])
    assert (values["click_count"], values["unpaired_click_events"]) == (pairs, odd)
    assert math.isnan(values["click_hold_mean_s"]) == bool(odd)
    assert math.isnan(values["click_hold_median_s"]) == bool(odd)


def test_way_from_click_to_click():
    clicks = [(1, 0, 0), (1, 0, 0), (2, 30, 40), (2.1, 30, 40)]
    straight = measured(clicks=clicks, moves=[(0.5, 900, 900), (1.5, 15, 20), (2.5, 900, 900)])
    assert straight["inter_click_path_efficiency"] == pytest.approx(1)
    detour = measured(clicks=clicks, moves=[(1.5, 30, 0)])
    assert detour["inter_click_path_efficiency"] == pytest.approx(50 / 70)
    assert measured(clicks=clicks, moves=[])["inter_click_path_efficiency"] == 1
    assert math.isnan(measured(clicks=[(1, 5, 5)] * 4, moves=[])["inter_click_path_efficiency"])
    assert math.isnan(measured(clicks=clicks)["inter_click_path_efficiency"])


def test_clicks_without_time():
    assert math.isnan(measured(clicks=[(0, 1, 1), (0, 1, 1)])["click_rate_per_min"])


@pytest.mark.parametrize(
    ("keys", "per_character", "corrections", "gross", "net"),
    [
        (["Key.backspace", "Key.backspace"], math.nan, math.nan, math.nan, math.nan),
        (["a", "Key.backspace"], math.nan, math.nan, 0, math.nan),
        (["Key.shift", "A", "Key.enter", "b"], 4 / 2, 0, 12 / 3, 12 / 3),
        (["a", "b", "c", "Key.backspace"], 4 / 2, 1 / 2, 24 / 3, 12 / 3),
        (["Key.delete", "a", " ", ",", "7"], 5 / 4, 0, 36 / 4, 36 / 4),
    ],
)
def test_characters_and_corrections(keys, per_character, corrections, gross, net):
    values = measured(keys=[(float(i), key) for i, key in enumerate(keys)])
    for name, expected in (
        ("keystrokes_per_character", per_character), ("error_corrections_per_character", corrections),
        ("words_per_minute_gross", gross), ("words_per_minute_net", net),
    ):  # fmt: skip
        assert values[name] == pytest.approx(expected, nan_ok=True), name


def test_rows_are_sorted_stably_with_their_keys():
    made = group("keyboard", [[(0.3, "a"), (0.1, "7"), (0.1, " ")], [(0.1, "a")]])
    assert made.table.t.tolist() == [0.1, 0.1, 0.3, 0.1]
    assert made.table.key_class.tolist() == [1, 3, 0, 0]


def test_doubts():
    t = np.array([0.1, 0.3, 0.2, 0.1, -1.0])
    x = np.array([0.0, 65535.0, 0.0, 0.0, -40000.0])
    found = np.zeros((2, 3, 2), np.int64)
    quality_flags.count_flags(t, x, np.zeros(5), np.array([0, 3, 5]), 32767.0, found)
    assert found.tolist() == [[[1, 2], [0, 0], [1, 1]], [[1, 1], [1, 1], [1, 1]]]
    assert quality_flags.find_unsorted(t, np.array([0, 3]), np.array([3, 5])).tolist() == [0, 1]


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.floats(allow_nan=False)), min_size=1, max_size=60))
def test_median_and_extent_are_numpys(values):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.median(values)
    assert min_max(np.array(values)) == (min(values), max(values))
    np.testing.assert_array_equal(median(np.array(values)), expected)


@pytest.mark.parametrize("values", [[3.0] * 5000, list(range(5000)), list(range(5000, 0, -1)), [1.0, 2.0] * 2500])
def test_median_of_what_makes_quickselect_slow(values):
    assert median(np.array(values, float)) == np.median(values)
