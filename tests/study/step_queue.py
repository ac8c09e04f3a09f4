"""A job done step by step as a queue would do it, in an order and with accidents of a test's own choosing."""

from dataclasses import dataclass, field

import pytest

from analytics_kit import worker_tasks as tasks
from analytics_kit.errors import JobCancelledError
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store
from tests.study.make_study import folder, mouse, typed

KEY = "a" * 64
TABLES = ("trials", "issues", "members", "surveys", "participants")


@dataclass
class Step:
    """What a task's code sees of its job, without a queue."""

    arguments: dict
    step: str = "begin"
    attempt: int = 1
    shard: int | None = None
    winning_attempts: dict = field(default_factory=dict)
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
        self.root = studies.root / "distributed"
        self.store = Store(str(self.root))
        options = Options.of(**options).to_json()
        self.arguments = {"source": str(source), "options": options, "store": str(self.root), "result_key": KEY}
        self.shard_bytes = shard_bytes
        self.winners = {}
        self.reports = {}

    def step(self, step="begin", attempt=1, **changes):
        return Step(self.arguments, step, attempt, **changes)

    def begin(self, **changes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "SHARD_BYTES", self.shard_bytes)
            return tasks.process_study(self.step(**changes))

    def shard(self, number, attempt=1, **changes):
        step = self.step(f"part-{number}", attempt, shard=number, **changes)
        assert tasks.process_shard(step) == {}
        self.winners[number] = attempt
        self.reports[number] = step.reports

    def merge(self, attempt=1, **changes):
        return tasks.merge_shards(self.step("merge", attempt, winning_attempts=self.winners, **changes))

    def run(self, order=None):
        split = self.begin()
        for number in order or range(split.shards):
            self.shard(number)
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
    found, wanted = result.provenance, expected.provenance
    assert {**found, "created_at": ""} == {**wanted, "created_at": ""}


def odd_members():
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
    for name in ("Keyboard Input", "KEYBOARD INPUTS"):  # three files of one kind, and rows of the same times
        members[f"{folder(2)}/{name}.csv"] = typed((0.1, name[0]), (0.5, "1"), (0.6, "Key.enter"))
    members[f"{folder(3)}/"] = ""
    members[f"{folder(4)}/Mouse Movement.csv"] = ""
    members[f"{folder(5)}/What is this.csv"] = "a,b\n"
    members["../away/Mouse Movement.csv"] = mouse((0.1, 1, 1))
    members["1_participant_session/After_survey/answers.csv"] = "How?,Why?\nwell,\N{SNOWMAN}\nbadly,so\n"
    members["1_participant_session/After_survey/bad.csv"] = b"\xff\xfe\n"
    members["1_participant_session/Screen Recording.mp4"] = b"\0" * 100
    return members
