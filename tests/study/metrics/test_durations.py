"""Active time and switches between mouse and keyboard, by hand."""

import math

import pytest

from analytics_kit.options import Options
from analytics_kit.study.metrics.evaluate import evaluate
from tests.study.metrics.trial_metrics import make_group, measure_trial


def test_active_time_sums_the_gaps_between_all_kinds():
    values = measure_trial(moves=[(0.0, 0, 0), (3.0, 9, 9)], keys=[(1.5, "a"), (5.01, "b")])
    assert values["active_time_s"] == pytest.approx(3.0)  # 1.5 + 1.5; 2.01 is too long
    assert values["completion_time_s"] == 5.01


def test_events_of_unknown_kind_count_as_the_mouse():
    groups = {
        "mouse_clicks": make_group("mouse_clicks", [[(1.0, 0, 0), (1.1, 0, 0)]]),
        "keyboard": make_group("keyboard", [[(2.0, "a")]]),
        "mouse_unknown": make_group("mouse_unknown", [[(2.0, 0, 0), (2.5, 0, 0)]]),
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
def test_device_switches_are_counted_and_homing_time_is_their_median(trial, switches, homing):
    values = measure_trial(**trial)
    assert values["device_switch_count"] == switches
    assert values["homing_time_median_s"] == pytest.approx(homing, nan_ok=True)
