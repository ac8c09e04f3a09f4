"""Tables are joined by participant, whatever the type of the ids, and nothing is lost silently."""

import warnings

import numpy as np
import pandas as pd
import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.study.result.result import load
from tests.study.make_study import folder, mouse


@pytest.fixture
def result(process):
    """Three participants with two trials each, and a trial without a participant."""
    members = {
        f"{folder(p, factor=f)}/Mouse Movement.csv": mouse((0.1, p, 0), (p, p, 50)) for p in (1, 2, 10) for f in "AB"
    }
    nobody = "UnknownSession_participant_session/Search_A_trial_1/Mouse Movement.csv"
    return process(members | {nobody: mouse((0.1, 1, 1))})


def ages(ids, **columns):
    return pd.DataFrame({"participant": ids, "age": range(30, 30 + len(ids)), **columns})


@pytest.mark.parametrize("ids", [[10, 1, 2], ["10", "1", "2"], [10.0, 1.0, 2.0], [" 10", "1 ", "2"]])
def test_ids_of_any_type_match(result, ids):
    joined = result.join(ages(ids))
    assert joined.trials.age.tolist()[:6] == [31, 31, 32, 32, 30, 30]
    assert pd.isna(joined.trials.age[6])
    assert str(joined.trials.age.dtype) == "Int64"
    assert joined.participants.age.tolist()[:3] == [31, 32, 30]


def test_join_leaves_the_result_unchanged(result):
    columns = result.trials.columns.tolist()
    joined = result.join(ages([1, 2, 10]))
    assert result.trials.columns.tolist() == columns
    assert joined.trials.columns.tolist() == [*columns, "age"]
    assert joined.trials[columns].equals(result.trials)
    assert joined.tasks.equals(result.tasks)
    assert joined.events("mouse_movement").equals(result.events("mouse_movement"))


def test_unmatched_rows_and_participants_give_a_warning(result):
    table = pd.concat([ages([1, 3, 10]), pd.DataFrame({"participant": [None], "age": [7]})])
    message = (
        "not in the table, so NA: participant 2; in the table without trials, so left out: 3; .*without an id.*: 1"
    )
    with pytest.warns(UserWarning, match=message) as warned:
        joined = result.join(table)
    assert warned[0].filename == __file__
    assert joined.trials.age.isna().tolist() == [False, False, True, True, False, False, True]
    assert joined.participants.participant.tolist()[:3] == ["1", "2", "10"]


def test_warning_lists_a_limited_number_of_participants(result):
    with pytest.warns(UserWarning, match=r"left out: 100, .*, 109 and 5 more\."):
        result.join(ages([1, 2, 10, *range(100, 115)]))


def test_tables_can_be_joined_one_after_another(result):
    joined = result.join(ages([1, 2, 10])).join(pd.DataFrame({"ID": [2, 1, 10], "group": list("xyx")}), on="ID")
    assert joined.trials[["age", "group"]].iloc[0].tolist() == [30, "y"]
    assert joined.participants.columns.tolist()[-2:] == ["age", "group"]
    with pytest.raises(SettingsError, match="'age' is already used"):
        joined.join(ages([1, 2, 10], group="z"))


def test_joined_columns_get_nullable_types(result):
    table = ages(
        [1, 2], old=[True, False], score=[0.5, 1.5], group=pd.Categorical(["b", "a"], ["b", "a", "c"]),
        band=pd.cut([1, 9], [0, 5, 10]), note=["x", None],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="participant 10"):
        joined = result.join(table).trials
    assert joined.dtypes.astype(str)[["age", "old", "score", "note"]].tolist() == [
        "Int64",
        "boolean",
        "float64",
        "str",
    ]
    assert joined.group.cat.categories.tolist() == ["b", "a", "c"]
    assert joined.band.tolist()[:4] == ["(0, 5]", "(0, 5]", "(5, 10]", "(5, 10]"]
    assert joined.note.isna().tolist() == [False, False, *[True] * 5]


def test_joined_columns_are_saved(result, tmp_path):
    table = ages([1, 2, 10], old=[True, False, True], group=pd.cut([1, 5, 9], 3), note=["x", "y", None])
    joined = result.join(table)
    joined.save(tmp_path / "kept")
    kept = load(tmp_path / "kept")
    pd.testing.assert_frame_equal(kept.trials, joined.trials)
    pd.testing.assert_frame_equal(kept.participants, joined.participants)
    kept.join(pd.DataFrame({"participant": [1, 2, 10], "more": 1})).save(tmp_path / "again")
    assert load(tmp_path / "again").trials.columns.tolist()[-4:] == ["old", "group", "note", "more"]


def test_joined_columns_can_be_compared_described_and_drawn(result):
    joined = result.join(pd.DataFrame({"participant": [1, 2, 10], "group": ["a", "a", "b"]}))
    found = joined.compare("completion_time_s", "group")
    assert (found.level_a[0], found.level_b[0], found.design[0]) == ("a", "b", "between")
    assert (found.mean_a[0], found.mean_b[0]) == (1.5, 10)
    assert "no participant or no group: 1." in found.why[0]
    described = joined.describe("group", "completion_time_s")
    assert described.n.tolist() == [4, 2, 1]
    from analytics_kit import plot

    assert plot.task_comparison(joined, "completion_time_s", factor="group").data


@pytest.mark.parametrize(
    ("table", "on", "message"),
    [
        (ages([1, 1, 2]), "participant", "more than one row for participant 1"),
        (ages([1, "1", 2]), "participant", "more than one row for participant 1"),
        (ages([1, 2], factor="x"), "participant", "'factor' is already used"),
        (ages([1, 2], path_length_px=1), "participant", "'path_length_px' is already used"),
        (ages([1, 2], trial_count=1), "participant", "'trial_count' is already used"),
        (ages([1, 2]).set_axis(["participant", "participant"], axis=1), "participants", "Did you mean 'participant'"),
        (ages([1, 2], more=1).set_axis(["participant", "a", "a"], axis=1), "participant", "'a' is already used"),
        (ages([1, 2])[["participant"]], "participant", "no column to join"),
    ],
)
def test_invalid_tables_are_refused(result, table, on, message):
    with pytest.raises(SettingsError, match=message):
        result.join(table, on)


def test_name_of_an_uncomputed_metric_is_reserved(process):
    few = process({f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 1))}, metrics=["path_length_px"])
    with pytest.raises(SettingsError, match="'completion_time_s' is already used"):
        few.join(pd.DataFrame({"participant": [1], "completion_time_s": [2.0]}))


def test_numeric_column_names_and_full_match_give_no_warning(result):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = result.join(pd.DataFrame({"participant": [1, 2, 10], 7: np.arange(3.0)}))
    assert joined.trials["7"].tolist()[:6] == [0, 0, 1, 1, 2, 2]
