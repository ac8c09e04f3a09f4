"""Key presses by class, and all kinds of events of a session."""

import pandas as pd
import pytest

import analytics_kit as ak


@pytest.fixture
def keys(events):
    typed = [(0.5, "letter"), (0.7, "space"), (0.9, "backspace"), (1.1, "letter")]
    return events("keyboard", typed).assign(key="secret", action="press")


class TestKeystrokeTimeline:
    def test_a_row_per_class_in_a_fixed_order_the_first_on_top(self, keys):
        figure = ak.plot.keystroke_timeline(keys)
        assert figure.layout.yaxis.ticktext == ("letter", "space", "backspace")
        low, high = figure.layout.yaxis.range
        assert low > high
        assert figure.data[0].x.tolist() == [0.5, 0.7, 0.9, 1.1]
        assert figure.data[0].y.tolist() == [0, 1, 2, 0]
        assert figure.data[0].text.tolist() == ["letter", "space", "backspace", "letter"]

    def test_typed_text_is_nowhere_in_the_figure(self, keys):
        assert "secret" not in ak.plot.keystroke_timeline(keys).to_json()

    def test_releases_are_no_presses(self, keys, figure_text):
        keys.loc[3, "action"] = "release"
        figure = ak.plot.keystroke_timeline(keys)
        assert figure.data[0].x.tolist() == [0.5, 0.7, 0.9]
        assert "3 key presses" in figure_text(figure)

    def test_unknown_key_class_is_other(self, keys):
        keys.loc[0, "key_class"] = "<b>"
        keys.loc[1, "key_class"] = None
        assert ak.plot.keystroke_timeline(keys).data[0].text.tolist() == ["other", "other", "backspace", "letter"]

    def test_hover_names_the_trial_where_there_are_several(self, keys):
        trace = ak.plot.keystroke_timeline(pd.concat([keys, keys.head(1).assign(trial=2)])).data[0]
        assert trace.customdata.tolist() == ["trial 1"] * 4 + ["trial 2"]
        assert trace.hovertemplate.startswith("%{customdata}<br>%{text}<br>")
        assert "customdata" not in ak.plot.keystroke_timeline(keys).data[0].hovertemplate

    def test_a_press_at_the_very_beginning_stands_beside_the_axis(self, keys):
        keys["t_s"] -= 0.5
        assert ak.plot.keystroke_timeline(keys).layout.xaxis.range == pytest.approx((-0.006, 0.606))
        assert ak.plot.keystroke_timeline(keys.head(1)).layout.xaxis.range == (-0.01, 1.01)

    def test_of_many_presses_every_nth_is_drawn(self, keys, figure_text):
        many = pd.concat([keys] * 5_001)
        figure = ak.plot.keystroke_timeline(many)
        assert len(figure.data[0].x) == 6_668
        assert "every 3rd of 20,004 key presses" in figure_text(figure)


class TestSessionTimeline:
    def test_a_row_per_kind_of_one_trial(self, movement, keys):
        figure = ak.plot.session_timeline(pd.concat([movement, keys]))
        assert figure.layout.yaxis.ticktext == ("mouse movement", "keyboard")
        assert [trace.name for trace in figure.data] == ["mouse movement", "keyboard"]
        assert [set(trace.y.tolist()) for trace in figure.data] == [{0}, {1}]
        assert not figure.layout.showlegend

    def test_rows_of_several_trials_in_the_order_of_the_session(self, movement, keys):
        second = movement.assign(trial=1, trial_order=2)
        first = movement.assign(trial=2, trial_order=1)
        figure = ak.plot.session_timeline(pd.concat([second, first, keys.assign(trial=2)]))
        assert figure.layout.yaxis.ticktext == ("trial 2", "trial 1")
        move, key = figure.data
        assert dict(zip(move.text, move.y.tolist(), strict=True)) == {"trial 2": 0, "trial 1": 3}
        assert set(key.y.tolist()) == {1}
        assert figure.layout.showlegend

    def test_trials_are_set_apart_by_lines_and_long_names_leave_room(self, movement, keys):
        both = pd.concat([movement, keys.assign(trial=2), movement.assign(trial=3)]).assign(task="long " * 9)
        both.loc[both["trial"] == 3, "task"] += "end"
        figure = ak.plot.session_timeline(both)
        assert figure.layout.yaxis.tickvals == (0.5, 3.5, 6.5)
        assert figure.layout.yaxis.minor.tickvals == (2, 5)
        assert figure.layout.yaxis.minor.gridcolor == figure.layout.template.layout.yaxis.gridcolor
        assert figure.layout.yaxis.range == (8, -1)
        assert figure.layout.yaxis.ticktext[2] == "long long… end, trial 3"
        assert figure.data[0].text[-1] == "long long long long l…g long end, trial 3"

    def test_of_too_many_trials_the_first_of_the_session_are_drawn(self, movement):
        many = pd.concat([movement.assign(trial=50 - number, trial_order=number) for number in range(1, 50)])
        figure = ak.plot.session_timeline(many.iloc[::-1])
        assert figure.layout.yaxis.ticktext == tuple(f"trial {50 - number}" for number in range(1, 41))
        assert len(figure.data[0].x) == 40 * 4

    def test_kind_keeps_its_colour_beside_other_kinds(self, movement, keys):
        both, lone = (ak.plot.session_timeline(table).data[-1] for table in (pd.concat([movement, keys]), keys))
        assert both.name == lone.name == "keyboard"
        assert both.marker.color == lone.marker.color

    def test_trial_without_a_position_comes_last(self, movement):
        lost = movement.assign(trial=7, trial_order=pd.NA)
        figure = ak.plot.session_timeline(pd.concat([lost, movement]).astype({"trial_order": "Int64"}))
        assert figure.layout.yaxis.ticktext == ("trial 1", "trial 7")

    def test_all_kinds_of_a_result_are_drawn(self, result):
        figure = ak.plot.session_timeline(result, participant="1")
        assert [trace.name for trace in figure.data] == [kind.replace("_", " ") for kind in result.kinds]
        assert sum(len(trace.x) for trace in figure.data) == sum(
            len(result.events(kind, participant="1")) for kind in result.kinds
        )
        assert len({trace.marker.color for trace in figure.data}) == len(figure.data)


def test_every_class_of_keys_has_a_row():
    from analytics_kit.plot import timelines
    from analytics_kit.study.schema import keys

    assert set(timelines.KEY_CLASS_ROWS) == set(keys.KEY_CLASSES)
