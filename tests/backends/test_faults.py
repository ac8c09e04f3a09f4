"""What becomes of jobs when they are cancelled, break a limit, or what works for them dies? With real processes."""

import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from analytics_kit.backends.redis.backend import RedisBackend, connect
from analytics_kit.backends.redis.job_store import ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY
from analytics_kit.backends.worker import crew
from analytics_kit.errors import (
    BadArchiveError,
    JobTimeoutError,
    OutOfMemoryError,
    WorkerLostError,
)
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.processes import alive, until


def ended(backend, job_id):
    return until(lambda: (info := backend.get(job_id)).status.final and info, "the job has ended", 60)


def steps(backend, job_id):
    """Where each step in flight is."""
    return {attempt.step: where for attempt, where in backend._call(_flights(job_id)).items()}


def _flights(job_id):
    def act(store):
        from analytics_kit.backends.redis.attempts import AttemptStore

        return AttemptStore(store.connection, store.namespace).pending_steps([job_id])[0]

    return act


def horses(process):
    """The processes that do tasks: children of the workers of a pool."""
    return [horse for worker in psutil.Process(process.pid).children() for horse in worker.children()]


@pytest.fixture(scope="module")
def url(redis_url):
    """A database of this module's own."""
    return redis_url.removesuffix("/0") + "/4"


@pytest.fixture(scope="module")
def team(url, workers):
    """A backend with two workers, and the process that keeps them up."""
    with workers(url, n=2) as process:
        backend = RedisBackend(url, Settings.of(namespace="faults"), "tests.backends.sample_steps")
        yield backend, process
        backend.close()


@pytest.fixture
def backend(team):
    """The backend; after each test nothing may be left of its jobs in Redis."""
    backend, _ = team
    yield backend
    client = backend._jobs.connection
    until(lambda: not client.exists(ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY), "nothing is left in flight")
    until(lambda: not list(client.scan_iter("ak:faults:job:*:flight")), "nothing is left in flight")
    until(lambda: not list(client.scan_iter("rq:job:*")), "rq remembers no task")
    assert not client.llen("rq:queue:analytics")


@pytest.fixture
def pool(team):
    return team[1]


class TestFanOut:
    def test_all_parts_are_done_and_merged_once(self, backend, asked, tmp_path):
        info = ended(backend, backend.submit(asked("fan", parts=7, folder=tmp_path)).job_id)
        assert info.status is JobStatus.COMPLETED
        assert [Path(path).name for path in info.result["files"]] == [f"part-{n}-1" for n in range(7)]
        assert len({Path(path).read_text() for path in info.result["files"]}) == 2, "two processes did them"
        assert (info.progress.fraction, info.progress.done) == (1.0, 700)

    def test_all_workers_are_at_it(self, backend, asked, gate, tmp_path):
        job_id = backend.submit(asked("fan", parts=5, folder=tmp_path, gate=gate)).job_id
        until(lambda: len(set(steps(backend, job_id).values()) - {"queued"}) == 2, "both workers have a part")
        until(lambda: backend.get(job_id).progress.done == 100, "both have done half of it")
        gate.touch()
        assert ended(backend, job_id).status is JobStatus.COMPLETED

    def test_a_small_job_does_not_wait_behind_a_large_ones_parts(self, backend, asked, tmp_path):
        gates = [tmp_path / f"gate-{n}" for n in range(2)]
        large = backend.submit(asked("fan", parts=40, folder=tmp_path, gate=gates[0])).job_id
        until(lambda: set(steps(backend, large).values()).isdisjoint({"queued"}), "the workers are at it")
        small = backend.submit(asked("echo")).job_id
        other = backend.submit(asked("fan", parts=3, folder=tmp_path)).job_id
        gates[0].touch()
        small, other, large = (ended(backend, job_id) for job_id in (small, other, large))
        assert small.ended_at < large.ended_at
        assert other.ended_at < large.ended_at, "the one submitted later shares the workers with it"

    def test_a_part_that_fails_fails_the_job_and_the_others_end(self, backend, asked, tmp_path):
        info = ended(backend, backend.submit(asked("fan", parts=6, folder=tmp_path, bad=2)).job_id)
        assert type(info.error.error()) is BadArchiveError
        assert info.error.message == "part 2 is bad"
        until(lambda: not (tmp_path / info.job_id).exists(), "its files are gone")

    def test_a_part_that_is_killed_is_taken_again(self, backend, asked, tmp_path):
        job_id = backend.submit(asked("fan", parts=3, folder=tmp_path, die={"1": 2}, retries=2)).job_id
        info = ended(backend, job_id)
        assert info.status is JobStatus.COMPLETED
        names = ["part-0-1", "part-1-3", "part-2-1"]
        assert [Path(path).name for path in info.result["files"]] == names
        folder = tmp_path / job_id
        until(lambda: sorted(path.name for path in folder.iterdir()) == names, "what lost attempts wrote is gone")

    @pytest.mark.parametrize("step", ["merge", "commit"])
    def test_a_merge_that_is_killed_is_taken_again(self, backend, asked, tmp_path, step):
        job_id = backend.submit(asked("fan", parts=2, folder=tmp_path, die={step: 1}, retries=1)).job_id
        assert ended(backend, job_id).result["merged_by"] == 2

    def test_what_dies_each_time_fails_with_its_cause(self, backend, asked, tmp_path):
        job_id = backend.submit(asked("fan", parts=3, folder=tmp_path, die={"1": 9}, retries=1)).job_id
        error = ended(backend, job_id).error
        assert type(error.error()) is WorkerLostError
        assert "SIGKILL" in error.message
        assert error.traceback == ""
        assert "is done again" in "\n".join(backend.log(job_id))
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")


class TestCancel:
    def test_a_queued_job(self, backend, asked, gate):
        for _ in range(2):
            backend.submit(asked("gated", gate=gate))
        until(lambda: backend.queue_status()["running"] == 2, "both workers are busy")
        job_id = backend.submit(asked("echo")).job_id
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert (info.status, info.started_at) == (JobStatus.CANCELLED, None)
        assert backend.cancel(job_id), "it is cancelled, whoever asks again"
        gate.touch()
        until(lambda: not backend.queue_status()["running"], "the others have ended")

    @pytest.mark.parametrize("deed", ["gated", "stuck"])
    def test_a_running_job_ends_at_once_even_if_it_is_stuck(self, backend, pool, asked, gate, deed):
        job_id = backend.submit(asked(deed, gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        pids = [horse.pid for horse in horses(pool)]
        assert pids
        assert backend.cancel(job_id)
        assert backend.get(job_id).status is JobStatus.CANCELLED
        until(lambda: not any(map(alive, pids)), "nothing of it runs on", 5)
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED

    @pytest.mark.parametrize("where", ["parts", "merge"])
    def test_a_job_in_parts_leaves_no_files(self, backend, asked, gate, tmp_path, where):
        gates = {"gate": gate} if where == "parts" else {"merge_gate": gate}
        job_id = backend.submit(asked("fan", parts=4, folder=tmp_path, **gates)).job_id
        if where == "parts":
            until(lambda: backend.get(job_id).progress.done == 100, "parts are at it")
        else:
            until(lambda: backend.get(job_id).progress.phase == "merging", "it merges")
        assert backend.cancel(job_id)
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")
        assert backend.get(job_id).status is JobStatus.CANCELLED

    def test_a_job_that_commits_can_not_be_cancelled(self, backend, asked, gate, tmp_path):
        job_id = backend.submit(asked("committing", gate=gate)).job_id
        until(lambda: backend.get(job_id).status is JobStatus.RUNNING, "it commits")
        until(lambda: not backend.cancel(job_id) or pytest.fail("it was cancelled"), "it is refused")
        gate.touch()
        assert ended(backend, job_id).status is JobStatus.COMPLETED
        assert not backend.cancel(job_id)

    def test_two_hundred_at_random_moments(self, backend, asked, tmp_path):
        """Each ends cancelled or completed, as `cancel()` said, and leaves nothing but a result."""
        chance = random.Random(7)
        outcomes = {True: 0, False: 0}
        for number in range(200):
            job_id = backend.submit(asked("fan", parts=chance.choice([1, 2, 5]), folder=tmp_path)).job_id
            time.sleep(chance.uniform(0, 0.2))
            cancelled = backend.cancel(job_id)
            outcomes[cancelled] += 1
            if not cancelled:
                info = ended(backend, job_id)
                assert info.status is JobStatus.COMPLETED, number
                assert all(Path(path).exists() for path in info.result["files"])
            else:
                assert backend.get(job_id).status is JobStatus.CANCELLED
        assert min(outcomes.values()) >= 10, f"the moments were not random enough: {outcomes}"
        results = {info.job_id for info in backend.list(JobStatus.COMPLETED)}
        until(lambda: {path.name for path in tmp_path.iterdir()} <= results, "cancelled jobs leave no files")


class TestLimits:
    def test_a_job_that_takes_too_long(self, backend, asked, gate):
        error = ended(backend, backend.submit(asked("stuck", gate=gate, time_limit_s=0.5)).job_id).error
        assert type(error.error()) is JobTimeoutError
        assert error.message == "The job ran longer than its time limit of 0.5 s."

    def test_a_job_in_parts_that_takes_too_long(self, backend, asked, gate, tmp_path):
        job_id = backend.submit(asked("fan", parts=4, folder=tmp_path, gate=gate, time_limit_s=0.7)).job_id
        assert type(ended(backend, job_id).error.error()) is JobTimeoutError
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")

    def test_a_job_that_needs_too_much_memory(self, backend, asked):
        error = ended(backend, backend.submit(asked("eat", memory_limit_mb=300)).job_id).error
        assert type(error.error()) is OutOfMemoryError
        assert "memory_limit_mb=300" in error.message
        assert "Raise memory_limit_mb" in error.hint

    def test_limits_that_are_kept_change_nothing(self, backend, asked):
        job_id = backend.submit(asked("steps", time_limit_s=60, memory_limit_mb=5000)).job_id
        assert ended(backend, job_id).status is JobStatus.COMPLETED


class TestDeath:
    def test_of_the_process_that_works_is_named_with_what_it_printed(self, backend, asked):
        info = ended(backend, backend.submit(asked("mutter", how="badly")).job_id)
        assert type(info.error.error()) is WorkerLostError
        assert info.error.log.splitlines() == ["out of the way", "native <b>words</b>"]
        well = backend.submit(asked("mutter", how="well")).job_id
        assert ended(backend, well).status is JobStatus.COMPLETED
        until(lambda: "native" in "\n".join(backend.log(well)), "what it printed is in the log")

    def test_of_a_worker_gives_its_task_to_another(self, backend, asked, gate, tmp_path):
        job_id = backend.submit(asked("gated", gate=gate, retries=1, tell=tmp_path / "pid")).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        horse = psutil.Process(int((tmp_path / "pid").read_text()))
        psutil.Process(horse.ppid()).kill()
        until(lambda: not alive(horse.pid), "its task's process went with it")
        gate.touch()
        info = ended(backend, job_id)
        assert info.status is JobStatus.COMPLETED
        assert info.result["pid"] != horse.pid
        assert "begin is done again: The worker" in "\n".join(backend.log(job_id))
        until(lambda: backend.queue_status()["workers"] == 2, "the worker is replaced")

    def test_of_the_whole_pool_is_seen_by_the_next_client_and_the_next_workers_go_on(self, url, workers, asked, gate):
        """On a database of its own, without a supervisor that could see it."""
        url = url.removesuffix("/4") + "/10"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        with workers(url, n=2) as process:
            job_id = backend.submit(asked("gated", gate=gate, retries=1)).job_id
            until(lambda: backend.get(job_id).progress.fraction, "the job runs")
            family = psutil.Process(process.pid).children(recursive=True)
            for member in (psutil.Process(process.pid), *family):
                member.kill()
            until(lambda: not any(alive(member.pid) for member in family), "all are dead")
        begun = time.monotonic()
        until(lambda: "is done again" in "\n".join((backend.get(job_id), backend.log(job_id))[1]), "it is noticed")
        print(f"noticed after {time.monotonic() - begun:.1f} s")
        gate.touch()
        with workers(url):
            assert ended(backend, job_id).status is JobStatus.COMPLETED
        backend.close()

    def test_a_task_that_was_lost_between_queue_and_worker_is_queued_again(self, url, workers, asked):
        url = url.removesuffix("/4") + "/11"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        job_id = backend.submit(asked("echo")).job_id
        with connect(url) as client:
            assert client.lrem("rq:queue:analytics", 1, f"{job_id}-begin-1")
        with workers(url):
            assert ended(backend, job_id).status is JobStatus.COMPLETED
        assert "gone from the queue" in "\n".join(backend.log(job_id))
        backend.close()


class TestSigterm:
    @pytest.fixture
    def alone(self, url, workers):
        """A backend with two workers that may be told to end."""
        url = url.removesuffix("/4") + "/12"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        with workers(url, n=2) as process:
            yield backend, process
        backend.close()

    def test_once_the_task_in_hand_is_finished(self, alone, asked, gate):
        backend, process = alone
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        process.send_signal(signal.SIGTERM)
        until(lambda: backend.queue_status()["workers"] == 1, "the idle worker has gone")
        gate.touch()
        assert process.wait(30) == 0
        assert backend.get(job_id).status is JobStatus.COMPLETED

    def test_a_worker_that_is_killed_meanwhile_shows_in_the_exit_code(self, alone, asked, gate):
        backend, process = alone
        ids = [backend.submit(asked("gated", gate=gate)).job_id for _ in range(2)]
        until(lambda: all(backend.get(job_id).progress.fraction for job_id in ids), "both run")
        process.send_signal(signal.SIGTERM)
        psutil.Process(process.pid).children()[0].kill()
        until(lambda: backend.queue_status()["workers"] == 1, "it is buried, and the other one works on")
        gate.touch()
        assert process.wait(30) == 1

    def test_twice_the_task_in_hand_is_handed_back(self, alone, workers, url, asked, gate):
        backend, process = alone
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        time.sleep(crew.AGAIN_S + 0.5)  # sooner it counts as the first one
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert not any(map(alive, children))
        assert backend.get(job_id).status is JobStatus.RUNNING
        assert list(steps(backend, job_id).values()) == ["queued"]
        gate.touch()
        with workers(backend._url):
            assert ended(backend, job_id).status is JobStatus.COMPLETED, "that was no loss: there are no retries"


def test_a_worker_that_can_not_do_it_leaves_it_to_one_that_can(url, workers, asked):
    url = url.removesuffix("/4") + "/13"
    backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
    with workers(url, DEEDS_PLACE="Leipzig"):
        job_id = backend.submit(asked("elsewhere", place="Jena")).job_id
        said = "No worker can do it yet: this is not Jena"
        until(lambda: backend.get(job_id).notice == said, "it is said")  # a worker held up may seem away before
        assert backend.get(job_id).status is JobStatus.QUEUED
        with workers(url, DEEDS_PLACE="Jena"):
            info = ended(backend, job_id)
    assert (info.status, info.notice) == (JobStatus.COMPLETED, "")
    backend.close()
