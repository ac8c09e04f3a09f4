"""What a failure contains of an exception, and what it leaves out."""

from analytics_kit.backends.record import Attempt, RecordState
from analytics_kit.backends.step_runner import LOG_CHARACTERS, failure_of, offer_to_others
from analytics_kit.errors import BadArchiveError, StoreError
from analytics_kit.model import CannotRunHere


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


class TestOffers:
    class Store:
        def __init__(self, is_refused):
            self.is_refused, self.calls = is_refused, []

        def is_refused_by_all(self, attempt, patience_s):
            self.calls.append(("refused", patience_s))
            return self.is_refused

        def return_to_queue(self, attempt, reason, notice="", delay_s=0.0):
            self.calls.append(("returned", notice))

        def change_state(self, attempt, to, **changes):
            self.calls.append((to, changes["error"]))

    @staticmethod
    def reason():
        refused = CannotRunHere("no credentials", patience_s=7.0)
        refused.__cause__ = StoreError("s3://lab can't be read", hint="Check the credentials.")
        return refused

    def test_step_that_a_worker_refuses_goes_back_to_the_queue_with_the_reason(self):
        offer_to_others(store := self.Store(False), Attempt("job-1"), self.reason())
        assert store.calls == [("refused", 7.0), ("returned", "No worker can do it yet: no credentials")]

    def test_step_that_all_workers_refuse_fails_with_the_error_behind_the_reason(self):
        offer_to_others(store := self.Store(True), Attempt("job-1"), self.reason())
        _, (state, failure) = store.calls
        assert state is RecordState.FAILED
        assert (failure.type, failure.message) == ("StoreError", "s3://lab can't be read")
        assert failure.hint == "Check the credentials."

    def test_refusal_without_an_error_behind_it_fails_the_job_with_the_reason(self):
        failure = failure_of(CannotRunHere("too old"))
        assert (failure.type, failure.message) == ("JobFailedError", "The job can't run here: too old")
