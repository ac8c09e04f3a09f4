"""Jobs that are cancelled, exceed a limit, or lose their processes; with real workers."""

import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.connection import connect
from analytics_kit.backends.redis.keys import QueueKeys
from analytics_kit.backends.worker import pool as worker_pool
from analytics_kit.errors import (
    BadArchiveError,
    JobTimeoutError,
    OutOfMemoryError,
    WorkerLostError,
)
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.backends.waiting import wait_for_commit, wait_for_end
from tests.processes import alive, until

KEYS = QueueKeys()


def locations(backend, job_id):
    """Return the location of each pending step of a job."""
    store = AttemptStore(backend._jobs.connection, backend._jobs.keys.namespace)
    return {attempt.step: location for attempt, location in store.pending_steps([job_id])[0].items()}


def task_processes(process):
    """Return the task processes: children of the workers of a pool."""
    return [child for worker in psutil.Process(process.pid).children() for child in worker.children()]


@pytest.fixture(scope="module")
def url(redis_url):
    """A database that only this module uses."""
    return redis_url.removesuffix("/0") + "/4"


@pytest.fixture(scope="module")
def backend_and_pool(url, workers):
    """A backend with two workers, and the process that keeps them up."""
    with workers(url, n=2) as process:
        backend = RedisBackend(url, Settings.of(namespace="faults"), "tests.backends.sample_steps")
        yield backend, process
        backend.close()


@pytest.fixture
def backend(backend_and_pool):
    """The backend; after each test nothing may be left in Redis of how its jobs ran."""
    backend, _ = backend_and_pool
    yield backend
    client = backend._jobs.connection
    until(lambda: not client.exists(KEYS.active, KEYS.cleanup, KEYS.delayed), "no step is pending")
    until(lambda: not list(client.scan_iter("ak:faults:job:*:flight")), "no step is pending")
    until(lambda: not list(client.scan_iter("rq:job:*")), "rq keeps no job")
    assert not client.llen("rq:queue:analytics")


@pytest.fixture
def pool(backend_and_pool):
    return backend_and_pool[1]


class TestShards:
    def test_every_shard_runs_once_and_is_merged(self, backend, make_request, tmp_path):
        info = wait_for_end(backend, backend.submit(make_request("split_work", shards=7, folder=tmp_path)).job_id)
        assert info.status is JobStatus.COMPLETED
        assert [Path(path).name for path in info.result["files"]] == [f"part-{n}-1" for n in range(7)]
        assert len({Path(path).read_text() for path in info.result["files"]}) == 2, "both workers ran some"
        assert (info.progress.fraction, info.progress.done) == (1.0, 700)

    def test_all_workers_run_shards_of_one_job(self, backend, make_request, gate, tmp_path):
        job_id = backend.submit(make_request("split_work", shards=5, folder=tmp_path, gate=gate)).job_id
        until(lambda: len(set(locations(backend, job_id).values()) - {"queued"}) == 2, "both workers have a shard")
        until(lambda: backend.get(job_id).progress.done == 100, "both have done half of it")
        gate.touch()
        assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED

    def test_small_job_does_not_wait_behind_all_shards_of_a_large_one(self, backend, make_request, tmp_path):
        gates = [tmp_path / f"gate-{n}" for n in range(2)]
        large = backend.submit(make_request("split_work", shards=40, folder=tmp_path, gate=gates[0])).job_id
        until(lambda: set(locations(backend, large).values()).isdisjoint({"queued"}), "the workers run its shards")
        small = backend.submit(make_request("echo")).job_id
        other = backend.submit(make_request("split_work", shards=3, folder=tmp_path)).job_id
        gates[0].touch()
        small, other, large = (wait_for_end(backend, job_id) for job_id in (small, other, large))
        assert small.ended_at < large.ended_at
        assert other.ended_at < large.ended_at, "the one submitted later shares the workers with it"

    def test_shard_that_fails_fails_the_job_and_ends_the_others(self, backend, make_request, tmp_path):
        info = wait_for_end(
            backend, backend.submit(make_request("split_work", shards=6, folder=tmp_path, bad=2)).job_id
        )
        assert type(info.error.error()) is BadArchiveError
        assert info.error.message == "shard 2 is bad"
        until(lambda: not (tmp_path / info.job_id).exists(), "its files are gone")

    def test_killed_shard_is_retried(self, backend, make_request, tmp_path):
        job_id = backend.submit(make_request("split_work", shards=3, folder=tmp_path, die={"1": 2}, retries=2)).job_id
        info = wait_for_end(backend, job_id)
        assert info.status is JobStatus.COMPLETED
        names = ["part-0-1", "part-1-3", "part-2-1"]
        assert [Path(path).name for path in info.result["files"]] == names
        folder = tmp_path / job_id
        until(lambda: sorted(path.name for path in folder.iterdir()) == names, "what lost attempts wrote is gone")

    @pytest.mark.parametrize("step", ["merge", "commit"])
    def test_killed_merge_is_retried(self, backend, make_request, tmp_path, step):
        job_id = backend.submit(
            make_request("split_work", shards=2, folder=tmp_path, die={step: 1}, retries=1)
        ).job_id
        assert wait_for_end(backend, job_id).result["merged_by"] == 2

    def test_job_whose_shard_is_killed_each_time_fails_with_the_cause(self, backend, make_request, tmp_path):
        job_id = backend.submit(make_request("split_work", shards=3, folder=tmp_path, die={"1": 9}, retries=1)).job_id
        error = wait_for_end(backend, job_id).error
        assert type(error.error()) is WorkerLostError
        assert "SIGKILL" in error.message
        assert error.traceback == ""
        assert "is retried" in "\n".join(backend.log(job_id))
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")


class TestCancel:
    def test_queued_job_is_cancelled_and_never_starts(self, backend, make_request, gate):
        for _ in range(2):
            backend.submit(make_request("gated", gate=gate))
        until(lambda: backend.queue_status()["running"] == 2, "both workers are busy")
        job_id = backend.submit(make_request("echo")).job_id
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert (info.status, info.started_at) == (JobStatus.CANCELLED, None)
        assert backend.cancel(job_id), "it stays cancelled"
        gate.touch()
        until(lambda: not backend.queue_status()["running"], "the others have ended")

    @pytest.mark.parametrize("step_name", ["gated", "stuck"])
    def test_running_job_is_killed_at_once_even_if_it_never_reports(
        self, backend, pool, make_request, gate, step_name
    ):
        job_id = backend.submit(make_request(step_name, gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        pids = [process.pid for process in task_processes(pool)]
        assert pids
        assert backend.cancel(job_id)
        assert backend.get(job_id).status is JobStatus.CANCELLED
        until(lambda: not any(map(alive, pids)), "nothing of it runs on", 5)
        assert wait_for_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED

    @pytest.mark.parametrize("phase", ["shards", "merge"])
    def test_cancelled_split_job_leaves_no_files(self, backend, make_request, gate, tmp_path, phase):
        gates = {"gate": gate} if phase == "shards" else {"merge_gate": gate}
        job_id = backend.submit(make_request("split_work", shards=4, folder=tmp_path, **gates)).job_id
        if phase == "shards":
            until(lambda: backend.get(job_id).progress.done == 100, "shards run")
        else:
            until(lambda: backend.get(job_id).progress.phase == "merging", "it merges")
        assert backend.cancel(job_id)
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")
        assert backend.get(job_id).status is JobStatus.CANCELLED

    def test_committing_job_can_not_be_cancelled(self, backend, make_request, gate):
        job_id = backend.submit(make_request("committing", gate=gate)).job_id
        wait_for_commit(backend, job_id)
        assert not backend.cancel(job_id)
        gate.touch()
        assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
        assert not backend.cancel(job_id)

    def test_two_hundred_cancelled_at_random_moments_end_as_cancel_returned(self, backend, make_request, tmp_path):
        """Each ends cancelled or completed, as `cancel()` returned, and leaves nothing but a result."""
        chance = random.Random(7)
        outcomes = {True: 0, False: 0}
        for number in range(200):
            job_id = backend.submit(
                make_request("split_work", shards=chance.choice([1, 2, 5]), folder=tmp_path)
            ).job_id
            time.sleep(chance.uniform(0, 0.2))
            cancelled = backend.cancel(job_id)
            outcomes[cancelled] += 1
            if not cancelled:
                info = wait_for_end(backend, job_id)
                assert info.status is JobStatus.COMPLETED, number
                assert all(Path(path).exists() for path in info.result["files"])
            else:
                assert backend.get(job_id).status is JobStatus.CANCELLED
        assert min(outcomes.values()) >= 10, f"the moments were not random enough: {outcomes}"
        results = {info.job_id for info in backend.list(JobStatus.COMPLETED)}
        until(lambda: {path.name for path in tmp_path.iterdir()} <= results, "cancelled jobs leave no files")


class TestLimits:
    def test_job_over_its_time_limit_fails(self, backend, make_request, gate):
        error = wait_for_end(backend, backend.submit(make_request("stuck", gate=gate, time_limit_s=0.5)).job_id).error
        assert type(error.error()) is JobTimeoutError
        assert error.message == "The job ran longer than its time limit of 0.5 s."

    def test_split_job_over_its_time_limit_fails_and_leaves_no_files(self, backend, make_request, gate, tmp_path):
        job_id = backend.submit(
            make_request("split_work", shards=4, folder=tmp_path, gate=gate, time_limit_s=0.7)
        ).job_id
        assert type(wait_for_end(backend, job_id).error.error()) is JobTimeoutError
        until(lambda: not (tmp_path / job_id).exists(), "its files are gone")

    def test_job_over_its_memory_limit_fails(self, backend, make_request):
        error = wait_for_end(
            backend, backend.submit(make_request("use_ever_more_memory", memory_limit_mb=300)).job_id
        ).error
        assert type(error.error()) is OutOfMemoryError
        assert "memory_limit_mb=300" in error.message
        assert "Raise memory_limit_mb" in error.hint

    def test_job_within_its_limits_completes(self, backend, make_request):
        job_id = backend.submit(make_request("report_in_steps", time_limit_s=60, memory_limit_mb=5000)).job_id
        assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED


class TestDeath:
    def test_killed_task_process_fails_the_job_with_what_it_printed(self, backend, make_request):
        info = wait_for_end(backend, backend.submit(make_request("print_and_end", how="badly")).job_id)
        assert type(info.error.error()) is WorkerLostError
        assert info.error.log.splitlines() == ["out of the way", "native <b>text</b>"]
        well = backend.submit(make_request("print_and_end", how="well")).job_id
        assert wait_for_end(backend, well).status is JobStatus.COMPLETED
        until(lambda: "native" in "\n".join(backend.log(well)), "what it printed is in the log")

    def test_step_of_a_killed_worker_is_retried_by_another(self, backend, make_request, gate, tmp_path):
        job_id = backend.submit(make_request("gated", gate=gate, retries=1, pid_file=tmp_path / "pid")).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        task_process = psutil.Process(int((tmp_path / "pid").read_text()))
        psutil.Process(task_process.ppid()).kill()
        until(lambda: not alive(task_process.pid), "its task process ended with it")
        gate.touch()
        info = wait_for_end(backend, job_id)
        assert info.status is JobStatus.COMPLETED
        assert info.result["pid"] != task_process.pid
        assert "begin is retried: The worker" in "\n".join(backend.log(job_id))
        until(lambda: backend.queue_status()["workers"] == 2, "the worker is replaced")

    def test_loss_of_all_workers_is_noticed_by_a_client_and_later_workers_go_on(
        self, url, workers, make_request, gate
    ):
        """On a database of its own, where no pool notices it."""
        url = url.removesuffix("/4") + "/10"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        with workers(url, n=2) as process:
            job_id = backend.submit(make_request("gated", gate=gate, retries=1)).job_id
            until(lambda: backend.get(job_id).progress.fraction, "the job runs")
            family = psutil.Process(process.pid).children(recursive=True)
            for member in (psutil.Process(process.pid), *family):
                member.kill()
            until(lambda: not any(alive(member.pid) for member in family), "all are dead")
        started = time.monotonic()
        until(lambda: "is retried" in "\n".join((backend.get(job_id), backend.log(job_id))[1]), "it is noticed")
        print(f"noticed after {time.monotonic() - started:.1f} s")
        gate.touch()
        with workers(url):
            assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
        backend.close()

    def test_step_lost_between_queue_and_worker_is_queued_again(self, url, workers, make_request):
        url = url.removesuffix("/4") + "/11"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        job_id = backend.submit(make_request("echo")).job_id
        with connect(url) as client:
            assert client.lrem("rq:queue:analytics", 1, f"{job_id}-begin-1")
        with workers(url):
            assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED
        assert "gone from the queue" in "\n".join(backend.log(job_id))
        backend.close()


class TestSigterm:
    @pytest.fixture
    def alone(self, url, workers):
        """A backend with two workers that the test stops."""
        url = url.removesuffix("/4") + "/12"
        backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
        with workers(url, n=2) as process:
            yield backend, process
        backend.close()

    def test_sigterm_lets_running_steps_finish(self, alone, make_request, gate):
        backend, process = alone
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        process.send_signal(signal.SIGTERM)
        until(lambda: backend.queue_status()["workers"] == 1, "the idle worker has gone")
        gate.touch()
        assert process.wait(30) == 0
        assert backend.get(job_id).status is JobStatus.COMPLETED

    def test_worker_killed_after_sigterm_makes_the_exit_code_1(self, alone, make_request, gate):
        backend, process = alone
        ids = [backend.submit(make_request("gated", gate=gate)).job_id for _ in range(2)]
        until(lambda: all(backend.get(job_id).progress.fraction for job_id in ids), "both run")
        process.send_signal(signal.SIGTERM)
        psutil.Process(process.pid).children()[0].kill()
        until(lambda: backend.queue_status()["workers"] == 1, "it is removed, and the other one works on")
        gate.touch()
        assert process.wait(30) == 1

    def test_second_sigterm_returns_running_steps_to_the_queue(self, alone, workers, url, make_request, gate):
        backend, process = alone
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        until(lambda: backend.get(job_id).progress.fraction, "the job runs")
        children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        time.sleep(worker_pool.REPEATED_SIGNAL_S + 0.5)  # sooner it counts as the first signal
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert not any(map(alive, children))
        assert backend.get(job_id).status is JobStatus.RUNNING
        assert list(locations(backend, job_id).values()) == ["queued"]
        gate.touch()
        with workers(backend._url):
            assert wait_for_end(backend, job_id).status is JobStatus.COMPLETED, "it did not count as a retry"


def test_step_that_can_not_run_on_one_worker_runs_on_another(url, workers, make_request):
    url = url.removesuffix("/4") + "/13"
    backend = RedisBackend(url, Settings.of(), "tests.backends.sample_steps")
    with workers(url, SAMPLE_LOCATION="Leipzig"):
        job_id = backend.submit(make_request("run_elsewhere_only", location="Jena")).job_id
        notice = "No worker can do it yet: this is not Jena"
        until(lambda: backend.get(job_id).notice == notice, "the notice says so")
        assert backend.get(job_id).status is JobStatus.QUEUED
        with workers(url, SAMPLE_LOCATION="Jena"):
            info = wait_for_end(backend, job_id)
    assert (info.status, info.notice) == (JobStatus.COMPLETED, "")
    backend.close()
