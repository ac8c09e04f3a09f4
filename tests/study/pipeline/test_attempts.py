"""A failed, repeated or superseded attempt does no harm, and no file stays that is not needed."""

import subprocess
import sys

import pytest

from analytics_kit import worker_tasks as tasks
from analytics_kit.errors import JobCancelledError, StoreError
from analytics_kit.study.pipeline import distributed, exchange
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store
from tests.study.step_queue import KEY, Queue, Step, assert_same, needed


@pytest.mark.parametrize("how", [{"can_split": False}, {}])
def test_begin_processes_a_small_or_unsplittable_study_at_once(studies, odd, how):
    queue = Queue(studies, odd, shard_bytes=1_000 if how else 1 << 20)
    step = queue.begin(**how)
    assert step["prefix"] == f"results/{KEY}/job/begin-1"
    assert step["folder"] == f"results/{KEY}/job"
    assert_same(queue.result(step), studies.process(odd))
    assert queue.folders == {"begin-1"}


def test_begin_reuses_a_committed_result(studies, odd, monkeypatch):
    queue = Queue(studies, odd, shard_bytes=1 << 20)
    first = queue.begin()
    monkeypatch.setattr(pipeline, "planned", None)
    assert queue.begin(attempt=2) == first


def test_begin_reuses_a_committed_plan(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    first = queue.begin()
    monkeypatch.setattr(pipeline, "planned", None)
    assert queue.begin(attempt=2) == first
    assert queue.folders == {"begin-1"}


def test_failed_shard_leaves_nothing_and_the_next_attempt_is_whole(studies, odd):
    queue = Queue(studies, odd)
    split = queue.begin()
    with pytest.raises(JobCancelledError):
        queue.shard(0, stop_at=2)
    assert queue.folders == {"begin-1"}
    queue.shard(0, 2)
    for number in range(1, split.shards):
        queue.shard(number)
    assert_same(queue.result(queue.merge()), studies.process(odd))


def test_shard_reuses_a_committed_attempt(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    monkeypatch.setattr(distributed, "run_shard", None)
    queue.shard(0, 2)
    queue.shard(0, 3)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), studies.process(odd))
    assert "part-0-1" in queue.folders
    assert not {"part-0-2", "part-0-3", "begin-1"} & queue.folders


def test_superseded_attempt_does_no_harm(studies, odd):
    """A first attempt at everything is given up; it goes on, and fails or ends at the worst of times."""
    queue = Queue(studies, odd)
    queue.begin()
    split = queue.begin(attempt=2)
    with pytest.raises(JobCancelledError):
        queue.shard(0, 1, stop_at=3)
    queue.shard(0, 2)
    with pytest.raises(JobCancelledError):
        queue.shard(0, 1, stop_at=2)
    queue.shard(0, 3)
    for number in range(1, split.shards):
        queue.shard(number)
    with pytest.raises(JobCancelledError):
        queue.merge(1, stop_at=1)
    answer = queue.merge(2)
    with pytest.raises(StoreError, match="went missing"):  # the plan is gone
        queue.shard(1, 1)
    expected = studies.process(odd)
    assert_same(queue.result(answer), expected)
    assert queue.merge(3) == answer
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), expected)


def test_superseded_plan_does_not_count(studies, odd):
    queue = Queue(studies, odd)
    split = queue.begin(attempt=10)
    queue.shard_bytes = 200
    assert queue.begin(attempt=9).shards > split.shards
    for number in range(split.shards):
        queue.shard(number)
    assert_same(queue.result(queue.merge()), studies.process(odd))


def test_concurrent_merges_agree(studies, odd, monkeypatch):
    """The one that was given up comes to its end while its successor reads the plan that it then removes."""
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    read = exchange.read_plan

    def overtaken(store, *plan):
        monkeypatch.setattr(exchange, "read_plan", read)
        queue.merge(1)
        return read(store, *plan)

    monkeypatch.setattr(exchange, "read_plan", overtaken)
    answer = queue.merge(2)
    assert answer["prefix"].endswith("merge-1")
    assert "merge-2" not in queue.folders
    assert_same(queue.result(answer), studies.process(odd))


def test_failed_merge_is_repeated(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "begin_commit", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            queue.merge()
    assert "merge-1" not in queue.folders
    assert "begin-1" in queue.folders
    assert_same(queue.result(queue.merge(2)), studies.process(odd))


def test_result_is_committed_only_after_begin_commit(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    step = queue.step("merge", winning_attempts=queue.winners)
    commit = Store.commit
    monkeypatch.setattr(Store, "commit", lambda *args: (step.commits == 1 or pytest.fail("too early"), commit(*args)))
    tasks.merge_shards(step)
    assert step.commits == 1


# --- what is left -------------------------------------------------------------------------------------------------


def test_completed_job_leaves_only_the_files_of_its_result(studies, odd):
    queue = Queue(studies, odd)
    answer = queue.run()
    manifest = queue.store.manifest(answer["prefix"])
    parts = {path for path in queue.files if path.startswith("part-")}
    handed_in = {"manifest.json", "values.parquet", "members.parquet", "issues.parquet"}
    left = (queue.files - parts) | {path for path in parts if path.split("/")[1] not in handed_in}
    assert left == needed(manifest) | {"merge-1/manifest.json"}
    assert queue.store.folders("") == ["results"]


def test_discard_removes_all_of_a_job_that_did_not_complete(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    queue.shard(0)
    for _ in range(2):
        tasks.discard(queue.arguments, "job", None)
        assert queue.files == set()
    tasks.discard(queue.arguments, "never", None)


def test_discard_keeps_the_result_of_a_completed_job(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    queue.shard(0)
    with queue.store.create(f"results/{KEY}/job/part-0-7/events/half.parquet") as file:
        file.write(b"of a worker that died")
    with queue.store.create(f"results/{KEY}/other/begin-1/file") as file:
        file.write(b"of another job")
    answer = queue.run()
    for _ in range(2):
        tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), studies.process(odd))
    assert "part-0-7" not in queue.folders
    assert (queue.root / "results" / KEY / "other" / "begin-1" / "file").exists()
    queue.store.delete(answer["folder"])
    tasks.discard(queue.arguments, "job", answer)
    assert queue.folders == set()


def test_discard_imports_no_heavy_library():
    code = (
        "import sys, analytics_kit.worker_tasks as t; "
        "t.discard({'store': '/nowhere/x', 'result_key': 'k'}, 'j', None); "
        "print(sorted({'polars', 'numba', 'numpy', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
