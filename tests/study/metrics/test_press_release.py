"""Presses and releases are paired as logged, within a trial."""

import math

import numpy as np
import pytest

from analytics_kit.study.metrics import press_release
from tests.study.metrics.trial_metrics import measure_with_columns


def test_clicks_pair_as_logged():
    rows = [(t, t, 0.0) for t in (1.0, 1.1, 2.0, 3.0, 3.5, 4.0)]
    values = measure_with_columns("mouse_clicks", rows, action=[1, 0, 0, 1, 1, 0])
    # a release without a press, a press without a release, a pair of 1 s, a release, a press
    assert (values["click_count"], values["unpaired_click_events"], values["click_event_count"]) == (1, 4, 6)
    assert values["click_hold_mean_s"] == values["click_hold_median_s"] == 1.0
    assert values["time_to_first_click_s"] == 1.1
    assert values["inter_click_interval_median_s"] == pytest.approx((0.9 + 2.0) / 2)
    assert values["drag_count"] == 0
    alone = measure_with_columns("mouse_clicks", rows[:2], action=[0, 0])
    assert (alone["click_count"], alone["unpaired_click_events"]) == (0, 2)
    assert math.isnan(alone["drag_count"])
    assert math.isnan(alone["click_hold_mean_s"])


def test_a_key_held_from_one_trial_to_the_next_is_not_paired():
    t, number, action = np.array([1.0, 0.5, 0.6]), np.array([1, 1, 1]), np.array([0, 1, 0], np.int8)
    rows, released, starts, ends = press_release.pair_keys(t, number, action, np.array([0, 1]), np.array([1, 3]))
    assert (rows.tolist(), starts.tolist(), ends.tolist()) == ([0, 2], [0, 1], [1, 2])
    assert np.isnan(released).all()
