"""What a failure contains of an exception, and what it leaves out."""

from analytics_kit.backends.step_runner import LOG_CHARACTERS, failure_of
from analytics_kit.errors import BadArchiveError


def failure_from(call):
    try:
        call()
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
    (lambda: deep(level + 1))()  # two frames that differ, or the traceback would abbreviate them


def test_traceback_has_causes_without_their_messages():
    for call in (from_another, while_another):
        text = failure_from(call).traceback
        assert "typed text" not in text.replace('float("typed text")', "")
        assert "ValueError\n" in text
        assert text.count("Traceback (most recent call last)") == 2
        assert text.count(call.__name__) == 2
    assert "BadArchiveError: the ZIP is torn\n" in failure_from(from_another).traceback


def test_traceback_leaves_out_a_suppressed_context():
    assert "ValueError\n" not in failure_from(without_another).traceback


def test_long_traceback_keeps_its_end():
    failure = failure_from(deep)
    assert len(failure.traceback) == LOG_CHARACTERS
    assert failure.traceback.endswith("KeyError: 'odd'\n")
    assert failure.traceback == failure.log
