"""Every metric of the catalogue: by hand, on empty and tiny trials, and under shifts, scales and options."""

import math
import re
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_kit.options import Options
from analytics_kit.study import metrics
from analytics_kit.study.metrics.catalogue import CATALOGUE, EVENT_COUNT_METRICS, METRIC_NAMES, METRICS_BY_NAME
from analytics_kit.study.metrics.evaluate import SAMPLE_ENTROPY
from tests.study.metrics.expected_metrics import EMPTY, EXPECTED, FULL, KEYS, NA, ONE, TWO
from tests.study.metrics.trial_metrics import KIND, measure_trial, measure_trials

each_metric = pytest.mark.parametrize("name", METRIC_NAMES)


def check(value, expected):
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_families_and_catalogue_list_the_same_metrics():
    modules = [import_module(f"{metrics.__name__}.{module.name}") for module in iter_modules(metrics.__path__)]
    tuples = {name: value for module in modules for name, value in vars(module).items() if name.endswith("_METRICS")}
    computed = {*EVENT_COUNT_METRICS.values(), SAMPLE_ENTROPY, "click_rate_per_min"}
    for names in tuples.values():
        computed |= {*names} if isinstance(names, tuple) else set()
    assert computed == {*METRIC_NAMES}


def test_every_metric_is_tested():
    assert list(EXPECTED) == list(METRIC_NAMES)


@each_metric
@pytest.mark.parametrize("case", ["empty files", "one event", "two events", "by hand"])
def test_metric_has_the_expected_value(name, case):
    column = ["empty files", "one event", "two events", "by hand"].index(case)
    check(measure_trial(**[EMPTY, ONE, TWO, FULL][column])[name], EXPECTED[name][column])


@each_metric
def test_catalogue_states_what_few_rows_give(name):
    """The edge rule contains NA if a trial of up to two events gives NA, and 0 if an empty file gives 0."""
    edge, few = METRICS_BY_NAME[name].edge, EXPECTED[name][:3]
    if any(math.isnan(value) for value in few):
        assert "NA" in edge
    if few[0] == 0 and METRICS_BY_NAME[name].needs:
        assert re.search(r"\b0 without", edge)


@each_metric
def test_metric_is_na_without_any_file(name):
    check(measure_trial()[name], NA)


@each_metric
def test_metric_is_na_without_the_files_that_it_needs_and_no_others(name):
    """A metric is NA when one of the kinds that the catalogue names is missing, and does not need the others."""
    for part, kind in KIND.items():
        value = measure_trial(**{k: v for k, v in FULL.items() if k != part})[name]
        if kind in METRICS_BY_NAME[name].needs:
            check(value, NA)
    needed = {part: FULL[part] for part, kind in KIND.items() if kind in METRICS_BY_NAME[name].needs}
    if needed and name != "click_rate_per_min":
        check(measure_trial(**needed)[name], EXPECTED[name][3])


SECONDS = sorted({option for metric in CATALOGUE for option in metric.thresholds if option.endswith("_s")})
POSITIONS = {"x_min_px": "x", "x_max_px": "x", "y_min_px": "y", "y_max_px": "y"}
MOMENTS = {
    "completion_time_s", "time_to_first_event_s", "time_to_first_click_s", "initiation_time_s", "speed_max_time_s",
    "maximum_absolute_deviation_time_s", "acceleration_max_time_s", "initial_pause_s",
}  # fmt: skip


def moved(trial, dt=0.0, dx=0.0, dy=0.0, scale=1.0, slower=1.0):
    return {
        kind: [(slower * row[0] + dt, row[1]) if kind == "keys" else
               (slower * row[0] + dt, scale * row[1] + dx, scale * row[2] + dy) for row in rows]
        for kind, rows in trial.items()
    }  # fmt: skip


def close(value, expected):
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@each_metric
def test_metric_under_a_shift_of_the_origin(name):
    shift = {"x": 700, "y": -300}.get(POSITIONS.get(name), 0)
    close(measure_trial(**moved(FULL, dx=700, dy=-300))[name], EXPECTED[name][3] + shift)


@each_metric
def test_metric_under_a_shift_of_time(name):
    expected = EXPECTED[name][3] + (5 if name in MOMENTS else 0)
    if name == "click_rate_per_min":
        expected = 3 / 7.6 * 60
    if name == "average_deviation_px":
        expected *= 66 / 566  # at rest from 0 s on
    close(measure_trial(**moved(FULL, dt=5))[name], expected)


@each_metric
def test_metric_under_a_scale_of_space(name):
    power = {"px": 1, "px2": 2, "px/s": 1, "px/s2": 1, "rad/px": -1}.get(METRICS_BY_NAME[name].unit, 0)
    close(measure_trial(**moved(FULL, scale=3))[name], EXPECTED[name][3] * 3**power)


@each_metric
def test_metric_under_a_scale_of_time(name):
    """In slow motion, with thresholds scaled too, all times are longer and all rates lower."""
    power = {"s": 1, "px/s": -1, "px/s2": -2, "1/s": -1, "1/min": -1, "wpm": -1}.get(METRICS_BY_NAME[name].unit, 0)
    thresholds = {option: 2 * getattr(Options(), option) for option in SECONDS}
    close(measure_trial(thresholds, **moved(FULL, slower=2))[name], EXPECTED[name][3] * 2.0**power)


@each_metric
def test_order_of_rows_does_not_matter_but_for_equal_times(name):
    shuffled = {kind: sorted(rows, key=lambda row: row[0] * 7919 % 1) for kind, rows in FULL.items()}
    assert shuffled["keys"] != KEYS
    close(measure_trial(**shuffled)[name], EXPECTED[name][3])


@each_metric
def test_metric_computed_alone_is_the_same(name):
    assert set(measure_trial({"metrics": [name]}, **FULL)) == {name}
    close(measure_trial({"metrics": [name]}, **FULL)[name], EXPECTED[name][3])


@each_metric
def test_metric_depends_on_its_thresholds_and_no_others(name):
    """Each of them changes the value of some trial; the other options never do."""
    known = {option: value for option, value in Options().to_json().items() if option.endswith(("_s", "_px"))}
    trials = [moved(FULL, slower=k) for k in (0.1, 0.3, 1, 3, 8)] + [RESTLESS, HELD]
    plain = measure_trials(trials)[name]
    matter = set()
    for option, value in known.items():
        for other in (value * 0.2, value * 0.5, value * 2, value * 5, 8.0):
            theirs = measure_trials(trials, **{option: max(other, 0.001)})[name]
            if not np.array_equal(plain, theirs, equal_nan=True):
                matter.add(option)
    if name != "auto_repeat_share":  # for which keys have to be known: test_key_timing.py
        assert matter == set(METRICS_BY_NAME[name].thresholds)


RESTLESS = {
    "moves": [(i / 20, 3.0 * (i % 3), 5.0 * (i % 4)) for i in range(40)],
    "clicks": [(0.2 * i, 3.0 * (i % 2), 2.0 * (i % 5)) for i in range(20)],
    "keys": [(0.04 * i, "a") for i in range(20)],
}
HELD = {"moves": [(0.0, 0, 0), (0.152, 4, 4), (0.153, 0, 0), (0.3, 100, 100)]}
"""At 0.16 s the pointer is back at the start, unless it moves all through the last gap."""


def test_trials_together_equal_trials_alone():
    trials = [FULL, {}, ONE, EMPTY, moved(FULL, dx=5), TWO, {"keys": KEYS}, FULL]
    together = measure_trials(trials)
    for i, trial in enumerate(trials):
        alone = measure_trial(**trial)
        for name in METRIC_NAMES:
            assert together[name][i] == alone[name] or np.isnan([together[name][i], alone[name]]).all(), name


times = st.one_of(
    st.integers(-50, 400).map(lambda n: n / 100), st.sampled_from([0.0, 1e-300, 1e300, -1e300, 5e-324, 1e9])
)
positions = st.one_of(st.integers(-100, 3000).map(float), st.sampled_from([65535.0, 1e200, -1e308, 5e-324]))
rows = st.lists(st.tuples(times, positions, positions), max_size=9)
presses = st.lists(st.tuples(times, st.sampled_from(["a", "Key.backspace", "Key.shift", " ", ""])), max_size=9)
trials = st.fixed_dictionaries({}, optional={"moves": rows, "clicks": rows, "scrolls": rows, "keys": presses})


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(trials)
@example({"moves": [(0.0, 0.0, 0.0), (5e-324, 1e308, -1e308)], "clicks": [(0.0, 1.0, 1.0)] * 4})
def test_no_metric_is_ever_infinite_or_out_of_its_range(trial):
    for name, value in measure_trial(**trial).items():
        assert not math.isinf(value), name
        unit = METRICS_BY_NAME[name].unit
        if unit in ("count", "share", "1/s") or name.startswith(("path_l", "hover", "idle", "active", "bounding")):
            assert not value < 0, name
        if unit in ("share", "0-1"):
            assert not value > 1 + 1e-9, name


@pytest.mark.parametrize("metric", CATALOGUE, ids=METRIC_NAMES)
def test_counts_are_whole(metric):
    value = measure_trial(**FULL)[metric.name]
    if metric.is_count and metric.native != "unavailable":
        assert value == int(value)
    assert metric.name.endswith(
        {"s": "_s", "px": "_px", "px2": "_px2", "px/s": "_px_s", "1/s": "_per_s"}.get(metric.unit, "")
    )
