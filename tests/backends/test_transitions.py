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

from analytics_kit.backends.record import SOURCES, Attempt, Record, StaleAttemptError, State
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import connect
from analytics_kit.backends.redis.job_store import ACTIVE, LEAVING
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import Failure, JobRequest, Progress, Split

RETRIES = 1
FAILURE = Failure("WorkerLostError", "gone")
TO = st.sampled_from([*State, *[State.RUNNING] * 6, *[State.COMMITTING] * 3, *[State.COMPLETED] * 2])
FINAL = {State.COMPLETED, State.FAILED, State.CANCELLED}


@dataclass
class Modelled:
    """A job as it should be."""

    state: State = State.QUEUED
    flights: dict[str, list] = field(default_factory=lambda: {"begin": [1, 0, "queued"]})
    parts: int = 0
    released: int = 0
    done: set[int] = field(default_factory=set)
    winners: dict[int, int] = field(default_factory=dict)
    is_leaving: bool = False
    was_lost: bool = False
    was_begun: bool = False

    def holds(self, ticket: Attempt) -> bool:
        return self.flights.get(ticket.step, [0])[0] == ticket.attempt

    def end(self, to: State, ticket: Attempt | None = None) -> None:
        self.state = to
        for step, (_, _, where) in list(self.flights.items()):
            if where in ("queued", "later") or (to is State.COMPLETED and ticket and ticket.step == step):
                del self.flights[step]
        self.is_leaving = self.was_begun and (to is not State.COMPLETED or self.was_lost)

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
        self.books = [AttemptStore(connect(self.url), name) for _ in range(2)]
        self.books[0].connection.flushdb()
        self.books[0].connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
        self.model: dict[str, Modelled] = {}
        queued, running, split = (self.submitted() for _ in range(3))
        for job_id in (running, split):
            self.books[0].claim(Attempt(job_id), "w0")
            self.books[0].move(Attempt(job_id), State.RUNNING)
            self.model[job_id].state, self.model[job_id].was_begun = State.RUNNING, True
            self.model[job_id].flights["begin"][2] = "w0"
        self.books[0].split(
            Attempt(split),
            Split(3, 300, "tests.backends.sample_steps.fan_part", "tests.backends.sample_steps.fan_merge"),
        )
        self.model[split].flights, self.model[split].parts = {}, 3
        self.model[split].release(2)
        return multiple(queued, running, split)

    def teardown(self):
        for book in getattr(self, "books", ()):
            book.connection.flushdb()
            book.connection.close()

    def submitted(self):
        job_id = f"job{len(self.model)}"
        request = JobRequest("tests.backends.sample_steps.echo", {}, job_id, "/s.zip", retries=RETRIES)
        self.books[0].submit(Record.of(request, job_id, self.books[0].now_s()), False)
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

    def ticket(self, job_id, data):
        """Any ticket that there may be: of a step in flight, of one that was or never was, new or out of date."""
        flights = self.model[job_id].flights
        step = data.draw(st.sampled_from([*flights, *flights, "begin", "part-0", "merge"]))
        newest = flights.get(step, [1])[0]
        return Attempt(job_id, step, data.draw(st.sampled_from([newest, newest, newest, 1, 2, newest + 1])))

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def claim(self, job_id, data, client):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        allowed = (
            job.holds(ticket) and job.state not in FINAL and job.flights[ticket.step][2] in ("queued", f"w{client}")
        )
        if self.allowed(lambda: self.books[client].claim(ticket, f"w{client}"), allowed):
            job.flights[ticket.step][2] = f"w{client}"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), to=TO)
    def move(self, job_id, data, client, to):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        allowed = job.holds(ticket) and job.state in SOURCES[to]
        if self.allowed(lambda: self.books[client].move(ticket, to), allowed):
            job.was_begun |= to is State.RUNNING
            job.end(to, ticket) if to in FINAL else setattr(job, "state", to)

    @rule(job_id=jobs, client=st.integers(0, 1), really=st.sampled_from([False] * 5 + [True]))
    def cancel(self, job_id, client, really):
        job = self.model[job_id]
        if not really and job.state not in FINAL:  # else most jobs would end before much has happened
            return
        allowed = job.state in SOURCES[State.CANCELLED]
        assert self.books[client].cancel(job_id) is (allowed or job.state is State.CANCELLED)
        if allowed:
            job.end(State.CANCELLED)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), done=st.integers(0, 100))
    def tell(self, job_id, data, client, done):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        allowed = job.holds(ticket) and job.state in (State.RUNNING, State.COMMITTING)
        self.allowed(lambda: self.books[client].tell(ticket, Progress("processing", done, 100)), allowed)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), parts=st.integers(1, 4))
    def split(self, job_id, data, client, parts):
        ticket, job = Attempt(job_id, "begin", data.draw(st.integers(1, 2))), self.model[job_id]
        split = Split(
            parts, 100 * parts, "tests.backends.sample_steps.fan_part", "tests.backends.sample_steps.fan_merge"
        )
        if self.allowed(
            lambda: self.books[client].split(ticket, split), job.holds(ticket) and job.state is State.RUNNING
        ):
            del job.flights["begin"]
            job.parts = parts
            job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def finish(self, job_id, data, client):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        if ticket.part is None:
            return
        allowed = job.holds(ticket) and job.state is State.RUNNING
        if self.allowed(lambda: self.books[client].finish(ticket), allowed):
            del job.flights[ticket.step]
            job.winners[ticket.part] = ticket.attempt
            if len(job.winners) == job.parts:
                job.flights["merge"] = [1, 0, "queued"]
            else:
                job.release(2)

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1), is_loss=st.booleans())
    def again(self, job_id, data, client, is_loss):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        if is_loss:
            self.books[client].lost(ticket, FAILURE, RETRIES)
        else:
            self.books[client].hand_back(ticket, "told to end")
        if job.holds(ticket) and job.state not in FINAL:
            if is_loss and job.flights[ticket.step][1] >= RETRIES:
                job.end(State.FAILED)
                return
            job.was_lost = True
            losses = job.flights[ticket.step][1] + is_loss
            job.flights[ticket.step] = [ticket.attempt + 1, losses, "later" if is_loss else "queued"]

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def due(self, job_id, data, client):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        self.books[client].due(ticket)
        if job.holds(ticket) and job.flights[ticket.step][2] == "later":
            job.flights[ticket.step][2] = "queued"

    @rule(job_id=jobs, data=st.data(), client=st.integers(0, 1))
    def leave(self, job_id, data, client):
        ticket, job = self.ticket(job_id, data), self.model[job_id]
        told = self.books[client].leave(ticket)
        if job.state in FINAL and job.holds(ticket):
            del job.flights[ticket.step]
        assert told is (job.state in FINAL and not job.flights and job.is_leaving)
        if told:
            self.books[client].tidied(job_id)
            job.is_leaving = False

    @invariant()
    def is_as_modelled(self):
        book = self.books[1]
        for job_id, job in self.model.items():
            record = book.get(job_id)
            assert record.state is job.state
            assert (record.ended_at is not None) is (job.state in FINAL)
            (flights,) = book.flights([job_id])
            assert {t.step: (t.attempt, where) for t, where in flights.items()} == {
                step: (attempt, where) for step, (attempt, _, where) in job.flights.items()
            }
        members = {name: book.connection.smembers(name) for name in (ACTIVE, LEAVING)}
        name = f"{book.namespace}:"
        active = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.state not in FINAL}
        leaving = {f"{name}{job_id}".encode() for job_id, job in self.model.items() if job.is_leaving}
        assert members == {ACTIVE: active, LEAVING: leaving}
        for job in self.model.values():
            assert job.flights or job.state in FINAL, "a job that has not ended has a step in flight"


def test_the_ledger_does_what_its_model_does(redis_url):
    machine = type("Machine", (LedgerMachine,), {"url": redis_url.removesuffix("/0") + "/14"})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=50, stateful_step_count=80, deadline=None, suppress_health_check=health),
    )


def test_of_many_who_end_a_job_at_the_same_time_one_does(book, asked):
    """Whatever they are told agrees with what the record says."""
    chance = random.Random(1)
    for number in range(60):
        job_id = f"race-{number}"
        ticket = Attempt(job_id)
        book.submit(Record.of(asked("echo", key=job_id), job_id, book.now_s()), False)
        book.claim(ticket, "w1")
        book.move(ticket, State.RUNNING)
        if chance.random() < 0.5:
            book.move(ticket, State.COMMITTING)
        told, ready = Counter(), threading.Barrier(5)

        def act(name, do, told=told, ready=ready):
            ready.wait()
            try:
                told[name] += do() is not False
            except (StaleAttemptError, JobNotFoundError, SettingsError):
                told[name] += 0

        deeds = [
            ("cancelled", lambda job_id=job_id: book.cancel(job_id)),
            ("cancelled", lambda job_id=job_id: book.cancel(job_id)),
            ("failed", lambda ticket=ticket: book.move(ticket, State.FAILED, error=FAILURE)),
            ("completed", lambda ticket=ticket: book.move(ticket, State.COMPLETED, result={})),
            ("lost", lambda ticket=ticket: book.lost(ticket, FAILURE, 0)),
        ]
        threads = [threading.Thread(target=act, args=deed) for deed in deeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = book.get(job_id).state
        assert state in FINAL
        for name in ("cancelled", "failed", "completed"):
            assert not told[name] or name == state or (name == "cancelled" and told[name] == 0), (name, told, state)
        said = [line.split(" ", 2)[2] for line in book.log(job_id)]
        assert sum(word in FINAL for word in said) == 1, said
