"""Tests of means against scipy and pingouin, and the reasons given where a test is impossible."""

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from analytics_kit.study.result.analysis.contrasts import paired_t, repeated_anova, sphericity, welch_anova, welch_t

RANDOM = np.random.default_rng(5)
A, B = RANDOM.normal(10, 2, 12), RANDOM.normal(11, 5, 12)
OTHER = RANDOM.normal(12, 6, 7)
WIDE = RANDOM.normal([5, 6, 8, 6], [1, 2, 4, 1], (9, 4)) + RANDOM.normal(0, 3, (9, 1))
# pingouin uses names that pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")


def test_paired_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653."""
    found = paired_t(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert found["difference"] == 2
    assert found["statistic"] == pytest.approx(2 * 3**0.5)
    assert found["df"] == 2
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    # standard deviations 2 and 1, correction 1 - 3 / (4 * 6 - 9)
    assert found["effect_size"] == pytest.approx(2 / 2.5**0.5 * 0.8)


def test_paired_t_equals_scipy_and_pingouin():
    found, same = paired_t(A, B), stats.ttest_rel(A, B)
    assert (found["statistic"], found["p"], found["df"]) == pytest.approx((same.statistic, same.pvalue, same.df))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(same.confidence_interval()))
    assert found["effect_size"] == pytest.approx(pingouin.compute_effsize(A, B, paired=True, eftype="hedges"))


def test_welch_t_equals_scipy_and_pingouin():
    found, same = welch_t(A, OTHER), stats.ttest_ind(A, OTHER, equal_var=False)
    assert (found["statistic"], found["p"], found["df"]) == pytest.approx((same.statistic, same.pvalue, same.df))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(same.confidence_interval()))
    assert found["effect_size"] == pytest.approx(pingouin.compute_effsize(A, OTHER, eftype="hedges"))
    assert (found["n_a"], found["n_b"]) == (12, 7)


def test_repeated_anova_equals_pingouin():
    long = pd.DataFrame(WIDE).melt(ignore_index=False, var_name="level").reset_index(names="who")
    same = pingouin.rm_anova(long, dv="value", within="level", subject="who", correction=True, effsize="np2").iloc[0]
    found = repeated_anova(WIDE)
    assert sphericity(WIDE) == pytest.approx(same["eps"])
    assert (found["statistic"], found["p"]) == pytest.approx((same["F"], same["p_GG_corr"]))
    assert (found["df"], found["df_error"]) == pytest.approx((same["eps"] * 3, same["eps"] * 24))
    assert found["effect_size"] == pytest.approx(same["np2"])


def test_two_levels_are_spherical_and_their_anova_equals_the_paired_test():
    found, pair = repeated_anova(WIDE[:, :2]), paired_t(WIDE[:, 0], WIDE[:, 1])
    assert sphericity(WIDE[:, :2]) == pytest.approx(1)
    assert (found["statistic"], found["p"]) == pytest.approx((pair["statistic"] ** 2, pair["p"]))


def test_sphericity_reaches_its_lower_bound():
    """Only one of three differences varies: the bound 1 / (k - 1)."""
    assert sphericity(np.array([[1.0, 0, -1], [2, 0, -2], [5, 0, -5]])) == pytest.approx(0.5)


def test_welch_anova_equals_pingouin_and_scipy():
    groups = [A, B, OTHER]
    long = pd.DataFrame({"value": np.concatenate(groups), "group": np.repeat(["a", "b", "c"], [12, 12, 7])})
    same = pingouin.welch_anova(long, dv="value", between="group").iloc[0]
    found = welch_anova(groups)
    assert (found["statistic"], found["p"]) == pytest.approx((same["F"], same["p_unc"]))
    assert (found["df"], found["df_error"]) == pytest.approx((same["ddof1"], same["ddof2"]))
    assert found["effect_size"] == pytest.approx(same["np2"])
    assert found["p"] == pytest.approx(stats.f_oneway(*groups, equal_var=False).pvalue)


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_tests_are_invariant_to_unit_and_origin(shift, scale):
    moved = [values * scale + shift * scale for values in (A, B, OTHER)]
    for test, count in ((paired_t, 2), (welch_t, 2)):
        found, same = test(*moved[:count]), test(A, B)
        assert (found["p"], found["effect_size"]) == pytest.approx((same["p"], same["effect_size"]), rel=1e-6)
        assert found["ci_low"] == pytest.approx(same["ci_low"] * scale, rel=1e-6)
    assert welch_anova(moved)["p"] == pytest.approx(welch_anova([A, B, OTHER])["p"], rel=1e-6)
    assert repeated_anova((WIDE + shift) * scale)["p"] == pytest.approx(repeated_anova(WIDE)["p"], rel=1e-6)


SAME, FEW = np.full(4, 3.0), np.array([1.0])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (paired_t(FEW, FEW), "needs 2"),
        (paired_t(A, A - 0.1), "same for all"),
        (paired_t(SAME, SAME), "same for all"),
        (welch_t(FEW, A), "needs 2"),
        (welch_t(SAME, SAME + 1), "are equal"),
        (repeated_anova(WIDE[:1]), "needs 2"),
        (repeated_anova(A[:, None] + np.array([0, 0.1, 0.7])), "equally for all"),
        (welch_anova([A, B, FEW]), "needs 2"),
        (welch_anova([A, B, SAME]), "are equal"),
    ],
)
def test_impossible_tests_give_the_reason(found, reason):
    assert reason in found["why"]
    assert not {"p", "statistic", "ci_low", "effect_size"} & found.keys()


def test_rounding_errors_are_no_variance():
    assert "same for all" in paired_t(A * 1e9, (A - 0.1) * 1e9)["why"]
    assert "p" in paired_t(A * 1e-12, B * 1e-12)


def test_welch_t_needs_variance_at_one_level_only():
    found, same = welch_t(A, np.full(4, 3.0)), stats.ttest_1samp(A, 3.0)
    assert (found["statistic"], found["p"]) == pytest.approx((same.statistic, same.pvalue))
