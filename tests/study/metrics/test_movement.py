"""Path length, rest, speed and acceleration: thresholds at their edges, ties, and rest only."""

import math

import pytest

from tests.study.metrics.trial_metrics import measure_trial


def test_time_of_equal_maxima_is_the_first():
    zigzag = [(0.0, 0, 0), (0.1, 5, 5), (0.2, 10, 0), (0.3, 15, 5), (0.4, 20, 0)]
    values = measure_trial(moves=zigzag)
    assert values["maximum_absolute_deviation_time_s"] == 0.1
    steps = [(0.0, 0, 0), (0.25, 10, 0), (0.5, 20, 0), (0.75, 30, 0)]
    assert measure_trial(moves=steps)["speed_max_time_s"] == 0.125


@pytest.mark.parametrize(("gap", "idle"), [(0.1, 0), (0.11, 0.11), (0.09, 0)])
@pytest.mark.parametrize("start", [0.0, 0.2, 0.3, 1.1, 7.77])
def test_idle_time_excludes_a_gap_equal_to_the_threshold(gap, idle, start):
    """0.3 - 0.2 is 0.09999…98 and 1.2 - 1.1 is 0.10000…09 in floating point."""
    values = measure_trial(moves=[(start, 0, 0), (round(start + gap, 2), 20, 0)])
    assert values["idle_time_s"] == pytest.approx(idle, abs=1e-12)


def test_speed_is_na_if_all_gaps_are_idle():
    values = measure_trial(moves=[(0.0, 0, 0), (1.0, 30, 40), (2.0, 60, 80)])
    assert (values["movement_time_s"], values["idle_time_s"]) == (0, 2)
    assert math.isnan(values["speed_mean_px_s"])
    assert math.isnan(values["speed_median_px_s"])
    assert values["speed_max_px_s"] == 50


def test_acceleration_of_constant_speed_is_zero():
    values = measure_trial(moves=[(i / 10, 3.0 * i, 4.0 * i) for i in range(5)])
    assert values["acceleration_max_px_s2"] == pytest.approx(0, abs=1e-9)
    assert values["acceleration_min_px_s2"] == pytest.approx(0, abs=1e-9)


def test_time_of_equal_accelerations_is_the_first():
    x = [0, 0, 8, 8, 16]  # from rest to 32 px/s and back, twice, on times that are exact in binary
    values = measure_trial(moves=[(i / 4, v, 0) for i, v in enumerate(x)])
    assert values["acceleration_max_px_s2"] == 128
    assert values["acceleration_max_time_s"] == 0.25
