"""Legal changes of a record, its fields in Redis, and which requests join it."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit.backends.record import (
    RESULT_TTL_S,
    Record,
    RecordState,
    StaleAttemptError,
    can_join,
    completed_progress,
    encode_fields,
    transition,
)
from analytics_kit.errors import JobCancelledError
from analytics_kit.model import Failure, JobRequest, JobStatus, Progress

LEGAL = {
    ("queued", "running"), ("running", "committing"), ("committing", "completed"),
    ("queued", "cancelled"), ("running", "cancelled"),
    ("queued", "failed"), ("running", "failed"), ("committing", "failed"),
}  # fmt: skip


def record(**changes):
    request = JobRequest("tests.backends.sample_steps.echo", {"a": [1, None]}, "key", "/s.zip", 5, ("t",), "ann")
    made = Record.of(request, "id", 100.0)
    return transition(made, RecordState.RUNNING, 101.0) if changes.pop("running", False) else made


@pytest.mark.parametrize(("source", "to"), list(itertools.product(RecordState, RecordState)))
def test_transition_only_when_legal(source, to):
    before = replace(record(), state=source)
    if (source, to) in LEGAL:
        assert transition(before, to, 7.0).state is to
    else:
        with pytest.raises(StaleAttemptError) as caught:
            transition(before, to, 7.0)
        assert caught.value.state is source
        assert isinstance(caught.value.as_cancellation(), JobCancelledError)


def test_times_are_set_once():
    running = record(running=True)
    assert (running.started_at, running.ended_at) == (101.0, None)
    done = transition(transition(running, RecordState.COMMITTING, 102.0), RecordState.COMPLETED, 103.0, result={})
    assert (done.started_at, done.ended_at) == (101.0, 103.0)


def test_status_of_committing_is_running():
    assert RecordState.COMMITTING.status is JobStatus.RUNNING
    assert [state.status.value for state in RecordState if state is not RecordState.COMMITTING] == [
        str(s) for s in JobStatus
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(arguments=st.dictionaries(st.text(), json_values), tags=st.lists(st.text()), source=st.text())
def test_record_is_read_as_it_was_written(arguments, tags, source):
    made = Record.of(JobRequest("t", arguments, "key", source, tags=tuple(tags)), "id", 1.5)
    failed = transition(
        made, RecordState.FAILED, 2.5, error=Failure("KeyError", source, "hint"), progress=Progress(done=3)
    )
    for whole in (made, failed):
        fields = {name.encode(): text.encode("utf-8", "surrogatepass") for name, text in whole.to_fields().items()}
        assert Record.from_fields(fields) == whole


def test_fields_of_a_newer_version_are_ignored():
    fields = {name.encode(): text.encode() for name, text in record().to_fields().items()}
    progress = json.loads(fields[b"progress"]) | {"novelty": 1}
    fields |= {b"novelty": b'"x"', b"version": b"99", b"progress": json.dumps(progress).encode()}
    read = Record.from_fields(fields)
    assert read.version == 99
    assert read.progress == Progress()


def test_record_without_newer_fields_is_read():
    fields = {name.encode(): text.encode() for name, text in record().to_fields().items()}
    fields |= {b"progress": b'{"phase": "merging", "done": 5}', b"error": b'{"type": "KeyError", "message": "odd"}'}
    read = Record.from_fields(fields)
    assert read.progress == Progress("merging", 5)
    assert read.error == Failure("KeyError", "odd")


def test_traceback_equal_to_the_log_is_written_once():
    for failure in (
        Failure("KeyError", "odd", "", "a trace", "a trace"),
        Failure("KeyError", "odd", "", "a log", "t"),
    ):
        failed = transition(record(), RecordState.FAILED, 2.5, error=failure)
        fields = {name.encode(): text.encode() for name, text in failed.to_fields().items()}
        assert fields[b"error"].count(b"a trace") <= 1
        assert Record.from_fields(fields).error == failure


def test_values_that_json_can_not_represent_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        encode_fields({"result": {"x": float("nan")}})
    with pytest.raises(TypeError):
        Record.of(JobRequest("t", {"x": {1}}, "key", "s"), "id", 1.0)


@pytest.mark.parametrize(
    ("state", "ended_at", "now", "joined"),
    [
        (RecordState.QUEUED, None, 10**9, True),
        (RecordState.RUNNING, None, 10**9, True),
        (RecordState.COMMITTING, None, 10**9, True),
        (RecordState.COMPLETED, 0.0, RESULT_TTL_S - 1, True),
        (RecordState.COMPLETED, 0.0, RESULT_TTL_S, False),
        (RecordState.FAILED, 0.0, 1, False),
        (RecordState.CANCELLED, 0.0, 1, False),
    ],
)
def test_job_is_joined_unless_failed_cancelled_or_expired(state, ended_at, now, joined):
    earlier = replace(record(), state=state, ended_at=ended_at)
    assert can_join(earlier, replace(record(), created_at=now)) is joined


@pytest.mark.parametrize("limit", ["time_limit_s", "memory_limit_mb"])
def test_job_with_other_limits_is_joined_only_when_completed(limit):
    """Else a request without limit could fail by one, or a limit of a request would not hold."""
    plain, limited = record(), replace(record(), **{limit: 5.0})
    assert can_join(limited, limited)
    assert not can_join(plain, limited)
    assert not can_join(limited, plain)
    assert can_join(replace(plain, state=RecordState.COMPLETED, ended_at=plain.created_at), limited)


@pytest.mark.parametrize(("total", "done"), [(None, 7), (10, 10)])
def test_completed_progress_is_full(total, done):
    end = completed_progress(Progress("merging", 7, total, fraction=0.96, eta_s=3.0, rows=12, files=2))
    assert (end.phase, end.done, end.fraction, end.eta_s) == ("completed", done, 1.0, 0.0)
    assert (end.rows, end.files) == (12, 2)
