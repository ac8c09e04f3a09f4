"""Does every metric of the catalogue come out as by hand, on nothing, on little, and moved elsewhere?"""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from measuring import KIND, measured, measured_all

from analytics_kit.study.catalogue import BY_NAME, CATALOGUE, NAMES

NA = math.nan
SAME = object()
"""The value does not change."""

# One trial, by hand. Of the two rows at 0.20 s the last counts for all that needs a path.
MOVES = [(0.10, 10, 20), (0.15, 13, 24), (0.20, 99, 99), (0.20, 13, 36), (0.60, 21, 51), (0.65, 21, 44)]
# steps: 3-4-5, 12 down, 8-15-17, 7 up: 5 + 12 + 17 + 7 = 41 px; from (10, 20) to (21, 44): (11, 24)
STRAIGHT = math.sqrt(11**2 + 24**2)
CLICKS = [(0.5, 10, 10), (0.6, 10, 10), (1.0, 40, 50), (1.2, 40, 50), (2.0, 40, 90), (2.6, 40, 90)]
SCROLLS = [(1.0, 5, 5), (1.1, 5, 5), (1.2, 5, 5), (2.0, 5, 5), (2.2, 5, 5)]
KEYS = [(1.0, "a"), (1.2, "b"), (1.6, "Key.backspace"), (1.7, "c"), (2.5, " ")]
FULL = {"moves": MOVES, "clicks": CLICKS, "scrolls": SCROLLS, "keys": KEYS}
# The movement rows between the clicks at 0.5 s and 1.0 s are those at 0.60 and 0.65 s.
FIRST_WAY = math.hypot(11, 41) + 7 + math.hypot(19, 6)
EFFICIENCY = (50 / FIRST_WAY + 40 / 40) / 2

# metric: (empty files, one event of each kind, two events of each kind, by hand)
ONE = {"moves": [(0.5, 3, 4)], "clicks": [(0.7, 3, 4)], "scrolls": [(0.8, 0, 0)], "keys": [(0.9, "a")]}
TWO = {
    "moves": [(0.5, 3, 4), (0.6, 6, 8)], "clicks": [(0.7, 3, 4), (0.75, 3, 4)], "scrolls": [(0.8, 0, 0), (0.9, 0, 0)],
    "keys": [(1.0, "a"), (1.5, "b")],
}  # fmt: skip
EXPECTED = {
    "movement_count": (0, 1, 2, 6),
    "click_event_count": (0, 1, 2, 6),
    "scroll_event_count": (0, 1, 2, 5),
    "keystroke_count": (0, 1, 2, 5),
    "completion_time_s": (NA, 0.9, 1.5, 2.6),
    "time_to_first_event_s": (NA, 0.5, 0.5, 0.1),
    "time_to_first_click_s": (NA, 0.7, 0.7, 0.5),
    "active_time_s": (NA, 0.4, 1.0, 2.5),
    "path_length_px": (NA, 0, 5, 41),
    "displacement_px": (NA, 0, 5, STRAIGHT),
    "path_efficiency": (NA, NA, 1, STRAIGHT / 41),
    "initiation_time_s": (NA, 0.5, 0.5, 0.1),
    "idle_time_s": (NA, 0, 0, 0.4),
    "hover_count": (NA, 0, 0, 1),
    "hover_time_s": (NA, 0, 0, 0.4),
    "movement_time_s": (NA, 0, 0.1, 0.15),
    "x_min_px": (NA, 3, 3, 10),
    "x_max_px": (NA, 3, 6, 21),
    "y_min_px": (NA, 4, 4, 20),
    "y_max_px": (NA, 4, 8, 51),
    "bounding_area_px2": (NA, 0, 12, 11 * 31),
    "speed_mean_px_s": (NA, NA, 50, 41 / 0.15),
    "speed_median_px_s": (NA, NA, 50, 120),  # of 100, 240, 42.5 and 140
    "speed_max_px_s": (NA, NA, 50, 240),
    "speed_max_time_s": (NA, NA, 0.55, 0.175),
    "maximum_absolute_deviation_px": (NA, NA, 0, 104 / STRAIGHT),  # at (13, 36): 11·16 - 24·3 = 104
    "maximum_absolute_deviation_time_s": (NA, NA, 0.5, 0.2),
    "area_under_curve_px2": (NA, NA, 0, 62),  # ½ (36 - 83 - 77) = -62, negated as the end has larger x and y
    "click_count": (0, 0, 1, 3),
    "unpaired_click_events": (0, 1, 0, 0),
    "click_hold_mean_s": (NA, NA, 0.05, 0.3),  # 0.1, 0.2, 0.6
    "click_hold_median_s": (NA, NA, 0.05, 0.2),
    "inter_click_interval_median_s": (NA, NA, NA, 0.75),  # 0.5, 1.0
    "click_rate_per_min": (NA, 0, 1 / 1.5 * 60, 3 / 2.6 * 60),
    "inter_click_path_efficiency": (NA, NA, NA, EFFICIENCY),
    "scroll_burst_count": (0, 1, 1, 2),
    "scroll_time_s": (0, 0, 0.1, 0.4),
    "scroll_rate_per_s": (NA, NA, 20, 12.5),
    "scroll_distance_px": (NA, NA, NA, NA),
    "scroll_reversal_count": (NA, NA, NA, NA),
    "inter_key_interval_mean_s": (NA, NA, 0.5, 0.375),  # 0.2, 0.4, 0.1, 0.8
    "inter_key_interval_median_s": (NA, NA, 0.5, 0.3),
    "inter_key_interval_sd_s": (NA, NA, NA, math.sqrt(0.2875 / 3)),
    "inter_key_interval_cv": (NA, NA, NA, math.sqrt(0.2875 / 3) / 0.375),
    "keystroke_rate_per_s": (NA, NA, 2, 4 / 1.5),
    "words_per_minute_gross": (NA, NA, 24, 24),  # 12 · 3 characters more / 1.5 s
    "words_per_minute_net": (NA, NA, 24, 16),
    "keystrokes_per_character": (NA, 1, 1, 5 / 3),
    "backspace_rate": (NA, 0, 0, 0.2),
    "error_corrections_per_character": (NA, 0, 0, 1 / 3),
}
EMPTY = {"moves": [], "clicks": [], "scrolls": [], "keys": []}
each_metric = pytest.mark.parametrize("name", NAMES)


def check(value, expected):
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_every_metric_is_tested():
    assert list(EXPECTED) == list(NAMES)


@each_metric
@pytest.mark.parametrize("case", ["empty files", "one event", "two events", "by hand"])
def test_metric(name, case):
    column = ["empty files", "one event", "two events", "by hand"].index(case)
    check(measured(**[EMPTY, ONE, TWO, FULL][column])[name], EXPECTED[name][column])


@each_metric
def test_no_files(name):
    check(measured()[name], NA)


@each_metric
def test_na_without_the_files_it_needs(name):
    """A metric is NA when one of the kinds that the catalogue names is missing, and does not need the others."""
    for part, kind in KIND.items():
        value = measured(**{k: v for k, v in FULL.items() if k != part})[name]
        if kind in BY_NAME[name].needs:
            check(value, NA)
    needed = {part: FULL[part] for part, kind in KIND.items() if kind in BY_NAME[name].needs}
    if needed and name != "click_rate_per_min":
        check(measured(**needed)[name], EXPECTED[name][3])


PLACES = {"x_min_px": "x", "x_max_px": "x", "y_min_px": "y", "y_max_px": "y"}
MOMENTS = {
    "completion_time_s", "time_to_first_event_s", "time_to_first_click_s", "initiation_time_s", "speed_max_time_s",
    "maximum_absolute_deviation_time_s",
}  # fmt: skip


def moved(trial, dt=0.0, dx=0.0, dy=0.0, scale=1.0, slower=1.0):
    return {
        kind: [(slower * row[0] + dt, row[1]) if kind == "keys" else
               (slower * row[0] + dt, scale * row[1] + dx, scale * row[2] + dy) for row in rows]
        for kind, rows in trial.items()
    }  # fmt: skip


def close(value, expected):
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@each_metric
def test_shift_of_the_origin(name):
    shift = {"x": 700, "y": -300}.get(PLACES.get(name), 0)
    close(measured(**moved(FULL, dx=700, dy=-300))[name], EXPECTED[name][3] + shift)


@each_metric
def test_shift_of_time(name):
    expected = EXPECTED[name][3] + (5 if name in MOMENTS else 0)
    if name == "click_rate_per_min":
        expected = 3 / 7.6 * 60
    close(measured(**moved(FULL, dt=5))[name], expected)


@each_metric
def test_scale_of_space(name):
    power = {"px": 1, "px2": 2, "px/s": 1}.get(BY_NAME[name].unit, 0)
    close(measured(**moved(FULL, scale=3))[name], EXPECTED[name][3] * 3**power)


@each_metric
def test_scale_of_time(name):
    """In slow motion, thresholds slowed with it, all times are longer and all rates lower."""
    power = {"s": 1, "px/s": -1, "1/s": -1, "1/min": -1, "wpm": -1}.get(BY_NAME[name].unit, 0)
    thresholds = {"idle_gap_s": 0.2, "hover_gap_s": 0.5, "scroll_gap_s": 0.4, "activity_gap_s": 4.0}
    close(measured(thresholds, **moved(FULL, slower=2))[name], EXPECTED[name][3] * 2.0**power)


@each_metric
def test_order_of_rows_does_not_matter_but_for_equal_times(name):
    shuffled = {kind: sorted(rows, key=lambda row: row[0] * 7919 % 1) for kind, rows in FULL.items()}
    assert shuffled["keys"] != KEYS
    close(measured(**shuffled)[name], EXPECTED[name][3])


def test_trials_do_not_mix():
    trials = [FULL, {}, ONE, EMPTY, moved(FULL, dx=5), TWO, {"keys": KEYS}, FULL]
    together = measured_all(trials)
    for i, trial in enumerate(trials):
        alone = measured(**trial)
        for name in NAMES:
            assert together[name][i] == alone[name] or np.isnan([together[name][i], alone[name]]).all(), name


times = st.one_of(
    st.integers(-50, 400).map(lambda n: n / 100), st.sampled_from([0.0, 1e-300, 1e300, -1e300, 5e-324, 1e9])
)
places = st.one_of(st.integers(-100, 3000).map(float), st.sampled_from([65535.0, 1e200, -1e308, 5e-324]))
rows = st.lists(st.tuples(times, places, places), max_size=9)
presses = st.lists(st.tuples(times, st.sampled_from(["a", "Key.backspace", "Key.shift", " ", ""])), max_size=9)
trials = st.fixed_dictionaries({}, optional={"moves": rows, "clicks": rows, "scrolls": rows, "keys": presses})


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(trials)
@example({"moves": [(0.0, 0.0, 0.0), (5e-324, 1e308, -1e308)], "clicks": [(0.0, 1.0, 1.0)] * 4})
def test_no_metric_is_ever_infinite_or_out_of_its_range(trial):
    for name, value in measured(**trial).items():
        assert not math.isinf(value), name
        unit = BY_NAME[name].unit
        if unit in ("count", "share", "1/s") or name.startswith(("path_l", "hover", "idle", "active", "bounding")):
            assert not value < 0, name
        if unit in ("share", "0-1"):
            assert not value > 1 + 1e-9, name


@pytest.mark.parametrize("metric", CATALOGUE, ids=NAMES)
def test_counts_are_whole(metric):
    value = measured(**FULL)[metric.name]
    if metric.is_count and metric.native != "unavailable":
        assert value == int(value)
    assert metric.name.endswith(
        {"s": "_s", "px": "_px", "px2": "_px2", "px/s": "_px_s", "1/s": "_per_s"}.get(metric.unit, "")
    )
