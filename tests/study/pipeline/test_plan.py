"""A plan cuts a study into few shards of about equal size, and lists each member that no shard reads once."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit import EventFormat
from analytics_kit.study.pipeline.plan import even_cuts
from tests.study.make_study import zip_bytes


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


NAMED_BY_ROW = EventFormat(
    columns={"t": "t", "x": "x", "y": "y", "participant": "who"}, time_unit="s", kind="mouse_movement"
)


def log_of(participants, rows=3):
    return "t,x,y,who\n" + "".join(f"{i},{i},{i},{who}\n" for who in participants for i in range(rows))


def balance(result):
    return tuple(result.summary[name] for name in ("rows_in", "rows_kept", "rows_dropped"))


@pytest.mark.parametrize(
    ("participants", "rows_kept"), [(None, 12), (["a", "c"], 6), (["b", "d"], 6), (["a"], 3), (["d"], 3)]
)
def test_duplicate_of_several_trials_is_listed_once_whichever_are_chosen(process, participants, rows_kept):
    raw = zip_bytes([("log.csv", log_of("abcd")), ("log.csv", log_of("abcd"))])
    result = process(raw, format=NAMED_BY_ROW, participants=participants)
    (duplicate,) = result.members[result.members.role == "log"].itertuples()
    assert (duplicate.rows_in, duplicate.rows_kept) == (12, 0)
    assert pd.isna(duplicate.trial_row), "it holds rows of several trials"
    assert len(result.members) == 2
    assert result.issues[["kind", "rows_dropped"]].to_numpy().tolist() == [["duplicate_member", 12]]
    assert balance(result) == (12 + rows_kept, rows_kept, 12)


def test_duplicate_of_one_trial_names_that_trial(process):
    raw = zip_bytes([("log.csv", log_of("b", rows=2)), ("log.csv", log_of("b")), ("other.csv", log_of("a"))])
    result = process(raw, format=NAMED_BY_ROW)
    (duplicate,) = result.members[result.members.role == "log"].itertuples()
    assert result.trials.participant[duplicate.trial_row] == "b"
    assert balance(result) == (8, 6, 2)


def test_duplicate_without_a_chosen_trial_is_not_an_issue(process):
    raw = zip_bytes([("log.csv", log_of("ab")), ("log.csv", log_of("ab")), ("other.csv", log_of("c"))])
    result = process(raw, format=NAMED_BY_ROW, participants=["c"])
    assert result.members.role.tolist() == ["mouse_movement", "not_chosen", "not_chosen"]
    assert len(result.issues) == 0
    assert balance(result) == (3, 3, 0)
