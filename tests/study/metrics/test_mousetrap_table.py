"""mousetrap's measures against its own numbers, against a reference loop on any path, and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analytics_kit as ak
from analytics_kit.errors import SettingsError
from analytics_kit.study.metrics.mousetrap import MEASURES
from analytics_kit.study.metrics.mousetrap_table import COUNT_MEASURES
from tests.study.metrics.mousetrap_reference import measures
from tests.study.metrics.trial_metrics import corner_path, diagonal_path

TRIAL = ["participant", "session", "task", "factor", "trial", "trial_order"]
CONSTANT = [
    "xpos_reversals", "ypos_reversals", "initiation_time", "idle_time", "hover_time", "hovers", "vel_min",
    "vel_min_time",
]  # fmt: skip
"""Measures that are 0 in all rows as the platform logs them."""


@pytest.fixture(scope="module")
def movement(kh2017):
    return kh2017.events("mouse_movement")


def beside(measured, shared_data, name):
    """Return our measures and mousetrap's, joined by trial."""
    folder = shared_data / "kh2017_fulcrum"
    index = pd.read_csv(folder / "index.csv")
    index["trial"] = index.member.str.extract(r"trial_(\d+)/", expand=False).astype("Int64")
    index = index.rename(columns={"Condition": "factor"}).assign(participant=index.session.astype("str"))
    truth = pd.read_csv(folder / name).merge(index[["mt_id", "participant", "factor", "trial"]], on="mt_id")
    joined = measured.merge(truth, on=["participant", "factor", "trial"], suffixes=("", "_theirs"))
    assert len(joined) == len(truth) == len(measured) == 1140
    return joined


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("truth_measures_native_rows.csv", {}),
        ("truth_measures_resampled10_constint100.csv", {"resample_s": 0.01, "hold_gap_s": 0.1}),
    ],
)
def test_measures_of_all_trials_equal_mousetrap(movement, shared_data, name, options):
    joined = beside(ak.mousetrap_measures(movement, **options), shared_data, name)
    for measure in MEASURES:
        theirs = joined[f"{measure}_theirs"].to_numpy(float)
        np.testing.assert_allclose(joined[measure].astype(float), theirs, rtol=1e-9, atol=0, err_msg=measure)
        constant = measure in CONSTANT[:2] + CONSTANT[6:] or (measure in CONSTANT and not options)
        assert (np.ptp(theirs) == 0) == constant, measure


def path(*rows):
    t, x, y = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame({"t_s": t, "x_px": x, "y_px": y}, dtype=float)


def one(*rows, **options):
    """Return the measures of one path as a dict."""
    (values,) = ak.mousetrap_measures(path(*rows), **options).to_dict("records")
    return values


def test_corner_and_diagonal_have_the_known_measures():
    t, x, y = corner_path()
    values = one(*((i / 100, 0, -400) for i in range(21)), *zip(t + 0.21, x, y, strict=True))
    assert values["MAD"] == pytest.approx(565.6854, abs=5e-5)
    assert values["AD"] == pytest.approx(279.0064, abs=5e-5)  # with the 21 samples at rest
    assert (values["AUC"], values["total_dist"]) == (320_000, 1600)
    values = one(*zip(*diagonal_path(), strict=True))
    assert [values[name] for name in ("MAD", "AUC", "AD")] == pytest.approx([0, 0, 0], abs=1e-9)
    assert values["total_dist"] == pytest.approx(1131.371, abs=5e-4)
    assert values["vel_max"] == pytest.approx(math.sqrt(2) / 10)


pixels = st.one_of(st.integers(-3, 3), st.integers(-2000, 2000)).map(float)
paths = st.lists(st.tuples(st.integers(0, 40), pixels, pixels), min_size=1, max_size=14)


@settings(max_examples=400, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 30), paths, st.sampled_from([None, (10, 100), (10, None), (7, 50), (100, 40)]))
def test_measures_of_any_path_equal_the_reference_loop(start, rows, sampling):
    t = [10.0 * int(v) for v in start + np.cumsum([gap for gap, *_ in rows])]
    x, y = [row[1] for row in rows], [row[2] for row in rows]
    step, hold = sampling or (None, None)
    expected = measures(t, x, y, 250, step, hold or math.inf)
    options = {} if step is None else {"resample_s": step / 1000, "hold_gap_s": hold and hold / 1000}
    found = ak.mousetrap_measures(path(*zip(np.array(t) / 1000, x, y, strict=True)), **options)
    if expected is None:
        assert found.empty
        return
    for name, value in found.iloc[0].items():
        # AD and AUC are sums in which large values may cancel
        slack = 1e-9 * sum(map(abs, x + y)) * (len(x) if name == "AUC" else 1) if name in ("AD", "AUC") else 0
        assert float(value) == pytest.approx(expected[name], rel=1e-9, abs=max(slack, 1e-12)), name


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # standing still all the time
        ([(0.0, 5, 5), (0.1, 5, 5), (0.3, 5, 5)], (300, 300, 300, 1)),
        ([(0.0, 5, 5), (0.1, 5, 5), (0.25, 5, 5)], (250, 250, 0, 0)),
        # moving all the time, from 0 s and from later on
        ([(0.0, 0, 0), (0.1, 9, 0), (0.9, 9, 9)], (0, 0, 0, 0)),
        ([(0.3, 0, 0), (0.4, 9, 0), (0.9, 9, 9)], (300, 300, 300, 0)),
        ([(0.2, 0, 0), (0.4, 9, 0), (0.9, 9, 9)], (200, 200, 0, 0)),
        # starting late: two rests in a row are one hover
        ([(0.0, 0, 0), (0.2, 0, 0), (0.3, 0, 0), (0.4, 9, 9)], (300, 300, 300, 1)),
        # two hovers and a short rest
        ([(0.0, 0, 0), (0.1, 5, 0), (0.5, 5, 0), (0.6, 9, 0), (0.8, 9, 0), (0.9, 0, 0), (1.2, 0, 0)],
         (0, 900, 700, 2)),
        # the time before the first row is no idle time once there is another rest
        ([(0.5, 0, 0), (0.6, 0, 0), (0.7, 9, 9)], (600, 100, 0, 0)),
    ],
)  # fmt: skip
def test_rests_give_initiation_idle_and_hover_times(rows, expected):
    values = one(*rows)
    assert tuple(values[name] for name in ("initiation_time", "idle_time", "hover_time", "hovers")) == expected


def test_reversals_count_crossed_axes_and_flips_count_turns():
    values = one((0, -5, 3), (0.1, 0, 3), (0.2, 4, 0), (0.3, -1, -2), (0.4, 0, 0), (0.5, 2, -1))
    assert (values["xpos_reversals"], values["ypos_reversals"]) == (3, 1)
    assert (values["xpos_flips"], values["ypos_flips"]) == (2, 2)
    touching = one((0, 5, 0), (0.1, 0, 0), (0.2, 4, 0))
    assert (touching["xpos_reversals"], touching["ypos_reversals"]) == (0, 0)


def test_extremes_of_velocity_and_acceleration_have_their_times():
    values = one((0.1, 0, 0), (0.2, 10, 0), (0.25, 10, 30), (0.45, 10, 30), (0.5, 15, 30))
    assert (values["vel_max"], values["vel_max_time"]) == (0.6, 200)  # 30 px in 50 ms; the left edge of the step
    assert (values["vel_min"], values["vel_min_time"]) == (0, 100)
    assert (values["acc_max"], values["acc_max_time"]) == (pytest.approx(0.5 / 100), 200)
    assert (values["acc_min"], values["acc_min_time"]) == (pytest.approx(-0.6 / 50), 250)


def test_resampled_path_rests_in_long_gaps():
    rows = [(0.02, 0, 0), (0.04, 20, 0), (0.245, 20, 40)]
    values = one(*rows, resample_s=0.01, hold_gap_s=0.1, hover_s=0.1)
    # at rest at 0, 10, 20 ms; 20 px in two steps; at rest until 195 ms; then 40 px in 50 ms, samples from 200 ms on
    assert values["initiation_time"] == 20
    assert values["idle_time"] == 20 + 150
    assert (values["hovers"], values["hover_time"]) == (1, 150)
    assert values["total_dist"] == 60
    assert values["RT"] == 245
    assert one(*rows, resample_s=0.01)["hovers"] == 0


def test_times_are_whole_milliseconds_where_they_were():
    values = one((0.0, 0, 0), (2.87, 9, 9), (8.03, 1, 2))
    assert (values["MAD_time"], values["RT"]) == (2870.0, 8030.0)


def test_trials_together_equal_trials_one_by_one(movement):
    """Any order of rows, and any choice of trials, gives the same rows."""
    some = movement[movement.participant.isin(["1", "7", "60"])].reset_index(drop=True)
    together = ak.mousetrap_measures(some)
    shuffled = ak.mousetrap_measures(some.sample(frac=1, random_state=1))
    assert len(together) == 57
    assert list(together.columns) == [*TRIAL, *MEASURES]
    assert {str(together[name].dtype) for name in COUNT_MEASURES} == {"Int64"}
    keys = ["participant", "factor", "trial"]
    pd.testing.assert_frame_equal(
        shuffled.sort_values(keys, ignore_index=True), together.sort_values(keys, ignore_index=True)
    )
    for row, (_, trial) in enumerate(some.groupby(keys, sort=False)):
        alone = ak.mousetrap_measures(trial).reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, together.iloc[[row]].reset_index(drop=True))


def test_trials_with_unknown_names_have_a_row():
    frame = pd.concat([path((0, 0, 0), (0.1, 1, 1), (0.2, 2, 2)).assign(task=task) for task in ("A", None, "B")])
    found = ak.mousetrap_measures(frame)
    assert found.task.isna().tolist() == [False, True, False]
    assert found.RT.tolist() == [200.0] * 3


@pytest.mark.parametrize("rows", [[], [(0, 1, 1)], [(0, 1, 1), (0.1, 2, 2)], [(0, 1, 1), (0.1, 2, 2), (0.1, 3, 3)]])
def test_fewer_than_three_samples_give_no_row(rows):
    frame = path(*rows).assign(participant="1")
    found = ak.mousetrap_measures(frame, resample_s=0.01)
    assert found.empty
    assert list(found.columns) == ["participant", *MEASURES]


def test_of_equal_times_the_last_counts():
    rows = [(0.0, 0, 0), (0.1, 99, 99), (0.1, 5, 0), (0.2, 10, 0)]
    assert one(*rows) == one(*(row for row in rows if row[1] != 99))


def test_shift_and_scale_of_a_path_shift_and_scale_its_measures():
    rows = [(0.1, 3, 8), (0.2, 9, 1), (0.35, 20, 30), (0.4, 22, 30)]
    plain = one(*rows)
    moved = one(*((t, 3 * x + 700, 3 * y + 900) for t, x, y in rows))
    for name, value in plain.items():
        shift = {"x": 700, "y": 900}[name[0]] if name[1:] in ("pos_max", "pos_min") else 0
        power = 2 if name == "AUC" else 0 if name.endswith(("time", "flips", "reversals", "RT", "hovers")) else 1
        assert moved[name] == pytest.approx(value * 3**power + shift, rel=1e-12, abs=1e-9), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resample_s": 0}, "resample_s can't be 0"), ({"hover_s": -1}, "hover_s can't be -1"),
        ({"resample_s": math.nan}, "resample_s can't be nan"), ({"hover_s": True}, "hover_s can't be True"),
        ({"hold_gap_s": 0.1}, "without resample_s"), ({"resample_s": "10"}, "resample_s can't be '10'"),
        ({"resample_s": 1e-9}, "more than 20,000,000 samples"),
    ],
)  # fmt: skip
def test_invalid_thresholds_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        ak.mousetrap_measures(path((0, 1, 1), (0.1, 2, 2), (0.2, 3, 3)), **options)


def test_tables_without_movement_are_refused():
    with pytest.raises(SettingsError, match="no column 'x_px'"):
        ak.mousetrap_measures(pd.DataFrame({"t_s": [0.0], "key": ["a"]}))
    with pytest.raises(SettingsError, match="lack a time or a position"):
        ak.mousetrap_measures(path((0, 1, 1), (0.1, math.nan, 2), (0.2, 3, 3)))
