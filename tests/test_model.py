"""Status, progress and failures of jobs, as all rooms share them."""

from dataclasses import FrozenInstanceError, fields

import pytest

from analytics_kit.errors import BadArchiveError, JobFailedError
from analytics_kit.model import KINDS, Failure, JobRequest, JobStatus, Kind, Progress


def test_three_statuses_are_final():
    assert [status for status in JobStatus if status.final] == ["completed", "failed", "cancelled"]


def test_the_kinds_listed_are_those_of_the_type():
    assert set(KINDS) == set(Kind.__args__)


def test_a_failure_of_an_error_of_the_tree_gives_that_error_again():
    failure = Failure.of(BadArchiveError("torn", hint="mend it"), log="last words")
    assert failure == Failure("BadArchiveError", "torn", "mend it", "last words")
    error = failure.error()
    assert type(error) is BadArchiveError
    assert (error.message, error.hint) == ("torn", "mend it")


def test_a_failure_of_another_error_keeps_its_type_as_text():
    failure = Failure.of(KeyError("odd"))
    assert (failure.type, failure.hint) == ("KeyError", "")
    error = failure.error()
    assert type(error) is JobFailedError
    assert error.message == "KeyError: 'odd'"
    assert error.hint == JobFailedError.default_hint


@pytest.mark.parametrize(
    "value", [Progress(), Failure("KeyError", "odd"), JobRequest("task", {}, "key", "study.zip")]
)
def test_what_rooms_pass_on_is_frozen(value):
    name = fields(value)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, getattr(value, name))
