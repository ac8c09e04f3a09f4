"""A sweep removes results and uploads that expired or exceed the limit, and nothing else."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_kit import worker_tasks as tasks
from analytics_kit.errors import ResultExpiredError, StoreError
from analytics_kit.model import RESULT_TTL_S
from analytics_kit.options import Options
from analytics_kit.settings import Settings
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.paths import MANIFEST, RESULTS, STORE_ID, SWEEP_MARKER, UPLOADS
from analytics_kit.study.store.retention import (
    SWEEP_INTERVAL_S,
    StoredFolder,
    SweepCounts,
    clock_notice,
    excess,
    read_state,
    sweep,
    sweep_if_due,
)
from analytics_kit.study.store.store import Store, StoredFile
from tests.study.make_study import folder, mouse

DAY_S = 24 * SWEEP_INTERVAL_S
NOW = 2_000_000_000.0
KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
STUDY = {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 2), (0.2, 3, 4))}


class StoreOnDisk:
    """A local store with results of any age."""

    def __init__(self, root):
        self.root = root
        self.store = Store(str(root))

    def file(self, path, age_s=0.0, size_bytes=10):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x" * size_bytes)
        os.utime(target, (NOW - age_s, NOW - age_s))
        return target

    def result(self, path, age_s, used_s=None, size_bytes=1000):
        """A result completed, and last opened, so long ago; its size."""
        self.file(f"{RESULTS}/{path}/trials.parquet", age_s + 1, size_bytes)
        created = datetime.fromtimestamp(NOW - age_s, UTC).isoformat(timespec="seconds")
        text = json.dumps({"provenance": {"created_at": created}})
        manifest = self.file(f"{RESULTS}/{path}/{MANIFEST}")
        manifest.write_text(text)
        used = NOW - (age_s if used_s is None else used_s)
        os.utime(manifest, (used, used))
        return size_bytes + len(text)

    @property
    def left(self):
        """Folders of jobs that are there, without the key."""
        return sorted(path.name for path in self.root.glob(f"{RESULTS}/*/*"))


@pytest.fixture
def store_on_disk(tmp_path):
    return StoreOnDisk(tmp_path / "store")


@pytest.mark.parametrize("path", [f"{KEY}/job", f"{KEY}/job/merge-1"])
@pytest.mark.parametrize(("age_s", "stays"), [(7 * DAY_S - 60, True), (7 * DAY_S + 60, False)])
def test_result_expires_seven_days_after_completion_however_often_it_is_used(store_on_disk, path, age_s, stays):
    size = store_on_disk.result(path, age_s, used_s=0)
    assert sweep(store_on_disk.store, NOW, None) == (
        SweepCounts() if stays else SweepCounts(expired=1, freed_bytes=size)
    )
    assert store_on_disk.left == (["job"] if stays else [])
    assert (store_on_disk.root / RESULTS / KEY).exists() == stays


def test_all_files_of_a_job_count_as_one_folder(store_on_disk):
    store_on_disk.file(f"{RESULTS}/{KEY}/job/shard0-1/events/a.parquet", 9 * DAY_S)
    store_on_disk.file(f"{RESULTS}/{KEY}/job/shard0-2/events/a.parquet", 9 * DAY_S)
    store_on_disk.result(f"{KEY}/job/merge-1", 6 * DAY_S)
    sweep(store_on_disk.store, NOW, None)
    assert store_on_disk.left == ["job"]
    sweep(store_on_disk.store, NOW + 2 * DAY_S, None)
    assert store_on_disk.left == []


def test_plans_and_shards_alone_are_not_evicted(store_on_disk):
    """A job that has run for hours is no result that nobody has used for hours."""
    for name in ("part-0-1", "begin-1"):
        store_on_disk.file(f"{RESULTS}/{KEY}/job/{name}/{MANIFEST}", 3 * SWEEP_INTERVAL_S)
    store_on_disk.file(f"{RESULTS}/{KEY}/job/begin-1/shard-0.parquet", 3 * SWEEP_INTERVAL_S)
    store_on_disk.result(f"{OTHER}/job2", 3 * SWEEP_INTERVAL_S)
    assert sweep(store_on_disk.store, NOW, 0).evicted == 1
    assert store_on_disk.left == ["job"]


@pytest.mark.parametrize(("age_s", "stays"), [(7 * DAY_S - 60, True), (7 * DAY_S + 60, False)])
def test_unfinished_folder_expires_seven_days_after_its_last_write(store_on_disk, age_s, stays):
    store_on_disk.file(f"{RESULTS}/{KEY}/job/events/a.parquet", 30 * DAY_S)
    store_on_disk.file(f"{RESULTS}/{KEY}/job/events/b.parquet", age_s)
    sweep(store_on_disk.store, NOW, 0)
    assert store_on_disk.left == (["job"] if stays else [])


@pytest.mark.parametrize("created_s", [-365 * DAY_S, 0, 30 * DAY_S])
@pytest.mark.parametrize(("age_s", "stays"), [(7 * DAY_S - 60, True), (7 * DAY_S + 60, False)])
def test_result_of_a_worker_with_a_wrong_clock_counts_by_the_times_of_the_store(
    store_on_disk, created_s, age_s, stays
):
    store_on_disk.result(f"{KEY}/job", created_s, used_s=0)
    store_on_disk.file(f"{RESULTS}/{KEY}/job/trials.parquet", age_s)
    sweep(store_on_disk.store, NOW, None)
    assert store_on_disk.left == (["job"] if stays else [])


@pytest.fixture
def week(store_on_disk):
    """A swept store with three results and an upload of the last three days."""
    now = time.time()
    store_on_disk.now = now
    for age, path in enumerate([f"{RESULTS}/{KEY}/a", f"{RESULTS}/{KEY}/b", f"{RESULTS}/{OTHER}/c"]):
        store_on_disk.file(f"{path}/trials.parquet")
        store_on_disk.file(f"{path}/{MANIFEST}")
        set_age(store_on_disk.root / path, now, age * DAY_S)
    store_on_disk.file(f"{UPLOADS}/{'ab' * 16}/study.zip")
    set_age(store_on_disk.root / UPLOADS, now, 2 * DAY_S)
    sweep_if_due(store_on_disk.store, now, None)
    return store_on_disk


def set_age(folder, now, age_s):
    for path in folder.rglob("*"):
        os.utime(path, (now - age_s, now - age_s))


def let_pass(store_on_disk, age_s):
    """Have the clock go on by so much: every time in the store is so much further in the past."""
    for path in [*store_on_disk.root.rglob("*")]:
        at = path.stat().st_mtime - age_s
        os.utime(path, (at, at))


def files(store_on_disk):
    return sorted(path.name for path in store_on_disk.root.rglob("*") if path.is_file() and path.name != SWEEP_MARKER)


@pytest.mark.parametrize("ahead_s", [8 * DAY_S, -8 * DAY_S, 3600])
def test_host_with_a_wrong_clock_removes_nothing_and_says_so(week, caplog, ahead_s):
    before = files(week)
    os.utime(week.root / SWEEP_MARKER, (week.now - DAY_S, week.now - DAY_S))
    assert sweep_if_due(week.store, time.time() + ahead_s, 0) is None
    assert files(week) == before
    assert "the clock of this host says" in caplog.text
    assert "the clock of this host says" in clock_notice(week.store, time.time() + ahead_s)


def test_jump_of_the_clock_removes_nothing_and_says_so(week, caplog):
    before = files(week)
    let_pass(week, 8 * DAY_S)
    assert len(sweep_if_due(week.store, time.time(), None).held) == 4
    assert files(week) == before
    assert "look expired, but all at once or after a jump of the clock" in caplog.text
    assert "4 results or uploads" in clock_notice(week.store, time.time())


def test_clock_set_right_again_forgets_what_looked_expired(week):
    before = files(week)
    let_pass(week, 8 * DAY_S)
    sweep_if_due(week.store, time.time(), None)
    let_pass(week, -8 * DAY_S)
    assert not sweep_if_due(week.store, time.time(), None).held
    let_pass(week, SWEEP_INTERVAL_S)
    assert sweep_if_due(week.store, time.time(), None) == SweepCounts()
    assert clock_notice(week.store, time.time()) == ""
    assert files(week) == before


def test_marker_in_the_future_is_said(week):
    let_pass(week, -8 * DAY_S)
    assert "which is in the future" in clock_notice(week.store, time.time())


def test_results_that_expired_during_a_long_break_go_a_day_after_it(week):
    let_pass(week, 20 * DAY_S)
    sweep_if_due(week.store, time.time(), None)
    for _ in range(23):
        let_pass(week, SWEEP_INTERVAL_S + 1)
        _let_held_pass(week, SWEEP_INTERVAL_S + 1)
    assert sweep_if_due(week.store, time.time(), None).expired == 0
    let_pass(week, SWEEP_INTERVAL_S + 1)
    _let_held_pass(week, SWEEP_INTERVAL_S + 1)
    assert sweep_if_due(week.store, time.time(), None) == SweepCounts(4, 0, 3 * 20 + 10)
    assert files(week) == []


def _let_held_pass(store_on_disk, age_s):
    marker = store_on_disk.root / SWEEP_MARKER
    at = marker.stat().st_mtime
    held = json.loads(marker.read_bytes() or b'{"held": {}}')["held"]
    marker.write_text(json.dumps({"held": {path: since - age_s for path, since in held.items()}}))
    os.utime(marker, (at, at))


def test_result_that_expires_while_sweeps_go_on_goes_at_once(week):
    for _ in range(5):
        let_pass(week, DAY_S - 60)
        assert not sweep_if_due(week.store, time.time(), None).held
    let_pass(week, DAY_S / 2)
    assert sweep_if_due(week.store, time.time(), None).expired == 2
    assert week.left == ["a", "b"]


def test_all_results_at_once_are_held_although_sweeps_went_on(week):
    set_age(week.root / RESULTS, time.time(), 8 * DAY_S)
    set_age(week.root / UPLOADS, time.time(), 8 * DAY_S)
    os.utime(week.root / SWEEP_MARKER, (week.now - 2 * SWEEP_INTERVAL_S, week.now - 2 * SWEEP_INTERVAL_S))
    assert len(sweep_if_due(week.store, time.time(), None).held) == 4


def test_limit_holds_after_a_jump_of_the_clock_but_spares_what_was_used_about_the_last_sweep(week):
    let_pass(week, 8 * DAY_S)
    assert sweep_if_due(week.store, time.time(), 0).evicted == 2
    assert week.left == ["a"]


@pytest.mark.parametrize("text", ["{", "[]", '{"held": [1]}', '{"held": {"a": "long ago"}}', "\xff"])
def test_marker_that_can_not_be_read_holds_nothing(week, text):
    (week.root / SWEEP_MARKER).write_bytes(text.encode("latin-1"))
    assert read_state(week.store).held == {}


def test_store_without_times_is_not_swept(week, monkeypatch):
    monkeypatch.setattr(Store, "now_s", lambda self: float("inf"))
    os.utime(week.root / SWEEP_MARKER, (week.now - DAY_S, week.now - DAY_S))
    assert sweep_if_due(week.store, time.time(), 0) is None
    assert clock_notice(week.store, time.time()) == ""


def test_time_of_the_store_is_that_of_its_files(store_on_disk):
    before = time.time()
    assert abs(store_on_disk.store.now_s() - before) < 30
    assert list(store_on_disk.root.iterdir()) == []


def test_eviction_removes_the_least_recently_used_first(store_on_disk):
    sizes = {
        name: store_on_disk.result(f"{KEY if name < 'c' else OTHER}/{name}", 5 * DAY_S, used_s=used_s)
        for name, used_s in (("a", 4 * DAY_S), ("b", 2 * DAY_S), ("c", 3 * DAY_S), ("d", 1 * DAY_S))
    }
    assert sweep(store_on_disk.store, NOW, sum(sizes.values())) == SweepCounts()
    assert sweep(store_on_disk.store, NOW, sizes["b"] + sizes["d"]) == SweepCounts(0, 2, sizes["a"] + sizes["c"])
    assert store_on_disk.left == ["b", "d"]


def test_eviction_spares_what_was_used_or_made_within_the_hour(store_on_disk):
    store_on_disk.result(f"{KEY}/used", 5 * DAY_S, used_s=SWEEP_INTERVAL_S - 60)
    store_on_disk.result(f"{KEY}/made", SWEEP_INTERVAL_S - 60)
    store_on_disk.result(f"{KEY}/not", 5 * DAY_S, used_s=SWEEP_INTERVAL_S + 60)
    store_on_disk.file(f"{RESULTS}/{KEY}/running/a.parquet", 2 * DAY_S)
    sweep(store_on_disk.store, NOW, 1)
    assert store_on_disk.left == ["made", "running", "used"]


def test_eviction_spares_what_is_opened_during_the_sweep(store_on_disk, monkeypatch):
    store_on_disk.result(f"{KEY}/job", 5 * DAY_S)
    monkeypatch.setattr(
        "analytics_kit.study.store.retention.excess",
        lambda *args: [store_on_disk.store.touch(f"{RESULTS}/{KEY}/job/{MANIFEST}"), *excess(*args)][1:],
    )
    assert sweep(store_on_disk.store, NOW, 0) == SweepCounts()
    assert store_on_disk.left == ["job"]


ages = st.floats(0, 8 * DAY_S)


@given(st.lists(st.tuples(ages, st.integers(0, 1000), st.booleans()), max_size=12), st.integers(0, 4000))
def test_excess_is_as_little_as_fits_and_the_least_recently_used(rows, max_bytes):
    folders = [
        StoredFolder(str(i), size, 0, 0, (StoredFile(f"{i}/{MANIFEST}", 1, NOW - age),) if done else ())
        for i, (age, size, done) in enumerate(rows)
    ]
    chosen = excess(folders, NOW, max_bytes)
    left = [folder for folder in folders if folder not in chosen]
    assert all(folder.manifests and NOW - folder.used_at >= SWEEP_INTERVAL_S for folder in chosen)
    evictable = [folder for folder in left if folder.manifests and NOW - folder.used_at >= SWEEP_INTERVAL_S]
    assert sum(folder.size_bytes for folder in left) <= max_bytes or not evictable
    assert all(gone.used_at <= stays.used_at for gone in chosen for stays in evictable)
    if chosen:  # and not one too many
        assert sum(folder.size_bytes for folder in [*left, chosen[-1]]) > max_bytes
    assert excess(folders, NOW, None) == []


def test_sweep_leaves_foreign_files(store_on_disk):
    """The store may have been put where there was something before."""
    others = [
        store_on_disk.file(path, 99 * DAY_S)
        for path in (
            "data.csv", "notes/a.txt", "jobs/1/part", STORE_ID, "store.id.bak", ".probe-us", f"{RESULTS}/readme",
            f"{RESULTS}/run1/a/data.csv", f"{RESULTS}/run1/a/{MANIFEST}", f"{RESULTS}/{KEY}/loose",
            f"results2/{KEY}/job/{MANIFEST}",
        )
    ]  # fmt: skip
    (store_on_disk.root / "results" / "empty").mkdir()
    (store_on_disk.root / "empty").mkdir()
    assert sweep(store_on_disk.store, NOW, 0) == SweepCounts()
    assert all(path.exists() for path in others)
    assert (store_on_disk.root / "results" / "empty").exists()
    assert (store_on_disk.root / "empty").exists()


def test_sweep_removes_leftovers_of_killed_processes_after_an_hour(store_on_disk):
    old = [".probe-12-0a1b", ".probe-12-0a1b.9f8e~", "store.id.0a1b2c3d", "store.id.0a1b2c3d.00112233~", ".swept.01~"]
    for name in old:
        store_on_disk.file(name, SWEEP_INTERVAL_S + 60)
    young = store_on_disk.file(".probe-13-0a1b", SWEEP_INTERVAL_S - 60)
    (store_on_disk.root / RESULTS / KEY / "job" / "events").mkdir(parents=True)
    (store_on_disk.root / RESULTS / OTHER).mkdir()
    sweep(store_on_disk.store, NOW, None)
    assert [path for path in store_on_disk.root.iterdir() if path.is_file()] == [young]
    assert list((store_on_disk.root / RESULTS).iterdir()) == []


def test_sweep_removes_the_manifest_first(store_on_disk, monkeypatch):
    store_on_disk.result(f"{KEY}/job/merge-1", 8 * DAY_S)
    removed, remove = [], Store.remove
    monkeypatch.setattr(Store, "remove", lambda self, path: removed.append(path) or remove(self, path))
    sweep(store_on_disk.store, NOW, None)
    assert removed[0] == f"{RESULTS}/{KEY}/job/merge-1/{MANIFEST}"


def test_sweep_continues_past_what_can_not_be_removed(store_on_disk, monkeypatch):
    store_on_disk.result(f"{KEY}/a", 8 * DAY_S)
    size = store_on_disk.result(f"{KEY}/b", 8 * DAY_S)
    remove = Store.remove

    def refused(self, path):
        if "/a" in path:
            raise StoreError("not yours")
        remove(self, path)

    monkeypatch.setattr(Store, "remove", refused)
    assert sweep(store_on_disk.store, NOW, None) == SweepCounts(1, 0, size)
    assert store_on_disk.left == ["a"]


def test_concurrent_sweeps_agree(store_on_disk):
    for i in range(60):
        store_on_disk.result(
            f"{KEY if i % 2 else OTHER}/{i:02}", (i % 10) * DAY_S, used_s=(i % 7) * DAY_S + SWEEP_INTERVAL_S
        )
    stores = [Store(str(store_on_disk.root)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda store: sweep(store, NOW, 20_000), stores))
    assert sum(file.size_bytes for file in store_on_disk.store.files(RESULTS)) <= 20_000
    assert all((store_on_disk.root / RESULTS).glob(f"*/{name}/{MANIFEST}") for name in store_on_disk.left)
    assert len(store_on_disk.left) >= 10


def test_sweep_makes_no_store(tmp_path):
    store = Store(str(tmp_path / "none"))
    assert sweep(store, NOW, 0) == SweepCounts()
    assert sweep_if_due(store, NOW, 0) is None
    assert list(tmp_path.iterdir()) == []


def test_sweep_if_due_sweeps_at_most_once_an_hour(store_on_disk):
    now = time.time()
    store_on_disk.root.mkdir()
    assert sweep_if_due(store_on_disk.store, now, None) == SweepCounts()
    assert sweep_if_due(Store(str(store_on_disk.root)), now, None) is None
    os.utime(store_on_disk.root / SWEEP_MARKER, (now - SWEEP_INTERVAL_S - 1, now - SWEEP_INTERVAL_S - 1))
    assert sweep_if_due(store_on_disk.store, now, None) == SweepCounts()
    assert sweep_if_due(store_on_disk.store, now, None) is None


def test_sweep_on_an_object_store(studies):
    store = Store("memory://kit-test-lifetime")
    pipeline.run(studies.zip(STUDY), Options(), store, f"{RESULTS}/{KEY}/job/merge-1")
    now = time.time()
    assert sweep_if_due(store, now, 0) == SweepCounts()
    assert sweep_if_due(store, now, 0) is None
    assert sweep(store, now + 2 * SWEEP_INTERVAL_S, 0).evicted == 1
    pipeline.run(studies.zip(STUDY), Options(), store, f"{RESULTS}/{KEY}/job/merge-1")
    assert sweep(store, now + RESULT_TTL_S - 60, None).expired == 0
    assert sweep(store, now + RESULT_TTL_S + 60, None).expired == 1
    assert store.files(RESULTS) == []


# --- what a user sees ---------------------------------------------------------------------------------------------


@pytest.fixture
def result(studies, monkeypatch):
    """A result in the default store of a home of its own, and the path of its manifest."""
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(studies.root / "home"))
    monkeypatch.delenv("ANALYTICS_KIT_STORE", raising=False)
    store, prefix = Store.of(Settings.of()), f"{RESULTS}/{KEY}/job"
    pipeline.run(studies.zip(STUDY), Options(), store, prefix)
    return store, prefix, studies.root / "home" / "store" / prefix / MANIFEST


def test_opening_a_result_counts_as_use(result):
    store, prefix, manifest = result
    os.utime(manifest, (NOW - DAY_S, 1_000_000_000))
    before = time.time()
    StudyResult.open(store, prefix)
    assert manifest.stat().st_mtime >= before - 1


def test_opening_a_result_succeeds_where_it_can_not_be_marked(result, monkeypatch):
    def refused(*args, **how):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    assert len(StudyResult.open(*result[:2]).trials) == 1


def test_opening_a_saved_result_does_not_touch_it(result, tmp_path):
    path = StudyResult.open(*result[:2]).save(tmp_path / "kept") / MANIFEST
    os.utime(path, (1_000_000_000, 1_000_000_000))
    StudyResult.open(Store(str(path.parent)), "")
    assert path.stat().st_mtime == 1_000_000_000


def test_tidy_evicts_beyond_the_limit_of_the_settings(result, monkeypatch):
    store, prefix, manifest = result
    old = time.time() - 2 * SWEEP_INTERVAL_S
    os.utime(manifest, (old, old))
    monkeypatch.setenv("ANALYTICS_KIT_STORE_LIMIT_GB", "inf")
    tasks.tidy()
    assert StudyResult.open(store, prefix)
    os.utime(manifest, (old, old))
    monkeypatch.setenv("ANALYTICS_KIT_STORE_LIMIT_GB", "0.000001")
    tasks.tidy()  # not due
    assert manifest.exists()
    os.utime(store._path(SWEEP_MARKER), (old, old))
    tasks.tidy()
    assert not manifest.exists()
    with pytest.raises(ResultExpiredError, match="7 days") as caught:
        StudyResult.open(store, prefix)
    assert "Results live 7 days" in caught.value.hint


def test_tidy_ignores_an_unreachable_store(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANALYTICS_KIT_STORE", str(tmp_path / "file" / "store"))
    tasks.tidy()
    monkeypatch.setenv("ANALYTICS_KIT_STORE", "nosuch://store")
    tasks.tidy()
