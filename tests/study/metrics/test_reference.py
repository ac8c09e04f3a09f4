"""Do mousetrap's own numbers come out on the KH2017 study, and the same numbers without the compiler?"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from making import Studies, balance

from analytics_kit.study.catalogue import NAMES
from analytics_kit.study.sample import sample_study


@pytest.fixture(scope="module")
def compared(kh2017, shared_data):
    """Our trials beside mousetrap's measures, joined by member."""
    folder = shared_data / "kh2017_fulcrum"
    index, truth = pd.read_csv(folder / "index.csv"), pd.read_csv(folder / "truth_measures_native_rows.csv")
    members = kh2017.members[["member", "trial_row"]].copy()
    members["member"] = members.member.str.partition("/")[2]
    ours = kh2017.trials.reset_index(names="trial_row")
    joined = members.merge(ours, on="trial_row").merge(index, on="member", suffixes=("", "_index"))
    return joined.merge(truth, on="mt_id")


def test_size_of_the_study(kh2017):
    assert kh2017.summary["participants"] == kh2017.summary["sessions"] == 60
    assert kh2017.summary["trials"] == 1140
    assert kh2017.summary["events"] == {"mouse_movement": 57_227}
    assert balance(kh2017) == (57_227, 57_227, 0)
    assert kh2017.summary["issues"] == 0
    assert set(kh2017.trials.task) == {"Categorise"}
    assert set(kh2017.trials.factor) == {"Atypical", "Typical"}


def test_rows_with_equal_times(kh2017):
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
    ],
)
def test_mousetrap_measure(compared, ours, theirs, unit):
    assert compared[theirs].notna().all()
    assert compared[theirs].abs().max() > 0
    np.testing.assert_allclose(compared[ours] * unit, compared[theirs], rtol=1e-9, atol=1e-9)


PROCESS = """
import json, sys
import numba
assert numba.config.DISABLE_JIT
from analytics_kit.options import Options
from analytics_kit.study import pipeline
from analytics_kit.study.catalogue import NAMES
from analytics_kit.study.result import StudyResult
from analytics_kit.study.store import Store
store = Store(sys.argv[2])
pipeline.run(sys.argv[1], Options(), store, "r")
trials = StudyResult.open(store, "r").trials
print(json.dumps({name: trials[name].astype("float64").fillna(-1e9).tolist() for name in NAMES}))
"""


def test_the_same_numbers_without_the_compiler(tmp_path):
    source = str(sample_study(tmp_path / "study.zip", 2, 2, trial_s=8))
    plain = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", PROCESS, source, str(tmp_path / "plain")],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    interpreted = json.loads(plain.stdout)
    compiled = Studies(tmp_path).process(source).trials
    for name in NAMES:
        values = compiled[name].astype("float64").fillna(-1e9)
        np.testing.assert_allclose(values, interpreted[name], rtol=1e-11, atol=1e-11, err_msg=name)
    assert (compiled.movement_count > 50).any()
