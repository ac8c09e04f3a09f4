"""Quality flags count doubtful rows per member."""

import numpy as np

from analytics_kit.study.events import quality_flags


def test_flags_are_counted_with_their_first_row():
    t = np.array([0.1, 0.3, 0.2, 0.1, -1.0])
    x = np.array([0.0, 65535.0, 0.0, 0.0, -40000.0])
    found = np.zeros((2, 3, 2), np.int64)
    quality_flags.count_flags(t, x, np.zeros(5), np.array([0, 3, 5]), 32767.0, found)
    assert found.tolist() == [[[1, 2], [0, 0], [1, 1]], [[1, 1], [1, 1], [1, 1]]]
    assert quality_flags.find_unsorted(t, np.array([0, 3]), np.array([3, 5])).tolist() == [0, 1]
