"""The path of the pointer: resampling, turns, directions, aiming and entropy, by hand and against slow loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_kit.study.metrics import aiming, entropy, turning
from analytics_kit.study.metrics.entropy import sample_entropies
from tests.study.metrics.expected_metrics import sample_entropy
from tests.study.metrics.test_kernels import corner, diagonal
from tests.study.metrics.trial_metrics import measured, measured_all

steady = settings(max_examples=200, derandomize=True, deadline=None, database=None)


def resampled_by_loops(t, x, y, step=0.01, hold=0.1):
    """Average deviation and flips of the path laid out sample by sample, as the R package would."""
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
        strayed = ((py - py[0]) * dx - (px - px[0]) * dy) / math.hypot(dx, dy) * np.sign(dx)
    else:
        strayed = np.abs(px - px[0]) if dy else np.hypot(px - px[0], py - py[0]) * np.where(py < py[0], -1, 1)
    flips = []
    for values in (px, py):
        d = np.diff(values)
        signs = np.sign(d[np.abs(d) > 1e-9])
        flips.append(int((signs[1:] != signs[:-1]).sum()))
    return strayed.mean() * (-1 if dy < 0 else 1), *flips


ticks = st.lists(st.integers(1, 60), min_size=1, max_size=12)
pixels = st.integers(-40, 40)


@steady
@given(st.integers(-30, 30), ticks, st.data(), st.sampled_from([1, 10]))
def test_resampled_path_as_if_laid_out(start, gaps, data, per_tick):
    """Also of a log whose times are no multiples of the step."""
    t = np.cumsum([start, *gaps]) / 100 / per_tick
    x = [float(data.draw(pixels)) for _ in t]
    y = [float(data.draw(pixels)) for _ in t]
    values = measured(moves=list(zip(t, x, y, strict=True)))
    expected = resampled_by_loops(t, x, y)
    assert (values["x_flips"], values["y_flips"]) == expected[1:]
    assert values["average_deviation_px"] == pytest.approx(expected[0], rel=1e-9, abs=1e-9)


def test_average_deviation_of_the_corner_and_the_diagonal():
    """mousetrap's own path rests for 21 samples at its ends, which makes 279.0064 of 282.6660."""
    t, x, y = corner()
    rested = [*((i / 100, 0, -400) for i in range(18)), *zip(t + 0.18, x, y, strict=True),
              *((16.19 + i / 100, -800, 400) for i in range(3))]  # fmt: skip
    assert measured(moves=rested)["average_deviation_px"] == pytest.approx(279.0064, abs=5e-5)
    moving = measured(moves=list(zip(t, x, y, strict=True)))
    assert moving["average_deviation_px"] == pytest.approx(800 * math.sqrt(800**2 / 2) / 1601)
    straight = measured(moves=list(zip(*diagonal(), strict=True)))
    for name in ("average_deviation_px", "maximum_deviation_above_px", "maximum_deviation_below_px"):
        assert straight[name] == pytest.approx(0, abs=1e-9), name


@pytest.mark.parametrize(("flip_px", "flips"), [(0, 4), (2, 4), (3, 1), (10, 0)])
def test_runs_that_are_no_flips(flip_px, flips):
    x = [0, 20, 17, 20, 30, 20]  # 20 right, 3 left, 13 right, 10 left; the last two are long enough, 3 is not
    moves = [(i / 100, value, 0) for i, value in enumerate([*x, 23])]
    values = measured({"flip_px": flip_px}, moves=moves)
    assert values["x_flips"] == flips
    assert values["y_flips"] == 0


def test_resampling_hides_what_is_shorter_than_a_step():
    jitter = [(i / 1000, float(i + 5 * (i % 2)), 0.0) for i in range(101)]
    assert measured(moves=jitter)["x_flips"] == 0
    assert measured({"resample_s": 0.001}, moves=jitter)["x_flips"] > 90


def test_acceleration_of_even_speed_is_nothing():
    values = measured(moves=[(i / 10, 3.0 * i, 4.0 * i) for i in range(5)])
    assert values["acceleration_max_px_s2"] == pytest.approx(0, abs=1e-9)
    assert values["acceleration_min_px_s2"] == pytest.approx(0, abs=1e-9)


def test_of_equal_accelerations_the_first_counts():
    x = [0, 0, 8, 8, 16]  # from rest to 32 px/s and back, twice, on times that are exact in binary
    values = measured(moves=[(i / 4, v, 0) for i, v in enumerate(x)])
    assert values["acceleration_max_px_s2"] == 128
    assert values["acceleration_max_time_s"] == 0.25


@pytest.mark.parametrize(
    ("dx", "dy", "sector"),
    [(1, 0, 0), (1, -1, 1), (0, -1, 2), (-1, -1, 3), (-1, 0, 4), (-1, 1, 5), (0, 1, 6), (1, 1, 7),
     (100, 41, 0), (100, 42, 7), (100, -41, 0), (100, -42, 1), (41, -100, 2), (42, -100, 1)],
)  # fmt: skip
def test_sector(dx, dy, sector):
    assert turning.sector(float(dx), float(dy)) == sector
    assert measured(moves=[(0, 0, 0), (1, dx, dy)])[f"direction_sector_{sector}"] == 1


lengths = st.integers(-3000, 3000).map(float)


@steady
@given(lengths, lengths, lengths, lengths)
def test_angles_and_sectors_are_those_of_the_arc_tangent(px, py, dx, dy):
    if (px, py) != (0, 0) != (dx, dy):
        expected = abs(math.atan2(px * dy - py * dx, px * dx + py * dy))
        assert turning.angle_between(px, py, dx, dy) == pytest.approx(expected, rel=1e-14, abs=1e-15)
        assert turning.sector(dx, dy) == math.floor((math.atan2(-dy, dx) + math.pi / 8) / (math.pi / 4)) % 8


def test_turns_of_a_square_with_a_rest():
    values = measured(moves=[(0, 0, 0), (1, 10, 0), (2, 10, 0), (3, 10, 20), (4, 0, 20)])
    assert values["turning_angle_mean_rad"] == pytest.approx(math.pi / 2)
    assert values["curvature_mean_rad_px"] == pytest.approx(math.pi / 2 * (1 / 10 + 1 / 20) / 2)
    assert [values[f"direction_sector_{k}"] for k in range(8)] == [0.25, 0, 0, 0, 0.25, 0, 0.5, 0]


def test_turning_back_is_a_turn_of_pi():
    values = measured(moves=[(0, 0, 0), (1, 10, 5), (2, 0, 0)])
    assert values["turning_angle_mean_rad"] == pytest.approx(math.pi)


# From (0, 0) to (100, 0) and back to (0, 0), where it clicks twice at the same place.
CLICKS = [(1, 0, 0), (1, 0, 0), (2, 100, 0), (2, 100, 0), (3, 0, 0), (3, 0, 0), (4, 0, 0), (4, 0, 0)]


def aimed(*moves, clicks=CLICKS):
    values = measured(clicks=clicks, moves=list(moves))
    return [values[name] for name in aiming.AIMING_METRICS[2:]]


def test_aiming_by_hand():
    out = [(1.1, 10, 4), (1.2, 20, -2), (1.3, 15, 0), (1.4, 30, 6)]  # 4, -2, 0 and 6 px on the right
    back = [(2.2, 80, 10), (2.4, 40, 10)]  # 10 px on the left
    spread = np.std([4, -2, 0, 6], ddof=1)
    # crossings: + - +; across: down, up, up; along: on, back, on; on the way back nothing changes
    assert aimed(*out, *back) == pytest.approx([2, 1, 2, spread / 2, (12 / 4 + 10) / 2, (8 / 4 - 10) / 2])
    assert aimed(*out) == pytest.approx([2, 1, 2, spread, 12 / 4, 8 / 4])


def test_what_is_no_segment():
    assert np.isnan(aimed((1.1, 5, 5), clicks=CLICKS[4:])).all()  # no axis
    assert np.isnan(aimed((1.1, 5, 5), clicks=CLICKS[:2])).all()  # one press
    assert aimed((0.5, 9, 9), (1.0, 5, 5), (3.5, 5, 5))[:3] == [0, 0, 0]  # nothing in between
    assert np.isnan(aimed((0.5, 9, 9), (2.0, 5, 5))[3:]).all()
    one = aimed((1.5, 9, -7))
    assert (math.isnan(one[3]), one[4], one[5]) == (True, 7, -7)


def test_points_on_the_axis_cross_nothing():
    """Of (3, 7) · k / 7 no rounding errors may count as sides."""
    clicks = [(1, 0, 0), (1, 0, 0), (2, 3, 7), (2, 3, 7)]
    on_it = [(1 + k / 20, 3 * k / 19, 7 * k / 19) for k in range(1, 19)]
    assert aimed(*on_it, clicks=clicks)[:3] == [0, 0, 0]


def test_pause_before_a_press():
    clicks = [(1, 0, 0), (1, 0, 0), (2, 0, 0), (2, 0, 0), (3, 0, 0), (3, 0, 0)]
    assert measured(clicks=clicks, moves=[(1.5, 0, 0), (2.0, 0, 0), (2.25, 0, 0)])[
        "pre_click_pause_median_s"
    ] == pytest.approx((0 + 0.75) / 2)
    assert math.isnan(measured(clicks=clicks, moves=[(5, 0, 0)])["pre_click_pause_median_s"])


walks = st.lists(st.integers(-30, 30), min_size=2, max_size=30).map(np.cumsum)


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(walks, walks)
def test_sample_entropy_is_that_of_its_definition(one, other):
    """The tolerance comes from both trials."""
    trials = [[(i / 7, float(v), 0.0) for i, v in enumerate(walk)] for walk in (one, other)]
    steps = [np.diff(np.interp(np.linspace(0, t[-1][0], 101), *np.array(t).T[:2])) for t in trials]
    tolerance = 0.2 * np.std(np.concatenate(steps), ddof=1)
    values = measured_all([{"moves": trial} for trial in trials])["sample_entropy"]
    for value, trial in zip(values, trials, strict=True):
        t, x, _ = zip(*trial, strict=True)
        assert value == pytest.approx(sample_entropy(t, x, tolerance), rel=1e-12, abs=1e-12)


def test_tolerance_has_a_standard_deviation_with_n_minus_1():
    """Half of the steps differ from the others by more than 0.2 standard deviations with n, by less with n - 1."""
    apart = 1.0
    for _ in range(50):
        walked = np.array([0, apart] * 45 + [30, -30] * 5)
        apart = 0.1 * (np.std(walked) + np.std(walked, ddof=1))
    value = sample_entropies(walked[None])[0]
    expected, other = (
        sample_entropy(range(101), np.cumsum([0, *walked]), 0.2 * np.std(walked, ddof=n)) for n in (1, 0)
    )
    assert value == pytest.approx(expected)
    assert value != pytest.approx(other)


def test_sample_entropy_where_nothing_is_alike():
    noise = np.random.default_rng(1).normal(size=(1, entropy.X_DIFFERENCES)) * 1e6
    assert np.isnan(sample_entropies(noise)).all()
    still = np.zeros((3, entropy.X_DIFFERENCES))
    still[1, 5] = np.inf
    assert sample_entropies(still).tolist() == pytest.approx([0, math.nan, 0], nan_ok=True)
    assert sample_entropies(np.empty((0, entropy.X_DIFFERENCES))).tolist() == []


MIRRORED = {
    "acceleration_max_time_s", "acceleration_max_px_s2", "acceleration_min_px_s2", "curvature_mean_rad_px",
    "average_deviation_px", "time_to_first_event_s", "initiation_time_s", "maximum_absolute_deviation_time_s",
    "speed_max_time_s", "sample_entropy",
}  # fmt: skip
"""Of a path gone backwards these are others: they tell of moments, of what came before, or of rest before a step."""
TURNED = {
    "maximum_absolute_deviation_px": ("maximum_absolute_deviation_px", -1),
    "maximum_deviation_above_px": ("maximum_deviation_below_px", -1),
    "maximum_deviation_below_px": ("maximum_deviation_above_px", -1),
    "area_under_curve_px2": ("area_under_curve_px2", -1),
    **{f"direction_sector_{k}": (f"direction_sector_{(k + 4) % 8}", 1) for k in range(8)},
}


@steady
@given(ticks, st.data())
@example([5, 5, 40, 5], None)
def test_a_path_gone_backwards(gaps, data):
    draw = (lambda: data.draw(pixels)) if data else iter([0, 3, 3, 11, 11, 0, 4, 16, 31, 24]).__next__
    t = np.cumsum([0, *gaps]) / 100
    x, y = ([float(draw()) for _ in t] for _ in range(2))
    there = measured(moves=list(zip(t, x, y, strict=True)))
    back = measured(moves=list(zip((t[-1] - t)[::-1], x[::-1], y[::-1], strict=True)))
    vertical = x[0] == x[-1]  # then no point is above the line
    for name, value in there.items():
        theirs, sign = TURNED.get(name, (name, 1))
        if name in MIRRORED or (vertical and theirs.startswith(("maximum", "area"))):
            continue
        if name == "maximum_absolute_deviation_px":  # of two that are as large the first one counts
            value, sign, expected = abs(value), 1, abs(back[theirs])
        else:
            expected = back[theirs]
        assert value == pytest.approx(sign * expected, rel=1e-9, abs=1e-9, nan_ok=True), name
