"""Which points are drawn of too many, and the note on it."""

import numpy as np
import pytest

from analytics_kit.plot import thinning


@pytest.mark.parametrize(
    ("count", "note"),
    [(10_000, ""), (10_001, "every 2nd of 10,001 rows"), (1_200_000, "every 120th of 1,200,000 rows"),
     (110_000, "every 11th of 110,000 rows"), (210_000, "every 21st of 210,000 rows"), (0, "")],
)  # fmt: skip
def test_every_nth_of_too_many_points_is_drawn(count, note):
    assert thinning.note(count, "rows") == note
    assert len(thinning.every_nth(count)) == (min(count, 10_000) if not note else -(-count // thinning.stride(count)))
    assert len(thinning.every_nth(count)) <= 10_000


def test_extremes_are_the_highest_and_lowest_of_each_block_of_a_trial():
    values = np.array([1.0, 5, 6, 2, 4, 9, 3, 4])
    trial = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert thinning.extremes(values, trial, 3).tolist() == [0, 2, 3, 5, 6, 7]
    assert thinning.extremes(values, trial, 4).tolist() == [0, 2, 4, 5, 6, 7]
    assert thinning.extremes(values, trial, 1).tolist() == list(range(8))
    assert thinning.extremes(values[:0], trial[:0], 3).tolist() == []
