"""A study is cut into few shards of about equal size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.study.pipeline.plan import even_cuts


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 100))
def test_even_cuts_are_few_and_even(sizes, limit):
    ends = even_cuts(sizes, limit)
    assert ends == sorted(set(ends))
    assert (ends or [0])[-1] == len(sizes)
    runs = [sizes[first:end] for first, end in zip([0, *ends], ends, strict=False)]
    for run in runs:
        assert sum(run) <= limit or sum(size > 0 for size in run) == 1
    if len(ends) > 1:
        assert all(map(sum, runs))
    greedy, room = 0, 0
    for size in sizes:
        if size > room:
            greedy, room = greedy + 1, limit
        room -= size
    assert len(ends) <= greedy + 1 if greedy else True


@pytest.mark.parametrize(("megabytes", "shards"), [(64, 1), (67, 2), (130, 4), (1_024, 16), (1_030, 18)])
def test_plan_of_a_large_study_has_even_shards(megabytes, shards):
    sizes = [1 << 18] * (4 * megabytes)
    ends = even_cuts(sizes, 64 << 20)
    assert len(ends) == shards
    runs = [end - first for first, end in zip([0, *ends], ends, strict=False)]
    assert max(runs) - min(runs) <= len(runs)
