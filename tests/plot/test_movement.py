"""Path, heatmap and speed: what is drawn where, in which colour and symbol."""

import numpy as np
import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError
from analytics_kit.plot.movement import PAUSE_THRESHOLD_S


@pytest.fixture
def busy(movement, events):
    """Movement, a click and a scroll of one trial."""
    clicks = events("mouse_clicks", [(0.15, 130, 120, "press"), (0.17, 130, 120, "release")])
    return pd.concat([movement, clicks, events("mouse_scrolls", [(0.25, 130, 150)])])


class TestTrajectory:
    def test_movement_press_release_and_scroll_have_a_trace_each(self, busy):
        figure = ak.plot.trajectory(busy)
        assert [trace.name for trace in figure.data] == ["movement", "press", "release", "scroll"]
        path, press, release, scroll = figure.data
        assert path.x.tolist() == [100, 130, 130, 130]
        assert path.y.tolist() == [100, 100, 140, 190]
        assert (press.x.tolist(), press.y.tolist()) == ([130], [120])
        assert (scroll.x.tolist(), scroll.y.tolist()) == ([130], [150])
        assert len({trace.marker.symbol for trace in (path, press, release, scroll)}) == 4

    def test_colour_is_the_time_since_the_trial_began(self, movement):
        marker = ak.plot.trajectory(movement).data[0].marker
        assert marker.color.tolist() == [0.0, 0.1, 0.2, 0.3]
        assert (marker.cmin, marker.cmax) == (0, 0.3)
        assert marker.colorbar.title.text == "time (s)"
        late = ak.plot.trajectory(movement.assign(t_s=movement["t_s"] + 5)).data[0].marker
        assert (late.cmin, late.cmax) == (0, 5.3)

    def test_y_grows_downwards_and_scales_are_equal(self, movement):
        figure = ak.plot.trajectory(movement)
        low, high = figure.layout.yaxis.range
        assert low > 190 > 100 > high
        assert figure.layout.yaxis.scaleanchor == "x"
        assert figure.layout.yaxis.scaleratio == 1

    def test_area_is_the_bounding_box_of_the_events(self, busy, figure_text):
        figure = ak.plot.trajectory(busy)
        box = figure.layout.shapes[0]
        assert (box.x0, box.y0, box.x1, box.y1) == (100, 100, 130, 190)
        assert "bounding box of the events" in figure_text(figure)

    def test_invalid_coordinate_does_not_widen_the_area(self, movement, figure_text):
        movement.loc[2, "x_px"] = 65_535
        for figure in (ak.plot.trajectory(movement), ak.plot.heatmap(movement)):
            box = figure.layout.shapes[0]
            assert (box.x0, box.y0, box.x1, box.y1) == (100, 100, 130, 190)
            assert "1 of 4 events lie outside the screen" in figure_text(figure)
        assert ak.plot.trajectory(movement.loc[[2]]).layout.shapes[0].x0 == 65_535

    def test_screen_is_the_area_and_a_note_counts_events_outside(self, busy, figure_text):
        figure = ak.plot.trajectory(busy, screen=(1920, 140))
        box = figure.layout.shapes[0]
        assert (box.x0, box.y0, box.x1, box.y1) == (0, 0, 1920, 140)
        assert "screen, 1920 by 140 px" in figure_text(figure)
        assert "2 of 7 events lie outside the screen" in figure_text(figure)
        assert "outside" not in figure_text(ak.plot.trajectory(busy, screen=(1920, 1080)))

    @pytest.mark.parametrize("screen", [(1920,), "big", (0, 10), (float("nan"), 10), 5, (1, 2, 3)])
    def test_invalid_screen_is_an_error(self, screen, movement):
        with pytest.raises(SettingsError, match=r"screen can't be .*\nHint: Give its width and height in px"):
            ak.plot.trajectory(movement, screen=screen)

    def test_the_path_is_broken_between_trials(self, movement):
        both = pd.concat([movement, movement.assign(trial=2)])
        path = ak.plot.trajectory(both).data[0]
        assert np.isnan(path.x).tolist() == [False] * 4 + [True] + [False] * 4
        assert path.text.tolist() == ["trial 1"] * 4 + [""] + ["trial 2"] * 4
        assert ak.plot.trajectory(movement).data[0].text is None

    def test_rows_are_drawn_in_the_order_of_time(self, movement):
        assert ak.plot.trajectory(movement.iloc[::-1]).data[0].y.tolist() == [100, 100, 140, 190]

    def test_rows_without_time_or_position_are_left_out(self, movement):
        movement.loc[1, "x_px"] = np.nan
        movement.loc[2, "t_s"] = np.nan
        assert ak.plot.trajectory(movement).data[0].y.tolist() == [100, 190]

    def test_clicks_without_movement(self, busy, figure_text):
        figure = ak.plot.trajectory(busy[busy["kind"] == "mouse_clicks"].drop(columns="kind"))
        assert [trace.name for trace in figure.data] == ["press", "release"]
        assert "no movement" in figure_text(figure)

    def test_many_marks_are_smaller_and_of_too_many_every_nth_is_drawn(self, events, figure_text):
        presses = events("mouse_clicks", [(0.1 * i, 100, 100, "press") for i in range(2_001)])
        few, many = (ak.plot.trajectory(presses.head(n)).data[0].marker.size for n in (100, 101))
        assert few > many
        figure = ak.plot.trajectory(presses)
        assert len(figure.data[0].x) == 1_001
        assert "every 2nd of 2,001 press events" in figure_text(figure)

    def test_other_action_is_drawn_as_a_click(self, busy):
        busy["action"] = busy["action"].replace({"press": "double"})
        assert [trace.name for trace in ak.plot.trajectory(busy).data] == ["movement", "release", "click", "scroll"]

    def test_notes_name_the_trial(self, busy, figure_text):
        assert "participant 1, Search, Calm, trial 1" in figure_text(ak.plot.trajectory(busy))

    def test_hover_carries_units(self, busy):
        for trace in ak.plot.trajectory(busy).data:
            assert all(
                unit in trace.hovertemplate for unit in ("x %{x:.0f} px", "y %{y:.0f} px", "%{customdata:.2f} s")
            )


class TestHeatmap:
    def test_rows_are_counted_in_square_cells(self, movement):
        trace = ak.plot.heatmap(movement, bins=3).data[0]
        assert (trace.dx, trace.dy) == (30, 30)
        assert (trace.x0, trace.y0) == (115, 115)
        assert np.array_equal(trace.z, [[2], [1], [1]])

    def test_cells_without_a_row_are_blank(self, movement):
        trace = ak.plot.heatmap(movement, bins=9).data[0]
        assert np.nansum(trace.z) == 4
        assert np.isnan(trace.z).sum() == trace.z.size - 4

    def test_a_screen_sets_the_cells_and_leaves_out_what_lies_outside(self, movement, figure_text):
        figure = ak.plot.heatmap(movement, bins=8, screen=(160, 120))
        assert figure.data[0].z.shape == (6, 8)
        assert np.nansum(figure.data[0].z) == 2
        assert "2 of 4 events lie outside the screen" in figure_text(figure)
        beyond = ak.plot.heatmap(movement, bins=5, screen=(160, 130))  # its last cells reach further than the screen
        assert np.nansum(beyond.data[0].z) == 2

    def test_notes_explain_what_a_cell_counts(self, movement, figure_text):
        figure = ak.plot.heatmap(movement, bins=3)
        assert "a cell of 30 by 30 px counts movement rows: travel, not time spent" in figure_text(figure)
        assert figure.data[0].colorbar.title.text == "movement rows"

    def test_colour_scale_starts_at_zero_with_whole_ticks_for_few_rows(self, movement):
        trace = ak.plot.heatmap(movement, bins=3).data[0]
        assert (trace.zmin, trace.zmax) == (0, 2)
        assert trace.colorbar.dtick == 1
        many = ak.plot.heatmap(pd.concat([movement] * 10), bins=3).data[0]
        assert (many.zmax, many.colorbar.dtick) == (20, None)

    def test_no_cell_is_smaller_than_a_pixel(self, movement, figure_text):
        figure = ak.plot.heatmap(movement.head(1))
        assert (figure.data[0].dx, figure.data[0].z.tolist()) == (1, [[1]])
        assert "a cell of 1 by 1 px" in figure_text(figure)

    def test_large_cells_are_written_out(self, movement, figure_text):
        assert "a cell of 1,092.3 by 1,092.3 px" in figure_text(ak.plot.heatmap(movement, screen=(65_536, 100)))

    def test_y_grows_downwards(self, movement):
        low, high = ak.plot.heatmap(movement).layout.yaxis.range
        assert low > high

    @pytest.mark.parametrize("bins", [0, 1001, 2.5, "many"])
    def test_invalid_number_of_cells_is_an_error(self, bins, movement):
        with pytest.raises(SettingsError, match=r"bins can't be .*\nHint: Give a whole number from 1 to 1,000"):
            ak.plot.heatmap(movement, bins=bins)


class TestSpeedProfile:
    def test_a_step_has_its_speed_at_the_middle_of_its_time(self, movement):
        line = ak.plot.speed_profile(movement).data[0]
        assert line.x == pytest.approx([0.05, 0.15, 0.25])
        assert line.y == pytest.approx([300, 400, 500])

    def test_of_rows_with_equal_times_the_last_counts(self, events):
        rows = [(0.0, 9, 9), (0.0, 0, 0), (0.1, 99, 0), (0.1, 30, 40)]
        assert ak.plot.speed_profile(events("mouse_movement", rows)).data[0].y == pytest.approx([500])

    def test_the_peak_is_the_metric_of_the_trial(self, result):
        trial = result.trials.iloc[5]
        choice = {name: trial[name] for name in ("participant", "task", "factor", "trial")}
        line = ak.plot.speed_profile(result, **choice).data[0]
        assert line.y.max() == pytest.approx(trial["speed_max_px_s"])
        assert line.x[line.y.argmax()] == pytest.approx(trial["speed_max_time_s"])

    def test_a_thin_translucent_line_per_trial(self, result, figure_text):
        figure = ak.plot.speed_profile(result)
        assert len(figure.data) == len(result.trials) == 24
        assert {(trace.line.width, trace.opacity) for trace in figure.data} == {(1, 0.7)}
        assert "without" not in figure_text(figure)

    def test_trials_without_a_speed_are_counted(self, movement, figure_text):
        both = pd.concat([movement, movement.head(1).assign(trial=2)])
        assert "2 trials · 1 trial without a speed" in figure_text(ak.plot.speed_profile(both))

    def test_pause_threshold_is_the_default_of_idle_gap_s(self):
        assert ak.Options().idle_gap_s == PAUSE_THRESHOLD_S

    def test_pause_is_drawn_flat(self, events):
        rows = [(0.0, 0, 0), (0.1, 30, 0), (0.5, 30, 8), (0.6, 30, 48)]
        line = ak.plot.speed_profile(events("mouse_movement", rows)).data[0]
        assert line.x == pytest.approx([0.05, 0.1, 0.5, 0.55])
        assert line.y == pytest.approx([300, 20, 20, 400])

    def test_tenth_of_a_second_is_no_pause_in_spite_of_rounding(self, events):
        assert 1.1 - 1.0 > 0.1
        assert len(ak.plot.speed_profile(events("mouse_movement", [(1.0, 0, 0), (1.1, 9, 9)])).data[0].x) == 1

    def test_no_step_goes_from_one_trial_to_the_next(self, movement):
        both = pd.concat([movement, movement.assign(trial=2)])
        assert [len(trace.x) for trace in ak.plot.speed_profile(both).data] == [3, 3]

    def test_peaks_and_pauses_stay_when_points_are_left_out(self, figure_text):
        time_s, x_px = np.arange(30_000) * 0.01, np.arange(30_000) * 10.0
        time_s[20_001:] += 5
        x_px[10_001:] += 90
        figure = ak.plot.speed_profile(pd.DataFrame({"t_s": time_s, "x_px": x_px, "y_px": 0.0}))
        line = figure.data[0]
        assert "the fastest and the slowest of every 6 steps" in figure_text(figure)
        assert 9_000 < len(line.x) < 10_010
        assert (line.y.max(), line.y.min()) == pytest.approx((10_000, 10 / 5.01))
        assert line.x[line.y.argmax()] == pytest.approx(100.005)
        assert line.x[line.y == line.y.min()] == pytest.approx([200, 205.01])
