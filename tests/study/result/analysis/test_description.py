"""Descriptions over trials or participants, by any groups, with missing values counted."""

import statistics

import numpy as np
import pandas as pd
import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.study.result.analysis.compare import compare
from analytics_kit.study.result.analysis.description import describe
from tests.study.make_study import trial_table

NAMES = ["metric", "unit", "n", "n_missing", "mean", "sd", "median"]


@pytest.fixture
def trials():
    return trial_table(
        list("111223"), list("aabaab"), completion_time_s=[1.0, 3, 5, 8, np.nan, 9], click_count=[1, 2, 4, 4, 9, 0]
    )


def test_description_over_trials_by_hand(trials):
    found = describe(trials, "factor", None, "trial")
    assert found.columns.tolist() == ["factor", *NAMES]
    assert found[["factor", "metric", "unit"]].to_numpy().tolist() == [
        ["a", "completion_time_s", "s"], ["a", "click_count", "count"],
        ["b", "completion_time_s", "s"], ["b", "click_count", "count"],
    ]  # fmt: skip
    assert found.n.tolist() == [3, 4, 2, 2]
    assert found.n_missing.tolist() == [1, 0, 0, 0]
    assert found["mean"].tolist() == [4, 4, 7, 2]
    assert found["median"].tolist() == [3, 3, 7, 2]
    assert found["sd"][0] == pytest.approx(statistics.stdev([1, 3, 8]))
    assert found.dtypes.astype(str)[NAMES].tolist() == ["str", "str", "Int64", "Int64", *["float64"] * 3]


def test_description_over_participants_by_hand(trials):
    """Participant 1 has 2, participant 2 has 8; a participant whose only trial has no value is missing."""
    found = describe(trials, "factor", "completion_time_s", "participant")
    assert found[["n", "mean", "median"]].to_numpy().tolist() == [[2, 5, 5], [2, 7, 7]]
    assert found["sd"][0] == pytest.approx(statistics.stdev([2, 8]))
    trials.loc[3, "completion_time_s"] = np.nan
    assert describe(trials, "factor", "completion_time_s", "participant").n_missing.tolist() == [1, 0]


def test_means_over_participants_equal_those_of_compare():
    trials = trial_table(list("1112223333"), list("aabaabaabb"), completion_time_s=np.arange(10.0) ** 2)
    found = describe(trials, "factor", "completion_time_s", "participant")
    tested = compare(trials, "completion_time_s", "factor").iloc[0]
    assert found["mean"].tolist() == [tested.mean_a, tested.mean_b]


def test_no_group_and_several_groups(trials):
    found = describe(trials, None, "click_count", "trial")
    assert found.columns.tolist() == NAMES
    assert found[["n", "mean"]].to_numpy().tolist() == [[6, 20 / 6]]
    found = describe(trials, ["task", "factor"], ["click_count"], "trial")
    assert found[["task", "factor", "n"]].to_numpy().tolist() == [["Search", "a", 4], ["Search", "b", 2]]
    assert len(describe(trials, "participant", "click_count", "participant")) == 3
    twice = describe(trials, ["factor", "factor"], ["click_count", "click_count"], "trial")
    assert twice.equals(describe(trials, "factor", "click_count", "trial"))


def test_unnamed_groups_are_kept(trials):
    trials.loc[0, "factor"] = pd.NA
    found = describe(trials, "factor", "click_count", "trial")
    assert found.n.tolist() == [1, 3, 2]
    assert found.factor.isna().tolist() == [True, False, False]
    trials.loc[1, "participant"] = pd.NA
    assert describe(trials, None, "click_count", "participant").n.tolist() == [3]


def test_one_trial_has_no_sd_and_no_trials_give_no_rows(trials):
    found = describe(trials.iloc[:1], "factor", "click_count", "trial").iloc[0]
    assert (found["n"], found["mean"]) == (1, 1)
    assert np.isnan(found["sd"])
    for by in ("factor", None):
        for over in ("trial", "participant"):
            none = describe(trials.iloc[:0], by, "click_count", over)
            assert (len(none), none.dtypes.astype(str)[NAMES].tolist()[:4]) == (0, ["str", "str", "Int64", "Int64"])


@pytest.mark.parametrize(
    ("by", "metrics", "over", "message"),
    [
        ("factors", None, "trial", "Did you mean 'factor'"),
        ("trial", None, "trial", "can't be grouped by 'trial'"),
        (["factor", "group"], None, "trial", "'group'"),
        ("factor", "click_counts", "trial", "Did you mean 'click_count'"),
        ("factor", "path_length_px", "trial", "not computed"),
        ("factor", None, "participants", "Did you mean 'participant'"),
    ],
)
def test_invalid_arguments_are_refused(trials, by, metrics, over, message):
    with pytest.raises(SettingsError, match=message):
        describe(trials, by, metrics, over)
