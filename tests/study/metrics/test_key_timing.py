"""Dwell, flight, rollover and auto-repeat, by hand."""

import math

import pytest

from tests.study.metrics.trial_metrics import measure_with_columns

# a down, b down before a is up, both up, a again twice (repeated), up once; c is never released
KEY_ROWS = [(1.0, "a", 0), (1.2, "b", 0), (1.3, "a", 1), (1.5, "b", 1), (2.0, "a", 0), (2.04, "a", 0), (2.5, "a", 1),
            (3.0, "c", 0)]  # fmt: skip


def measure_keys(rows, known=True):
    number = {"a": 1, "b": 2, "c": 3}
    return measure_with_columns(
        "keyboard", [(t, key) for t, key, _ in rows], action=[action for *_, action in rows],
        **({"key_number": [number[key] for _, key, _ in rows]} if known else {}),
    )  # fmt: skip


def test_dwell_flight_and_rollover_by_hand():
    values = measure_keys(KEY_ROWS)
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
    ("rows", "dwell", "flight"),
    [([], math.nan, math.nan), (KEY_ROWS[:1], math.nan, math.nan), ([KEY_ROWS[0], KEY_ROWS[2]], 0.3, math.nan),
     ([KEY_ROWS[2]], math.nan, math.nan), ([KEY_ROWS[0], KEY_ROWS[2], KEY_ROWS[4]], 0.3, 0.7)],
)  # fmt: skip
def test_flight_is_na_without_a_press_after_a_release(rows, dwell, flight):
    values = measure_keys(rows)
    assert values["dwell_time_mean_s"] == pytest.approx(dwell, nan_ok=True)
    assert values["flight_time_mean_s"] == pytest.approx(flight, nan_ok=True)
    assert math.isnan(values["rollover_ratio"]) == math.isnan(flight)


def test_releases_of_unknown_keys_give_no_dwell_time():
    values = measure_keys(KEY_ROWS, known=False)
    assert values["keystroke_count"] == 5
    assert values["inter_key_interval_median_s"] == pytest.approx((0.2 + 0.8) / 2)
    assert math.isnan(values["dwell_time_mean_s"])
    assert math.isnan(values["auto_repeat_share"])


@pytest.mark.parametrize(("gap", "share"), [(0.05, 0.5), (0.051, 0)])
def test_auto_repeat_is_the_same_key_within_auto_repeat_s(gap, share):
    assert (
        measure_with_columns("keyboard", [(1.0, "a"), (1.0 + gap, "a")], key_number=[7, 7])["auto_repeat_share"]
        == share
    )
    assert (
        measure_with_columns("keyboard", [(1.0, "a"), (1.0 + gap, "b")], key_number=[7, 8])["auto_repeat_share"] == 0
    )
    assert math.isnan(measure_with_columns("keyboard", [], key_number=[])["auto_repeat_share"])
