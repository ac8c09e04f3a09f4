"""The time that is left of what a caller waits."""

from concurrent.futures import ThreadPoolExecutor

from analytics_kit.backends.time_budget import seconds_left, time_budget


def test_without_a_budget_all_is_left():
    assert seconds_left(5) == 5
    with time_budget(None):
        assert seconds_left(5) == 5


def test_budget_is_the_most_that_is_left_and_ends_with_its_block():
    with time_budget(1000):
        assert 0 < seconds_left(2000) <= 1000
        assert seconds_left(5) == 5
        with time_budget(0):
            assert seconds_left(5) == 0
        assert seconds_left(5) == 5
    assert seconds_left(2000) == 2000


def test_budget_is_not_that_of_other_threads():
    with time_budget(0), ThreadPoolExecutor(1) as pool:
        assert pool.submit(seconds_left, 5).result() == 5
