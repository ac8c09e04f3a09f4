"""Merging equal times, median and extremes, against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_kit.study.metrics.primitives import median, merge_equal_times, min_max


def test_equal_times_keep_the_last_row():
    t = np.array([0.1, 0.1, 0.1, 0.2, 0.2])
    merged = np.empty((3, 5))
    assert merge_equal_times(t, np.arange(5.0), -np.arange(5.0), merged) == 2
    assert merged[:, :2].tolist() == [[0.1, 0.2], [2, 4], [-2, -4]]


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.floats(allow_nan=False)), min_size=1, max_size=60))
def test_median_and_min_max_equal_numpy(values):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.median(values)
    assert min_max(np.array(values)) == (min(values), max(values))
    np.testing.assert_array_equal(median(np.array(values)), expected)


@pytest.mark.parametrize("values", [[3.0] * 5000, list(range(5000)), list(range(5000, 0, -1)), [1.0, 2.0] * 2500])
def test_median_of_inputs_that_slow_quickselect(values):
    assert median(np.array(values, float)) == np.median(values)
