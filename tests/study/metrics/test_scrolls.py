"""Distance and reversals of the wheel, by hand."""

import math

import pytest

from tests.study.metrics.trial_metrics import measure_trial, measure_with_columns


def test_wheel_steps_give_distance_and_reversals():
    rows = [(i / 10, 0, 0) for i in range(6)]
    values = measure_with_columns("mouse_scrolls", rows, dx=[0, 3, 0, 0, 0, -1], dy=[2, 4, 0, -5, 1, 0])
    assert values["scroll_distance_px"] == pytest.approx(2 + 5 + 0 + 5 + 1 + 1)
    assert values["scroll_reversal_count"] == 3  # down, up, down again; right, left
    one = measure_with_columns("mouse_scrolls", rows[:1], dx=[0], dy=[0])
    assert (one["scroll_distance_px"], one["scroll_reversal_count"]) == (0, 0)
    none = measure_trial(scrolls=rows)
    assert math.isnan(none["scroll_distance_px"])
    assert math.isnan(none["scroll_reversal_count"])


@pytest.mark.parametrize("known", ["dx", "dy"])
def test_one_direction_of_wheel_steps_gives_no_distance(known):
    rows = [(0.0, 0, 0), (0.1, 0, 0), (0.2, 0, 0)]
    values = measure_with_columns("mouse_scrolls", rows, **{known: [2, -3, 1]})
    assert math.isnan(values["scroll_distance_px"])
    assert values["scroll_reversal_count"] == 2 if known == "dy" else math.isnan(values["scroll_reversal_count"])
