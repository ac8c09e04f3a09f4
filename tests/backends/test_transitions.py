"""The stores behave as a plain model of them, whatever two clients do in whatever order, and in races."""

import os
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from analytics_kit.backends.record import PREVIOUS_STATES, Attempt, ChangeRefusedError, Record, RecordState
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import Failure, JobRequest, Progress, Split

KEYS = QueueKeys()

RETRIES = 1
FAILURE = Failure("WorkerLostError", "gone")
TO = st.sampled_from(
    [*RecordState, *[RecordState.RUNNING] * 6, *[RecordState.COMMITTING] * 3, *[RecordState.COMPLETED] * 2]
)
FINAL = {RecordState.COMPLETED, RecordState.FAILED, RecordState.CANCELLED}


@dataclass
class ModelJob:
    """A job as it should be in the stores."""

    state: RecordState = RecordState.QUEUED
    pending: dict[str, list] = field(default_factory=lambda: {"begin": [1, 0, "queued"]})
    shards: int = 0
    released: int = 0
    done: set[int] = field(default_factory=set)
    winners: dict[int, int] = field(default_factory=dict)
    needs_cleanup: bool = False
    was_lost: bool = False
    was_started: bool = False

    def holds(self, attempt: Attempt) -> bool:
        return self.pending.get(attempt.step, [0])[0] == attempt.number

    def end(self, to: RecordState, attempt: Attempt | None = None) -> None:
        self.state = to
        for step, (_, _, location) in list(self.pending.items()):
            if location in ("queued", "later") or (to is RecordState.COMPLETED and attempt and attempt.step == step):
                del self.pending[step]
        self.needs_cleanup = self.was_started and (to is not RecordState.COMPLETED or self.was_lost)

    def release(self, width: int) -> None:
        while self.released < self.shards and len(self.pending) < width:
            self.pending[f"part-{self.released}"] = [1, 0, "queued"]
            self.released += 1


class StoreMachine(RuleBasedStateMachine):
    """Two clients of one server change jobs; `model` holds the expected state of each."""

    url = ""
    jobs = Bundle("jobs")

    @initialize(target=jobs)
    def begin(self):
        name = f"model-{os.urandom(4).hex()}"
        self.stores = [AttemptStore(connect(self.url), name) for _ in range(2)]
        self.stores[0].jobs.connection.flushdb()
        self.stores[0].jobs.connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
        self.model: dict[str, ModelJob] = {}
        queued, running, split = (self.submitted() for _ in range(3))
        for job_id in (running, split):
            self.stores[0].claim(Attempt(job_id), "w0")
            self.stores[0].change_state(Attempt(job_id), RecordState.RUNNING)
            self.model[job_id].state, self.model[job_id].was_started = RecordState.RUNNING, True
            self.model[job_id].pending["begin"][2] = "w0"
        self.stores[0].split(
            Attempt(split),
            Split(3, 300, "tests.backends.sample_steps.process_one", "tests.backends.sample_steps.merge_all"),
        )
        self.model[split].pending, self.model[split].shards = {}, 3
        self.model[split].release(2)
        return multiple(queued, running, split)

    def teardown(self):
        for store in getattr(self, "stores", ()):
            store.jobs.connection.flushdb()
            store.jobs.connection.close()

    def submitted(self):
        job_id = f"job{len(self.model)}"
        request = JobRequest("tests.backends.sample_steps.echo", {}, job_id, "/s.zip", retries=RETRIES)
        self.stores[0].jobs.submit(Record.of(request, job_id, self.stores[0].jobs.now_s()), False)
        self.model[job_id] = ModelJob()
        return job_id

    def allowed(self, action, allowed, *refusals):
        """Call `action`, expect a refusal unless it is allowed, and return whether it was done."""
        if allowed:
            action()
            return True
        with pytest.raises(refusals or ChangeRefusedError):
            action()
        return False

    def any_attempt(self, job_id, data):
        """Any attempt that there may be: at a pending step, at one that was or never was pending, new or replaced."""
        pending = self.model[job_id].pending
        step = data.draw(st.sampled_from([*pending, *pending, "begin", "part-0", "merge"]))
        newest = pending.get(step, [1])[0]
        return Attempt(job_id, step, data.draw(st.sampled_from([newest, newest, newest, 1, 2, newest + 1])))

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def claim(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = (
            job.holds(attempt) and job.state not in FINAL and job.pending[attempt.step][2] in ("queued", f"w{client}")
        )
        if self.allowed(lambda: self.stores[client].claim(attempt, f"w{client}"), allowed):
            job.pending[attempt.step][2] = f"w{client}"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), to=TO)
    def change_state(self, job_id, data, client, to):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = job.holds(attempt) and job.state in PREVIOUS_STATES[to]
        if self.allowed(lambda: self.stores[client].change_state(attempt, to), allowed):
            job.was_started |= to is RecordState.RUNNING
            job.end(to, attempt) if to in FINAL else setattr(job, "state", to)

    @rule(job_id=jobs, client=st.integers(0, 1), really=st.sampled_from([False] * 5 + [True]))
    def cancel(self, job_id, client, really):
        job = self.model[job_id]
        if not really and job.state not in FINAL:  # otherwise most jobs would end before much has happened
            return
        allowed = job.state in PREVIOUS_STATES[RecordState.CANCELLED]
        assert self.stores[client].jobs.cancel(job_id) is (allowed or job.state is RecordState.CANCELLED)
        if allowed:
            job.end(RecordState.CANCELLED)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), done=st.integers(0, 100))
    def publish_progress(self, job_id, data, client, done):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = job.holds(attempt) and job.state in (RecordState.RUNNING, RecordState.COMMITTING)
        self.allowed(
            lambda: self.stores[client].publish_progress(attempt, Progress("processing", done, 100)), allowed
        )

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), shards=st.integers(1, 4))
    def split(self, job_id, data, client, shards):
        attempt, job = Attempt(job_id, "begin", data.draw(st.integers(1, 2))), self.model[job_id]
        split = Split(
            shards, 100 * shards, "tests.backends.sample_steps.process_one", "tests.backends.sample_steps.merge_all"
        )
        if self.allowed(
            lambda: self.stores[client].split(attempt, split), job.holds(attempt) and job.state is RecordState.RUNNING
        ):
            del job.pending["begin"]
            job.shards = shards
            job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def finish_shard(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        if attempt.shard is None:
            return
        allowed = job.holds(attempt) and job.state is RecordState.RUNNING
        if self.allowed(lambda: self.stores[client].finish_shard(attempt), allowed):
            del job.pending[attempt.step]
            job.winners[attempt.shard] = attempt.number
            if len(job.winners) == job.shards:
                job.pending["merge"] = [1, 0, "queued"]
            else:
                job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), is_loss=st.booleans())
    def retry_or_return(self, job_id, data, client, is_loss):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        if is_loss:
            self.stores[client].retry_or_fail(attempt, FAILURE)
        else:
            self.stores[client].return_to_queue(attempt, "its worker was stopped")
        if job.holds(attempt) and job.state not in FINAL:
            if is_loss and job.pending[attempt.step][1] >= RETRIES:
                job.end(RecordState.FAILED)
                return
            job.was_lost = True
            losses = job.pending[attempt.step][1] + is_loss
            job.pending[attempt.step] = [attempt.number + 1, losses, "later" if is_loss else "queued"]

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def queue_due(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        self.stores[client].queue_due(attempt)
        if job.holds(attempt) and job.pending[attempt.step][2] == "later":
            job.pending[attempt.step][2] = "queued"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def release(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        has_to_clean_up = self.stores[client].release(attempt)
        if job.state in FINAL and job.holds(attempt):
            del job.pending[attempt.step]
        assert has_to_clean_up is (job.state in FINAL and not job.pending and job.needs_cleanup)
        if has_to_clean_up:
            self.stores[client].mark_cleaned_up(job_id)
            job.needs_cleanup = False

    @invariant()
    def equals_the_model(self):
        store = self.stores[1]
        for job_id, job in self.model.items():
            record = store.jobs.get(job_id)
            assert record.state is job.state
            assert (record.ended_at is not None) is (job.state in FINAL)
            (steps,) = store.pending_steps([job_id])
            assert {a.step: (a.number, location) for a, location in steps.items()} == {
                step: (number, location) for step, (number, _, location) in job.pending.items()
            }
        members = {name: store.jobs.connection.smembers(name) for name in (KEYS.active, KEYS.cleanup)}
        name = f"{store.jobs.keys.namespace}:"
        active = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.state not in FINAL}
        to_clean_up = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.needs_cleanup}
        assert members == {KEYS.active: active, KEYS.cleanup: to_clean_up}
        for job in self.model.values():
            assert job.pending or job.state in FINAL, "a job that has not ended has a pending step"


def test_stores_do_what_their_model_does(redis_url):
    machine = type("Machine", (StoreMachine,), {"url": redis_url.removesuffix("/0") + "/14"})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=50, stateful_step_count=80, deadline=None, suppress_health_check=health),
    )


def test_only_one_of_many_that_end_a_job_at_the_same_time_does(store, make_request):
    """What each call returns agrees with the record."""
    chance = random.Random(1)
    for number in range(60):
        job_id = f"race-{number}"
        attempt = Attempt(job_id)
        store.jobs.submit(Record.of(make_request("echo", key=job_id), job_id, store.jobs.now_s()), False)
        store.claim(attempt, "w1")
        store.change_state(attempt, RecordState.RUNNING)
        if chance.random() < 0.5:
            store.change_state(attempt, RecordState.COMMITTING)
        successes, ready = [], threading.Barrier(5)

        def call_at_once(name, action, successes=successes, ready=ready):
            ready.wait()
            with suppress(ChangeRefusedError, JobNotFoundError, SettingsError):
                if action() is not False:
                    successes.append(name)

        calls = [
            ("cancelled", lambda job_id=job_id: store.jobs.cancel(job_id)),
            ("cancelled", lambda job_id=job_id: store.jobs.cancel(job_id)),
            ("failed", lambda attempt=attempt: store.change_state(attempt, RecordState.FAILED, error=FAILURE)),
            ("completed", lambda attempt=attempt: store.change_state(attempt, RecordState.COMPLETED, result={})),
            ("lost", lambda attempt=attempt: store.retry_or_fail(attempt, FAILURE)),
        ]
        threads = [threading.Thread(target=call_at_once, args=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = store.jobs.get(job_id).state
        assert state in FINAL
        assert {*successes} <= {state, "lost"}, (successes, state)
        lines = [line.split(" ", 2)[2] for line in store.jobs.log(job_id)]
        assert sum(word in FINAL for word in lines) == 1, lines
