"""Metrics against mousetrap's numbers on KH2017, Balabit's counts on its logs, and interpreted kernels."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from analytics_kit.options import Options
from analytics_kit.study.events.table import EventTable, Grouped, ReadMember
from analytics_kit.study.metrics.catalogue import METRIC_NAMES
from analytics_kit.study.metrics.evaluate import evaluate
from analytics_kit.study.metrics.primitives import merge_equal_times
from analytics_kit.study.sample.study import sample_study
from tests.study.make_study import Studies, balance
from tests.study.metrics.trial_metrics import with_sample_entropy


@pytest.fixture(scope="module")
def compared(kh2017, shared_data):
    """Return our trials with mousetrap's measures, joined by member."""
    folder = shared_data / "kh2017_fulcrum"
    index, truth = pd.read_csv(folder / "index.csv"), pd.read_csv(folder / "truth_measures_native_rows.csv")
    members = kh2017.members[["member", "trial_row"]].copy()
    members["member"] = members.member.str.partition("/")[2]
    ours = kh2017.trials.reset_index(names="trial_row")
    joined = members.merge(ours, on="trial_row").merge(index, on="member", suffixes=("", "_index"))
    return joined.merge(truth, on="mt_id")


def test_kh2017_has_the_documented_size(kh2017):
    assert kh2017.summary["participants"] == kh2017.summary["sessions"] == 60
    assert kh2017.summary["trials"] == 1140
    assert kh2017.summary["events"] == {"mouse_movement": 57_227}
    assert balance(kh2017) == (57_227, 57_227, 0)
    assert kh2017.summary["issues"] == 0
    assert set(kh2017.trials.task) == {"Categorise"}
    assert set(kh2017.trials.factor) == {"Atypical", "Typical"}


def test_kh2017_has_seven_rows_with_equal_times(kh2017):
    events = kh2017.events("mouse_movement", columns=["session", "factor", "trial", "t_s"])
    assert (events.groupby(["session", "factor", "trial"]).t_s.diff() == 0).sum() == 7


def test_all_rows_of_all_trials_were_joined(compared, shared_data):
    truth = pd.read_csv(shared_data / "kh2017_fulcrum" / "truth_measures_native_rows.csv")
    assert len(compared) == len(truth) > 1100
    assert (compared.movement_count == compared.n_native).all()
    assert (compared.participant.astype(int) == compared.session_index).all()
    assert (compared.factor == compared.Condition).all()


@pytest.mark.parametrize(
    ("ours", "theirs", "unit"),
    [
        ("path_length_px", "total_dist", 1),
        ("maximum_absolute_deviation_px", "MAD", 1),
        ("maximum_absolute_deviation_time_s", "MAD_time", 1000),
        ("area_under_curve_px2", "AUC", 1),
        ("x_min_px", "xpos_min", 1),
        ("x_max_px", "xpos_max", 1),
        ("y_min_px", "ypos_min", 1),
        ("y_max_px", "ypos_max", 1),
        ("speed_max_px_s", "vel_max", 1 / 1000),
        ("completion_time_s", "RT", 1000),
        ("maximum_deviation_above_px", "MD_above", 1),
        ("maximum_deviation_below_px", "MD_below", 1),
        ("x_flips", "xpos_flips", 1),
        ("y_flips", "ypos_flips", 1),
        ("acceleration_max_px_s2", "acc_max", 1e-6),
        ("acceleration_min_px_s2", "acc_min", 1e-6),
        ("acceleration_max_time_s", "acc_max_time", 1000),
    ],
)
def test_metric_equals_mousetrap_measure(compared, ours, theirs, unit):
    assert compared[theirs].notna().all()
    assert compared[theirs].abs().max() > 0
    np.testing.assert_allclose(compared[ours] * unit, compared[theirs], rtol=1e-9, atol=1e-9)


def test_average_deviation_equals_mousetrap_on_the_resampled_path(compared, shared_data):
    truth = pd.read_csv(shared_data / "kh2017_fulcrum" / "truth_measures_resampled10_constint100.csv")
    joined = compared.merge(truth, on="mt_id", suffixes=("", "_resampled"))
    np.testing.assert_allclose(joined.average_deviation_px, joined.AD_resampled, rtol=1e-9, atol=1e-9)


def test_metrics_of_real_trials_are_in_range(kh2017):
    """Properties that hold for every trial."""
    trials = kh2017.trials
    sectors = trials[[f"direction_sector_{k}" for k in range(8)]]
    np.testing.assert_allclose(sectors.sum(axis=1), 1)
    assert trials.turning_angle_mean_rad.between(0, np.pi).all()
    assert trials.sample_entropy.between(0, 2).all()
    assert trials.sample_entropy.nunique() > 1000
    assert (trials.maximum_deviation_above_px >= 0).all()
    assert (trials.maximum_deviation_below_px <= 0).all()


def balabit(path):
    """Return a session of Balabit as tables: movement, wheel, and buttons with the logged states."""
    rows = pd.read_csv(path)
    rows["t"] = rows["client timestamp"]
    scrolled = rows.button == "Scroll"
    kinds = {
        "mouse_scrolls": rows[scrolled],
        "mouse_clicks": rows[rows.state.isin(["Pressed", "Released"]) & ~scrolled],
        "mouse_movement": rows[rows.state.isin(["Move", "Drag"]) & ~scrolled],
    }
    groups = {}
    for kind, part in kinds.items():
        t, x, y = (part[name].to_numpy(float) for name in ("t", "x", "y"))
        table = EventTable(kind, [ReadMember(path.name, 0, len(t), len(t))], t, x, y, np.empty(0, np.int8), None)
        if kind == "mouse_clicks":
            table.action = (part.state == "Released").to_numpy(np.int8)
        groups[kind] = Grouped(table, 1)
        groups[kind].sort_by_time()
    return rows, groups


@pytest.mark.parametrize("session", ["2144641057", "5265929106", "9838420452"])
def test_counts_of_balabit_sessions(shared_data, session):
    folder = shared_data / "balabit_sample"
    rows, groups = balabit(folder / f"user12_session_{session}.csv")
    known = pd.read_csv(folder / "training_session_stats.csv").set_index("session").loc[int(session)]
    values = with_sample_entropy(evaluate(groups, 1, Options()))
    values = {name: float(column[0]) for name, column in values.items()}
    assert len(rows) == known.rows
    assert values["scroll_event_count"] == known.scroll
    assert values["click_event_count"] == known.press + known.rel
    assert values["click_count"] + values["unpaired_click_events"] / 2 == known.press == known.rel
    assert values["click_count"] > 0.99 * known.press
    counted = sum(values[name] for name in ("movement_count", "click_event_count", "scroll_event_count"))
    assert counted == known.rows
    t = rows.t.to_numpy()
    assert (np.diff(t) == 0).sum() == known.dt0
    assert merge_equal_times(t, t, t, np.empty((3, len(t)))) == known.rows - known.dt0
    assert values["completion_time_s"] - values["time_to_first_event_s"] == pytest.approx(known.dur, abs=1e-3)
    infinite = [name for name, value in values.items() if np.isinf(value)]
    assert not infinite


PROCESS = """
import json, sys
import numba
assert numba.config.DISABLE_JIT
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.metrics.catalogue import METRIC_NAMES
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store
store = Store(sys.argv[2])
pipeline.run(sys.argv[1], Options(), store, "r")
trials = StudyResult.open(store, "r").trials
print(json.dumps({name: trials[name].astype("float64").fillna(-1e9).tolist() for name in METRIC_NAMES}))
"""


def test_interpreted_kernels_give_the_same_numbers(tmp_path):
    source = str(sample_study(tmp_path / "study.zip", 2, 2, trial_s=8))
    plain = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", PROCESS, source, str(tmp_path / "plain")],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    interpreted = json.loads(plain.stdout)
    compiled = Studies(tmp_path).process(source).trials
    for name in METRIC_NAMES:
        values = compiled[name].astype("float64").fillna(-1e9)
        np.testing.assert_allclose(values, interpreted[name], rtol=1e-11, atol=1e-11, err_msg=name)
    assert (compiled.movement_count > 50).any()
