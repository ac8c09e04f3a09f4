"""The choice of a trial, its figures and its metrics, without a widget."""

import pandas as pd
import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.notebook.explorer_model import FIGURES, Explorer
from tests.notebook.fake_results import FakeResult


@pytest.fixture
def explorer():
    return Explorer.of(FakeResult())


def offered(explorer):
    return {name: [option.label for option in options] for name, options in explorer.choices().items()}


def walk(explorer):
    """Return the rows of the trials in the order of `next`."""
    rows = [explorer.row]
    while (following := explorer.next()).row != rows[-1]:
        rows.append(following.row)
        explorer = following
    return rows


def test_trials_are_ordered_by_participant_and_position_in_the_session(explorer):
    assert walk(explorer) == explorer.rows == [0, 2, 1, 3, 4, 5]
    assert explorer.position == (1, 6)


def test_step_beyond_the_first_or_last_trial_stays(explorer):
    assert explorer.previous().row == 0
    assert explorer.next().previous().row == 0
    for _ in range(9):
        explorer = explorer.next()
    assert (explorer.row, explorer.position) == (5, (6, 6))


def test_choices_are_all_names_and_unknown(explorer):
    assert offered(explorer) == {
        "participant": ["1", "2", "unknown participant"],
        "task": ["Form", "Search"],
        "factor": ["Calm", "Busy", "unknown factor"],
        "trial": ["2", "1", "unknown trial"],
    }


def test_choice_narrows_the_other_columns_and_not_its_own(explorer):
    assert offered(explorer.choose(task="Form")) == {
        "participant": ["1"],
        "task": ["Form", "Search"],
        "factor": ["Calm", "Busy"],
        "trial": ["2", "1"],
    }
    assert offered(explorer.choose(task="Form", factor="Busy"))["task"] == ["Form"]


def test_every_offered_choice_selects_trials(explorer):
    for name, options in explorer.choices().items():
        for option in options:
            assert explorer.choose(**{name: option.value}).rows


def test_choosing_shows_the_first_trial_unless_the_shown_one_is_selected(explorer):
    second = explorer.choose(participant="2")
    assert (second.row, second.rows, second.position) == (3, [3], (1, 1))
    third = explorer.next().next()
    assert third.choose(task="Form").row == third.row == 1


def test_steps_stay_within_the_selection(explorer):
    assert walk(explorer.choose(task="Search")) == [2, 3, 4, 5]


def test_none_removes_one_choice_and_keeps_the_others(explorer):
    chosen = explorer.choose(participant="1", task="Form")
    assert chosen.choose(participant=None).rows == [0, 1]
    assert chosen.choose(participant=None, task=None).rows == explorer.rows


def test_choosing_leaves_the_explorer_unchanged(explorer):
    explorer.choose(participant="2")
    explorer.next()
    assert (explorer.row, len(explorer.rows)) == (0, 6)


def test_na_selects_trials_without_a_participant(explorer):
    chosen = explorer.choose(participant=pd.NA)
    assert chosen.rows == [4, 5]
    assert chosen.figure("trajectory").data[0].x.tolist() == [4] * 6


@pytest.mark.parametrize("row", range(6))
@pytest.mark.parametrize("name", ["trajectory", "speed_profile", "session_timeline"])
def test_figure_has_only_the_events_of_the_trial(row, name):
    result = FakeResult()
    explorer = Explorer.of(result)
    while explorer.row != row:
        explorer = explorer.next()
    assert len(explorer.figure(name).data[0].x) == row + 2 - (name == "speed_profile")
    assert explorer.figure(name, theme="dark").layout.template.layout.paper_bgcolor == "#111111"
    assert all(query[1] == result.trials["task"][row] for query in result.queries)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn(name, explorer):
    assert bool(explorer.figure(name).data) == (name != "keystroke_timeline")


def test_figures_of_a_real_result(tmp_path):
    import analytics_kit as ak
    from tests.study.make_study import Studies

    result = Studies(tmp_path).process(ak.sample_study(tmp_path / "sample.zip", participants=2, trials=2))
    explorer = Explorer.of(result).choose(participant="2").next()
    trial = result.trials.iloc[explorer.row]
    assert len(explorer.figure("trajectory").data[0].x) == trial["movement_count"]
    assert trial["trial_order"] == 2


def test_metrics_are_formatted(explorer):
    assert explorer.metrics() == [("click count", "1,234,567", ""), ("path length", "1,235", "px")]
    assert explorer.next().metrics() == [("click count", "not known", ""), ("path length", "not known", "px")]
    assert explorer.next().next().metrics() == [("click count", "0", ""), ("path length", "12.35", "px")]
    assert explorer.choose(participant=pd.NA).next().metrics()[1].value == "0"


def test_choice_without_trials_is_an_error(explorer):
    with pytest.raises(SettingsError, match=r"no trial of participant 2, Form.\nHint: result.trials lists"):
        explorer.choose(participant="2", task="Form")


@pytest.mark.parametrize("call", ["choose", "figure"])
def test_unknown_name_is_an_error_with_the_nearest(call, explorer):
    with pytest.raises(SettingsError, match=r"Did you mean '(participant|heatmap)'\?"):
        explorer.choose(participants="1") if call == "choose" else explorer.figure("heatmaps")


def test_result_without_trials_has_no_position_metrics_or_choices():
    explorer = Explorer.of(FakeResult([]))
    assert (explorer.row, explorer.rows, explorer.position, explorer.metrics()) == (None, [], (0, 0), [])
    assert explorer.next().previous().choose(task="Form").row is None
    assert set(map(tuple, explorer.choices().values())) == {()}
    assert not any(explorer.figure(name).data for name in FIGURES)
