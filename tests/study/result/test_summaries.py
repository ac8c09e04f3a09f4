"""Bimodality of a metric over trials, latencies of pairs of keys, and the catalogue as a table."""

import math

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError
from analytics_kit.options import Options
from analytics_kit.study.metrics.catalogue import METRIC_NAMES, METRICS_BY_NAME
from analytics_kit.study.result.summaries import bimodality_coefficient
from analytics_kit.study.sample.study import sample_study
from tests.study.make_study import KEYS, folder, mouse, typed


def by_its_formula(values):
    n, mean = len(values), sum(values) / len(values)
    m2, m3, m4 = (sum((v - mean) ** k for v in values) / n for k in (2, 3, 4))
    skewness = m3 / m2**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) + 6)
    return (skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))


@pytest.mark.parametrize(
    "values", [[1, 2, 4, 8], [0, 0, 0, 1], [-3, 5, 5, 5, 7, 90], [1.5, 2.5] * 20, list(range(100)), [0, 0, 1, 1, 1]]
)
def test_bimodality_equals_its_formula(values):
    assert bimodality_coefficient(pd.Series(values)) == pytest.approx(by_its_formula(values), rel=1e-9)
    assert bimodality_coefficient(pd.Series([*values, pd.NA], dtype="Float64")) == pytest.approx(
        by_its_formula(values), rel=1e-9
    )


def test_bimodality_is_larger_for_two_modes_than_uniform_than_one_mode():
    two, even, single = [0.0, 1.0] * 500, range(1000), [0, *[5] * 998, 10]
    found = [bimodality_coefficient(pd.Series(values)) for values in (two, even, single)]
    assert found[0] > 0.99
    assert found[1] == pytest.approx(5 / 9, abs=0.005)
    assert found[2] < 5 / 9


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0, math.nan], [4.0] * 9])
def test_too_few_or_equal_values_have_no_bimodality(values):
    assert math.isnan(bimodality_coefficient(pd.Series(values, dtype="float64")))


def test_bimodality_of_a_result(studies):
    result = studies.process(sample_study(studies.root / "s.zip", 3, 2, trial_s=3))
    for by in ("participant", "task", "factor"):
        table = result.bimodality(by)
        assert table.columns.tolist() == [by, *METRIC_NAMES]
        for name in ("path_length_px", "click_count", "scroll_distance_px"):
            for row, (group, trials) in enumerate(result.trials.groupby(by, sort=False)):
                assert table[by][row] == group
                expected = bimodality_coefficient(trials[name])
                assert table[name][row] == pytest.approx(expected, nan_ok=True)
    assert result.bimodality().path_length_px.notna().all()
    with pytest.raises(SettingsError, match=r"grouped by 'factr'\. Did you mean 'factor'"):
        result.bimodality("factr")


def test_digraphs_by_hand(process):
    first = typed((0.1, "a"), (0.3, "b"), (0.6, "a"), (1.0, "b"), (1.1, "b"))
    second = typed((0.5, "b"), (0.2, "a"))  # sorted by time
    result = process(
        {f"{folder(1)}/Keyboard Inputs.csv": first, f"{folder(2)}/Keyboard Inputs.csv": second}, keys="full"
    )
    table = result.digraphs
    assert table.columns.tolist() == [
        "participant", "session", "task", "factor", "trial", "trial_order", "key", "next_key", "count",
        "latency_mean_s", "latency_median_s", "latency_sd_s",
    ]  # fmt: skip
    rows = table[["participant", "key", "next_key", "count"]].itertuples(index=False, name=None)
    assert list(rows) == [("1", "a", "b", 2), ("1", "b", "a", 1), ("1", "b", "b", 1), ("2", "a", "b", 1)]
    assert table.latency_mean_s.tolist() == pytest.approx([0.3, 0.3, 0.1, 0.3])
    assert table.latency_sd_s.tolist() == pytest.approx([0.1 * math.sqrt(2), *[math.nan] * 3], nan_ok=True)
    assert str(table["count"].dtype) == "Int64"


def test_digraphs_of_trials_with_equal_names_stay_separate(process):
    twin = folder(1).replace("_trial_1", "_trial_01")
    members = {f"{at}/Keyboard Inputs.csv": typed((0.1, "a"), (0.3, "b")) for at in (folder(1), twin)}
    assert process(members, keys="full").digraphs["count"].tolist() == [1, 1]


def test_digraphs_need_the_keys(process):
    members = {f"{folder(1)}/Keyboard Inputs.csv": typed((0.1, "a"), (0.3, "b"))}
    with pytest.raises(SettingsError) as caught:
        _ = process(members).digraphs
    assert 'keys="full"' in caught.value.hint


@pytest.mark.parametrize("text", [KEYS, typed((0.1, "a"))])
def test_digraphs_without_pairs_are_empty(process, text):
    members = {f"{folder(1)}/Keyboard Inputs.csv": text, f"{folder(1)}/Mouse Movement.csv": mouse((0.1, 1, 1))}
    assert process(members, keys="full").digraphs.empty
    without = process({f"{folder(1)}/Mouse Movement.csv": mouse((0.1, 1, 1))}, keys="full").digraphs
    assert without.empty
    assert {"key", "next_key", "count", "latency_mean_s"} <= set(without.columns)


def test_metrics_table_has_the_whole_catalogue():
    table = ak.metrics()
    assert table.metric.tolist() == list(METRIC_NAMES)
    assert table.columns.tolist() == [
        "metric", "unit", "definition", "formula", "kinds", "edge", "thresholds", "native", "against_full", "source",
    ]  # fmt: skip
    assert set(table.native) == {"exact", "estimate", "unavailable"}
    assert not table.isna().any(axis=None)
    for row in table.itertuples():
        assert row.definition, row.metric
        assert row.formula, row.metric
        assert set(filter(None, row.thresholds.split(", "))) <= Options.model_fields.keys(), row.metric
        assert row.kinds == "any" or tuple(row.kinds.split(", ")) == METRICS_BY_NAME[row.metric].needs
    assert ak.metrics() is not ak.metrics()


def test_exactly_the_unavailable_metrics_are_na_on_a_native_log(studies):
    """On a study with all kinds of events."""
    result = studies.process(sample_study(studies.root / "s.zip", 2, 1, trial_s=20), keys="full")
    missing = {name for name in METRIC_NAMES if result.trials[name].isna().all()}
    assert missing == {metric.name for metric in METRICS_BY_NAME.values() if metric.native == "unavailable"}
