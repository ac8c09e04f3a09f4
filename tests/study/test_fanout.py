"""Is a study that many processes work on what one process makes of it, and is nothing else left in the store?"""

import random
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import Studies, folder, mouse, patched, typed, zip_bytes

from analytics_kit import tasks
from analytics_kit.errors import (
    BadArchiveError,
    BadMemberError,
    JobCancelledError,
    NoEventsError,
    SourceNotFoundError,
    StoreError,
    UnsafeArchiveError,
)
from analytics_kit.model import Options, Split
from analytics_kit.study import fanout, handover, pipeline
from analytics_kit.study.plan import even_cuts
from analytics_kit.study.result import StudyResult, load
from analytics_kit.study.sample import sample_study
from analytics_kit.study.store import Store

KEY = "a" * 64
TABLES = ("trials", "issues", "members", "surveys", "participants")


@dataclass
class Step:
    """What a task's code sees of its job, without a queue."""

    arguments: dict
    step: str = "begin"
    attempt: int = 1
    part: int | None = None
    winners: dict = field(default_factory=dict)
    can_split: bool = True
    job_id: str = "job"
    reports: list = field(default_factory=list)
    commits: int = 0
    stop_at: int | None = None
    """Unwanted at the report of this number."""

    def report(self, progress):
        self.reports.append(progress)
        if len(self.reports) == self.stop_at:
            raise JobCancelledError("The job was cancelled.")

    def begin_commit(self):
        self.commits += 1


class Queue:
    """Does the steps of one job, in an order and with accidents of its own choosing."""

    def __init__(self, studies, source, shard_bytes=2_000, **options):
        self.root = studies.root / "fanned"
        self.store = Store(str(self.root))
        options = Options.of(**options).to_json()
        self.arguments = {"source": str(source), "options": options, "store": str(self.root), "result_key": KEY}
        self.shard_bytes = shard_bytes
        self.winners = {}
        self.reports = {}

    def step(self, step="begin", attempt=1, **more):
        return Step(self.arguments, step, attempt, **more)

    def begin(self, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "SHARD_BYTES", self.shard_bytes)
            return tasks.process_study(self.step(**more))

    def part(self, number, attempt=1, **more):
        step = self.step(f"part-{number}", attempt, part=number, **more)
        assert tasks.process_part(step) == {}
        self.winners[number] = attempt
        self.reports[number] = step.reports

    def merge(self, attempt=1, **more):
        return tasks.merge_parts(self.step("merge", attempt, winners=self.winners, **more))

    def run(self, order=None):
        split = self.begin()
        for number in order or range(split.parts):
            self.part(number)
        return self.merge()

    def result(self, answer):
        return StudyResult.open(Store(answer["store"]), answer["prefix"])

    @property
    def files(self):
        """All files in the store, by their paths in the job's folder."""
        at = self.root / "results" / KEY / "job"
        return {path.relative_to(at).as_posix() for path in self.root.rglob("*") if path.is_file()}

    @property
    def folders(self):
        at = self.root / "results" / KEY / "job"
        return {path.name for path in at.iterdir()} if at.exists() else set()


def needed(manifest):
    """The files that a result consists of, by their paths in the job's folder."""
    prefix = f"results/{KEY}/job/"
    paths = [*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])]
    return {path.removeprefix(prefix) for path in paths}


def assert_same(result, expected):
    for name in TABLES:
        assert getattr(result, name).equals(getattr(expected, name)), name
    assert result.kinds == expected.kinds
    for kind in expected.kinds:
        assert result.events(kind).equals(expected.events(kind)), kind
    assert result.summary == expected.summary
    told, known = result.provenance, expected.provenance
    assert {**told, "created_at": ""} == {**known, "created_at": ""}


def odd_members(seed=0):
    """A sample study to which odd, empty, unreadable, unknown and unsafe files were added."""
    members = {}
    for participant in (1, 2, 10):
        for trial in (1, 2, 3):
            at = folder(participant, "Fill_Form" if trial == 3 else "Search", "Easy", trial)
            rows = [(i / 100, participant + i, -i) for i in range(20 * trial)]
            members[f"{at}/Mouse Movement.csv"] = mouse(*rows, clock=f"10:0{trial}:00")
            members[f"{at}/Mouse Clicks.csv"] = mouse((0.1, 1, 1), (0.2, 1, 1), (0.3, 1.25, 1e9))
            members[f"{at}/Mouse Scrolls.csv"] = mouse((0.3, 1, 1), (0.2, 1, 1))
            members[f"{at}/Keyboard Inputs.csv"] = typed((0.1, "a"), (0.5, "Key.space"), (0.7, '","'), ("x", "b"))
    members[f"{folder(3)}/"] = ""
    members[f"{folder(4)}/Mouse Movement.csv"] = ""
    members[f"{folder(5)}/What is this.csv"] = "a,b\n"
    members["../away/Mouse Movement.csv"] = mouse((0.1, 1, 1))
    members["1_participant_session/After_survey/answers.csv"] = "How?,Why?\nwell,\N{SNOWMAN}\nbadly,so\n"
    members["1_participant_session/After_survey/bad.csv"] = b"\xff\xfe\n"
    members["1_participant_session/Screen Recording.mp4"] = b"\0" * 100
    return members


@pytest.fixture
def odd(studies):
    return studies.zip(odd_members())


# --- the same as in one process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_bytes", [1, 1_000, 3_000])
@pytest.mark.parametrize("keys", ["class", "full"])
def test_parts_give_what_one_process_gives(studies, odd, shard_bytes, keys):
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
def test_neither_cut_nor_order_nor_accidents_change_the_result(
    random_study, tmp_path_factory, seed, shard_bytes, chance
):
    path, expected = random_study(seed)
    queue = Queue(Studies(tmp_path_factory.mktemp("queue")), path, shard_bytes=shard_bytes)
    throw = random.Random(chance)
    split = queue.begin()
    if not isinstance(split, Split):
        assert_same(queue.result(split), expected)
        return
    order = list(range(split.parts))
    throw.shuffle(order)
    for number in order:
        for attempt in range(1, throw.choice([1, 1, 2, 3])):
            if throw.random() < 0.5:
                with pytest.raises(JobCancelledError):
                    queue.part(number, attempt, stop_at=1)
            else:  # it has finished, and its worker dies
                queue.part(number, attempt)
        queue.part(number, 3)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), expected)


@pytest.mark.parametrize("options", [
    {"participants": [1, 10]}, {"tasks": ["Search"]}, {"factors": ["Easy"]}, {"metrics": ["path_length_px"]},
    {"kinds": {"What is this": "keyboard"}}, {"idle_gap_s": 0.3},
])  # fmt: skip
def test_options_hold_in_every_part(studies, odd, options):
    queue = Queue(studies, odd, shard_bytes=500, **options)
    assert_same(queue.result(queue.run()), studies.process(odd, **options))


def test_zips_in_the_zip(studies):
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


def test_a_folder(studies):
    for name, content in odd_members().items():
        path = studies.root / "tree" / name
        if name.endswith("/") or ".." in name:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    queue = Queue(studies, studies.root / "tree")
    assert_same(queue.result(queue.run()), studies.process(studies.root / "tree"))


def test_a_result_that_was_saved_and_moved(studies, odd):
    queue = Queue(studies, odd)
    answer = queue.run()
    queue.result(answer).save(studies.root / "kept")
    queue.store.delete(answer["folder"])
    (studies.root / "kept").rename(studies.root / "moved")
    assert_same(load(studies.root / "moved"), studies.process(odd))
    assert all(str(path).count(KEY) == 0 for path in (studies.root / "moved").rglob("*"))


def test_an_object_store(studies, odd):
    queue = Queue(studies, odd)
    queue.arguments["store"] = "memory://kit-fanout"
    queue.store = Store("memory://kit-fanout")
    split = queue.begin()
    queue.part(0)
    for number in range(split.parts):
        queue.part(number, 2)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert "begin-1" not in queue.store.folders(answer["folder"])
    assert_same(queue.result(answer), studies.process(odd))
    tasks.discard(queue.arguments, "job", None)
    assert queue.store.folders(answer["folder"]) == []


# --- small studies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"can_split": False}, {}])
def test_what_is_little_or_may_not_be_split_is_done_at_once(studies, odd, how):
    queue = Queue(studies, odd, shard_bytes=1_000 if how else 1 << 20)
    step = queue.begin(**how)
    assert step["prefix"] == f"results/{KEY}/job/begin-1"
    assert step["folder"] == f"results/{KEY}/job"
    assert_same(queue.result(step), studies.process(odd))
    assert queue.folders == {"begin-1"}


def test_a_study_that_was_finished_is_not_done_again(studies, odd, monkeypatch):
    queue = Queue(studies, odd, shard_bytes=1 << 20)
    first = queue.begin()
    monkeypatch.setattr(pipeline, "planned", None)
    assert queue.begin(attempt=2) == first


def test_a_plan_that_was_finished_is_not_made_again(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    first = queue.begin()
    monkeypatch.setattr(pipeline, "planned", None)
    assert queue.begin(attempt=2) == first
    assert queue.folders == {"begin-1"}


# --- progress -----------------------------------------------------------------------------------------------------


def test_progress_of_the_parts_sums_to_the_total(studies, odd):
    damaged = patched(zip_bytes(odd_members()), f"{folder(1, trial=1)}/Mouse Movement.csv", crc=1)
    source = studies.zip(damaged, "damaged.zip")
    queue = Queue(studies, source, shard_bytes=500)
    split = queue.begin()
    assert (split.part, split.merge, split.unit) == (tasks.PART, tasks.MERGE, "bytes")
    for number in range(split.parts):
        queue.part(number)
    queue.part(0, 2)  # done by the first attempt, and told as much
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


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_part_that_fails_leaves_nothing_and_the_next_attempt_is_whole(studies, odd):
    queue = Queue(studies, odd)
    split = queue.begin()
    with pytest.raises(JobCancelledError):
        queue.part(0, stop_at=2)
    assert queue.folders == {"begin-1"}
    queue.part(0, 2)
    for number in range(1, split.parts):
        queue.part(number)
    assert_same(queue.result(queue.merge()), studies.process(odd))


def test_a_part_that_was_finished_is_not_done_again(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.parts):
        queue.part(number)
    monkeypatch.setattr(fanout, "run_shard", None)
    queue.part(0, 2)
    queue.part(0, 3)
    answer = queue.merge()
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), studies.process(odd))
    assert "part-0-1" in queue.folders
    assert not {"part-0-2", "part-0-3", "begin-1"} & queue.folders


def test_an_attempt_that_lives_on_does_no_harm(studies, odd):
    """A first attempt at everything is given up; it goes on, and fails or ends at the worst of times."""
    queue = Queue(studies, odd)
    queue.begin()
    split = queue.begin(attempt=2)
    with pytest.raises(JobCancelledError):
        queue.part(0, 1, stop_at=3)
    queue.part(0, 2)
    with pytest.raises(JobCancelledError):
        queue.part(0, 1, stop_at=2)
    queue.part(0, 3)
    for number in range(1, split.parts):
        queue.part(number)
    with pytest.raises(JobCancelledError):
        queue.merge(1, stop_at=1)
    answer = queue.merge(2)
    with pytest.raises(StoreError, match="went missing"):  # the plan is gone
        queue.part(1, 1)
    expected = studies.process(odd)
    assert_same(queue.result(answer), expected)
    assert queue.merge(3) == answer
    tasks.discard(queue.arguments, "job", answer)
    assert_same(queue.result(answer), expected)


def test_two_merges_at_once(studies, odd, monkeypatch):
    """The one that was given up comes to its end while its successor reads the plan that it then removes."""
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.parts):
        queue.part(number)
    read = handover.read_plan

    def overtaken(store, *plan):
        monkeypatch.setattr(handover, "read_plan", read)
        queue.merge(1)
        return read(store, *plan)

    monkeypatch.setattr(handover, "read_plan", overtaken)
    answer = queue.merge(2)
    assert answer["prefix"].endswith("merge-1")
    assert "merge-2" not in queue.folders
    assert_same(queue.result(answer), studies.process(odd))


def test_a_merge_that_failed_is_done_again(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.parts):
        queue.part(number)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "begin_commit", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            queue.merge()
    assert "merge-1" not in queue.folders
    assert "begin-1" in queue.folders
    assert_same(queue.result(queue.merge(2)), studies.process(odd))


def test_nothing_is_committed_before_the_job_may_commit(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.parts):
        queue.part(number)
    step = queue.step("merge", winners=queue.winners)
    commit = Store.commit
    monkeypatch.setattr(Store, "commit", lambda *args: (step.commits == 1 or pytest.fail("too early"), commit(*args)))
    tasks.merge_parts(step)
    assert step.commits == 1


def test_the_first_error_is_raised_where_that_is_asked_for(studies, odd):
    queue = Queue(studies, odd, on_error="raise")
    with pytest.raises(UnsafeArchiveError):
        queue.begin()
    bad = f"{folder(2)}/Keyboard Inputs.csv"
    source = studies.zip({f"{folder(n)}/Keyboard Inputs.csv": typed((0.1, "a"), ("?" if n == 2 else 0.2, "b"))
                          for n in (1, 2, 3)})  # fmt: skip
    queue = Queue(studies, source, shard_bytes=1, on_error="raise")
    split = queue.begin()
    failed = []
    for number in range(split.parts):
        try:
            queue.part(number)
        except BadMemberError as error:
            failed.append(error.message)
    assert len(failed) == 1
    assert failed[0].startswith(f"{bad}, line 3")
    assert len(queue.folders) == 1 + split.parts - 1


def test_a_study_of_which_nothing_can_be_read(studies):
    members = {f"{folder(n)}/Mouse Movement.csv": mouse((0.1, n, n)) for n in (1, 2, 3)}
    source = studies.zip(patched(zip_bytes(members), *members, crc=1))
    queue = Queue(studies, source, shard_bytes=1)
    with pytest.raises(BadArchiveError, match="None of the 3 event files"):
        queue.run()


def test_a_study_without_events(studies):
    queue = Queue(studies, studies.zip({"readme.txt": "hello"}))
    with pytest.raises(NoEventsError):
        queue.begin()
    assert queue.files == set()


def test_a_source_that_changes_on_the_way(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    studies.zip({**odd_members(), "more.txt": "x"})
    with pytest.raises(BadArchiveError, match="has changed since the work began"):
        queue.part(0)


def test_a_source_that_vanishes_on_the_way(studies, odd):
    queue = Queue(studies, odd)
    split = queue.begin()
    for number in range(split.parts):
        queue.part(number)
    (studies.root / "study.zip").unlink()
    for act in (lambda: queue.part(0, 1), queue.merge):
        with pytest.raises(SourceNotFoundError):
            act()


def test_a_worker_reads_only_where_it_may(studies, odd, monkeypatch):
    queue = Queue(studies, odd)
    queue.begin()
    monkeypatch.setenv("ANALYTICS_KIT_SOURCES", str(studies.root / "elsewhere"))
    for act in (queue.begin, lambda: queue.part(0), queue.merge):
        with pytest.raises(SourceNotFoundError, match="is not below a folder"):
            act()


# --- what is left -------------------------------------------------------------------------------------------------


def test_a_completed_job_leaves_what_its_result_consists_of(studies, odd):
    queue = Queue(studies, odd)
    answer = queue.run()
    manifest = queue.store.manifest(answer["prefix"])
    parts = {path for path in queue.files if path.startswith("part-")}
    handed_in = {"manifest.json", "values.parquet", "members.parquet", "issues.parquet"}
    left = (queue.files - parts) | {path for path in parts if path.split("/")[1] not in handed_in}
    assert left == needed(manifest) | {"merge-1/manifest.json"}
    assert queue.store.folders("") == ["results"]


def test_discard_of_a_job_that_did_not_complete(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    queue.part(0)
    for _ in range(2):
        tasks.discard(queue.arguments, "job", None)
        assert queue.files == set()
    tasks.discard(queue.arguments, "never", None)


def test_discard_of_a_completed_job(studies, odd):
    queue = Queue(studies, odd)
    queue.begin()
    queue.part(0)
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


def test_names_of_tasks_are_cheap():
    code = (
        "import sys, analytics_kit.tasks as t; t.discard({'store': '/nowhere/x', 'result_key': 'k'}, 'j', None); "
        "print(sorted({'polars', 'numba', 'numpy', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- shards -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 100))
def test_shards_are_few_and_even(sizes, limit):
    ends = even_cuts(sizes, limit)
    assert ends == sorted(set(ends))
    assert (ends or [0])[-1] == len(sizes)
    runs = [sizes[first:end] for first, end in zip([0, *ends], ends, strict=False)]
    for run in runs:
        assert sum(run) <= limit or sum(size > 0 for size in run) == 1
    if len(ends) > 1:
        assert all(map(sum, runs))
    greedy, room = 0, 0
    for size in sizes:
        if size > room:
            greedy, room = greedy + 1, limit
        room -= size
    assert len(ends) <= greedy + 1 if greedy else True


@pytest.mark.parametrize(("megabytes", "parts"), [(64, 1), (67, 2), (130, 4), (1_024, 16), (1_030, 18)])
def test_number_and_sizes_of_shards(megabytes, parts):
    sizes = [1 << 18] * (4 * megabytes)
    ends = even_cuts(sizes, 64 << 20)
    assert len(ends) == parts
    runs = [end - first for first, end in zip([0, *ends], ends, strict=False)]
    assert max(runs) - min(runs) <= len(runs)
