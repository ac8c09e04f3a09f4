"""Metrics of the pointer's path, compared with those of the same path traversed backwards."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.study.metrics.trial_metrics import measure_trial, pixels, steady, ticks

NOT_REVERSIBLE = {
    "acceleration_max_time_s", "acceleration_max_px_s2", "acceleration_min_px_s2", "curvature_mean_rad_px",
    "average_deviation_px", "time_to_first_event_s", "initiation_time_s", "maximum_absolute_deviation_time_s",
    "speed_max_time_s", "sample_entropy",
}  # fmt: skip
"""Metrics that differ for a reversed path: they are times, or depend on the previous step or on rest before it."""
MIRRORED = {
    "maximum_absolute_deviation_px": ("maximum_absolute_deviation_px", -1),
    "maximum_deviation_above_px": ("maximum_deviation_below_px", -1),
    "maximum_deviation_below_px": ("maximum_deviation_above_px", -1),
    "area_under_curve_px2": ("area_under_curve_px2", -1),
    **{f"direction_sector_{k}": (f"direction_sector_{(k + 4) % 8}", 1) for k in range(8)},
}


@steady
@given(ticks, st.data())
@example([5, 5, 40, 5], None)
def test_reversed_path_has_the_same_or_mirrored_metrics(gaps, data):
    draw = (lambda: data.draw(pixels)) if data else iter([0, 3, 3, 11, 11, 0, 4, 16, 31, 24]).__next__
    t = np.cumsum([0, *gaps]) / 100
    x, y = ([float(draw()) for _ in t] for _ in range(2))
    there = measure_trial(moves=list(zip(t, x, y, strict=True)))
    back = measure_trial(moves=list(zip((t[-1] - t)[::-1], x[::-1], y[::-1], strict=True)))
    vertical = x[0] == x[-1]  # then no point is above the line
    for name, value in there.items():
        theirs, sign = MIRRORED.get(name, (name, 1))
        if name in NOT_REVERSIBLE or (vertical and theirs.startswith(("maximum", "area"))):
            continue
        if name == "maximum_absolute_deviation_px":  # of two that are as large the first one counts
            value, sign, expected = abs(value), 1, abs(back[theirs])
        else:
            expected = back[theirs]
        assert value == pytest.approx(sign * expected, rel=1e-9, abs=1e-9, nan_ok=True), name
