"""Does the ledger do what a plain model of it does, whatever is asked in whatever order, by several clients?"""

import os
import random
import threading
from collections import Counter
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

from analytics_kit.backends.record import PREVIOUS_STATES, Attempt, Record, RecordState, StaleAttemptError
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import connect
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, CLEANUP_KEY
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import Failure, JobRequest, Progress, Split

RETRIES = 1
FAILURE = Failure("WorkerLostError", "gone")
TO = st.sampled_from(
    [*RecordState, *[RecordState.RUNNING] * 6, *[RecordState.COMMITTING] * 3, *[RecordState.COMPLETED] * 2]
)
FINAL = {RecordState.COMPLETED, RecordState.FAILED, RecordState.CANCELLED}


@dataclass
class Modelled:
    """A job as it should be."""

    state: RecordState = RecordState.QUEUED
    flights: dict[str, list] = field(default_factory=lambda: {"begin": [1, 0, "queued"]})
    parts: int = 0
    released: int = 0
    done: set[int] = field(default_factory=set)
    winners: dict[int, int] = field(default_factory=dict)
    is_leaving: bool = False
    was_lost: bool = False
    was_begun: bool = False

    def holds(self, attempt: Attempt) -> bool:
        return self.flights.get(attempt.step, [0])[0] == attempt.number

    def end(self, to: RecordState, attempt: Attempt | None = None) -> None:
        self.state = to
        for step, (_, _, where) in list(self.flights.items()):
            if where in ("queued", "later") or (to is RecordState.COMPLETED and attempt and attempt.step == step):
                del self.flights[step]
        self.is_leaving = self.was_begun and (to is not RecordState.COMPLETED or self.was_lost)

    def release(self, width: int) -> None:
        while self.released < self.parts and len(self.flights) < width:
            self.flights[f"part-{self.released}"] = [1, 0, "queued"]
            self.released += 1


class LedgerMachine(RuleBasedStateMachine):
    """Two clients of one server change jobs; `model` says what has to come of it."""

    url = ""
    jobs = Bundle("jobs")

    @initialize(target=jobs)
    def begin(self):
        name = f"model-{os.urandom(4).hex()}"
        self.stores = [AttemptStore(connect(self.url), name) for _ in range(2)]
        self.stores[0].connection.flushdb()
        self.stores[0].connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
        self.model: dict[str, Modelled] = {}
        queued, running, split = (self.submitted() for _ in range(3))
        for job_id in (running, split):
            self.stores[0].claim(Attempt(job_id), "w0")
            self.stores[0].change_state(Attempt(job_id), RecordState.RUNNING)
            self.model[job_id].state, self.model[job_id].was_begun = RecordState.RUNNING, True
            self.model[job_id].flights["begin"][2] = "w0"
        self.stores[0].split(
            Attempt(split),
            Split(3, 300, "tests.backends.sample_steps.fan_part", "tests.backends.sample_steps.fan_merge"),
        )
        self.model[split].flights, self.model[split].parts = {}, 3
        self.model[split].release(2)
        return multiple(queued, running, split)

    def teardown(self):
        for store in getattr(self, "stores", ()):
            store.connection.flushdb()
            store.connection.close()

    def submitted(self):
        job_id = f"job{len(self.model)}"
        request = JobRequest("tests.backends.sample_steps.echo", {}, job_id, "/s.zip", retries=RETRIES)
        self.stores[0].submit(Record.of(request, job_id, self.stores[0].now_s()), False)
        self.model[job_id] = Modelled()
        return job_id

    def allowed(self, act, allowed, *refusals):
        """Do it; it has to be refused unless it is allowed. Whether it was done."""
        if allowed:
            act()
            return True
        with pytest.raises(refusals or StaleAttemptError):
            act()
        return False

    def any_attempt(self, job_id, data):
        """Any attempt that there may be: of a step in flight, of one that was or never was, new or out of date."""
        flights = self.model[job_id].flights
        step = data.draw(st.sampled_from([*flights, *flights, "begin", "part-0", "merge"]))
        newest = flights.get(step, [1])[0]
        return Attempt(job_id, step, data.draw(st.sampled_from([newest, newest, newest, 1, 2, newest + 1])))

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def claim(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = (
            job.holds(attempt) and job.state not in FINAL and job.flights[attempt.step][2] in ("queued", f"w{client}")
        )
        if self.allowed(lambda: self.stores[client].claim(attempt, f"w{client}"), allowed):
            job.flights[attempt.step][2] = f"w{client}"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), to=TO)
    def change_state(self, job_id, data, client, to):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = job.holds(attempt) and job.state in PREVIOUS_STATES[to]
        if self.allowed(lambda: self.stores[client].change_state(attempt, to), allowed):
            job.was_begun |= to is RecordState.RUNNING
            job.end(to, attempt) if to in FINAL else setattr(job, "state", to)

    @rule(job_id=jobs, client=st.integers(0, 1), really=st.sampled_from([False] * 5 + [True]))
    def cancel(self, job_id, client, really):
        job = self.model[job_id]
        if not really and job.state not in FINAL:  # else most jobs would end before much has happened
            return
        allowed = job.state in PREVIOUS_STATES[RecordState.CANCELLED]
        assert self.stores[client].cancel(job_id) is (allowed or job.state is RecordState.CANCELLED)
        if allowed:
            job.end(RecordState.CANCELLED)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), done=st.integers(0, 100))
    def publish_progress(self, job_id, data, client, done):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        allowed = job.holds(attempt) and job.state in (RecordState.RUNNING, RecordState.COMMITTING)
        self.allowed(
            lambda: self.stores[client].publish_progress(attempt, Progress("processing", done, 100)), allowed
        )

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), parts=st.integers(1, 4))
    def split(self, job_id, data, client, parts):
        attempt, job = Attempt(job_id, "begin", data.draw(st.integers(1, 2))), self.model[job_id]
        split = Split(
            parts, 100 * parts, "tests.backends.sample_steps.fan_part", "tests.backends.sample_steps.fan_merge"
        )
        if self.allowed(
            lambda: self.stores[client].split(attempt, split), job.holds(attempt) and job.state is RecordState.RUNNING
        ):
            del job.flights["begin"]
            job.parts = parts
            job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def finish_shard(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        if attempt.shard is None:
            return
        allowed = job.holds(attempt) and job.state is RecordState.RUNNING
        if self.allowed(lambda: self.stores[client].finish_shard(attempt), allowed):
            del job.flights[attempt.step]
            job.winners[attempt.shard] = attempt.number
            if len(job.winners) == job.parts:
                job.flights["merge"] = [1, 0, "queued"]
            else:
                job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), is_loss=st.booleans())
    def again(self, job_id, data, client, is_loss):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        if is_loss:
            self.stores[client].retry_or_fail(attempt, FAILURE, RETRIES)
        else:
            self.stores[client].return_to_queue(attempt, "told to end")
        if job.holds(attempt) and job.state not in FINAL:
            if is_loss and job.flights[attempt.step][1] >= RETRIES:
                job.end(RecordState.FAILED)
                return
            job.was_lost = True
            losses = job.flights[attempt.step][1] + is_loss
            job.flights[attempt.step] = [attempt.number + 1, losses, "later" if is_loss else "queued"]

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def queue_due(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        self.stores[client].queue_due(attempt)
        if job.holds(attempt) and job.flights[attempt.step][2] == "later":
            job.flights[attempt.step][2] = "queued"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def release(self, job_id, data, client):
        attempt, job = self.any_attempt(job_id, data), self.model[job_id]
        told = self.stores[client].release(attempt)
        if job.state in FINAL and job.holds(attempt):
            del job.flights[attempt.step]
        assert told is (job.state in FINAL and not job.flights and job.is_leaving)
        if told:
            self.stores[client].mark_cleaned_up(job_id)
            job.is_leaving = False

    @invariant()
    def is_as_modelled(self):
        store = self.stores[1]
        for job_id, job in self.model.items():
            record = store.get(job_id)
            assert record.state is job.state
            assert (record.ended_at is not None) is (job.state in FINAL)
            (flights,) = store.pending_steps([job_id])
            assert {a.step: (a.number, where) for a, where in flights.items()} == {
                step: (number, where) for step, (number, _, where) in job.flights.items()
            }
        members = {name: store.connection.smembers(name) for name in (ACTIVE_KEY, CLEANUP_KEY)}
        name = f"{store.namespace}:"
        active = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.state not in FINAL}
        leaving = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.is_leaving}
        assert members == {ACTIVE_KEY: active, CLEANUP_KEY: leaving}
        for job in self.model.values():
            assert job.flights or job.state in FINAL, "a job that has not ended has a step in flight"


def test_the_ledger_does_what_its_model_does(redis_url):
    machine = type("Machine", (LedgerMachine,), {"url": redis_url.removesuffix("/0") + "/14"})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=50, stateful_step_count=80, deadline=None, suppress_health_check=health),
    )


def test_of_many_who_end_a_job_at_the_same_time_one_does(store, asked):
    """Whatever they are told agrees with what the record says."""
    chance = random.Random(1)
    for number in range(60):
        job_id = f"race-{number}"
        attempt = Attempt(job_id)
        store.submit(Record.of(asked("echo", key=job_id), job_id, store.now_s()), False)
        store.claim(attempt, "w1")
        store.change_state(attempt, RecordState.RUNNING)
        if chance.random() < 0.5:
            store.change_state(attempt, RecordState.COMMITTING)
        told, ready = Counter(), threading.Barrier(5)

        def act(name, do, told=told, ready=ready):
            ready.wait()
            try:
                told[name] += do() is not False
            except (StaleAttemptError, JobNotFoundError, SettingsError):
                told[name] += 0

        deeds = [
            ("cancelled", lambda job_id=job_id: store.cancel(job_id)),
            ("cancelled", lambda job_id=job_id: store.cancel(job_id)),
            ("failed", lambda attempt=attempt: store.change_state(attempt, RecordState.FAILED, error=FAILURE)),
            ("completed", lambda attempt=attempt: store.change_state(attempt, RecordState.COMPLETED, result={})),
            ("lost", lambda attempt=attempt: store.retry_or_fail(attempt, FAILURE, 0)),
        ]
        threads = [threading.Thread(target=act, args=deed) for deed in deeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = store.get(job_id).state
        assert state in FINAL
        for name in ("cancelled", "failed", "completed"):
            assert not told[name] or name == state or (name == "cancelled" and told[name] == 0), (name, told, state)
        said = [line.split(" ", 2)[2] for line in store.log(job_id)]
        assert sum(word in FINAL for word in said) == 1, said
