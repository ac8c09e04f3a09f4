"""The power law of practice is fitted by session and for all sessions, as a least-squares line of logarithms."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from analytics_kit.errors import SettingsError
from analytics_kit.study.result.analysis.learning import learning_curve
from tests.study.make_study import folder, mouse, trial_table

COLUMNS = ["participant", "session", "n", "a_s", "b", "b_ci_low", "b_ci_high", "r_squared"]
NUMBERS = COLUMNS[3:]
RANDOM = np.random.default_rng(2)


def session(who, times, order=None):
    return trial_table([who] * len(times), "a", completion_time_s=times, trial_order=order)


def test_exact_power_law_is_recovered():
    """T = 20 n^-0.5, in any order of rows."""
    order = np.array([4, 1, 9])
    found = learning_curve(session("1", [10.0, 20, 20 / 3], order))
    assert found.columns.tolist() == COLUMNS
    assert found.participant.isna().tolist() == [False, True]
    for _, row in found.iterrows():
        assert row[NUMBERS].tolist() == pytest.approx([20, 0.5, 0.5, 0.5, 1])
        assert row["n"] == 3
    assert str(found.n.dtype) == "Int64"


def test_fit_of_a_session_equals_scipy():
    times = 20 * np.arange(1, 13) ** -0.3 * RANDOM.lognormal(0, 0.2, 12)
    found = learning_curve(session("1", times)).iloc[0]
    line = stats.linregress(np.log(np.arange(1, 13)), np.log(times))
    half = stats.t.ppf(0.975, 10) * line.stderr
    assert found[NUMBERS].tolist() == pytest.approx(
        [np.exp(line.intercept), -line.slope, -line.slope - half, -line.slope + half, line.rvalue**2]
    )


def test_fit_of_all_sessions_shares_b_but_not_the_level():
    """This equals a regression with a constant for every session; sessions may differ in length."""
    trials = pd.concat(
        [session(who, level * np.arange(1, n + 1) ** -0.2 * RANDOM.lognormal(0, 0.1, n))
         for who, level, n in (("1", 10, 5), ("2", 80, 9), ("3", 30, 2))],
        ignore_index=True,
    )  # fmt: skip
    found = learning_curve(trials)
    assert found.participant.fillna("all").tolist() == ["1", "2", "3", "all"]
    assert found.n.tolist() == [5, 9, 2, 16]
    assert found[NUMBERS].isna().all(axis=1).tolist() == [False, False, True, False]
    logs = trials[["participant"]].rename(columns={"participant": "who"})
    logs = logs.assign(y=np.log(trials.completion_time_s), x=np.log(trials.trial_order.astype(float)))
    fit = smf.ols("y ~ x + C(who)", logs).fit()
    pooled = found.iloc[-1]
    assert pooled.b == pytest.approx(-fit.params["x"])
    low, high = fit.conf_int().loc["x"]
    assert (pooled.b_ci_low, pooled.b_ci_high) == pytest.approx((-high, -low))
    levels = smf.ols("y ~ C(who)", logs).fit().ssr
    assert pooled.r_squared == pytest.approx(1 - fit.ssr / levels)
    mean = logs.y.mean() - fit.params["x"] * logs.x.mean()
    assert pooled.a_s == pytest.approx(np.exp(mean))


def test_unit_of_time_changes_only_the_level():
    trials = pd.concat([session(who, RANDOM.uniform(5, 20, 6)) for who in "12"], ignore_index=True)
    found = learning_curve(trials)
    longer = learning_curve(trials.assign(completion_time_s=trials.completion_time_s * 60))
    assert longer.a_s.tolist() == pytest.approx((found.a_s * 60).tolist())
    assert longer[NUMBERS[1:]].to_numpy() == pytest.approx(found[NUMBERS[1:]].to_numpy())


def test_trials_without_time_or_order_are_left_out():
    trials = session("1", [9.0, 5, 0, np.nan, 3, 4], [1, 2, 3, 4, pd.NA, 6])
    found = learning_curve(trials).iloc[0]
    kept = learning_curve(session("1", [9.0, 5, 4], [1, 2, 6])).iloc[0]
    assert found.equals(kept)
    assert found["n"] == 3


def test_constant_times_give_b_zero():
    found = learning_curve(session("1", [5.0] * 6)).iloc[0]
    assert (found.a_s, found.b) == pytest.approx((5, 0))
    assert found[["b_ci_low", "b_ci_high", "r_squared"]].isna().all()


def test_fewer_than_three_trials_give_nan():
    assert learning_curve(session("1", [3.0, 2])).n.tolist() == [2, 2]
    nothing = learning_curve(session("1", []))
    assert nothing.n.tolist() == [0]
    for found in (nothing, learning_curve(session("1", [3.0, 2])), learning_curve(session("1", [3.0, 2, 1], 1))):
        assert found[NUMBERS].isna().all(axis=None)


def test_unnamed_session_has_a_row():
    trials = pd.concat([session("1", [9.0, 5, 4]), session(pd.NA, [8.0, 5, 3])], ignore_index=True)
    found = learning_curve(trials)
    assert found.participant.isna().tolist() == [False, True, True]
    assert found.n.tolist() == [3, 3, 6]


def test_missing_completion_time_is_refused():
    with pytest.raises(SettingsError, match="completion_time_s was not computed"):
        learning_curve(trial_table(["1"], "a", click_count=[1]))


def test_tasks_and_factors_restrict_the_trials(process):
    """Trial k of each task takes 10 / k s and begins at its own hour."""
    result = process({
        f"{folder(1, task, 'Easy', k)}/Mouse Movement.csv": mouse((10 / k, 1, 1), clock=f"{9 + 2 * k + late}:00:00")
        for task, late in (("Search", 0), ("Fill", 1)) for k in (1, 2, 4)
    })  # fmt: skip
    assert result.trials.trial_order.tolist() == [2, 4, 6, 1, 3, 5]
    assert result.learning_curve().n.tolist() == [6, 6]
    found = result.learning_curve(task="Search", factor=["Easy"])
    times, orders = np.log([10, 5, 2.5]), np.log([1, 3, 5])
    assert found.b[0] == pytest.approx(-stats.linregress(orders, times).slope)
    assert result.learning_curve(task="Nothing").n.tolist() == [0]
