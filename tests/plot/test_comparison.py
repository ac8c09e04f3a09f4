"""A metric by task and factor, and along the session."""

import numpy as np
import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError


@pytest.fixture
def trials():
    """Two participants, two tasks, two factors, one value missing."""
    rows = [
        (p, t, f, o) for p in "12" for o, (t, f) in enumerate([("A", "x"), ("A", "y"), ("B", "x"), ("B", "y")], 1)
    ]
    table = pd.DataFrame(rows, columns=["participant", "task", "factor", "trial_order"])
    table = table.astype({"trial_order": "Int64"})
    return table.assign(session=table["participant"], path_length_px=[10.0, 20, 30, 40, 30, 40, 50, np.nan], name="n")


class TestTaskComparison:
    def test_points_and_a_median_per_factor(self, trials):
        figure = ak.plot.task_comparison(trials, "path_length_px")
        assert [trace.name for trace in figure.data] == ["x", "x", "y", "y"]
        points, medians = figure.data[:2]
        assert points.y.tolist() == [10, 30, 30, 50]
        assert medians.y.tolist() == [20, 40]
        assert medians.error_y.arrayminus.tolist() == [5, 5]
        assert medians.error_y.array.tolist() == [5, 5]
        assert figure.data[0].marker.color != figure.data[2].marker.color
        assert figure.data[1].marker.symbol != figure.data[3].marker.symbol

    def test_the_bar_goes_from_one_quartile_to_the_other(self, trials):
        some = trials[(trials["task"] == "A") & (trials["factor"] == "x")]
        bar = ak.plot.task_comparison(pd.concat([some, some.head(1).assign(path_length_px=12.0)]), "path_length_px")
        median = bar.data[1]
        assert (median.y.tolist(), median.error_y.array.tolist(), median.error_y.arrayminus.tolist()) == (
            [12],
            [9],
            [1],
        )

    def test_tasks_are_the_groups_on_the_axis(self, trials):
        figure = ak.plot.task_comparison(trials, "path_length_px")
        assert figure.layout.xaxis.ticktext == ("A", "B")
        for trace in figure.data:
            assert np.abs(trace.x - np.round(trace.x)).max() < 0.5
        assert set(np.round(figure.data[0].x).astype(int)) == {0, 1}

    def test_notes_explain_the_bar_and_count_missing_values(self, trials, figure_text):
        text = figure_text(ak.plot.task_comparison(trials, "path_length_px"))
        assert "Path length by task" in text
        assert "7 trials large symbol: median; bar: quartiles" in text
        assert "1 trial without a value" in text

    def test_notes_name_the_selection(self, trials, figure_text):
        assert "participant 2, 2 tasks, 2 factors, 3 trials" in figure_text(
            ak.plot.task_comparison(trials, "path_length_px", participant="2")
        )
        assert "2 participants, A, 2 factors, 4 trials" in figure_text(
            ak.plot.learning_curve(trials, "path_length_px", task="A")
        )

    def test_by_another_column_without_a_factor(self, trials):
        figure = ak.plot.task_comparison(trials, "path_length_px", by="participant", factor=None)
        assert figure.layout.xaxis.ticktext == ("participant 1", "participant 2")
        assert [trace.y.tolist() for trace in figure.data] == [[10, 20, 30, 40, 30, 40, 50], [25, 40]]
        assert not figure.layout.showlegend

    def test_unknown_names_come_last(self, trials):
        trials.loc[0, "task"] = None
        figure = ak.plot.task_comparison(trials, "path_length_px")
        assert figure.layout.xaxis.ticktext == ("A", "B", "unknown task")
        assert np.round(figure.data[0].x).tolist() == [2, 1, 0, 1]

    def test_some_of_many_groups_are_labelled(self, trials):
        many = pd.concat([trials.assign(task=f"{number:02}") for number in range(41)])
        axis = ak.plot.task_comparison(many, "path_length_px").layout.xaxis
        assert axis.ticktext == tuple(f"{number:02}" for number in range(0, 41, 2))
        assert axis.tickvals.tolist() == list(range(0, 41, 2))

    def test_the_legend_switches_points_and_median_of_a_factor(self, trials):
        long = trials.assign(factor=trials["factor"].map({"x": "l" * 40 + "x", "y": "l" * 41 + "x"}))
        groups = [trace.legendgroup for trace in ak.plot.task_comparison(long, "path_length_px").data]
        assert groups[0] == groups[1] != groups[2] == groups[3]

    def test_columns_may_be_called_anything(self, trials):
        hostile = trials.rename(columns={"path_length_px": "<b>$x$</b>_px", "task": "<i>"})
        for figure in (
            ak.plot.task_comparison(hostile, "<b>$x$</b>_px", by="<i>"),
            ak.plot.learning_curve(hostile, "<b>$x$</b>_px"),
        ):
            assert figure.layout.yaxis.title.text == "&lt;b&gt;&#36;x&#36;&lt;/b&gt; (px)"
            assert not set("<>$") & set(figure.layout.title.text + figure.layout.xaxis.title.text)

    def test_long_names_that_begin_alike_stay_apart(self, trials):
        trials["task"] = trials["task"].map({"A": "long " * 20 + "a", "B": "long " * 20 + "b"})
        assert ak.plot.task_comparison(trials, "path_length_px").data[1].y.tolist() == [20, 40]

    def test_of_many_trials_some_are_drawn_and_all_count(self, trials, figure_text):
        many = pd.concat([trials] * 3_000, ignore_index=True)
        figure = ak.plot.task_comparison(many, "path_length_px")
        assert "every 3rd of 21,000 trials" in figure_text(figure)
        assert len(figure.data[0].x) + len(figure.data[2].x) == 7_000
        assert figure.data[1].customdata[:, 2].tolist() == [6_000, 6_000]

    def test_hover_carries_the_unit(self, trials):
        figure = ak.plot.task_comparison(trials, "path_length_px")
        assert all("%{y:,.4~g} px" in trace.hovertemplate for trace in figure.data)
        assert all("median of %{customdata[2]:,}" in trace.hovertemplate for trace in figure.data[1::2])

    def test_hover_names_the_trial(self, trials):
        points = ak.plot.task_comparison(trials.assign(trial=1), "path_length_px").data[0]
        assert points.text[:2].tolist() == ["participant 1, A, x", "participant 1, B, x"]
        assert points.hovertemplate.startswith("%{text}<br>")

    def test_single_point_has_the_x_of_its_median(self, trials):
        points, median = ak.plot.task_comparison(trials.head(1), "path_length_px").data
        assert points.x.tolist() == median.x.tolist() == [0]

    def test_many_symbols_are_smaller(self, trials):
        few, many = (
            ak.plot.task_comparison(table, "path_length_px").data
            for table in (trials, pd.concat([trials.assign(task=str(number)) for number in range(80)]))
        )
        assert few[0].marker.size > many[0].marker.size
        assert few[1].marker.size == 14
        assert many[1].marker.size == 6

    def test_a_metric_that_is_missing_everywhere(self, trials, figure_text):
        figure = ak.plot.task_comparison(trials.assign(path_length_px=np.nan), "path_length_px")
        assert "No trial has a path length." in figure_text(figure)

    def test_an_unknown_metric_is_an_error_with_the_nearest(self, result):
        with pytest.raises(
            SettingsError, match=r"no metric 'path_lenght_px' .* Did you mean 'path_length_px'\?\nHint: "
        ):
            ak.plot.task_comparison(result, "path_lenght_px")

    @pytest.mark.parametrize("metric", ["name", "trial_order", "task"])
    def test_column_of_names_is_no_metric(self, metric, trials):
        with pytest.raises(SettingsError, match=f"no metric '{metric}'"):
            ak.plot.task_comparison(trials, metric)

    def test_an_unknown_column_of_names_is_an_error_with_the_nearest(self, trials):
        with pytest.raises(SettingsError, match=r"'tsk'. Did you mean 'task'\?"):
            ak.plot.task_comparison(trials, "path_length_px", by="tsk")


class TestLearningCurve:
    def test_a_thin_line_per_participant_and_a_bold_median(self, trials):
        figure = ak.plot.learning_curve(trials, "path_length_px")
        assert [trace.name for trace in figure.data] == ["participant 1", "participant 2", "median"]
        one, two, median = figure.data
        assert (one.x.tolist(), one.y.tolist()) == ([1, 2, 3, 4], [10, 20, 30, 40])
        assert (two.x.tolist(), two.y.tolist()) == ([1, 2, 3], [30, 40, 50])
        assert (median.x.tolist(), median.y.tolist()) == ([1, 2, 3, 4], [20, 30, 40, 40])
        assert median.line.width > 3 * one.line.width
        assert median.line.color != one.line.color

    def test_ticks_are_whole_for_few_positions(self, trials):
        many = pd.concat([trials.assign(trial_order=number) for number in range(1, 30)])
        axes = [ak.plot.learning_curve(table, "path_length_px").layout.xaxis for table in (trials, many)]
        assert [axis.dtick for axis in axes] == [1, None]

    def test_trials_without_a_position_are_left_out_and_counted(self, trials, figure_text):
        trials.loc[0, "trial_order"] = pd.NA
        figure = ak.plot.learning_curve(trials, "path_length_px")
        assert figure.data[0].x.tolist() == [2, 3, 4]
        assert "2 trials without a value or a position" in figure_text(figure)

    def test_lines_go_along_the_session_and_median_is_no_mean(self, trials):
        third = trials.head(4).assign(participant="3", session="3", path_length_px=1_000.0)
        one, *_, median = ak.plot.learning_curve(pd.concat([trials, third]).iloc[::-1], "path_length_px").data[1:]
        assert one.x.tolist() == [1, 2, 3]
        assert median.y.tolist() == [30, 40, 50, 520]

    def test_sessions_of_unknown_participants_share_a_line(self, trials):
        trials.loc[4:, ["participant", "session"]] = None
        assert [trace.name for trace in ak.plot.learning_curve(trials, "path_length_px").data] == [
            "participant 1",
            "unknown participant",
            "median",
        ]

    def test_sessions_of_one_participant_are_lines_of_their_own(self, trials):
        figure = ak.plot.learning_curve(trials.assign(participant="1"), "path_length_px")
        assert [trace.name for trace in figure.data] == ["session 1", "session 2", "median"]

    def test_of_many_sessions_some_are_drawn(self, trials, figure_text):
        many = pd.concat([trials.assign(session=str(number)) for number in range(150)])
        figure = ak.plot.learning_curve(many, "path_length_px")
        assert len(figure.data) == 150 + 1
        assert "every 2nd of 300 sessions" in figure_text(figure)
        assert figure.data[-1].customdata.tolist() == [300, 300, 300, 150]

    def test_an_unknown_metric_is_an_error_with_the_nearest(self, trials):
        with pytest.raises(SettingsError, match=r"Did you mean 'path_length_px'\?"):
            ak.plot.learning_curve(trials, "path_length")
