"""Logs described by an EventFormat: columns, units, kinds, names, and rows that do not match the description."""

import pandas as pd
import pytest

from analytics_kit import EventFormat
from analytics_kit.errors import BadArchiveError, BadMemberError, NoEventsError
from tests.study.make_study import balance, issues_of, named, patched, zip_bytes

COLUMNS = {"t": "ms", "x": "xpos", "y": "ypos"}
MOVES = EventFormat(columns=COLUMNS, kind="mouse_movement", time_unit="ms")
ROWS = "ms,xpos,ypos\n0,1,2\n250,1.5,-2\n"


def moves(**described):
    return EventFormat(**({"columns": COLUMNS, "kind": "mouse_movement", "time_unit": "ms"} | described))


def rows(result, kind="mouse_movement", columns=("t_s", "x_px", "y_px")):
    return list(result.events(kind, columns=list(columns)).itertuples(index=False, name=None))


def test_columns_are_found_by_name(process):
    result = process({"a.csv": "ypos,other,ms,XPOS\n2,z,0,1\n-2,z,250,1.5\n"}, format=MOVES)
    assert rows(result) == [(0.0, 1.0, 2.0), (0.25, 1.5, -2.0)]
    assert issues_of(result) == []
    assert (result.provenance["format"], result.provenance["format_chosen"]) == (
        "described",
        "described by an EventFormat",
    )
    assert result.members[["role", "rows_in", "rows_kept"]].values.tolist() == [["mouse_movement", 2, 2]]


def test_first_of_several_names_present_is_read(process):
    described = moves(columns=COLUMNS | {"t": ("time", "ms")})
    assert rows(process({"a.csv": ROWS}, format=described))[1][0] == 0.25
    assert rows(process({"a.csv": "ms,xpos,ypos,time\n0,1,2,500\n"}, format=described))[0][0] == 0.5


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [("s", "1.25", 1.25), ("ms", "1250", 1.25), ("us", "1250000", 1.25), ("ns", "1250000000", 1.25)],
)
def test_time_units_are_converted_to_seconds(process, unit, text, seconds):
    result = process({"a.csv": f"ms,xpos,ypos\n{text},1,2\n"}, format=moves(time_unit=unit))
    assert rows(result) == [(seconds, 1.0, 2.0)]


def test_dates_start_at_the_first_event(process):
    described = moves(time_unit="datetime", time_origin="trial")
    text = "ms,xpos,ypos\n2024-05-01T23:59:59.5,1,2\n2024-05-02 00:00:00.125Z,3,4\n"
    assert rows(process({"a.csv": text}, format=described)) == [(0.0, 1.0, 2.0), (0.625, 3.0, 4.0)]


@pytest.mark.parametrize("end", ["", "Z", "z", "+02:00", "-0330"])
@pytest.mark.parametrize("fraction", [".25", ",25", ".250000000"])
def test_dates_with_zones_and_fractions_are_read(process, end, fraction):
    described = moves(time_unit="datetime", time_origin="trial")
    text = f"ms;xpos;ypos\n2024-05-01T10:00:00{end};1;2\n2024-05-01 10:00:01{fraction}{end};3;4\n"
    assert [row[0] for row in rows(process({"a.csv": text}, format=described))] == [0.0, 1.25]


def test_dates_of_different_zones_are_compared(process):
    described = moves(time_unit="datetime", time_origin="trial")
    text = "ms,xpos,ypos\n2024-05-01T10:00:00+02:00,1,2\n2024-05-01T08:00:01Z,3,4\n"
    assert [row[0] for row in rows(process({"a.csv": text}, format=described))] == [0.0, 1.0]


def test_times_through_the_session_start_each_trial_at_0(process):
    """Differences of milliseconds since 1970 are exact, and the order of trials is known."""
    described = moves(time_origin="trial", columns=COLUMNS | {"participant": "who", "trial": "trial"})
    lines = [
        f"{1471948645498 + 86_400_000 * day + ms},1,1,7,{trial}" for trial, day in ((5, 1), (4, 0)) for ms in (0, 269)
    ]
    result = process({"a.csv": "ms,xpos,ypos,who,trial\n" + "\n".join(lines)}, format=described)
    assert result.events("mouse_movement").t_s.tolist() == [0.0, 0.269, 0.0, 0.269]
    assert result.trials[["trial", "trial_order"]].values.tolist() == [[4, 1], [5, 2]]


def test_delimiter_is_found_from_the_header(process):
    text = ROWS.replace(",", ";").replace("1.5", "1,5")
    assert rows(process({"a.csv": text}, format=MOVES))[1] == (0.25, 1.5, -2.0)
    assert rows(process({"a.csv": ROWS.replace(",", "\t")}, format=MOVES))[1] == (0.25, 1.5, -2.0)
    assert rows(process({"a.csv": ROWS.replace(",", "|")}, format=moves(delimiter="|")))[1] == (0.25, 1.5, -2.0)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + ROWS.encode(),
        ROWS.replace("\n", "\r\n").encode(),
        ROWS.encode("utf-16"),
        ROWS.encode("utf-16-le"),
        ROWS.replace("\n", "\r").encode(),
        f"\r\n\n{ROWS}".encode(),
    ],
)
def test_encodings_and_line_ends_are_read(process, text):
    assert rows(process({"a.csv": text}, format=MOVES)) == [(0.0, 1.0, 2.0), (0.25, 1.5, -2.0)]


def test_lines_are_counted_from_the_start_of_the_file(process):
    result = process({"a.csv": f"\n\n{ROWS}x,1,2\n"}, format=MOVES)
    assert issues_of(result) == [("a.csv", 6, "not_a_number", 1)]


def test_header_that_no_program_can_split_is_an_issue(process):
    good = "ms,xpos,ypos\n0,1,1\n"
    result = process({"a.csv": f'ms,xpos,ypos,"{"n" * 200_000}"\n0,1,1,1\n', "b.csv": good}, format=MOVES)
    assert "missing_column" in set(result.issues.kind)
    assert (result.summary["rows_in"], result.summary["rows_dropped"]) == (2, 1)


def test_delimiter_in_a_quoted_header_cell_is_text(process):
    result = process({"a.csv": '"how, and why",ms,"xpos",ypos\n"so, so",5,1,2\n'}, format=MOVES)
    assert rows(result) == [(0.005, 1.0, 2.0)]
    described = moves(quoted=False, delimiter="\t")
    result = process({"a.csv": 'ms\t"xpos\typos\n5\t1\t2\n'}, format=described)
    assert rows(result) == [(0.005, 1.0, 2.0)]


def test_names_are_read_from_the_path(process):
    described = moves(path=r"(?P<task>\w+)/(?P<participant>p\d+)_(?P<session>\d)_(?P<factor>\w+)_(?P<trial>\d+)\.csv")
    members = {"find/p1_2_easy_10.csv": ROWS, "find/p1_2_easy_9.csv": ROWS, "readme.txt": "hello"}
    result = process(members, format=described)
    assert named(result) == [("p1", "2", "find", "easy", 9), ("p1", "2", "find", "easy", 10)]
    assert issues_of(result) == [("readme.txt", None, "unknown_file", 0)]


def test_names_from_columns_override_the_path(process):
    described = moves(path=r"(?P<participant>\w+)\.csv", columns=COLUMNS | {"trial": "n", "factor": "condition"})
    text = "ms,xpos,ypos,n,condition\n0,1,2,2,a\n0,3,4,1,\n10,5,6,2,a\n"
    result = process({"p7.csv": text, "p8.csv": text}, format=described)
    assert named(result) == [
        ("p7", "p7", None, None, 1), ("p7", "p7", None, "a", 2),
        ("p8", "p8", None, None, 1), ("p8", "p8", None, "a", 2),
    ]  # fmt: skip
    assert result.events("mouse_movement", participant="p8", trial=2).x_px.tolist() == [1.0, 5.0]
    assert balance(result) == (6, 6, 0)


def test_trials_without_numbers_are_numbered(process):
    described = moves(columns=COLUMNS | {"trial": "id"})
    result = process({"a.csv": "ms,xpos,ypos,id\n0,1,2,id0007\n0,3,4,id0003\n"}, format=described)
    assert [name[-1] for name in named(result)] == [3, 7]
    result = process({"a.csv": "ms,xpos,ypos,id\n0,1,2,left\n0,3,4,back\n"}, format=described)
    assert result.events("mouse_movement", columns=["trial", "x_px"]).values.tolist() == [[2, 3.0], [1, 1.0]]
    assert [issue[2] for issue in issues_of(result)] == ["trial_names"]


def test_names_that_hold_slashes_are_kept_apart(process):
    described = moves(columns=COLUMNS | {"participant": "who", "session": "when"})
    result = process({"a.csv": "ms,xpos,ypos,who,when\n0,1,2,a/b,c\n0,3,4,a,b/c\n"}, format=described)
    assert {name[:2] for name in named(result)} == {("a/b", "c"), ("a", "b/c")}
    assert result.trials.movement_count.tolist() == [1, 1]


def test_blanks_around_names_do_not_count(process):
    described = moves(columns=COLUMNS | {"participant": "who"})
    result = process({"a.csv": "ms, xpos, ypos, who\n0, 1, 2, p 1\n10, 3, 4, p 1 \n"}, format=described)
    assert named(result) == [("p 1", "p 1", None, None, None)]


def test_irregular_row_makes_no_trial(process):
    """A line that is cut off may begin with anything typed; it counts with the trial of the row before it."""
    described = moves(columns={"participant": "who"} | COLUMNS)
    members = {"a.csv": "who,ms,xpos,ypos\nsecret\n1,0,1,2\nsecret,secret\n2,0,1,2\nsecret"}
    result = process(members, format=described)
    assert [name[0] for name in named(result)] == ["1", "2"]
    assert balance(result) == (5, 2, 3)
    assert issues_of(result) == [("a.csv", 2, "missing_fields", 3)]
    assert balance(process(members, format=described, participants="1")) == (3, 1, 2)


def test_missing_column_of_names_is_na(process):
    result = process({"a.csv": ROWS}, format=moves(columns=COLUMNS | {"participant": "who"}))
    assert named(result) == [(None, None, None, None, None)]
    assert result.trials.movement_count.tolist() == [2]


def test_file_whose_path_gives_no_kind_loses_its_rows(process):
    described = EventFormat(
        columns=COLUMNS, path=r"((?P<kind>moves)_)?(?P<participant>\w+?)\.csv", kinds={"moves": "mouse_movement"}
    )
    result = process({"moves_a.csv": ROWS, "b.csv": ROWS}, format=described)
    assert [name[0] for name in named(result)] == ["a", "b"]
    assert issues_of(result) == [("b.csv", 2, "unknown_kind", 2)]
    assert balance(result) == (4, 2, 2)
    with pytest.raises(BadMemberError, match="unknown_kind"):
        process({"b.csv": ROWS}, format=described, on_error="raise")


def test_kinds_from_the_path_belong_to_one_trial(process):
    columns = COLUMNS | {"key": "key"}
    described = EventFormat(
        columns=columns, path=r"(?P<kind>mouse|keys)/(?P<participant>\w+)\.csv", time_unit="ms", time_origin="trial",
        kinds={"mouse": "mouse_movement", "keys": "keyboard"},
    )  # fmt: skip
    members = {"mouse/a.csv": "ms,xpos,ypos,key\n2000,1,1,\n", "keys/a.csv": "ms,xpos,ypos,key\n2500,,,q\n"}
    result = process(members, format=described)
    assert named(result) == [("a", "a", None, None, None)]
    assert result.trials[["movement_count", "keystroke_count"]].values.tolist() == [[1, 1]]
    assert result.events("keyboard").t_s.tolist() == [0.5]
    assert sorted(result.members.role) == ["keyboard", "mouse_movement"]


def test_kinds_and_actions_are_read_from_columns(process):
    described = EventFormat(
        columns=COLUMNS | {"kind": "event", "action": "event", "wheel": "event", "key": "key"},
        kinds={"move": "mouse_movement", "down": "mouse_clicks", "up": "mouse_clicks", "back": "mouse_scrolls",
               "forth": "mouse_scrolls", "kdown": "keyboard", "kup": "keyboard"},
        actions={"down": "press", "up": "release", "kdown": "press", "kup": "release"},
        wheel={"back": -1, "forth": 1},
        time_unit="ms",
    )  # fmt: skip
    text = "ms,xpos,ypos,event,key\n" + "".join(
        f"{line}\n"
        for line in ("0,1,1,move,", "10,1,1,down,", "260,9,1,up,", "300,1,1,back,", "320,1,1,forth,",
                     "400,,,kdown,a", "420,,,kdown,b", "500,,,kup,a", "520,,,kup,b")
    )  # fmt: skip
    result = process({"a.csv": text}, format=described)
    assert balance(result) == (9, 9, 0)
    trial = result.trials.iloc[0]
    assert (trial.movement_count, trial.click_count, trial.scroll_event_count, trial.keystroke_count) == (1, 1, 2, 2)
    assert trial.click_hold_mean_s == pytest.approx(0.25)
    assert (trial.drag_count, trial.scroll_reversal_count, trial.rollover_ratio) == (1, 1, 1)
    assert pd.isna(trial.scroll_distance_px)
    assert trial.dwell_time_mean_s == pytest.approx(0.1)
    assert result.events("keyboard").action.tolist() == ["press", "press", "release", "release"]
    assert result.events("mouse_clicks").action.tolist() == ["press", "release"]
    assert result.members.role.tolist() == ["log"]


def test_kind_without_events_counts_0(process):
    described = EventFormat(columns=COLUMNS | {"kind": "e"}, kinds={"m": "mouse_movement", "s": "mouse_scrolls"})
    trial = process({"a.csv": "ms,xpos,ypos,e\n0,1,1,m\n"}, format=described).trials.iloc[0]
    assert (trial.movement_count, trial.scroll_event_count) == (1, 0)
    assert pd.isna(trial.click_event_count)


def test_wheel_steps_are_measured(process):
    columns = COLUMNS | {"dx": "dx", "dy": "dy"}
    text = "ms,xpos,ypos,dx,dy\n0,1,1,3,4\n10,1,1,0,-5\n"
    trial = process({"a.csv": text}, format=EventFormat(columns=columns, kind="mouse_scrolls")).trials.iloc[0]
    assert (trial.scroll_distance_px, trial.scroll_reversal_count) == (10.0, 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x,1,1,m", "not_a_number"), ("0,,1,m", "not_a_number"), ("0,1,inf,m", "not_a_number"),
        ("nan,1,1,m", "not_a_number"), ("0,1,1,q", "unknown_kind"), ("0,1,1", "missing_fields"),
        ("0,1,1,m,5", "extra_fields"),
    ],
)  # fmt: skip
def test_bad_rows_are_dropped_with_an_issue(process, line, problem):
    described = EventFormat(columns=COLUMNS | {"kind": "e"}, kinds={"m": "mouse_movement", "c": "mouse_clicks"})
    members = {"a.csv": f"ms,xpos,ypos,e\n0,1,1,m\n{line}\n{line}\n9,9,9,m\n"}
    result = process(members, format=described)
    assert issues_of(result) == [("a.csv", 3, problem, 2)]
    assert balance(result) == (4, 2, 2)
    assert rows(result) == [(0.0, 1.0, 1.0), (9.0, 9.0, 9.0)]
    with pytest.raises(BadMemberError, match=problem):
        process(members, format=described, on_error="raise")


def test_open_quote_drops_its_row(process):
    result = process({"a.csv": 'ms,xpos,ypos\n0,1,1\n5,"1,1\n9,9,9\n'}, format=MOVES)
    assert issues_of(result) == [("a.csv", 3, "open_quote", 1)]
    assert rows(result)[1] == (0.009, 9.0, 9.0)


def test_click_without_known_action_is_dropped(process):
    described = EventFormat(
        columns=COLUMNS | {"action": "e"}, kind="mouse_clicks", actions={"d": "press", "u": "release"}
    )
    result = process({"a.csv": "ms,xpos,ypos,e\n0,1,1,d\n1,1,1,u\n2,1,1,hold\n"}, format=described)
    assert issues_of(result) == [("a.csv", 4, "unknown_action", 1)]
    assert result.trials.click_count.tolist() == [1]


def test_typed_text_is_not_quoted_in_messages(process):
    described = EventFormat(columns={"t": "ms", "key": "key"}, kind="keyboard")
    result = process({"a.csv": "ms,key\n0,s\nsecret,e\n1,c,ret\n"}, format=described)
    assert [issue[2] for issue in issues_of(result)] == ["not_a_number", "extra_fields"]
    assert "secret" not in result.issues.to_string()
    assert result.events("keyboard").key.isna().all()


def test_files_that_lack_columns_are_left_out(process):
    result = process({"a.csv": ROWS, "b.csv": "ms,xpos\n0,1\n"}, format=moves(path=r"(?P<participant>\w)\.csv"))
    assert issues_of(result) == [("b.csv", None, "missing_column", 1)]
    assert "no column ypos in the header" in result.issues.message[0]
    assert balance(result) == (3, 2, 1)
    described = moves(columns=COLUMNS | {"trial": "n"})
    result = process({"a.csv": "ms,xpos,ypos,n\n0,1,2,1\n", "b.csv": ROWS, "c.csv": ""}, format=described)
    assert [issue[::2] for issue in issues_of(result)] == [("b.csv", "unknown_file"), ("c.csv", "unknown_file")]


def test_no_log_among_the_files_raises_with_the_reason(process):
    described = moves(columns=COLUMNS | {"x": "xpoz", "trial": "n"})
    with pytest.raises(NoEventsError, match=r"none of them a log of events: a\.csv … a\.csv: no column xpoz in the"):
        process({"a.csv": "ms,xpos,ypos,n\n0,1,2,1\n"}, format=described)


def test_unreadable_files_with_trials_in_columns_raise(studies):
    """Such files have to be read to be planned."""
    described = moves(columns=COLUMNS | {"trial": "n"})
    members = dict.fromkeys(("a.csv", "b.csv"), "ms,xpos,ypos,n\n0,1,2,1\n")
    with pytest.raises(BadArchiveError, match=r"study\.zip is encrypted"):
        studies.process(patched(zip_bytes(members), *members, flag=1), format=described)
    unsupported = patched(zip_bytes(members), "a.csv", method=97)
    assert issues_of(studies.process(unsupported, format=described))[0][::2] == ("a.csv", "unsupported_method")
    with pytest.raises(BadMemberError, match="unsupported_method"):
        studies.process(unsupported, format=described, on_error="raise")


def test_trial_order_is_counted_per_participant(process):
    """Sessions of two participants may have the same number."""
    names = {"participant": "who", "session": "when", "trial": "n"}
    text = "ms,xpos,ypos,who,when,n\n0,1,2,a,1,1\n50,1,2,b,1,1\n100,1,2,a,1,2\n150,1,2,b,1,2\n"
    result = process({"a.csv": text}, format=moves(columns=COLUMNS | names, time_origin="trial"))
    assert result.trials[["participant", "trial_order"]].values.tolist() == [["a", 1], ["a", 2], ["b", 1], ["b", 2]]


def test_no_file_with_the_described_path_raises(process):
    with pytest.raises(NoEventsError, match="none of them a log of events"):
        process({"a.csv": ROWS}, format=moves(path="nowhere"))


def test_times_that_step_back_are_sorted_with_an_issue(process):
    result = process({"a.csv": "ms,xpos,ypos\n20,1,1\n10,2,2\n"}, format=MOVES)
    assert issues_of(result) == [("a.csv", 3, "time_backwards", 0)]
    assert rows(result) == [(0.01, 2.0, 2.0), (0.02, 1.0, 1.0)]
