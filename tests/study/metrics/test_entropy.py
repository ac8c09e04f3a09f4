"""Sample entropy against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_kit.study.metrics import entropy
from analytics_kit.study.metrics.entropy import sample_entropies
from tests.study.metrics.expected_metrics import sample_entropy
from tests.study.metrics.trial_metrics import measure_trials

walks = st.lists(st.integers(-30, 30), min_size=2, max_size=30).map(np.cumsum)


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(walks, walks)
def test_sample_entropy_equals_its_definition(one, other):
    """The tolerance comes from both trials."""
    trials = [[(i / 7, float(v), 0.0) for i, v in enumerate(walk)] for walk in (one, other)]
    steps = [np.diff(np.interp(np.linspace(0, t[-1][0], 101), *np.array(t).T[:2])) for t in trials]
    tolerance = 0.2 * np.std(np.concatenate(steps), ddof=1)
    values = measure_trials([{"moves": trial} for trial in trials])["sample_entropy"]
    for value, trial in zip(values, trials, strict=True):
        t, x, _ = zip(*trial, strict=True)
        assert value == pytest.approx(sample_entropy(t, x, tolerance), rel=1e-12, abs=1e-12)


def test_tolerance_uses_the_standard_deviation_with_n_minus_1():
    """Half of the differences are more than 0.2 standard deviations apart with n, less with n - 1."""
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


def test_sample_entropy_is_nan_without_similar_windows():
    noise = np.random.default_rng(1).normal(size=(1, entropy.X_DIFFERENCES)) * 1e6
    assert np.isnan(sample_entropies(noise)).all()
    still = np.zeros((3, entropy.X_DIFFERENCES))
    still[1, 5] = np.inf
    assert sample_entropies(still).tolist() == pytest.approx([0, math.nan, 0], nan_ok=True)
    assert sample_entropies(np.empty((0, entropy.X_DIFFERENCES))).tolist() == []
