"""What a failure tells of an exception, and what it keeps to itself."""

from analytics_kit.backends.step_runner import LOG_CHARACTERS, failure_of
from analytics_kit.errors import BadArchiveError


def failed(act):
    try:
        act()
    except Exception as error:
        return failure_of(error)


def from_another():
    try:
        float("typed text")
    except ValueError as error:
        raise BadArchiveError("the ZIP is torn") from error


def while_another():
    try:
        float("typed text")
    except ValueError:
        raise KeyError("odd")  # noqa: B904


def without_another():
    try:
        float("typed text")
    except ValueError:
        raise KeyError("odd") from None


def deep(level=0):
    if level == 300:
        raise KeyError("odd")
    (lambda: deep(level + 1))()  # two frames that are not the same, or they would be told once


def test_the_words_of_what_lies_behind_an_error_are_not_in_its_traceback():
    for act in (from_another, while_another):
        told = failed(act).traceback
        assert "typed text" not in told.replace('float("typed text")', "")
        assert "ValueError\n" in told
        assert told.count("Traceback (most recent call last)") == 2
        assert told.count(act.__name__) == 2
    assert "BadArchiveError: the ZIP is torn\n" in failed(from_another).traceback


def test_what_an_error_was_raised_from_none_of_is_left_out():
    assert "ValueError\n" not in failed(without_another).traceback


def test_of_a_long_traceback_the_end_is_kept():
    told = failed(deep)
    assert len(told.traceback) == LOG_CHARACTERS
    assert told.traceback.endswith("KeyError: 'odd'\n")
    assert told.traceback == told.log
