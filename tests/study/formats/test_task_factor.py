"""Splitting names into task and factor by the whole study, and listing guesses."""

import itertools

import pytest

from analytics_kit.errors import NoEventsError
from analytics_kit.study.formats.task_factor import split_names
from tests.study.make_study import folder, issues_of, mouse

ROWS = mouse((0.1, 1, 2))


def crossed(tasks, factors):
    """Return {name: (task, factor)} of a factorial study."""
    return {f"{task}_{factor}": (task, factor) for task, factor in itertools.product(tasks, factors)}


LEVELS = ["Low", "Very_High", "in_between", "None_at_all", "1", "2_of_3", "ä ö", "Last"]


@pytest.mark.parametrize(
    ("tasks", "factors"),
    [
        (["Search", "Fill"], ["Easy", "Hard"]),
        (["Fill_Form", "Search"], ["Easy", "Hard"]),
        (["Fill_Form", "Fill_Sheet", "Fill"], ["Easy", "Very_Hard"]),
        (["Fill Form", "Suche ä", "探す"], ["leicht", "schwer 2"]),
        (["a_b_c", "d"], ["x_y", "z"]),
        (["Straße_Öl", "\N{GRINNING FACE}_Aufgabe"], ["é_1", "ü_2"]),
        ([f"Task_{i}" for i in range(4)], LEVELS[:4]),
    ],
)
def test_factorial_study_is_split(tasks, factors):
    expected = crossed(tasks, factors)
    names = split_names(expected)
    assert names.cuts == expected
    assert names.guesses == ()


@pytest.mark.parametrize(
    ("tasks", "factors"),
    [
        (["Search", "Fill"], ["Very_Easy", "Very_Hard"]),
        (["T_1", "T_2", "T_3"], ["F_1", "F_2"]),
        (["first_task", "second_task"], ["no_aid", "with_help"]),
    ],
)
def test_word_shared_by_all_names_belongs_to_task_or_factor(tasks, factors):
    expected = crossed(tasks, factors)
    names = split_names(expected)
    assert set(names.guesses) == set(expected)
    assert len({task for task, _ in names.cuts.values()}) == len(tasks)
    assert len({factor for _, factor in names.cuts.values()}) == len(factors)
    for name, (task, _) in expected.items():
        assert len(names.cuts[name][0]) >= len(task)
    assert split_names(expected, tasks=tasks).cuts == split_names(expected, factors=factors).cuts == expected
    assert split_names(expected, tasks=tasks).guesses == ()


def test_large_factorial_study_is_split():
    expected = crossed([f"Task_{i}" for i in range(12)], LEVELS)
    assert split_names(expected).cuts == expected


def test_order_of_names_does_not_matter():
    expected = crossed(["Fill_Form", "Search"], ["Easy", "Very_Hard"])
    for names in itertools.permutations(expected):
        assert split_names(names).cuts == expected


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("Search_Easy", ("Search", "Easy")), ("Search", ("Search", None)), ("", ("", None)), ("_", ("_", None)),
        ("_Easy", ("_Easy", None)), ("Search_", ("Search_", None)), ("A__B", ("A_", "B")),
    ],
)  # fmt: skip
def test_single_name_is_split(name, cut):
    assert split_names([name]).cuts == {name: cut}


def test_tie_goes_to_the_longest_task_as_a_guess():
    names = split_names(["Fill_Form_Easy"])
    assert names.cuts == {"Fill_Form_Easy": ("Fill_Form", "Easy")}
    assert names.guesses == ("Fill_Form_Easy",)


def test_unambiguous_name_among_guesses_is_no_guess():
    names = split_names(["Search_Easy", "a_b_c"])
    assert names.cuts["Search_Easy"] == ("Search", "Easy")
    assert names.guesses == ("a_b_c",)


def test_given_tasks_decide_the_split():
    names = split_names(["Fill_Form_Easy"], tasks=["Fill"])
    assert names.cuts == {"Fill_Form_Easy": ("Fill", "Form_Easy")}
    assert names.guesses == ()


def test_given_factors_decide_the_split():
    names = split_names(["Fill_Form_Easy"], factors=["Form_Easy"])
    assert (names.cuts, names.guesses) == ({"Fill_Form_Easy": ("Fill", "Form_Easy")}, ())


def test_names_without_a_given_task_are_not_chosen():
    names = split_names(["Fill_Easy", "Search_Easy", "Search_Hard"], tasks=["Search"], factors=["Easy"])
    assert names.cuts == {"Search_Easy": ("Search", "Easy")}


def test_given_task_may_have_no_factor():
    assert split_names(["Fill_Form"], tasks=["Fill_Form"]).cuts == {"Fill_Form": ("Fill_Form", None)}


def test_hundreds_of_names_with_many_underscores_terminate():
    expected = crossed([f"a_b_{i}_c" for i in range(20)], [f"x_{j}_y_z" for j in range(20)])
    cuts = split_names(expected).cuts
    assert cuts.keys() == expected.keys()
    tasks, factors = {task for task, _ in cuts.values()}, {factor for _, factor in cuts.values()}
    assert len(tasks) + len(factors) <= 40


def study(*names):
    return {f"1_participant_session/{name}_trial_1/Mouse Movement.csv": ROWS for name in names}


def test_a_guess_is_an_issue_of_the_study(process):
    result = process(study("Fill_Form_Easy"))
    assert result.trials[["task", "factor"]].to_numpy().tolist() == [["Fill_Form", "Easy"]]
    assert issues_of(result) == [("Fill_Form_Easy", None, "ambiguous_name", 0)]
    assert "tasks=[…]" in result.issues.message[0]


@pytest.mark.parametrize("option", [{"tasks": ["Fill"]}, {"factors": "Form_Easy"}])
def test_options_decide_a_guess(process, option):
    result = process(study("Fill_Form_Easy"), **option)
    assert result.trials[["task", "factor"]].to_numpy().tolist() == [["Fill", "Form_Easy"]]
    assert issues_of(result) == []


def test_options_choose_trials(process):
    names = ["Fill_Form_Easy", "Search_Easy", "Search_Hard"]
    assert process(study(*names), tasks=["Search"]).trials.factor.tolist() == ["Easy", "Hard"]
    assert process(study(*names), factors=["Hard"]).trials.task.tolist() == ["Search"]
    with pytest.raises(NoEventsError):
        process(study(*names), tasks=["Sea"])


def test_factorial_study_in_a_zip_is_split(process):
    tasks, factors = [f"Task_{i}" for i in range(12)], LEVELS
    result = process({f"{folder(1, t, f)}/Mouse Movement.csv": ROWS for t in tasks for f in factors})
    assert set(result.trials.task) == set(tasks)
    assert set(result.trials.factor) == set(factors)


def test_thousands_of_unambiguous_names_need_no_search():
    expected = {f"Task{i}_A": (f"Task{i}", "A") for i in range(3000)}
    assert split_names(expected).cuts == expected


def test_name_of_underscores_terminates():
    (cut,) = split_names(["a_" * 20_000 + "b"]).cuts.values()
    assert cut[1] == "b"
