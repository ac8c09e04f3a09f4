"""Rows of a table are sorted stably by time, with their keys."""

from tests.study.metrics.trial_metrics import make_group


def test_sort_by_time_keeps_the_order_of_equal_times_and_moves_keys():
    made = make_group("keyboard", [[(0.3, "a"), (0.1, "7"), (0.1, " ")], [(0.1, "a")]])
    assert made.table.t.tolist() == [0.1, 0.1, 0.3, 0.1]
    assert made.table.key_class.tolist() == [1, 3, 0, 0]
