"""Pairs, double clicks, rage clicks and drags, with thresholds at their edges."""

import math

import pytest

from tests.study.metrics.trial_metrics import measure_trial


@pytest.mark.parametrize(("rows", "pairs", "odd"), [(1, 0, 1), (2, 1, 0), (3, 1, 1), (5, 2, 1)])
def test_odd_number_of_click_rows_gives_no_hold_time(rows, pairs, odd):
    values = measure_trial(clicks=[(i / 10, 5, 5) for i in range(rows)])
    assert (values["click_count"], values["unpaired_click_events"]) == (pairs, odd)
    assert math.isnan(values["click_hold_mean_s"]) == bool(odd)
    assert math.isnan(values["click_hold_median_s"]) == bool(odd)


def click_rows(*presses, far=0):
    """Return the click rows of presses at (t, x, y), each released 0.01 s later and `far` px to the right."""
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
def test_double_click_is_a_pair_of_close_presses(presses, doubles):
    assert measure_trial(clicks=click_rows(*presses))["double_click_count"] == doubles


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
def test_rage_click_is_a_run_of_three_close_presses(presses, rages):
    assert measure_trial(clicks=click_rows(*presses))["rage_click_count"] == rages


@pytest.mark.parametrize(("far", "drags"), [(4, 0), (4.1, 2)])
def test_drag_is_longer_than_drag_px_and_na_without_known_pairs(far, drags):
    rows = click_rows((1, 0, 0), (2, 0, 0), far=far)
    assert measure_trial(clicks=rows)["drag_count"] == drags
    odd = measure_trial(clicks=rows[:-1])
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
def test_click_thresholds_follow_the_options(option, name, at_it, below):
    rows = click_rows((1, 0, 0), (1.3, 3, 0), (1.6, 0, 0), far=2)
    assert measure_trial({option: at_it}, clicks=rows)[name] >= 1
    assert measure_trial({option: below}, clicks=rows)[name] == 0
