"""Metrics of several families from one trial: a known path, equal times, options."""

import math

import pytest

from tests.study.metrics.trial_metrics import corner_path, measure_trial


def test_corner_has_the_known_metrics():
    t, x, y = corner_path()
    values = measure_trial(moves=list(zip(t, x, y, strict=True)))
    assert values["path_length_px"] == pytest.approx(1600)
    assert values["maximum_absolute_deviation_px"] == pytest.approx(565.6854, abs=5e-5)
    assert values["maximum_absolute_deviation_time_s"] == 8.0
    assert values["area_under_curve_px2"] == pytest.approx(320_000)
    assert values["displacement_px"] == pytest.approx(1131.371, abs=5e-4)
    assert values["speed_max_px_s"] == pytest.approx(100)
    assert values["movement_time_s"] == pytest.approx(16)


def test_speeds_and_rates_are_na_if_all_times_are_equal():
    values = measure_trial(moves=[(0.5, i, i) for i in range(5)], keys=[(0.5, "a")] * 3, clicks=[(0.5, 1, 1)] * 4,
                           scrolls=[(0.5, 0, 0)] * 3)  # fmt: skip
    assert values["movement_count"] == 5
    assert values["path_length_px"] == 0
    for name in ("speed_max_px_s", "speed_mean_px_s", "speed_median_px_s", "keystroke_rate_per_s",
                 "words_per_minute_gross", "scroll_rate_per_s", "inter_key_interval_cv",
                 "path_efficiency"):  # fmt: skip
        assert math.isnan(values[name]), name
    assert values["inter_key_interval_mean_s"] == values["inter_key_interval_sd_s"] == 0


@pytest.mark.parametrize(
    ("option", "name", "below", "above"),
    [("idle_gap_s", "idle_time_s", 0.7, 0.0), ("hover_gap_s", "hover_count", 1, 0),
     ("scroll_gap_s", "scroll_burst_count", 2, 1), ("activity_gap_s", "active_time_s", 0.0, 0.7)],
)  # fmt: skip
def test_thresholds_follow_the_options(option, name, below, above):
    rows = [(0.3, 0, 0), (1.0, 50, 0)]
    trial = {"scrolls": rows} if name.startswith("scroll") else {"moves": rows}
    assert measure_trial({option: 0.69}, **trial)[name] == pytest.approx(below)
    assert measure_trial({option: 0.7}, **trial)[name] == pytest.approx(above)


def test_click_rate_is_na_for_a_trial_of_no_duration():
    assert math.isnan(measure_trial(clicks=[(0, 1, 1), (0, 1, 1)])["click_rate_per_min"])
