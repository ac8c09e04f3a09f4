"""Results: names, types, filters, saving, and reading no more than needed."""

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analytics_kit.errors import ResultExpiredError, SettingsError, StoreError
from analytics_kit.model import SCHEMA_VERSION
from analytics_kit.study.metrics.catalogue import CATALOGUE, METRIC_NAMES, METRICS_BY_NAME
from analytics_kit.study.result.result import StudyResult, load
from analytics_kit.study.store import event_parquet as tables
from analytics_kit.study.store.paths import MANIFEST
from analytics_kit.study.store.store import Store
from tests.study.make_study import KEYS, folder, mouse, typed

TRIAL = ["participant", "session", "task", "factor", "trial", "trial_order"]


def study():
    members = {}
    for p in (1, 2):
        for task in ("Search", "Fill"):
            for k in (1, 2):
                at = folder(p, task, "Easy", k)
                members[f"{at}/Mouse Movement.csv"] = mouse(*((i / 100, p * 1000 + k * 100 + i, i) for i in range(6)))
                members[f"{at}/Mouse Clicks.csv"] = mouse((0.1, p, k), (0.2, p, k))
        members[f"{folder(p, 'Search', 'Easy', 1)}/Keyboard Inputs.csv"] = typed((0.1, "a"), (0.5, "Key.space"))
    return members


@pytest.fixture
def result(process):
    return process(study())


# --- tables -----------------------------------------------------------------------------------------------------


def test_types_of_trials(result):
    trials = result.trials
    assert trials.columns.tolist() == [*TRIAL, *METRIC_NAMES]
    kinds = trials.dtypes.astype(str)
    assert kinds[TRIAL[:4]].tolist() == ["str"] * 4
    assert kinds[TRIAL[4:]].tolist() == ["Int64"] * 2
    for metric in CATALOGUE:
        assert kinds[metric.name] == ("Int64" if metric.is_count else "float64"), metric.name


def test_types_are_the_same_for_a_study_without_names(process, result):
    lone = process({"Keyboard Inputs.csv": KEYS})
    assert lone.trials.dtypes.equals(result.trials.dtypes)
    assert lone.trials[TRIAL].isna().all(axis=None)
    for name in ("issues", "members", "surveys"):
        assert getattr(lone, name).dtypes.equals(getattr(result, name).dtypes)


def test_types_of_the_other_tables(result):
    assert result.issues.dtypes.astype(str).to_dict() == {
        "member": "str", "line": "Int64", "kind": "str", "message": "str", "rows_dropped": "Int64"
    }  # fmt: skip
    assert result.members.dtypes.astype(str).to_dict() == {
        "member": "str", "role": "str", "trial_row": "Int64", "raw_bytes": "Int64", "rows_in": "Int64",
        "rows_kept": "Int64", "participant": "str",
    }  # fmt: skip


def test_members_point_to_their_trial(result):
    for row in result.members.itertuples():
        trial = result.trials.iloc[row.trial_row]
        assert row.member.startswith(folder(trial.participant, trial.task, trial.factor, trial.trial) + "/")


def test_only_requested_metrics_are_columns(process):
    result = process(study(), metrics=["path_length_px", "click_count"])
    assert result.trials.columns.tolist() == [*TRIAL, "path_length_px", "click_count"]
    assert result.participants.columns.tolist() == ["participant", "trial_count", "path_length_px", "click_count"]
    assert "path length" not in result._repr_html_()


def test_summary_counts_the_study(result):
    assert result.summary == {
        "participants": 2, "sessions": 2, "tasks": 2, "factors": 1, "trials": 8,
        "events": {"mouse_movement": 48, "mouse_clicks": 16, "keyboard": 4},
        "rows_in": 68, "rows_kept": 68, "rows_dropped": 0, "issues": 0, "members": 18,
        "raw_bytes": sum(map(len, study().values())),
    }  # fmt: skip
    assert result.kinds == ["mouse_movement", "mouse_clicks", "keyboard"]
    assert repr(result) == "StudyResult(2 participants, 8 trials, 68 events, 0 issues)"


def test_aggregates_sum_counts_and_average_other_metrics(result):
    by_task = result.tasks.set_index("task")
    trials = result.trials
    assert by_task.trial_count.to_dict() == {"Fill": 4, "Search": 4}
    assert by_task.movement_count.to_dict() == {"Fill": 24, "Search": 24}
    assert by_task.path_length_px["Fill"] == pytest.approx(trials[trials.task == "Fill"].path_length_px.mean())
    assert by_task.keystroke_count.isna().to_dict() == {"Fill": True, "Search": False}
    assert str(by_task.trial_count.dtype) == str(by_task.movement_count.dtype) == "Int64"
    assert result.participants.participant.tolist() == ["1", "2"]
    assert result.factors.factor.tolist() == ["Easy"]


def test_aggregates_keep_unnamed_groups(process):
    result = process({
        f"{folder(1)}/Mouse Movement.csv": mouse((0.1, 1, 1)),
        "UnknownSession_participant_session/Search_Easy_trial_1/Mouse Movement.csv": mouse((0.1, 1, 1), (0.2, 5, 5)),
        "UnknownSession_participant_session/Search_Easy_trial_2/Mouse Movement.csv": mouse((0.1, 1, 1)),
    })  # fmt: skip
    participants = result.participants
    assert participants.participant.isna().tolist() == [False, True]
    assert participants.trial_count.tolist() == [1, 2]
    assert participants.movement_count.tolist() == [1, 3]


# --- events -----------------------------------------------------------------------------------------------------


def test_columns_of_events(result):
    assert result.events("mouse_movement").dtypes.astype(str).to_dict() == dict(
        zip(TRIAL, ["str"] * 4 + ["Int64"] * 2, strict=True), t_s="float64", x_px="float64", y_px="float64"
    )
    assert result.events("mouse_clicks").columns.tolist() == [*TRIAL, "t_s", "x_px", "y_px", "action"]
    keys = result.events("keyboard")
    assert keys.columns.tolist() == [*TRIAL, "t_s", "key", "key_class", "action"]
    assert keys.dtypes.astype(str)[["key", "key_class", "action"]].tolist() == ["str"] * 3
    assert keys.action.tolist() == ["press"] * 4
    assert result.events("mouse_clicks").action.tolist() == ["press", "release"] * 8


def test_events_of_an_absent_kind_are_empty_with_types(result):
    for kind in ("mouse_scrolls", "mouse_unknown"):
        events = result.events(kind)
        assert len(events) == 0
        assert events.dtypes.equals(result.events("mouse_movement").dtypes)
    none = result.events("keyboard", task="Fill")
    assert len(none) == 0
    assert none.dtypes.equals(result.events("keyboard").dtypes)


def test_events_are_in_the_order_of_trials_and_time(process):
    backwards = mouse((0.3, 3, 0), (0.1, 1, 0), (0.2, 2, 0), (0.1, 9, 0))
    result = process({f"{folder(10)}/Mouse Movement.csv": backwards, f"{folder(9)}/Mouse Movement.csv": backwards})
    events = result.events("mouse_movement")
    assert events.participant.tolist() == ["9"] * 4 + ["10"] * 4
    assert events.x_px.tolist() == [1, 9, 2, 3] * 2


@pytest.mark.parametrize(
    ("choice", "rows"),
    [
        ({}, 48),
        ({"participant": 1}, 24),
        ({"participant": "1", "task": "Fill"}, 12),
        ({"participant": ["1", "2"], "trial": 2}, 24),
        ({"trial": [1, "2"]}, 48),
        ({"participant": 2, "task": "Fill", "factor": "Easy", "trial": np.int64(1)}, 6),
        ({"participant": pd.Series(["2"])}, 24),
        ({"participant": "3"}, 0),
        ({"factor": []}, 0),
    ],
)
def test_filters_choose_the_events_of_their_trials(result, choice, rows):
    events = result.events("mouse_movement", **choice)
    assert len(events) == rows
    everything = result.events("mouse_movement")
    for name, value in choice.items():
        values = {str(v) for v in (value if isinstance(value, list | pd.Series) else [value])}
        everything = everything[everything[name].astype(str).isin(values)]
    assert events.equals(everything.reset_index(drop=True))


def test_columns_can_be_chosen(result):
    assert result.events("mouse_movement", columns=["x_px", "trial"]).columns.tolist() == ["x_px", "trial"]
    both = result.events("mouse_movement", participant=2, columns=["y_px", "t_s"])
    assert both.equals(result.events("mouse_movement", participant=2)[["y_px", "t_s"]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mouse_movment",), "There is no kind 'mouse_movment'. Did you mean 'mouse_movement'?"),
        (("mouse_movement", ["x"]), "have no column 'x'."),
        (("mouse_movement", ["t"]), "have no column 't'."),
        (("mouse_movement", ["xpx"]), "have no column 'xpx'. Did you mean 'x_px'?"),
        (("keyboard", ["x_px"]), "Events of kind keyboard have no column 'x_px'."),
        (("mouse_clicks", ["actoin"]), "Did you mean 'action'?"),
    ],
)
def test_unknown_names_suggest_the_nearest(result, arguments, message):
    kind, *columns = arguments
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        result.events(kind, columns=columns[0] if columns else None)
    assert caught.value.hint


@pytest.mark.parametrize("trial", ["first", 1.5, [1, None]])
def test_trial_must_be_a_whole_number(result, trial):
    with pytest.raises(SettingsError, match="trial"):
        result.events("mouse_movement", trial=trial)


@pytest.fixture
def reads(monkeypatch):
    """Record what is read: (row groups, columns) of each file."""
    seen = []
    read = pq.ParquetFile.read_row_groups

    def record(self, row_groups, columns=None, **how):
        seen.append((list(row_groups), list(columns)))
        return read(self, row_groups, columns=columns, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", record)
    return seen


def test_only_needed_row_groups_and_columns_are_read(process, reads, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 12)
    result = process(study())
    whole = result.events("mouse_movement")
    ((groups, columns),) = reads
    assert (len(groups), set(columns)) == (4, {"trial_index", "t_cs", "x_px", "y_px"})
    reads.clear()
    part = result.events("mouse_movement", participant=2, task="Fill", trial=1, columns=["x_px"])
    assert reads == [([2], ["trial_index", "x_px"])]
    assert (
        part.x_px.tolist()
        == whole[(whole.participant == "2") & (whole.task == "Fill") & (whole.trial == 1)].x_px.tolist()
    )


def test_only_needed_event_files_are_opened(process, monkeypatch):
    result = process(study(), shard_bytes=1)
    result.trials  # noqa: B018  read once
    opened = []
    open_ = Store.open
    monkeypatch.setattr(Store, "open", lambda self, path: opened.append(path) or open_(self, path))
    result.events("mouse_movement", participant="1", trial=2, task="Search")
    assert [path.rpartition("/")[2] for path in opened] == ["mouse_movement-00003.parquet"]
    opened.clear()
    result.events("mouse_movement", participant="nobody")
    assert opened == []


def stored_types(studies):
    (path,) = (path for path in studies.stored if path.name.startswith("mouse_movement"))
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_whole_centiseconds_are_stored_as_integers_and_read_exactly(studies):
    texts = [f"{i // 100}.{i % 100:02}" for i in range(20_000)] + ["123456.78", "20000000.00"]
    result = studies.process({f"{folder()}/Mouse Movement.csv": mouse(*((t, 1, -7) for t in texts))})
    assert stored_types(studies) == {"trial_index": "int32", "t_cs": "int32", "x_px": "int32", "y_px": "int32"}
    events = result.events("mouse_movement")
    assert events.t_s.tolist() == [float(text) for text in texts]
    assert (events.y_px == -7).all()


@pytest.mark.parametrize(
    "numbers", [["0.105"], ["0.1", "0.30000000000000004"], ["1e-300"], ["1e12"], ["1e300"], ["0.1", "21474836.48"]]
)
def test_other_numbers_are_stored_as_floats(studies, numbers):
    result = studies.process({f"{folder()}/Mouse Movement.csv": mouse(*((n, n, n) for n in numbers))})
    assert stored_types(studies)["t_s"] == stored_types(studies)["x_px"] == "double"
    events = result.events("mouse_movement")
    assert events.t_s.tolist() == events.x_px.tolist() == [float(n) for n in numbers]


def test_shards_may_be_stored_differently(process):
    members = {
        f"{folder(trial=1)}/Mouse Movement.csv": mouse((0.1, 1, 1)),
        f"{folder(trial=2)}/Mouse Movement.csv": mouse((0.1234, 1.5, 1)),
    }
    events = process(members, shard_bytes=1).events("mouse_movement")
    assert events.t_s.tolist() == [0.1, 0.1234]
    assert events.x_px.tolist() == [1, 1.5]


def test_odd_clicks_have_no_action(process):
    result = process({f"{folder()}/Mouse Clicks.csv": mouse((0.1, 1, 1), (0.2, 1, 1), (0.3, 1, 1))})
    assert result.events("mouse_clicks").action.isna().all()


# --- saved, expired, displayed -----------------------------------------------------------------------------------


def test_loaded_result_equals_the_saved_one(result, tmp_path):
    path = result.save(tmp_path / "kept")
    assert path == tmp_path / "kept"
    again = load(str(path))
    for name in ("trials", "issues", "members", "surveys", "participants", "tasks", "factors"):
        assert getattr(again, name).equals(getattr(result, name)), name
    for kind in result.kinds:
        assert again.events(kind, participant=1).equals(result.events(kind, participant=1))
    assert (again.summary, again.provenance) == (result.summary, result.provenance)
    assert load(again.save(tmp_path / "again")).trials.equals(result.trials)


def test_save_refuses_to_overwrite(result, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("full", "file"):
        with pytest.raises(SettingsError, match="exists already"):
            result.save(tmp_path / name)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert len(load(result.save(tmp_path / "empty")).trials) == 8


def test_save_to_an_unwritable_folder_is_refused(result, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="is missing"):
        result.save(tmp_path / "file" / "kept")
    with pytest.raises(StoreError, match="/proc/kept"):
        result.save("/proc/kept")


def test_load_of_a_folder_without_result_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="There is no saved result at"):
        load(tmp_path)


def test_open_of_a_missing_result_is_expired(tmp_path):
    with pytest.raises(ResultExpiredError, match="There is no result at r"):
        StudyResult.open(Store(str(tmp_path)), "r")


def test_newer_results_are_refused(result, tmp_path):
    path = result.save(tmp_path / "kept")
    manifest = (path / MANIFEST).read_text()
    (path / MANIFEST).write_text(manifest.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 999'))
    with pytest.raises(StoreError, match="schema 999") as caught:
        load(path)
    assert "pip install -U" in caught.value.hint


@pytest.mark.parametrize("what", ["trials", "events", "save"])
def test_missing_files_of_a_result_are_expired(result, studies, what):
    if what == "events":
        result.trials  # noqa: B018  was read before
    for path in studies.stored:
        if path.name != MANIFEST:
            path.unlink()
    with pytest.raises(ResultExpiredError, match="gone from the store"):
        {"trials": lambda: result.trials, "events": lambda: result.events("keyboard"),
         "save": lambda: result.save(studies.root / "kept")}[what]()  # fmt: skip


def test_html_shows_counts_and_rows(result):
    html = result._repr_html_()
    assert re.search("48 mouse movement|mouse movement 48", re.sub(r"<[^>]*>", "", html))
    assert "No issues" in html
    assert html.count("<tr") == 1 + 5
    assert "<td>Search</td>" in html


def test_html_shows_losses(process):
    result = process({f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 1), ("x", 1, 1))})
    assert "1 issues, 1 of 2 rows dropped" in result._repr_html_()


def test_html_escapes_names(process):
    name = "<script>alert(1)</script>"
    html = process({
        f"{name.replace('/', '_')}_participant_session/<b>T&_<i>F_trial_1/Mouse Movement.csv": mouse((0.1, 1, 1))
    })._repr_html_()  # fmt: skip
    assert "<script" not in html
    assert "<b>T" not in html
    assert "&lt;script&gt;" in html
    assert "<b>T&amp;" not in html
    assert "&lt;b&gt;T&amp;" in html


def test_metric_names_are_those_of_the_catalogue():
    assert len(set(METRIC_NAMES)) == len(METRIC_NAMES) == len(METRICS_BY_NAME)
    assert all(metric.definition and metric.unit and metric.source for metric in CATALOGUE)
