"""Described logs: the same numbers in any format and for any cut into shards."""

import json

import pandas as pd
import pytest

from analytics_kit import EventFormat
from analytics_kit.errors import BadMemberError, NoEventsError
from analytics_kit.study.metrics.catalogue import METRIC_NAMES
from analytics_kit.study.sample.study import sample_study
from tests.study.make_study import Studies, balance, issues_of, named, patched, zip_bytes
from tests.study.step_queue import Queue, assert_same

MANY_KINDS = EventFormat(
    columns={
        "t": "ms", "x": "x", "y": "y", "key": "key", "kind": "kind", "participant": "who", "task": "task",
        "factor": "factor", "trial": "trial",
    },
    kinds={"m": "mouse_movement", "c": "mouse_clicks", "s": "mouse_scrolls", "k": "keyboard"},
    path=r"all_\d\.csv",
)  # fmt: skip
KINDS = {"mouse_movement": "m", "mouse_clicks": "c", "mouse_scrolls": "s", "keyboard": "k"}
TRIAL_NAMES = ["participant", "task", "factor", "trial"]


def lines_of(result):
    """Return all events of a result as rows of one log of mixed kinds."""
    frames = [
        result.events(kind).assign(kind=short, key=lambda frame: frame.key if "key" in frame else "")
        for kind, short in KINDS.items()
    ]
    events = pd.concat(frames).sort_values(TRIAL_NAMES, kind="stable")
    columns = {"participant": "who", "t_s": "ms", "x_px": "x", "y_px": "y"}
    return events.rename(columns=columns)[["who", "task", "factor", "trial", "kind", "ms", "x", "y", "key"]]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return the result of a sample study, and the members of a ZIP with the same events in two files."""
    studies = Studies(tmp_path_factory.mktemp("both"))
    native = studies.process(sample_study(studies.root / "s.zip", 3, 3, trial_s=4), keys="full")
    lines = lines_of(native)
    first = lines.who == native.participants.participant[0]
    members = {f"all_{n}.csv": lines[part].to_csv(index=False) for n, part in enumerate((first, ~first))}
    return native, members


def test_equal_events_in_two_formats_give_equal_results(both, process):
    native, members = both
    result = process(members, format=MANY_KINDS, keys="full")
    # only the platform's log has a clock, which gives the order of trials
    order = {"trial_order": pd.NA}
    mine, theirs = (
        table.assign(**order).sort_values(TRIAL_NAMES).reset_index(drop=True)
        for table in (result.trials, native.trials)
    )
    assert list(mine.columns) == list(theirs.columns)
    pd.testing.assert_frame_equal(mine[TRIAL_NAMES], theirs[TRIAL_NAMES])
    # the log holds all kinds, so that a trial without keys has 0 of them
    counted = theirs.keystroke_count.fillna(0)
    assert mine.keystroke_count.tolist() == counted.tolist()
    typed = [name for name in METRIC_NAMES if theirs[name].isna().any()]
    pd.testing.assert_frame_equal(
        mine[list(METRIC_NAMES)].drop(columns=typed), theirs[list(METRIC_NAMES)].drop(columns=typed), rtol=1e-12
    )
    has_value = theirs[typed].notna()
    assert mine[typed].where(has_value).astype(float).round(9).equals(theirs[typed].astype(float).round(9))
    assert balance(result)[0] == balance(native)[0]


@pytest.mark.parametrize("shard_bytes", [1, 3_000, 10**9])
def test_shard_size_does_not_change_the_result(both, studies, shard_bytes):
    _, members = both
    path = studies.zip(members)
    expected = studies.process(path, format=MANY_KINDS)
    assert_same(studies.process(path, format=MANY_KINDS, shard_bytes=shard_bytes), expected)
    queue = Queue(studies, path, shard_bytes=1, format=MANY_KINDS.model_dump(mode="json"))
    split = queue.begin()
    assert split.shards == 2  # a file is worked on as a whole
    assert_same(queue.result(Queue(studies, path, shard_bytes=1, format=MANY_KINDS).run()), expected)


def test_files_that_share_trials_are_in_one_shard(studies):
    described = EventFormat(
        columns={"t": "t", "x": "x", "y": "y", "trial": "n"}, path=r"(?P<kind>move|click)/\w\.csv",
        kinds={"move": "mouse_movement", "click": "mouse_clicks"}, time_origin="trial",
    )  # fmt: skip
    text = "t,x,y,n\n" + "".join(f"{10 * n + i},1,{i},{n}\n" for n in (1, 2, 3) for i in (1, 2))
    members = {f"{kind}/{name}.csv": text for kind in ("move", "click") for name in "ab"}
    path = studies.zip(members)
    queue = Queue(studies, path, shard_bytes=1, format=described)
    assert queue.begin().shards == 2
    result = queue.result(queue.run())
    assert result.trials[["movement_count", "click_event_count"]].values.tolist() == [[2, 2]] * 6
    assert result.events("mouse_clicks").t_s.tolist() == [0.0, 1.0] * 6
    assert_same(result, studies.process(path, format=described))


@pytest.mark.parametrize("lacking", ["", "0,1,1,,,7,\n5,1,1,,,7,\n", None])
@pytest.mark.parametrize("kind", ["mouse_scrolls", "keyboard"])
def test_columns_of_only_some_files_do_not_depend_on_the_shards(studies, kind, lacking):
    """A trial has the same metrics alone as in one shard with files that have more columns."""
    described = EventFormat(
        columns={"t": "t", "x": "x", "y": "y", "dx": "dx", "dy": "dy", "key": "key", "release": "up"}, kind=kind,
        path=r"(?P<participant>\w)\.csv",
    )  # fmt: skip
    head = "t,x,y,dx,dy,key,up\n"
    members = {"a.csv": f"{head}0,1,1,3,4,7,1\n1,1,1,0,-4,7,3\n2,1,1,,,7,\n", "b.csv": f"{head}{lacking}"}
    if lacking is None:
        members["b.csv"] = "t,x,y,key\n0,1,1,7\n5,1,1,7\n"
    path = studies.zip(members)
    whole = studies.process(path, format=described)
    assert_same(studies.process(path, format=described, shard_bytes=1), whole)
    names = ["auto_repeat_share", "dwell_time_mean_s", "scroll_distance_px", "scroll_reversal_count"]
    assert whole.trials.loc[whole.trials.participant == "b", names].isna().all(axis=None)
    measured = whole.trials.loc[whole.trials.participant == "a", names].astype(float).values.tolist()[0]
    expected = [0, 1.5, None, None] if kind == "keyboard" else [None, None, None, 1]
    assert measured == pytest.approx([float("nan") if value is None else value for value in expected], nan_ok=True)


def test_unknown_tasks_raise(process):
    described = EventFormat(columns={"t": "t", "x": "x", "y": "y", "task": "do"}, kind="mouse_movement")
    with pytest.raises(NoEventsError) as caught:
        process({"a.csv": "t,x,y,do\n0,1,1,find\n"}, format=described, tasks="fetch")
    assert "Its tasks and factors: find." in caught.value.hint


PRESSES = EventFormat(columns={"t": "down", "release": "up", "key": "key"}, kind="keyboard", time_unit="ms")


def test_press_is_paired_with_the_release_of_its_row(process):
    """Two keys of the same name, such as left and right shift, may be down at once."""
    trial = process({"a.csv": "down,up,key\n0,400,SHIFT\n100,250,SHIFT\n500,600,a\n"}, format=PRESSES).trials.iloc[0]
    assert trial.dwell_time_mean_s == pytest.approx((0.4 + 0.15 + 0.1) / 3)
    assert trial.flight_time_mean_s == pytest.approx((-0.3 + 0.25) / 2)
    assert trial.rollover_ratio == 0.5


def test_release_before_its_press_is_unknown(process):
    """Some logs write 0 for a release that they missed."""
    result = process({"a.csv": "down,up,key\n5000,0,a\n5200,5300,a\n5400,5100,a\n"}, format=PRESSES)
    assert issues_of(result) == [("a.csv", 2, "early_release", 0)]
    assert result.issues.message.tolist() == ["2 release(s) earlier than the press; treated as unknown"]
    assert result.events("keyboard").action.tolist() == ["press", "press", "release", "press"]
    trial = result.trials.iloc[0]
    assert (trial.time_to_first_event_s, trial.completion_time_s) == (5.0, 5.4)
    assert trial.dwell_time_mean_s == pytest.approx(0.1)


def test_trials_can_be_chosen(both, process):
    native, members = both
    who = native.participants.participant[1]
    task = native.trials.task[0]
    chosen = process(members, format=MANY_KINDS, participants=[who], tasks=[task])
    assert {name[0] for name in named(chosen)} == {who}
    assert {name[2] for name in named(chosen)} == {task}
    expected = native.events("mouse_movement", participant=who, task=task)
    assert len(chosen.events("mouse_movement")) == len(expected)
    assert chosen.members[["member", "role"]].values.tolist() == [["all_1.csv", "log"], ["all_0.csv", "not_chosen"]]
    assert balance(chosen)[0] == balance(chosen)[1] < balance(native)[0]


def test_damaged_file_loses_only_its_trials(both, studies):
    _, members = both
    damaged = patched(zip_bytes(members), "all_0.csv", crc=1)
    result = studies.process(damaged, format=MANY_KINDS)
    assert result.issues.kind.tolist() == ["crc_mismatch"]
    assert result.trials.participant.nunique() == 2
    with pytest.raises(BadMemberError, match="crc_mismatch"):
        studies.process(damaged, format=MANY_KINDS, on_error="raise")


def test_damaged_file_whose_path_names_the_trial_keeps_the_trial(studies):
    """Its rows are counted as dropped, and the trial stays."""
    described = EventFormat(
        columns={"t": "t", "x": "x", "y": "y"}, kind="mouse_movement", path=r"(?P<participant>\w)\.csv"
    )
    text = "t,x,y\n1,1,1\n2,2,2\n"
    result = studies.process(patched(zip_bytes({"a.csv": text, "b.csv": text}), "a.csv", crc=1), format=described)
    assert [issue[::2] for issue in issues_of(result)] == [("a.csv", "crc_mismatch")]
    assert balance(result) == (4, 2, 2)
    assert result.trials.movement_count.isna().tolist() == [True, False]


def test_description_is_in_the_provenance(both, process):
    result = process(both[1], format=MANY_KINDS)
    again = EventFormat(**json.loads(json.dumps(result.provenance["options"]["format"])))
    assert again == MANY_KINDS
