"""Downloads of the Fulcrum platform: each layout yields the right trials, and the right kind of each file."""

import pytest

from analytics_kit.errors import NoEventsError, UnsafeArchiveError
from tests.study.make_study import MOUSE, balance, folder, issues_of, mouse, named, patched, typed, zip_bytes

ROWS = mouse((0.1, 1, 2), (0.2, 20, 2))
CLICKS = mouse((0.1, 1, 2), (0.2, 1, 2))
KEYS = typed((0.1, "a"))


def roles(result):
    return dict(zip(result.members.member, result.members.role, strict=True))


def test_study_download_is_read(process):
    result = process({
        f"{folder(2, 'Search', 'Easy', 1)}/Mouse Movement.csv": ROWS,
        f"{folder(1, 'Search', 'Easy', 10)}/Mouse Movement.csv": ROWS,
        f"{folder(1, 'Search', 'Easy', 9)}/Mouse Clicks.csv": CLICKS,
        f"{folder(1, 'Search', 'Easy', 9)}/Mouse Scrolls.csv": ROWS,
        f"{folder(1, 'Search', 'Easy', 9)}/Keyboard Inputs.csv": KEYS,
        f"{folder(10, 'Fill', 'Easy', 1)}/Keyboard Input.csv": KEYS,
    })  # fmt: skip
    assert named(result) == [
        ("1", "1", "Search", "Easy", 9), ("1", "1", "Search", "Easy", 10), ("2", "2", "Search", "Easy", 1),
        ("10", "10", "Fill", "Easy", 1),
    ]  # fmt: skip
    assert result.kinds == ["mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard"]
    assert result.members.trial_row.tolist() == [0, 0, 0, 1, 2, 3]
    assert result.members.role.tolist() == [
        "keyboard", "mouse_clicks", "mouse_scrolls", "mouse_movement", "mouse_movement", "keyboard"
    ]  # fmt: skip
    assert issues_of(result) == []


def test_study_download_in_a_folder_is_read(process):
    result = process({f"download/{folder(3)}/Mouse Movement.csv": ROWS})
    assert named(result) == [("3", "3", "Search", "Easy", 1)]


def test_session_download_is_read(process):
    result = process({"Search_Easy_trial_2/Mouse Movement.csv": ROWS, "Search_Hard_trial_1/Mouse Movement.csv": ROWS})
    assert named(result) == [(None, None, "Search", "Easy", 2), (None, None, "Search", "Hard", 1)]


def test_single_trial_is_read(process):
    result = process({"Mouse Movement.csv": ROWS, "Mouse Clicks.csv": CLICKS, "Keyboard Inputs.csv": KEYS})
    assert named(result) == [(None,) * 5]
    assert result.trials.movement_count.tolist() == [2]
    assert result.trials.keystroke_count.tolist() == [1]


def test_unknown_trial_ordering_is_na(process):
    result = process(
        {"1_participant_session/Search_Easy_trial_UnknownTrialOrdering/Mouse Movement.csv": ROWS},
        max_name_length=6000,
    )
    assert named(result) == [("1", "1", "Search", "Easy", None)]


def test_unknown_session_is_na(process):
    result = process({"UnknownSession_participant_session/Search_Easy_trial_1/Mouse Movement.csv": ROWS})
    assert named(result) == [(None, None, "Search", "Easy", 1)]
    assert result.summary["participants"] == result.summary["sessions"] == 0


def test_participants_need_no_number(process):
    result = process({"P 07_ä_participant_session/Search_Easy_trial_1/Mouse Movement.csv": ROWS})
    assert named(result)[0][0] == "P 07_ä"


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000])
def test_trial_numbers_beyond_64_bits_are_na(process, digits):
    result = process(
        {f"1_participant_session/Search_Easy_trial_{digits}/Mouse Movement.csv": ROWS}, max_name_length=6000
    )
    assert named(result) == [("1", "1", "Search", "Easy", None)]


SERVER = "12_study_id/3_participant_session_id/45_trial_id"


def test_server_store_with_manifest(process):
    manifest = (
        "id,kind,task,factor,trial\n101,Mouse Movement,Search,Easy,2\n102,mouse_clicks,Search,Easy,2\n"
        "103,Keyboard Inputs,Search,Easy,2\n201,mouse_scrolls,Fill Form,Hard,1\n"
    )
    result = process({
        "12_study_id/manifest.csv": manifest,
        f"{SERVER}/101.csv": ROWS, f"{SERVER}/102.csv": CLICKS, f"{SERVER}/103.csv": KEYS,
        "12_study_id/4_participant_session_id/46_trial_id/201.csv": ROWS,
    })  # fmt: skip
    assert named(result) == [("3", "3", "Search", "Easy", 2), ("4", "4", "Fill Form", "Hard", 1)]
    assert result.summary["events"] == {"mouse_movement": 2, "mouse_clicks": 2, "mouse_scrolls": 2, "keyboard": 1}
    assert roles(result)["12_study_id/manifest.csv"] == "manifest"
    assert issues_of(result) == []


def test_manifest_beside_the_files_comes_first(process):
    result = process({
        "manifest.csv": "id,kind,task\n1,mouse_clicks,Far\n",
        "3_participant_session_id/45_trial_id/manifest.csv": "\ufeffID, Kind ,task\n1,mouse_movement,Near\n",
        "3_participant_session_id/45_trial_id/1.csv": ROWS,
    })  # fmt: skip
    assert named(result) == [("3", "3", "Near", None, 45)]
    assert result.kinds == ["mouse_movement"]


@pytest.mark.parametrize(
    ("manifest", "line"),
    [("id,kind\n101,mouse_movment\n", "'mouse_movment' is no kind"), (b"id,kind\n\xff,x\n", "can't be read")],
)
def test_bad_manifest_line_is_an_issue(process, manifest, line):
    result = process({f"{SERVER}/manifest.csv": manifest, f"{SERVER}/101.csv": ROWS})
    assert [issue[2] for issue in issues_of(result)] == ["manifest", "mouse_unknown"]
    assert line in result.issues.message[0]
    assert result.kinds == ["mouse_unknown"]


def test_server_files_take_their_kind_from_kinds(process):
    members = {f"{SERVER}/101.csv": ROWS, f"{SERVER}/102.csv": CLICKS}
    result = process(members, kinds={"101": "mouse_movement", "102": "mouse_clicks"})
    assert named(result) == [("3", "3", None, None, 45)]
    assert result.summary["events"] == {"mouse_movement": 2, "mouse_clicks": 2}
    assert issues_of(result) == []


def test_server_files_without_manifest_or_kinds_are_mouse_unknown(process):
    result = process({f"{SERVER}/101.csv": ROWS, f"{SERVER}/102.csv": CLICKS, f"{SERVER}/103.csv": KEYS})
    assert result.summary["events"] == {"keyboard": 1, "mouse_unknown": 4}
    assert issues_of(result) == [(f"{SERVER}/{n}.csv", None, "mouse_unknown", 0) for n in (101, 102)]
    trial = result.trials.iloc[0]
    assert trial[["movement_count", "click_event_count", "scroll_event_count", "path_length_px"]].isna().all()
    assert trial.keystroke_count == 1
    assert trial.completion_time_s == 0.2
    assert len(result.events("mouse_unknown")) == 4


def test_server_file_with_only_a_byte_order_mark_is_mouse_unknown(process):
    result = process({f"{SERVER}/101.csv": b"\xef\xbb\xbf", f"{SERVER}/102.csv": b"\xef\xbb\xbf" + KEYS.encode()})
    assert [issue[2] for issue in issues_of(result)] == ["mouse_unknown", "empty_file"]
    assert result.summary["events"] == {"keyboard": 1}


def test_layout_of_the_early_logger_is_read(process):
    result = process({
        "Task 1_mouse_movement_data.csv": ROWS, "Task 1_mouse_clicks_data.csv": CLICKS,
        "Task 1_mouse_scroll_data.csv": ROWS, "Task 1_keyboard_data.csv": KEYS, "Task_2_keyboard_data.csv": KEYS,
    })  # fmt: skip
    assert named(result) == [(None, None, "Task 1", None, None), (None, None, "Task_2", None, None)]
    assert result.trials.keystroke_count.tolist() == [1, 1]
    assert result.trials.scroll_event_count.isna().tolist() == [False, True]


def test_real_logs_of_the_early_logger_are_read(process, shared_data):
    files = sorted((shared_data / "fulcrum_sample").glob("*.csv"))
    assert len(files) == 8
    result = process({path.name: path.read_bytes() for path in files})
    trials = result.trials.set_index("task")
    counts = trials[["movement_count", "click_event_count", "scroll_event_count", "keystroke_count"]]
    assert counts.loc["Task 1"].tolist() == [87, 4, 7, 38]
    assert counts.loc["Task 2"].tolist() == [141, 8, 74, 10]
    assert trials.trial_order.tolist() == [1, 2]
    assert balance(result) == (369, 369, 0)
    assert issues_of(result) == []
    moves = result.events("mouse_movement", task="Task 1")
    steps = moves[["x_px", "y_px"]].diff().pow(2).sum(axis=1).pow(0.5)[1:]
    assert steps.min() > 10
    same = result.events("mouse_movement").groupby("task").t_s.diff() == 0
    assert same.sum() == 2
    holds = result.events("mouse_clicks").groupby("task").t_s.diff()[1::2]
    assert holds.between(0.0699, 0.0901).all()
    assert trials.click_count.tolist() == [2, 4]


def test_surveys_are_read(process):
    result = process({
        f"{folder(1)}/Mouse Movement.csv": ROWS,
        "1_participant_session/pre_survey/pre survey.csv": "\ufeffAge,Hand\n31,left\n32,\"both, really\"\n",
        "post_task_survey/answers.csv": "Q1\nyes\n",
        "post_task_survey/form.pdf": "no table",
    })  # fmt: skip
    assert list(
        result.surveys.astype(object).where(result.surveys.notna(), None).itertuples(index=False, name=None)
    ) == [
        ("1", "1", "pre", "1_participant_session/pre_survey/pre survey.csv", 1, "Age", "31"),
        ("1", "1", "pre", "1_participant_session/pre_survey/pre survey.csv", 1, "Hand", "left"),
        ("1", "1", "pre", "1_participant_session/pre_survey/pre survey.csv", 2, "Age", "32"),
        ("1", "1", "pre", "1_participant_session/pre_survey/pre survey.csv", 2, "Hand", "both, really"),
        (None, None, "post_task", "post_task_survey/answers.csv", 1, "Q1", "yes"),
    ]
    assert issues_of(result) == []
    assert len(result.trials) == 1


def test_study_without_surveys_has_an_empty_table(process):
    surveys = process({f"{folder(1)}/Mouse Movement.csv": ROWS}).surveys
    assert surveys.columns.tolist() == ["participant", "session", "survey", "member", "row", "question", "answer"]
    assert surveys.empty


def test_unreadable_survey_is_an_issue(process):
    survey = "1_participant_session/pre_survey/pre.csv"
    raw = zip_bytes({f"{folder(1)}/Mouse Movement.csv": ROWS, survey: "Age\n31\n"})
    result = process(patched(raw, survey, crc=1))
    assert issues_of(result) == [(survey, None, "survey", 0)]
    assert result.surveys.empty


def test_empty_trial_folders_are_trials(process):
    result = process({
        f"{folder(1, trial=1)}/Mouse Movement.csv": ROWS,
        f"{folder(1, trial=2)}/": "",
        f"{folder(1, trial=3)}/Screen Recording.mp4": b"film",
        "1_participant_session/": "",
    })  # fmt: skip
    assert [names[4] for names in named(result)] == [1, 2, 3]
    assert result.trials.movement_count.isna().tolist() == [False, True, True]
    assert result.trials.trial_order.isna().tolist() == [False, True, True]
    assert result.trials.completion_time_s.isna().tolist() == [False, True, True]
    assert issues_of(result) == []


def test_media_and_other_files(process):
    trial = folder(1)
    result = process({
        f"{trial}/Mouse Movement.csv": ROWS, f"{trial}/Screen Recording.mp4": b"film",
        f"{trial}/Heat Map.png": b"map",
        f"{trial}/notes.txt": "hm", f"{trial}/extra.csv": "a,b\n1,2\n",
    })  # fmt: skip
    assert [roles(result)[f"{trial}/{name}"] for name in ("Screen Recording.mp4", "Heat Map.png", "notes.txt")] == [
        "media", "media", "other"
    ]  # fmt: skip
    assert issues_of(result) == [(f"{trial}/extra.csv", None, "unknown_file", 0)]
    assert result.members.set_index("member").rows_in.dropna().to_dict() == {f"{trial}/Mouse Movement.csv": 2}


def test_clutter_is_ignored(process):
    result = process({
        f"{folder(1)}/Mouse Movement.csv": ROWS, f"__MACOSX/{folder(1)}/._Mouse Movement.csv": b"\0\5\x16\7",
        f"{folder(1)}/.DS_Store": b"x", "Thumbs.db": b"x", "desktop.ini": b"x", f"__MACOSX/{folder(9)}/": "",
        f".cache/{folder(7)}/Mouse Movement.csv": ROWS,
    })  # fmt: skip
    assert len(result.trials) == 1
    assert issues_of(result) == []
    assert (result.members.role == "clutter").sum() == 5


def test_nested_session_zips_are_read(process):
    session = zip_bytes({"Search_Easy_trial_1/Mouse Movement.csv": ROWS})
    result = process({
        "7_participant_session.zip": session, "sessions/P8.zip": session, f"{folder(9)}/Mouse Movement.csv": ROWS,
        "UPPER.ZIP": zip_bytes({f"{folder(10)}/Mouse Movement.csv": ROWS}),
    })  # fmt: skip
    assert sorted(named(result)) == sorted([
        ("7", "7", "Search", "Easy", 1), ("P8", "P8", "Search", "Easy", 1), ("9", "9", "Search", "Easy", 1),
        ("10", "10", "Search", "Easy", 1),
    ])  # fmt: skip
    assert "7_participant_session.zip/Search_Easy_trial_1/Mouse Movement.csv" in roles(result)


def test_zip_in_a_nested_zip_is_opened_when_that_is_allowed(process):
    inner = zip_bytes({f"{folder(5)}/Mouse Movement.csv": ROWS})
    study = {f"{folder(1)}/Mouse Movement.csv": ROWS, "outer.zip": zip_bytes({"inner.zip": inner})}
    assert [names[0] for names in named(process(study, max_nesting=2))] == ["1", "5"]
    with pytest.raises(UnsafeArchiveError, match=r"outer.zip/inner.zip is a ZIP inside 2 other ZIPs; the limit is 1"):
        process(study)


def test_folder_gives_the_result_of_its_zip(studies):
    members = {
        f"{folder(1)}/Mouse Movement.csv": ROWS, f"{folder(1)}/Mouse Clicks.csv": CLICKS,
        f"{folder(2)}/Keyboard Inputs.csv": KEYS, "pre_survey/a.csv": "Q\n1\n", f"{folder(2, trial=2)}/": "",
    }  # fmt: skip
    zipped = studies.process(members)
    root = studies.root / "as folder"
    for name, text in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir()
        else:
            (root / name).write_text(text)
    loose = studies.process(str(root))
    for table in ("trials", "issues", "surveys"):
        assert getattr(zipped, table).equals(getattr(loose, table)), table
    assert set(zipped.members.member) == set(loose.members.member)
    assert zipped.summary == loose.summary


def test_single_csv_is_read(studies):
    path = studies.root / "Mouse Movement.csv"
    path.write_text(ROWS)
    result = studies.process(str(path))
    assert named(result) == [(None,) * 5]
    assert result.members.member.tolist() == ["Mouse Movement.csv"]
    assert len(result.events("mouse_movement")) == 2


def test_links_are_followed_inside_the_folder_only(studies):
    root = studies.root / "study"
    trial = root / folder(1)
    trial.mkdir(parents=True)
    (trial / "Mouse Movement.csv").write_text(ROWS)
    (studies.root / "secret.csv").write_text(KEYS)
    (trial / "Keyboard Inputs.csv").symlink_to(studies.root / "secret.csv")
    (trial / "Mouse Clicks.csv").symlink_to("Mouse Movement.csv")
    result = studies.process(str(root))
    assert result.kinds == ["mouse_movement", "mouse_clicks"]
    assert [(i.member, i.kind) for i in result.issues.itertuples() if i.kind == "link"] == [
        (f"{folder(1)}/Keyboard Inputs.csv", "link")
    ]
    link = studies.root / "Mouse Movement.csv"
    link.symlink_to(trial / "Mouse Movement.csv")
    assert studies.process(str(link)).kinds == ["mouse_movement"]


def test_two_folders_with_the_same_names_are_two_trials(process):
    result = process(
        {f"a/{folder(1)}/Mouse Movement.csv": ROWS, f"b/{folder(1)}/Mouse Movement.csv": mouse((0.1, 5, 5))}
    )
    assert named(result) == [("1", "1", "Search", "Easy", 1)] * 2
    assert result.trials.movement_count.tolist() == [2, 1]
    assert issues_of(result) == [(f"b/{folder(1)}", None, "same_names", 0)]
    assert f"'a/{folder(1)}'" in result.issues.message[0]


def test_two_files_of_a_kind_in_a_trial_are_one_log(process):
    result = process({
        f"{folder(1)}/Keyboard Input.csv": typed((0.3, "c")), f"{folder(1)}/Keyboard Inputs.csv": typed((0.1, "a")),
    }, keys="full")  # fmt: skip
    assert result.events("keyboard").key.tolist() == ["a", "c"]
    assert result.trials.keystroke_count.tolist() == [2]


def test_participants_tasks_and_factors_choose_trials(process):
    members = {
        f"{folder(p, task, factor)}/Mouse Movement.csv": ROWS
        for p in (1, 2, 3) for task in ("Search", "Fill") for factor in ("Easy", "Hard")
    }  # fmt: skip
    assert len(process(members, participants=[1, "3"]).trials) == 8
    assert set(process(members, tasks="Fill").trials.task) == {"Fill"}
    chosen = process(members, participants=[2], tasks=["Fill"], factors=["Hard"])
    assert named(chosen) == [("2", "2", "Fill", "Hard", 1)]
    assert balance(chosen) == (2, 2, 0)
    assert (chosen.members.role == "not_chosen").sum() == 11


def test_empty_choice_raises_with_the_available_names(process):
    members = {"P1_participant_session/A_B_trial_1/Mouse Movement.csv": ROWS}
    with pytest.raises(NoEventsError, match=r"Did you mean 'P1'\?") as caught:
        process(members, participants=["p1"])
    assert caught.value.hint == "Its participants: P1. Its tasks and factors: A_B."
    with pytest.raises(NoEventsError, match="None of the trials"):
        process(members, tasks=["Nothing"])


def test_header_only_file_counts_0_and_no_file_na(process):
    result = process({f"{folder(1)}/Mouse Movement.csv": MOUSE, f"{folder(1)}/Keyboard Inputs.csv": KEYS})
    trial = result.trials.iloc[0]
    assert trial.movement_count == 0
    assert result.trials.click_event_count.isna().all()


def test_study_of_empty_files_counts_0(process):
    result = process({f"{folder(1)}/Mouse Movement.csv": ""})
    assert result.trials.movement_count.tolist() == [0]
    assert result.summary["events"] == {}
    assert issues_of(result) == [(f"{folder(1)}/Mouse Movement.csv", None, "empty_file", 0)]
