"""A minute of fuzzing, with a new seed each time, as part of `make test-long`."""

import random
import time

import pytest

from tests.fuzz import fuzz as module
from tests.fuzz.cases import Case, make_case, smaller
from tests.fuzz.fuzz import Watch, fuzz, problems_of
from tests.fuzz.intact import FORMATS

SECONDS = 60
MIN_CASES = 20
"""What a run has to reach, so that it shows anything; an idle machine does fifty times as many."""


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 180)
def test_mutated_studies_give_a_consistent_result_or_a_named_error(tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}: python -m tests.fuzz.fuzz --seed {seed} --seconds {SECONDS} repeats it")
    count, found = fuzz(SECONDS, seed, tmp_path)
    assert not found, f"seed {seed}: {found}"
    assert count >= MIN_CASES


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_intact_studies_of_each_format_are_consistent(tmp_path, name):
    for seed in range(2):
        assert problems_of(Case(name, seed, ()), tmp_path, Watch()) == []


def test_what_needs_much_memory_or_time_is_found(monkeypatch):
    watch = Watch()
    watch.start()
    monkeypatch.setattr(module, "MAX_BYTES", 60 << 20)
    assert watch.costs() == []
    assert len(b"x" * (100 << 20)) == 100 << 20
    assert [cost.endswith(" MB") for cost in watch.costs()] == [True]
    watch.start()
    assert watch.costs() == []
    monkeypatch.setattr(module, "MAX_S", 0.05)
    while time.process_time() < watch.cpu_s + 0.1:
        pass
    assert [cost.endswith(" s of CPU time") for cost in watch.costs()] == [True]


def test_a_case_that_is_wrong_is_made_smaller():
    case = Case("fulcrum", 1, (("truncate", 1), ("empty", 2), ("drop_line", 3)))
    assert smaller(case, lambda each: ("empty", 2) in each.steps).steps == (("empty", 2),)


def test_a_seed_and_a_number_give_the_same_case_again():
    assert [make_case(7, n) for n in range(20)] == [make_case(7, n) for n in range(20)]
    assert make_case(7, 1) != make_case(8, 1)
