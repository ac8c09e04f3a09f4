"""Trials are ordered by time, and merged shards equal a study that was not cut."""

import zipfile

import numpy as np
import pytest

from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.pipeline.merge import trial_order
from analytics_kit.study.sample.study import sample_study
from tests.study.make_study import Studies, folder, mouse, typed

NAN = float("nan")


def at(*clock):
    """Seconds since midnight of `h:m` or `h:m:s` texts."""
    return np.array([NAN if c is None else sum(60**k * int(n) for k, n in zip((2, 1, 0), c.split(":"), strict=False))
                     for c in clock])  # fmt: skip


@pytest.mark.parametrize(
    ("clocks", "order"),
    [
        ([], []),
        (["10:00"], [1]),
        (["10:02", "10:01", "10:00"], [3, 2, 1]),
        (["23:59", "0:01", "23:58"], [2, 3, 1]),
        (["0:30", "22:00", "23:59:59", "0:00"], [4, 1, 2, 3]),
        (["10:00", "10:00", "11:00"], [None, None, 3]),
        ([None, "10:00", None], [None, 1, None]),
        ([None, None], [None, None]),
        (["8:00", "19:59"], [1, 2]),
        (["0:00", "0:00", "23:00"], [None, None, 1]),
    ],
)
def test_trial_order_follows_the_clocks(clocks, order):
    assert trial_order(["1"] * len(clocks), at(*clocks)) == order


def test_trial_order_of_each_session_alone():
    assert trial_order(["a", "b", "a", None], at("10:01", "10:05", "10:00", "9:00")) == [2, 1, 1, 1]


def session(*clocks, text=lambda clock: mouse((0.5, 1, 1), clock=clock)):
    return {
        f"{folder(1, 'Search', 'Easy', trial)}/Mouse Movement.csv": text(clock)
        for trial, clock in enumerate(clocks, 1)
    }


def test_trial_order_reverses_the_numbers_of_the_platform(process):
    trials = process(session("10:02:00", "10:01:00", "10:00:00")).trials
    assert trials.trial.tolist() == [1, 2, 3]
    assert trials.trial_order.tolist() == [3, 2, 1]


def test_trial_order_passes_midnight(process):
    assert process(session("00:03:00", "00:00:10", "23:58:00")).trials.trial_order.tolist() == [3, 2, 1]


def test_trial_order_of_ties_and_unknown_clocks_is_na(process):
    trials = process(session("10:00:00", "10:00:00", "11:00:00", "", "noon")).trials
    assert trials.trial_order.isna().tolist() == [True, True, False, True, True]
    assert trials.trial_order[2] == 3


def test_trial_order_uses_the_first_event_of_any_kind(process):
    first, second = folder(trial=1), folder(trial=2)
    trials = process({
        f"{first}/Mouse Movement.csv": mouse((9, 1, 1), clock="10:00:09"),
        f"{first}/Keyboard Inputs.csv": typed((1, "a"), clock="10:00:01"),
        f"{second}/Mouse Movement.csv": mouse((1, 1, 1), clock="10:00:05"),
    }).trials  # fmt: skip
    assert trials.trial_order.tolist() == [1, 2]


def test_trial_order_of_a_log_without_clock_is_na(process):
    trials = process(session("", text=lambda _: "running_time,x,y\n0.1,1,1\n")).trials
    assert trials.trial_order.isna().all()


@pytest.fixture(scope="module")
def odd_study(tmp_path_factory):
    """A sample study to which odd, empty and unreadable files were added, as members."""
    path = sample_study(tmp_path_factory.mktemp("odd") / "study.zip", 3, 2, trial_s=3)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    names = sorted(members)
    for i, name in enumerate(names):
        if i % 5 == 0:
            members[name] += b"10:00:00,?,1\n"
        if i % 7 == 0:
            members[name] = members[name].replace(b"\n", b"\r\n")
        if i % 11 == 0:
            members[name] = members[name].replace(b",1", b",-1", 5)
        if i % 13 == 0:
            members[name] = members[name].split(b"\n", 1)[1]
    members[f"{folder(99)}/"] = b""
    members[f"{folder(98)}/Mouse Movement.csv"] = b""
    return members


def tables(result):
    return {name: getattr(result, name) for name in ("trials", "issues", "members", "surveys", "participants")} | {
        kind: result.events(kind) for kind in result.kinds
    }


@pytest.fixture(scope="module")
def whole(odd_study, tmp_path_factory):
    result = Studies(tmp_path_factory.mktemp("whole")).process(odd_study, keys="full")
    return tables(result), result.summary


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shard_bytes", [1, 2_000, 9_000, 40_000])
def test_result_does_not_depend_on_the_cut_into_shards(studies, odd_study, whole, shard_bytes, threads, monkeypatch):
    monkeypatch.setattr(pipeline, "SMALL_BYTES", 0)
    run = pipeline.run
    monkeypatch.setattr(pipeline, "run", lambda *args, **how: run(*args, threads=threads, **how))
    result = studies.process(odd_study, keys="full", shard_bytes=shard_bytes)
    expected, summary = whole
    assert len(list((studies.root / "store").rglob("keyboard-*.parquet"))) > 1
    for name, table in tables(result).items():
        assert table.equals(expected[name]), name
    assert result.summary == summary


def test_odd_study_has_issues_and_its_rows_add_up(whole):
    expected, summary = whole
    assert {"missing_header", "time_backwards", "missing_fields", "empty_file"} <= set(expected["issues"].kind)
    assert summary["rows_in"] == summary["rows_kept"] + summary["rows_dropped"]
    assert summary["rows_dropped"] > 0


@pytest.mark.parametrize("shard_bytes", [1, 1 << 26])
def test_result_does_not_depend_on_the_order_of_members(studies, odd_study, whole, shard_bytes):
    result = studies.process(dict(reversed(odd_study.items())), keys="full", shard_bytes=shard_bytes)
    expected, _ = whole
    for name, table in tables(result).items():
        if name not in ("members", "issues"):
            assert table.equals(expected[name]), name
