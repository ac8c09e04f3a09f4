"""Segments between clicks: accuracy measures, efficiency and pauses before a press, by hand."""

import math

import numpy as np
import pytest

from analytics_kit.study.metrics import aiming
from tests.study.metrics.trial_metrics import measure_trial


def test_inter_click_path_efficiency_is_straight_distance_by_path_length():
    clicks = [(1, 0, 0), (1, 0, 0), (2, 30, 40), (2.1, 30, 40)]
    straight = measure_trial(clicks=clicks, moves=[(0.5, 900, 900), (1.5, 15, 20), (2.5, 900, 900)])
    assert straight["inter_click_path_efficiency"] == pytest.approx(1)
    detour = measure_trial(clicks=clicks, moves=[(1.5, 30, 0)])
    assert detour["inter_click_path_efficiency"] == pytest.approx(50 / 70)
    assert measure_trial(clicks=clicks, moves=[])["inter_click_path_efficiency"] == 1
    assert math.isnan(measure_trial(clicks=[(1, 5, 5)] * 4, moves=[])["inter_click_path_efficiency"])
    assert math.isnan(measure_trial(clicks=clicks)["inter_click_path_efficiency"])


# From (0, 0) to (100, 0) and back to (0, 0), where it clicks twice at the same place.
CLICKS = [(1, 0, 0), (1, 0, 0), (2, 100, 0), (2, 100, 0), (3, 0, 0), (3, 0, 0), (4, 0, 0), (4, 0, 0)]


def aiming_values(*moves, clicks=CLICKS):
    values = measure_trial(clicks=clicks, moves=list(moves))
    return [values[name] for name in aiming.AIMING_METRICS[2:]]


def test_aiming_by_hand():
    out = [(1.1, 10, 4), (1.2, 20, -2), (1.3, 15, 0), (1.4, 30, 6)]  # 4, -2, 0 and 6 px on the right
    back = [(2.2, 80, 10), (2.4, 40, 10)]  # 10 px on the left
    spread = np.std([4, -2, 0, 6], ddof=1)
    # crossings: + - +; across: down, up, up; along: on, back, on; on the way back nothing changes
    assert aiming_values(*out, *back) == pytest.approx([2, 1, 2, spread / 2, (12 / 4 + 10) / 2, (8 / 4 - 10) / 2])
    assert aiming_values(*out) == pytest.approx([2, 1, 2, spread, 12 / 4, 8 / 4])


def test_segments_without_axis_or_rows_are_na_or_zero():
    assert np.isnan(aiming_values((1.1, 5, 5), clicks=CLICKS[4:])).all()  # no axis
    assert np.isnan(aiming_values((1.1, 5, 5), clicks=CLICKS[:2])).all()  # one press
    assert aiming_values((0.5, 9, 9), (1.0, 5, 5), (3.5, 5, 5))[:3] == [0, 0, 0]  # nothing in between
    assert np.isnan(aiming_values((0.5, 9, 9), (2.0, 5, 5))[3:]).all()
    one = aiming_values((1.5, 9, -7))
    assert (math.isnan(one[3]), one[4], one[5]) == (True, 7, -7)


def test_points_on_the_axis_are_no_crossings():
    """Rounding errors of (3, 7) · k / 7 must not count as sides."""
    clicks = [(1, 0, 0), (1, 0, 0), (2, 3, 7), (2, 3, 7)]
    on_it = [(1 + k / 20, 3 * k / 19, 7 * k / 19) for k in range(1, 19)]
    assert aiming_values(*on_it, clicks=clicks)[:3] == [0, 0, 0]


def test_pause_before_a_press_is_since_the_last_movement():
    clicks = [(1, 0, 0), (1, 0, 0), (2, 0, 0), (2, 0, 0), (3, 0, 0), (3, 0, 0)]
    assert measure_trial(clicks=clicks, moves=[(1.5, 0, 0), (2.0, 0, 0), (2.25, 0, 0)])[
        "pre_click_pause_median_s"
    ] == pytest.approx((0 + 0.75) / 2)
    assert math.isnan(measure_trial(clicks=clicks, moves=[(5, 0, 0)])["pre_click_pause_median_s"])
