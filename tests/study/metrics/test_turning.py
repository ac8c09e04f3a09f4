"""Directions and turning angles, by hand and against the arc tangent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.study.metrics import turning
from tests.study.metrics.trial_metrics import measure_trial, steady


@pytest.mark.parametrize(
    ("dx", "dy", "sector"),
    [(1, 0, 0), (1, -1, 1), (0, -1, 2), (-1, -1, 3), (-1, 0, 4), (-1, 1, 5), (0, 1, 6), (1, 1, 7),
     (100, 41, 0), (100, 42, 7), (100, -41, 0), (100, -42, 1), (41, -100, 2), (42, -100, 1)],
)  # fmt: skip
def test_sector_is_the_eighth_of_the_circle_of_a_step(dx, dy, sector):
    assert turning.sector(float(dx), float(dy)) == sector
    assert measure_trial(moves=[(0, 0, 0), (1, dx, dy)])[f"direction_sector_{sector}"] == 1


lengths = st.integers(-3000, 3000).map(float)


@steady
@given(lengths, lengths, lengths, lengths)
def test_angles_and_sectors_equal_the_arc_tangent(px, py, dx, dy):
    if (px, py) != (0, 0) != (dx, dy):
        expected = abs(math.atan2(px * dy - py * dx, px * dx + py * dy))
        assert turning.angle_between(px, py, dx, dy) == pytest.approx(expected, rel=1e-14, abs=1e-15)
        assert turning.sector(dx, dy) == math.floor((math.atan2(-dy, dx) + math.pi / 8) / (math.pi / 4)) % 8


def test_turns_of_a_square_skip_a_rest():
    values = measure_trial(moves=[(0, 0, 0), (1, 10, 0), (2, 10, 0), (3, 10, 20), (4, 0, 20)])
    assert values["turning_angle_mean_rad"] == pytest.approx(math.pi / 2)
    assert values["curvature_mean_rad_px"] == pytest.approx(math.pi / 2 * (1 / 10 + 1 / 20) / 2)
    assert [values[f"direction_sector_{k}"] for k in range(8)] == [0.25, 0, 0, 0, 0.25, 0, 0.5, 0]


def test_turning_back_is_a_turn_of_pi():
    values = measure_trial(moves=[(0, 0, 0), (1, 10, 5), (2, 0, 0)])
    assert values["turning_angle_mean_rad"] == pytest.approx(math.pi)
