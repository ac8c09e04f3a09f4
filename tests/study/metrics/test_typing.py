"""Characters, corrections, pauses, bursts and key classes, by hand."""

import math

import pytest

from tests.study.metrics.trial_metrics import measure_trial


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
def test_corrections_and_speed_follow_characters_and_backspaces(keys, per_character, corrections, gross, net):
    values = measure_trial(keys=[(float(i), key) for i, key in enumerate(keys)])
    for name, expected in (
        ("keystrokes_per_character", per_character), ("error_corrections_per_character", corrections),
        ("words_per_minute_gross", gross), ("words_per_minute_net", net),
    ):  # fmt: skip
        assert values[name] == pytest.approx(expected, nan_ok=True), name


def test_pauses_divide_the_keys_into_bursts():
    keys = [(t, "a") for t in (1.0, 1.5, 3.5, 5.4, 5.5, 9.5)]  # pauses of 2.0 and 4.0 s
    values = measure_trial(keys=keys)
    assert (values["typing_pause_count"], values["typing_pause_time_s"]) == (2, pytest.approx(6.0))
    assert (values["p_burst_count"], values["p_burst_length_mean"]) == (3, 2)
    assert measure_trial({"typing_pause_s": 2.01}, keys=keys)["typing_pause_count"] == 1


def test_correction_burst_is_a_run_of_backspace_and_delete():
    names = ["Key.delete", "Key.backspace", "a", "Key.backspace", "Key.shift", "Key.backspace"]
    values = measure_trial(keys=[(float(i), name) for i, name in enumerate(names)])
    assert values["correction_burst_count"] == 3
    assert values["correction_burst_length_mean"] == pytest.approx(4 / 3)
    assert values["key_share_backspace"] == values["backspace_rate"] == 0.5
    assert sum(values[f"key_share_{name}"] for name in ("letter", "delete", "modifier")) == 0.5


def test_key_shares_add_up_to_one():
    keys = ["a", "1", ",", " ", "Key.enter", "Key.backspace", "Key.delete", "Key.left", "Key.ctrl", "Key.f5", ""]
    values = measure_trial(keys=[(i / 7, key) for i, key in enumerate(keys)])
    shares = [value for name, value in values.items() if name.startswith("key_share_")]
    assert shares == pytest.approx([1 / 11] * 11)
