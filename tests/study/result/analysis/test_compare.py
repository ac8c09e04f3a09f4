"""Comparisons use participants as the unit and the test that fits the design, and report what was left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analytics_kit.errors import SettingsError
from analytics_kit.study.result.analysis.compare import compare
from tests.study.make_study import trial_table

COLUMNS = [
    "metric", "between", "level_a", "level_b", "design", "n", "n_a", "n_b", "left_out", "mean_a", "mean_b",
    "difference", "ci_low", "ci_high", "effect_size", "effect_size_name", "statistic", "df", "df_error", "p",
    "p_corrected", "correction", "test", "why",
]  # fmt: skip
RANDOM = np.random.default_rng(1)


def within(people=6, levels=("easy", "hard"), each=3, **settings):
    """Every participant has `each` trials at each level; `settings` are passed on."""
    n = people * len(levels) * each
    values = {"completion_time_s": RANDOM.normal(10, 2, n), "path_length_px": RANDOM.normal(1000, 90, n)}
    who = np.repeat([str(i) for i in range(people)], len(levels) * each)
    return trial_table(who, np.tile(np.repeat(list(levels), each), people), **values | settings)


def between(sizes=(5, 7), levels=("easy", "hard"), each=2):
    """Every participant has one level."""
    level = np.repeat(np.repeat(list(levels), sizes), each)
    who = np.repeat([str(i) for i in range(sum(sizes))], each)
    return trial_table(who, level, completion_time_s=RANDOM.normal(10, 2, len(who)))


def one(table):
    """Return the only row."""
    assert len(table) == 1
    return table.iloc[0]


def test_columns_and_types():
    found = compare(within(), "completion_time_s", "factor")
    assert found.columns.tolist() == COLUMNS
    kinds = found.dtypes.astype(str)
    assert set(kinds[["n", "n_a", "n_b", "left_out"]]) == {"Int64"}
    assert set(kinds[["metric", "between", "level_a", "level_b", "design", "test", "why"]]) == {"str"}
    other = compare(within(levels="abc"), "completion_time_s", "factor")
    assert other.dtypes.equals(found.dtypes)


def test_within_participants_by_hand():
    """Means 1, 2, 3 and 2, 4, 6: differences -1, -2, -3."""
    times = [0, 2, 2, 2, 1, 3, 4, 4, 2, 4, 6, 6]
    found = one(compare(trial_table(list("111122223333"), ["a", "a", "b", "b"] * 3, completion_time_s=times),
                        "completion_time_s", "factor"))  # fmt: skip
    assert (found.level_a, found.level_b, found.design, found.test) == ("a", "b", "within", "paired t")
    assert (found.n, found.n_a, found.n_b, found.left_out) == (3, 3, 3, 0)
    assert (found.mean_a, found.mean_b, found.difference) == (2, 4, -2)
    assert found.statistic == pytest.approx(-2 * 3**0.5)
    assert found.p == found.p_corrected == pytest.approx(stats.ttest_rel([1, 2, 3], [2, 4, 6]).pvalue)
    assert "averaged per participant" in found.why
    assert "paired" in found.why


def test_repeated_trials_do_not_change_the_comparison():
    """More trials of the same means change nothing."""
    few = within(each=1)
    many = pd.concat([few, few, few])
    pd.testing.assert_frame_equal(
        compare(few, "completion_time_s", "factor"), compare(many, "completion_time_s", "factor")
    )


def test_counts_are_averaged_per_participant():
    found = one(compare(trial_table(list("1122"), list("abab"), click_count=[1, 4, 2, 9]), "click_count", "factor"))
    assert (found.mean_a, found.mean_b) == (1.5, 6.5)


def test_one_level_each_is_compared_by_welch_t():
    trials = between()
    found = one(compare(trials, "completion_time_s", "factor"))
    means = trials.groupby(["factor", "participant"]).completion_time_s.mean()
    same = stats.ttest_ind(means["easy"], means["hard"], equal_var=False)
    assert (found.design, found.test, found.effect_size_name) == ("between", "Welch t", "Hedges g")
    assert (found.n, found.n_a, found.n_b) == (12, 5, 7)
    assert (found.p, found.df) == pytest.approx((same.pvalue, same.df))


def test_three_levels_within_give_anova_and_paired_tests():
    trials = within(levels="abc")
    found = compare(trials, "completion_time_s", "factor")
    assert found.test.tolist() == ["repeated-measures ANOVA, Greenhouse-Geisser", *["paired t"] * 3]
    assert found.level_a.fillna("").tolist() == ["", "a", "a", "b"]
    assert found.level_b.fillna("").tolist() == ["", "b", "c", "c"]
    assert found.n.tolist() == [6] * 4
    assert found.df_error.notna().tolist() == [True, False, False, False]
    wide = trials.pivot_table(index="participant", columns="factor", values="completion_time_s")
    pairs = [stats.ttest_rel(wide[a], wide[b]).pvalue for a, b in ("ab", "ac", "bc")]
    assert found.p[1:].tolist() == pytest.approx(pairs)
    assert found.p_corrected[0] == found.p[0]
    low, middle, high = np.sort(pairs)
    holm = [3 * low, max(3 * low, 2 * middle), max(3 * low, 2 * middle, high)]
    assert np.sort(found.p_corrected[1:]) == pytest.approx(np.minimum(holm, 1))
    assert found.correction.tolist() == ["none", *["holm over 3 tests"] * 3]


def test_three_levels_between_give_welch_anova_and_welch_tests():
    found = compare(between((4, 5, 6), "abc"), "completion_time_s", "factor")
    assert found.test.tolist() == ["Welch ANOVA", *["Welch t"] * 3]
    assert found.n.tolist() == [15, 9, 10, 11]
    assert found.left_out.tolist() == [0] * 4


def test_incomplete_participants_are_left_out_of_paired_tests():
    trials = within()
    gone = (trials.participant == "2") & (trials.factor == "easy")
    found = one(compare(trials[~gone], "completion_time_s", "factor"))
    rest = one(compare(trials[trials.participant != "2"], "completion_time_s", "factor"))
    assert (found.n, found.left_out, found.p) == (5, 1, rest.p)
    assert "Of 6 participants 5 have all levels of factor and 1 have one: the 5 are paired" in found.why


def test_participant_with_a_missing_value_is_left_out():
    trials = within()
    trials.loc[(trials.participant == "2") & (trials.factor == "easy"), "completion_time_s"] = np.nan
    found = compare(trials, ["completion_time_s", "path_length_px"], "factor")
    assert found.n.tolist() == [5, 6]
    assert found.left_out.tolist() == [1, 0]


def test_participants_with_both_levels_are_left_out_if_most_have_one():
    """A participant with both levels would count twice."""
    trials = pd.concat([between(), trial_table(["x", "x"], ["easy", "hard"], completion_time_s=[1.0, 99.0])])
    found = one(compare(trials, "completion_time_s", "factor"))
    assert (found.design, found.n, found.left_out) == ("between", 12, 1)
    assert "the 12 are compared between participants" in found.why


def test_design_is_within_if_as_many_have_all_levels_as_one():
    trials = trial_table(list("112234"), list("ababab"), completion_time_s=[1, 2, 3, 5, 7, 8])
    found = one(compare(trials, "completion_time_s", "factor"))
    assert (found.design, found.n, found.left_out) == ("within", 2, 2)


def test_neither_design_gives_no_test():
    trials = trial_table(list("112233"), list("abbcac"), completion_time_s=range(6))
    found = one(compare(trials, "completion_time_s", "factor"))
    assert pd.isna(found[["design", "test", "level_a"]]).all()
    assert np.isnan(found.p)
    assert found.left_out == 3
    assert "use a mixed model" in found.why


def test_trials_without_participant_or_factor_are_reported_as_left_out():
    trials = within()
    trials.loc[:1, "participant"] = pd.NA
    trials.loc[2, "factor"] = pd.NA
    found = one(compare(trials, "completion_time_s", "factor"))
    assert "no participant or no factor: 3." in found.why


def test_several_metrics_are_corrected_together():
    trials = within(people=9)
    trials["idle_time_s"] = trials.completion_time_s + (trials.factor == "hard") * 2
    names = ["path_length_px", "completion_time_s", "idle_time_s"]
    plain = compare(trials, names, "factor", "none")
    assert plain.metric.tolist() == names
    assert (plain.p_corrected == plain.p).all()
    assert plain.correction.tolist() == ["none"] * 3
    low, middle, high = np.sort(plain.p)
    holm = compare(trials, names, "factor")
    assert np.sort(holm.p_corrected) == pytest.approx(
        np.minimum([3 * low, max(3 * low, 2 * middle), max(3 * low, 2 * middle, high)], 1)
    )
    fdr = compare(trials, names, "factor", "fdr_bh")
    assert np.sort(fdr.p_corrected) == pytest.approx(
        [min(3 * low, 1.5 * middle, high), min(1.5 * middle, high), high]
    )
    assert set(fdr.correction) == {"fdr_bh over 3 tests"}


def test_impossible_test_does_not_count_for_the_correction():
    trials = within(idle_time_s=1.0)
    found = compare(trials, ["completion_time_s", "idle_time_s", "path_length_px"], "factor")
    assert found.p.isna().tolist() == found.p_corrected.isna().tolist() == [False, True, False]
    assert found.correction.fillna("").tolist() == ["holm over 2 tests", "", "holm over 2 tests"]
    assert found.difference[1] == 0
    assert "same for all" in found.why[1]


def test_pairs_are_corrected_over_all_metrics():
    found = compare(within(levels="abc"), ["completion_time_s", "path_length_px"], "factor")
    assert found.metric.tolist() == ["completion_time_s"] * 4 + ["path_length_px"] * 4
    assert found.correction.tolist() == ["holm over 2 tests", *["holm over 6 tests"] * 3] * 2


def test_metric_with_values_at_one_level_gives_no_test():
    trials = within(words_per_minute_net=40.0)
    trials.loc[trials.factor == "hard", "words_per_minute_net"] = np.nan
    found = one(compare(trials, "words_per_minute_net", "factor"))
    assert np.isnan(found.p)
    assert found.why.endswith("Levels that have values: easy.")
    trials["words_per_minute_net"] = np.nan
    assert one(compare(trials, "words_per_minute_net", "factor")).why.endswith("Levels that have values: none.")


def test_no_participant_with_all_values_gives_no_test():
    trials = within(people=2, each=1, idle_time_s=[1.0, np.nan, np.nan, 2.0])
    found = one(compare(trials, "idle_time_s", "factor"))
    assert (found.n, found.left_out) == (0, 2)
    assert "No participant has" in found.why


def test_single_participant_gives_a_difference_but_no_test():
    found = one(compare(within(people=1), "completion_time_s", "factor"))
    assert (found.n, np.isnan(found.p)) == (1, True)
    assert not np.isnan(found.difference)
    assert "needs 2 participants" in found.why


def test_joined_levels_keep_their_order():
    trials = between((3, 3, 3), "abc")
    size = {"a": "small", "b": "medium", "c": "large"}
    trials["size"] = pd.Categorical(trials.factor.map(size), ["small", "medium", "large", "huge"])
    found = compare(trials, "completion_time_s", "size")
    assert found.level_a.tolist()[1:] == ["small", "small", "medium"]
    trials["age"] = trials.factor.map({"a": 9, "b": 10, "c": 20})
    assert compare(trials, "completion_time_s", "age").level_a.tolist()[1:] == ["9", "9", "10"]


@pytest.mark.parametrize(
    ("metric", "by", "correction", "message"),
    [
        ("completion_time", "factor", "holm", "Did you mean 'completion_time_s'"),
        ("click_count", "factor", "holm", "click_count was not computed"),
        ([], "factor", "holm", "No metric"),
        ("completion_time_s", "factors", "holm", "Did you mean 'factor'"),
        ("completion_time_s", "participant", "holm", "can't be grouped by 'participant'"),
        ("completion_time_s", "factor", "bonferroni", "no correction 'bonferroni'"),
        ("completion_time_s", "task", "holm", "there is only 'Search'"),
        ("completion_time_s", "age", "holm", "age has 21 levels"),
    ],
)
def test_invalid_arguments_are_refused(metric, by, correction, message):
    trials = within(people=21)
    trials["age"] = trials.participant.astype(int)
    with pytest.raises(SettingsError, match=message):
        compare(trials, metric, by, correction)


def test_participants_without_names_are_refused():
    trials = within()
    trials["participant"] = pd.Series(pd.NA, trials.index, dtype="str")
    with pytest.raises(SettingsError, match="participants with names; there is none"):
        compare(trials, "completion_time_s", "factor")
