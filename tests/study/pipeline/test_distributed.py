"""A study processed by many processes gives the same result as one processed by one."""

import json
import random
import zipfile
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_kit import worker_tasks as tasks
from analytics_kit.errors import (
    BadArchiveError,
    BadMemberError,
    JobCancelledError,
    NoEventsError,
    SourceNotFoundError,
    StoreError,
    UnsafeArchiveError,
)
from analytics_kit.model import KINDS, CannotRunHere, Split
from analytics_kit.study.result.result import load
from analytics_kit.study.sample.study import sample_study
from analytics_kit.study.store.store import Store
from tests.study.make_study import Studies, folder, mouse, patched, typed, zip_bytes
from tests.study.step_queue import KEY, Queue, assert_same, odd_members

# --- the same as in one process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_bytes", [1, 1_000, 3_000])
@pytest.mark.parametrize("keys", ["class", "full"])
def test_shards_give_the_same_as_one_process(studies, odd, shard_bytes, keys):
    queue = Queue(studies, odd, shard_bytes=shard_bytes, keys=keys)
    answer = queue.run()
    assert_same(queue.result(answer), studies.process(odd, keys=keys))
    assert answer["summary"] == queue.result(answer).summary
    assert {answer["prefix"], answer["folder"]} == {f"results/{KEY}/job/merge-1", f"results/{KEY}/job"}


@pytest.fixture(scope="module")
def random_study(tmp_path_factory):
    """random_study(seed) → path of a study, and what one process makes of it."""
    made = {}

    def make(seed):
        if seed not in made:
            studies = Studies(tmp_path_factory.mktemp("random"))
            path = sample_study(studies.root / "study.zip", 1 + seed % 3, 1 + seed % 2, trial_s=2, seed=seed)
            made[seed] = path, studies.process(path)
        return made[seed]

    return make


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 3), shard_bytes=st.integers(1, 20_000), chance=st.integers(0, 10_000))
def test_result_does_not_depend_on_cut_order_or_failures(random_study, tmp_path_factory, seed, shard_bytes, chance):
    path, expected = random_study(seed)
    queue = Queue(Studies(tmp_path_factory.mktemp("queue")), path, shard_bytes=shard_bytes)
    throw = random.Random(chance)
    split = queue.begin()
    if not isinstance(split, Split):
        assert_same(queue.result(split), expected)
        return
    order = list(range(split.shards))
    throw.shuffle(order)
    for number in order:
        for attempt in range(1, throw.choice([1, 1, 2, 3])):
            if throw.random() < 0.5:
                with pytest.raises(JobCancelledError):
                    queue.shard(number, attempt, stop_at=1)
            else:  # it has finished, and its worker dies
                queue.shard(number, attempt)
        queue.shard(number, 3)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), expected)


@pytest.mark.parametrize("options", [
    {"participants": [1, 10]}, {"tasks": ["Search"]}, {"factors": ["Easy"]}, {"metrics": ["path_length_px"]},
    {"kinds": {"What is this": "keyboard"}}, {"idle_gap_s": 0.3},
])  # fmt: skip
def test_options_apply_to_every_shard(studies, odd, options):
    queue = Queue(studies, odd, shard_bytes=500, **options)
    assert_same(queue.result(queue.run()), studies.process(odd, **options))


def test_nested_zips_give_the_same_as_in_one_process(studies):
    inner = {
        f"{n}_participant_session.zip": zip_bytes({
            f"A_B_trial_{k}/Mouse Clicks.csv": mouse((0.1, n, k), (0.2, n, k)) for k in (1, 2, 3)
        })
        for n in (1, 2, 11)
    }  # fmt: skip
    source = studies.zip({**inner, "broken.zip": b"PK", f"{folder(7)}/Mouse Clicks.csv": mouse((0.1, 1, 2))})
    queue = Queue(studies, source, shard_bytes=100)
    result = queue.result(queue.run([4, 0, 3, 2, 1, *range(5, 10)]))
    assert_same(result, studies.process(source))
    assert "unreadable_zip" in set(result.issues.kind)


def test_folder_gives_the_same_as_in_one_process(studies):
    for name, content in odd_members().items():
        path = studies.root / "tree" / name
        if name.endswith("/") or ".." in name:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    queue = Queue(studies, studies.root / "tree")
    assert_same(queue.result(queue.run()), studies.process(studies.root / "tree"))


def test_saved_and_moved_result_can_be_loaded(studies, odd):
    queue = Queue(studies, odd)
    answer = queue.run()
    queue.result(answer).save(studies.root / "kept")
    queue.store.delete(answer["folder"])
    (studies.root / "kept").rename(studies.root / "moved")
    assert_same(load(studies.root / "moved"), studies.process(odd))
    assert all(str(path).count(KEY) == 0 for path in (studies.root / "moved").rglob("*"))


def test_object_store_gives_the_same_as_a_folder(studies, odd):
    queue = Queue(studies, odd)
    queue.arguments["store"] = "memory://kit-distributed"
    queue.store = Store("memory://kit-distributed")
    split = queue.begin()
    queue.shard(0)
    for number in range(split.shards):
        queue.shard(number, 2)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert "begin-1" not in queue.store.folders(answer["folder"])
    assert_same(queue.result(answer), studies.process(odd))
    tasks.discard(queue.arguments, "job", None)
    assert queue.store.folders(answer["folder"]) == []


# --- progress -----------------------------------------------------------------------------------------------------


def test_progress_of_the_shards_sums_to_the_total(studies, odd):
    damaged = patched(zip_bytes(odd_members()), f"{folder(1, trial=1)}/Mouse Movement.csv", crc=1)
    source = studies.zip(damaged, "damaged.zip")
    queue = Queue(studies, source, shard_bytes=500)
    split = queue.begin()
    assert (split.shard_task, split.merge_task, split.unit) == (tasks.SHARD_TASK, tasks.MERGE_TASK, "bytes")
    for number in range(split.shards):
        queue.shard(number)
    queue.shard(0, 2)  # committed by the first attempt, and reported as such
    last = [reports[-1] for reports in queue.reports.values()]
    assert sum(progress.done for progress in last) == split.total
    for reports in queue.reports.values():
        assert [p.done for p in reports] == sorted(p.done for p in reports)
        assert {(p.phase, p.unit) for p in reports} == {("processing", "bytes")}
        assert all(p.fraction == p.done / p.total for p in reports)
        assert reports[-1].fraction == 1.0
    totals = [reports[-1].total for reports in queue.reports.values()]
    assert totals == sorted(totals, reverse=True)
    assert split.total == queue.merge()["summary"]["raw_bytes"]


def test_rows_and_files_are_counted_once(studies, odd):
    members = odd_members()
    duplicate = f"{folder(1)}/Mouse Movement.csv"  # the earlier of two is left out, and its rows count as dropped
    source = studies.zip(zip_bytes([*members.items(), (duplicate, members[duplicate])]), "duplicate.zip")
    queue = Queue(studies, source, shard_bytes=500)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    first = queue.reports[0][-1]
    queue.shard(0, 2)
    assert (queue.reports[0][-1].rows, queue.reports[0][-1].files) == (first.rows, first.files)
    for reports in queue.reports.values():
        assert [p.rows for p in reports] == sorted(p.rows for p in reports)
        assert [p.files for p in reports] == sorted(p.files for p in reports)
    merge = queue.step("merge", winning_attempts=queue.winners)
    summary = tasks.merge_shards(merge)["summary"]
    events = queue.result({"store": queue.arguments["store"], "prefix": f"results/{KEY}/job/merge-1"}).members
    events = events[events.role.isin(KINDS)]
    last = [reports[-1] for reports in queue.reports.values()]
    assert sum(p.rows for p in last) == summary["rows_in"] - 20 - 1, (
        "without those of the duplicate and of the unsafe file"
    )
    assert merge.reports[-1].rows == summary["rows_in"]
    assert sum(p.files for p in last) == merge.reports[-1].files == len(events) - 1


# --- preview ------------------------------------------------------------------------------------------------------


def test_preview_has_the_first_trials_and_issues(studies, odd):
    queue = Queue(studies, odd, shard_bytes=500)
    answer = queue.run()
    result, preview = queue.result(answer), answer["preview"]
    assert preview["columns"] == [
        "participant", "task", "factor", "trial", "click_count", "keystroke_count", "completion_time_s",
        "path_length_px",
    ]  # fmt: skip
    head = result.trials[preview["columns"]].head(5).astype(object)
    assert preview["trials"] == head.where(head.notna(), None).to_numpy().tolist()
    issues = result.issues[["member", "line", "kind", "message"]].head(3).astype(object)
    assert preview["issues"] == issues.where(issues.notna(), None).to_numpy().tolist()
    assert json.loads(json.dumps(preview, allow_nan=False)) == preview
    whole = Queue(Studies(studies.root / "whole"), odd, shard_bytes=10**9).begin()
    assert whole["preview"] == preview


def test_preview_has_none_for_unknown_values(studies):
    members = {f"{folder(1)}/Mouse Clicks.csv": mouse((0.1, 1, 1), (0.2, 1, 1))}
    preview = Queue(studies, studies.zip(members), metrics=["keystroke_count", "path_length_px"]).begin()["preview"]
    assert preview["trials"] == [["1", "Search", "Easy", 1, None, None]]
    assert preview["issues"] == []


def test_preview_is_short_for_long_names(studies):
    long = "x" * 230
    members = {
        f"{long}/{long}_{long}_trial_{k}/Mouse Movement.csv": mouse((0.1, 1, 1), ("?", 2, 2)) for k in range(9)
    }
    preview = Queue(studies, studies.zip(members), metrics=["click_count"]).begin()["preview"]
    assert (len(preview["trials"]), len(preview["issues"])) == (5, 3)
    assert preview["columns"] == ["participant", "task", "factor", "trial", "click_count"]
    texts = [text for row in (*preview["trials"], *preview["issues"]) for text in row if isinstance(text, str)]
    assert max(map(len, texts)) == 200
    assert f"{long[:199]}…" in texts
    assert len(json.dumps(preview)) < 6_000


def test_older_result_has_no_preview(studies, odd):
    queue = Queue(studies, odd)
    manifest = queue.root / queue.run()["prefix"] / "manifest.json"
    before = json.loads(manifest.read_text())
    del before["preview"]
    manifest.write_text(json.dumps(before))
    answer = queue.merge()
    assert "preview" not in answer
    assert answer["summary"] == before["summary"]


# --- errors ---------------------------------------------------------------------------------------------------------


def test_on_error_raise_raises_the_first_error(studies, odd):
    queue = Queue(studies, odd, on_error="raise")
    with pytest.raises(UnsafeArchiveError):
        queue.begin()
    bad = f"{folder(2)}/Keyboard Inputs.csv"
    source = studies.zip({f"{folder(n)}/Keyboard Inputs.csv": typed((0.1, "a"), ("?" if n == 2 else 0.2, "b"))
                          for n in (1, 2, 3)})  # fmt: skip
    queue = Queue(studies, source, shard_bytes=1, on_error="raise")
    split = queue.begin()
    failed = []
    for number in range(split.shards):
        try:
            queue.shard(number)
        except BadMemberError as error:
            failed.append(error.message)
    assert len(failed) == 1
    assert failed[0].startswith(f"{bad}, line 3")
    assert len(queue.folders) == 1 + split.shards - 1


def test_study_without_a_readable_file_raises(studies):
    members = {f"{folder(n)}/Mouse Movement.csv": mouse((0.1, n, n)) for n in (1, 2, 3)}
    source = studies.zip(patched(zip_bytes(members), *members, crc=1))
    queue = Queue(studies, source, shard_bytes=1)
    with pytest.raises(BadArchiveError, match="None of the 3 event files"):
        queue.run()


def test_study_without_events_raises_and_leaves_nothing(studies):
    queue = Queue(studies, studies.zip({"readme.txt": "hello"}))
    with pytest.raises(NoEventsError):
        queue.begin()
    assert queue.files == set()


def test_source_changed_between_steps_is_refused(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    studies.zip({**odd_members(), "more.txt": "x"})
    with pytest.raises(BadArchiveError, match="has changed since the work began"):
        queue.shard(0)


@pytest.mark.parametrize("replaced_before", ["a shard", "the merge"])
def test_study_replaced_by_one_of_the_same_size_between_steps_is_refused(studies, replaced_before):
    def study(value):
        members = {f"{folder(p)}/Mouse Movement.csv": mouse((0.1, value, p)) for p in (1, 2)}
        survey = "1_participant_session/Demographics_survey/answers.csv"
        return zip_bytes({**members, survey: f"age\n{value}\n"}, zipfile.ZIP_STORED)

    before, after = study(3), study(7)
    assert len(before) == len(after)
    source = studies.root / "study.zip"
    source.write_bytes(before)
    queue = Queue(studies, source, shard_bytes=1)
    assert queue.begin().shards == 2
    queue.shard(0)
    act = partial(queue.shard, 1)
    if replaced_before == "the merge":
        queue.shard(1)
        act = queue.merge
    source.write_bytes(after)
    with pytest.raises(StoreError, match="has changed while it was read"):
        act()


def test_damaged_file_of_a_study_that_stays_as_it_was_is_still_an_issue(studies):
    damaged = bytearray(zip_bytes({f"{folder(p)}/Mouse Movement.csv": mouse((0.1, 3, p)) for p in (1, 2)}, 0))
    damaged[damaged.index(b"0.1,3")] = ord("9")
    source = studies.root / "study.zip"
    source.write_bytes(damaged)
    queue = Queue(studies, source, shard_bytes=1)
    assert list(queue.result(queue.run()).issues.kind) == ["crc_mismatch"]


def test_source_removed_between_steps_is_left_to_workers_that_may_have_it(studies, odd):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.shards):
        queue.shard(number)
    (studies.root / "study.zip").unlink()
    for act in (lambda: queue.shard(0, 1), queue.merge):
        with pytest.raises(CannotRunHere) as refused:
            act()
        assert isinstance(refused.value.__cause__, SourceNotFoundError)
        assert refused.value.patience_s == 0  # with none of them the job fails at once


def test_worker_reads_only_below_its_allowed_folders(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    queue.begin()
    monkeypatch.setenv("ANALYTICS_KIT_SOURCES", str(studies.root / "elsewhere"))
    for act in (queue.begin, lambda: queue.shard(0), queue.merge):
        with pytest.raises(CannotRunHere, match="is not below a folder") as refused:
            act()
        assert isinstance(refused.value.__cause__, SourceNotFoundError)
