"""Deviations, area, flips and the resampled path, by hand and against a slow loop."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.study.metrics.deviation import area_under_curve, maximum_deviations
from analytics_kit.study.metrics.movement import path_length, speed_max, speeds
from tests.study.metrics.trial_metrics import corner_path, diagonal_path, measure_trial, pixels, steady, ticks


def test_path_length_deviation_and_area_of_the_corner():
    t, x, y = corner_path()
    assert path_length(x, y) == pytest.approx(1600, rel=1e-12)
    assert maximum_deviations(t, x, y)[:2] == (pytest.approx(565.6854, abs=5e-5), 8.0)
    assert area_under_curve(x, y) == pytest.approx(320_000, rel=1e-12)


def test_path_length_deviation_area_and_speed_of_the_diagonal():
    t, x, y = diagonal_path()
    assert path_length(x, y) == pytest.approx(1131.371, abs=5e-4)
    assert maximum_deviations(t, x, y)[0] == pytest.approx(0, abs=1e-9)
    assert area_under_curve(x, y) == pytest.approx(0, abs=1e-6)
    assert speed_max(t, speeds(t, x, y, np.empty(len(t))))[0] / 1000 == pytest.approx(math.sqrt(2) / 10, rel=1e-9)


@pytest.mark.parametrize(
    ("points", "deviation", "area"),
    [
        # end: right and down the screen (larger y)
        ([(0, 0), (0, 10), (10, 10)], 50**0.5, 50), ([(0, 0), (10, 0), (10, 10)], -(50**0.5), -50),
        # end: left and down
        ([(0, 0), (0, 10), (-10, 10)], 50**0.5, 50), ([(0, 0), (-10, 0), (-10, 10)], -(50**0.5), -50),
        # end: right and up, signs flipped
        ([(0, 0), (0, -10), (10, -10)], 50**0.5, 50), ([(0, 0), (10, 0), (10, -10)], -(50**0.5), -50),
        # end: left and up
        ([(0, 0), (0, -10), (-10, -10)], 50**0.5, 50), ([(0, 0), (-10, 0), (-10, -10)], -(50**0.5), -50),
        # level, and straight down
        ([(0, 0), (5, 5), (10, 0)], 5, -25), ([(0, 0), (5, 5), (0, 10)], 5, 25),
        # straight up, signs flipped
        ([(0, 0), (5, -5), (0, -10)], -5, -25),
        # back at the start: distances to it
        ([(0, 0), (3, 4), (0, 0)], 5, 0),
    ],
)  # fmt: skip
def test_signs_of_deviation_and_area(points, deviation, area):
    values = measure_trial(moves=[(i / 10, *point) for i, point in enumerate(points)])
    assert values["maximum_absolute_deviation_px"] == pytest.approx(deviation)
    assert values["area_under_curve_px2"] == pytest.approx(area)


def resampled_by_loops(t, x, y, step=0.01, hold=0.1):
    """Return average deviation and flips of the path, sample by sample as in the R package."""
    rows = list(zip(t, x, y, strict=True))
    if rows[0][0] > 0:
        rows.insert(0, (0.0, *rows[0][1:]))
    nodes = [rows[0]]
    for before, row in itertools.pairwise(rows):
        if row[0] - before[0] > hold + 1e-9:
            nodes.append((row[0] - hold / 2, *before[1:]))
        nodes.append(row)
    count = math.floor((rows[-1][0] - rows[0][0]) / step + 1e-7)
    times = [rows[0][0] + k * step for k in range(count + 1)]
    if times[-1] < rows[-1][0] - 1e-9:
        times.append(rows[-1][0])
    nt, nx, ny = np.array(nodes).T
    px, py = np.interp(times, nt, nx), np.interp(times, nt, ny)
    dx, dy = px[-1] - px[0], py[-1] - py[0]
    if dx:
        deviation = ((py - py[0]) * dx - (px - px[0]) * dy) / math.hypot(dx, dy) * np.sign(dx)
    else:
        deviation = np.abs(px - px[0]) if dy else np.hypot(px - px[0], py - py[0]) * np.where(py < py[0], -1, 1)
    flips = []
    for values in (px, py):
        d = np.diff(values)
        signs = np.sign(d[np.abs(d) > 1e-9])
        flips.append(int((signs[1:] != signs[:-1]).sum()))
    return deviation.mean() * (-1 if dy < 0 else 1), *flips


@steady
@given(st.integers(-30, 30), ticks, st.data(), st.sampled_from([1, 10]))
def test_resampled_metrics_equal_those_of_stored_samples(start, gaps, data, per_tick):
    """This also holds for a log whose times are no multiples of the sampling interval."""
    t = np.cumsum([start, *gaps]) / 100 / per_tick
    x = [float(data.draw(pixels)) for _ in t]
    y = [float(data.draw(pixels)) for _ in t]
    values = measure_trial(moves=list(zip(t, x, y, strict=True)))
    expected = resampled_by_loops(t, x, y)
    assert (values["x_flips"], values["y_flips"]) == expected[1:]
    assert values["average_deviation_px"] == pytest.approx(expected[0], rel=1e-9, abs=1e-9)


def test_average_deviation_of_the_corner_and_the_diagonal():
    """mousetrap's own path rests for 21 samples at its ends, which makes 279.0064 of 282.6660."""
    t, x, y = corner_path()
    rested = [*((i / 100, 0, -400) for i in range(18)), *zip(t + 0.18, x, y, strict=True),
              *((16.19 + i / 100, -800, 400) for i in range(3))]  # fmt: skip
    assert measure_trial(moves=rested)["average_deviation_px"] == pytest.approx(279.0064, abs=5e-5)
    moving = measure_trial(moves=list(zip(t, x, y, strict=True)))
    assert moving["average_deviation_px"] == pytest.approx(800 * math.sqrt(800**2 / 2) / 1601)
    straight = measure_trial(moves=list(zip(*diagonal_path(), strict=True)))
    for name in ("average_deviation_px", "maximum_deviation_above_px", "maximum_deviation_below_px"):
        assert straight[name] == pytest.approx(0, abs=1e-9), name


@pytest.mark.parametrize(("flip_px", "flips"), [(0, 4), (2, 4), (3, 1), (10, 0)])
def test_flips_ignore_runs_up_to_flip_px(flip_px, flips):
    x = [0, 20, 17, 20, 30, 20]  # 20 right, 3 left, 13 right, 10 left; the last two are long enough, 3 is not
    moves = [(i / 100, value, 0) for i, value in enumerate([*x, 23])]
    values = measure_trial({"flip_px": flip_px}, moves=moves)
    assert values["x_flips"] == flips
    assert values["y_flips"] == 0


def test_flips_within_a_sample_are_hidden():
    jitter = [(i / 1000, float(i + 5 * (i % 2)), 0.0) for i in range(101)]
    assert measure_trial(moves=jitter)["x_flips"] == 0
    assert measure_trial({"resample_s": 0.001}, moves=jitter)["x_flips"] > 90
