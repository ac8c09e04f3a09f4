"""Is every change of a record in Redis atomic, legal, made by who holds the newest attempt, and plain JSON?"""

import json
import zlib

import pytest

from analytics_kit.backends.record import MERGE, RECORD_TTL_S, Attempt, Record, StaleAttemptError, State
from analytics_kit.backends.redis import job_store as ledger
from analytics_kit.backends.redis.job_store import ACTIVE, LATER, LEAVING
from analytics_kit.backends.worker.entry import SWEEP, queue_task
from analytics_kit.errors import JobNotFoundError, SettingsError
from analytics_kit.model import Failure, JobRequest, Progress, Split

BEGIN = Attempt("job-1")
SPLIT = Split(
    parts=3, total=300, part="tests.backends.sample_steps.fan_part", merge="tests.backends.sample_steps.fan_merge"
)
FAILURE = Failure("WorkerLostError", "gone")


def part(number, attempt=1):
    return Attempt("job-1", f"part-{number}", attempt)


def waiting(book):
    return [task.decode() for task in book.connection.lrange(book.queue.key, 0, -1)]


@pytest.fixture
def queued(book):
    request = JobRequest("tests.backends.sample_steps.echo", {"a": 1}, "key", "/s.zip", 5, ("t",), "ann")
    return book.submit(Record.of(request, "job-1", book.now_s()), False)


@pytest.fixture
def running(book, queued):
    book.claim(BEGIN, "w1")
    book.move(BEGIN, State.RUNNING)


@pytest.fixture
def fanned(book, running):
    book.connection.sadd("rq:workers:analytics", "rq:worker:w1", "rq:worker:w2")
    book.split(BEGIN, SPLIT)


class TestRecords:
    def test_a_job_is_written_and_queued_in_one(self, book, queued):
        assert book.get("job-1") == queued
        assert book.connection.smembers(ACTIVE) == {f"{book.namespace}:job-1".encode()}
        assert waiting(book) == ["job-1-begin-1"]
        assert book.flights(["job-1"]) == [{BEGIN: "queued"}]

    def test_a_legal_way_sets_times_and_lifetimes(self, book, queued, running):
        book.move(BEGIN, State.COMMITTING)
        assert book.connection.ttl(book._key("job-1")) == -1
        book.move(BEGIN, State.COMPLETED, result={"x": 1})
        done = book.get("job-1")
        assert (done.state, done.result) == (State.COMPLETED, {"x": 1})
        assert queued.created_at <= done.started_at <= done.ended_at
        for key in ("", ":log"):
            assert 0 < book.connection.ttl(book._key("job-1") + key) <= RECORD_TTL_S
        assert not book.connection.exists(ACTIVE, LEAVING, f"{book._key('job-1')}:flight")

    @pytest.mark.parametrize("to", [State.COMMITTING, State.COMPLETED, State.QUEUED])
    def test_an_illegal_change_is_refused_and_changes_nothing(self, book, queued, to):
        with pytest.raises(StaleAttemptError) as caught:
            book.move(BEGIN, to, result={"x": 1})
        assert caught.value.state is State.QUEUED
        assert book.get("job-1") == queued

    def test_a_final_state_is_final(self, book, queued):
        book.move(BEGIN, State.FAILED)
        for to in State:
            with pytest.raises(StaleAttemptError):
                book.move(Attempt("job-1", "", 0), to)
        with pytest.raises(StaleAttemptError):
            book.tell(BEGIN, Progress(done=5))
        assert not book.cancel("job-1")

    def test_progress_of_a_queued_job_is_refused(self, book, queued):
        with pytest.raises(StaleAttemptError):
            book.tell(BEGIN, Progress(done=5))

    def test_an_answer_that_was_lost_makes_no_second_job(self, book, queued):
        assert book.submit(queued, refresh=True) == queued
        assert len(waiting(book)) == 1

    def test_a_record_that_expired_is_forgotten(self, book, queued):
        book.connection.delete(book._key("job-1"))
        assert book.records() == []
        assert book.connection.zcard(book.index) == 0

    def test_all_is_json_and_nothing_is_pickled(self, book, fanned):
        (task,) = list(book.connection.scan_iter("rq:job:*begin*"))
        assert json.loads(zlib.decompress(book.connection.hget(task, "data")))[0] == ledger.TASK
        for name, value in book.connection.hgetall(book._key("job-1")).items():
            assert name in (b"state", b"result_key") or json.loads(value) is not None

    def test_the_log_tells_what_happened(self, book, fanned):
        said = [line.split(" ", 2)[2] for line in book.log("job-1")]
        assert said == ["queued", "begin taken by w1", "started", "split into 3 parts"]


class TestAttempts:
    def test_one_that_was_replaced_can_write_nothing(self, book, running):
        book.hand_back(BEGIN, "its worker ended")
        for act in (
            lambda: book.move(BEGIN, State.COMMITTING),
            lambda: book.tell(BEGIN, Progress(done=5)),
            lambda: book.move(BEGIN, State.FAILED),
            lambda: book.split(BEGIN, SPLIT),
            lambda: book.claim(BEGIN, "w9"),
        ):
            with pytest.raises(StaleAttemptError):
                act()
        new = BEGIN._replace(attempt=2)
        book.claim(new, "w2")
        book.tell(new, Progress(done=6))
        assert (book.get("job-1").state, book.get("job-1").progress.done) == (State.RUNNING, 6)

    def test_a_step_is_taken_by_one_worker_only(self, book, queued):
        book.claim(BEGIN, "w1")
        with pytest.raises(StaleAttemptError):
            book.claim(BEGIN, "w2")

    def test_a_lost_one_is_done_again_after_a_while_and_not_for_ever(self, book, running):
        for attempt in (1, 2):
            book.lost(BEGIN._replace(attempt=attempt), FAILURE, 2)
            new = BEGIN._replace(attempt=attempt + 1)
            assert book.flights(["job-1"]) == [{new: "later"}]
            ((_, due),) = book.connection.zrange(LATER, 0, -1, withscores=True)
            assert due - book.now_s() == pytest.approx((1, 4)[attempt - 1], abs=0.5)
            book.due(new)
            assert book.connection.zcard(LATER) == 0
            book.claim(new, "w1")
        assert book.get("job-1").state is State.RUNNING
        book.lost(BEGIN._replace(attempt=3), FAILURE, 2)
        assert (book.get("job-1").state, book.get("job-1").error) == (State.FAILED, FAILURE)

    def test_a_late_word_of_a_loss_changes_nothing(self, book, running):
        book.lost(BEGIN, FAILURE, 2)
        book.lost(BEGIN, FAILURE, 0)
        assert book.get("job-1").state is State.RUNNING

    def test_handing_back_is_no_loss(self, book, running):
        for attempt in range(1, 6):
            book.hand_back(BEGIN._replace(attempt=attempt), "told to end")
        assert book.flights(["job-1"]) == [{BEGIN._replace(attempt=6): "queued"}]
        book.claim(BEGIN._replace(attempt=6), "w1")
        book.lost(BEGIN._replace(attempt=6), FAILURE, 1)
        assert book.get("job-1").state is State.RUNNING

    def test_a_commit_is_taken_again(self, book, running):
        book.move(BEGIN, State.COMMITTING)
        book.lost(BEGIN, FAILURE, 1)
        new = BEGIN._replace(attempt=2)
        book.due(new)
        assert book.claim(new, "w2")[0].state is State.COMMITTING
        with pytest.raises(StaleAttemptError):
            book.move(BEGIN, State.COMPLETED, result={"by": 1})
        book.move(new, State.COMPLETED, result={"by": 2})
        assert book.get("job-1").result == {"by": 2}
        assert book.is_leaving("job-1"), "what the lost attempt wrote has to go"


class TestParts:
    def test_as_many_as_there_are_workers_are_in_flight_at_a_time(self, book, fanned):
        assert book.flights(["job-1"]) == [{part(0): "queued", part(1): "queued"}]
        assert waiting(book)[1:] == ["job-1-part-0-1", "job-1-part-1-1"]
        book.claim(part(0), "w1")
        book.finish(part(0))
        assert book.flights(["job-1"]) == [{part(1): "queued", part(2): "queued"}]

    def test_whoever_ends_the_last_one_queues_the_merge_once(self, book, fanned):
        for number in (1, 0, 2):
            book.claim(part(number), "w1")
            book.finish(part(number))
            with pytest.raises(StaleAttemptError):
                book.finish(part(number))
        assert book.flights(["job-1"]) == [{Attempt("job-1", MERGE): "queued"}]
        assert waiting(book)[0] == "job-1-merge-1", "a job that is nearly done goes first"
        assert waiting(book).count("job-1-merge-1") == 1
        assert book.claim(Attempt("job-1", MERGE), "w2")[1] == {0: 1, 1: 1, 2: 1}

    def test_the_merge_is_told_which_attempts_count(self, book, fanned):
        book.claim(part(0), "w1")
        book.hand_back(part(0), "its worker ended")
        for ticket in (part(0, 2), part(1), part(2)):
            book.claim(ticket, "w1")
            book.finish(ticket)
        assert book.claim(Attempt("job-1", MERGE), "w2")[1] == {0: 2, 1: 1, 2: 1}

    def test_progress_is_the_sum_of_the_parts_and_never_falls(self, book, fanned):
        book.tell(part(0), Progress(done=90, total=100))
        book.tell(part(1), Progress(done=30, total=100))
        told = book.get("job-1").progress
        assert (told.phase, told.done, told.total, told.unit) == ("processing", 120, 300, "bytes")
        assert told.fraction == pytest.approx(0.95 * 0.4)
        assert told.rate_per_s > 0
        assert told.eta_s > 0
        book.hand_back(part(0), "its worker ended")
        book.tell(part(0, 2), Progress(done=10, total=100))
        assert book.get("job-1").progress.done == 120
        book.tell(part(1), Progress(done=100, total=100))
        book.tell(part(0, 2), Progress(done=100, total=100))
        assert book.get("job-1").progress.done == 200

    def test_rows_and_files_are_summed_and_those_of_a_part_done_again_count_once(self, book, fanned):
        def counts():
            progress = book.get("job-1").progress
            return progress.rows, progress.files

        assert counts() == (None, None)
        book.tell(part(0), Progress(done=90, total=100, rows=3_000_000_001, files=4))
        book.tell(part(1), Progress(done=30, total=100, rows=5, files=1))
        assert counts() == (3_000_000_006, 5)
        book.hand_back(part(0), "its worker ended")
        book.tell(part(0, 2), Progress(done=10, total=100, rows=1, files=0))
        assert counts() == (3_000_000_006, 5)
        book.tell(part(0, 2), Progress(done=100, total=100, rows=3_000_000_002, files=5))
        assert counts() == (3_000_000_007, 6)

    def test_parts_that_do_not_count_leave_the_others_rows_alone(self, book, fanned):
        book.connection.hset(
            f"{book._key('job-1')}:told", "part-1", "30"
        )  # as it was written before rows were counted
        book.tell(part(0), Progress(done=90, total=100, rows=7))
        progress = book.get("job-1").progress
        assert (progress.done, progress.rows, progress.files) == (120, 7, None)

    def test_a_cancelled_job_takes_back_what_waits_and_leaves_what_runs_to_its_worker(self, book, fanned):
        book.claim(part(0), "w1")
        assert book.cancel("job-1")
        assert "job-1-part-1-1" not in waiting(book)
        assert book.flights(["job-1"]) == [{part(0): "w1"}]
        assert not book.is_wanted(part(0))
        for act in (
            lambda: book.finish(part(0)),
            lambda: book.tell(part(0), Progress()),
            lambda: book.claim(part(1), "w2"),
        ):
            with pytest.raises(StaleAttemptError):
                act()
        assert book.leave(part(0)), "the last one out sees that it is tidied up"
        book.tidied("job-1")
        assert not book.is_leaving("job-1")

    def test_only_the_last_one_out_tidies_up(self, book, fanned):
        for number in (0, 1):
            book.claim(part(number), f"w{number}")
        book.cancel("job-1")
        assert not book.leave(part(1))
        assert book.leave(part(0))


class TestPositions:
    def submit(self, book, name):
        book.submit(
            Record.of(JobRequest("tests.backends.sample_steps.echo", {}, name, "/s.zip"), name, book.now_s()), False
        )

    def test_only_queued_jobs_count_in_the_order_of_the_queue(self, book, fanned):
        for name in ("job-2", "job-3", "job-4"):
            self.submit(book, name)
        book.claim(part(0), "w1")
        book.hand_back(part(0), "its worker ended")  # a part of a running job, at the head
        queue_task(book.connection, SWEEP, "tests.backends.sample_steps")
        book.claim(Attempt("job-3"), "w1")
        book.hand_back(Attempt("job-3"), "another may be able to")  # now before job-2
        for taken in ("job-1-begin-1", "job-3-begin-1"):  # by the workers that claimed them
            book.connection.lrem(book.queue.key, 0, taken)
        assert waiting(book)[0] == "job-3-begin-2"
        assert book.positions() == {"job-3": 1, "job-2": 2, "job-4": 3}

    def test_a_running_job_that_is_begun_once_more_is_not_queued(self, book, running):
        book.connection.delete(book.queue.key)
        self.submit(book, "job-2")
        book.hand_back(BEGIN, "its worker ended")
        assert waiting(book) == ["job-1-begin-2", "job-2-begin-1"]
        assert book.positions() == {"job-2": 1}

    def test_one_that_waits_for_its_next_try_has_none(self, book, queued):
        book.connection.delete(book.queue.key)
        book.claim(BEGIN, "w1")
        book.hand_back(BEGIN, "no worker can", delay_s=60.0)
        assert book.positions() == {}


class TestDelete:
    def test_is_told_on_the_channel(self, book, queued):
        book.cancel("job-1")
        with book.connection.pubsub() as heard:
            heard.subscribe(book.channel)
            assert heard.get_message(timeout=10)["type"] == "subscribe"
            book.delete("job-1")
            assert heard.get_message(timeout=10)["data"] == b"job-1"

    def test_of_a_job_that_has_not_ended_is_refused(self, book, running):
        with pytest.raises(SettingsError, match="is running"):
            book.delete("job-1")

    def test_leaves_no_key(self, book, fanned):
        book.cancel("job-1")
        book.delete("job-1")
        with pytest.raises(JobNotFoundError):
            book.get("job-1")
        assert not list(book.connection.scan_iter(f"ak:{book.namespace}:*"))
        assert not book.connection.exists(ACTIVE, LEAVING, LATER)

    def test_of_an_unknown_job_is_an_error(self, book):
        for act in (book.delete, book.cancel):
            with pytest.raises(JobNotFoundError):
                act("nonesuch")
