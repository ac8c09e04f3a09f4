"""Properties of every figure: units, themes, empty, single and million events, equal bytes, hostile names, errors."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError
from analytics_kit.plot import style

EVENT_FIGURES = {
    "trajectory": ("x (px)", "y (px), downwards"),
    "heatmap": ("x (px)", "y (px), downwards"),
    "speed_profile": ("time since the trial began (s)", "speed (px/s)"),
    "keystroke_timeline": ("time since the trial began (s)", None),
    "session_timeline": ("time since the trial began (s)", None),
}
TRIAL_FIGURES = {
    "task_comparison": ("task", "path length (px)"),
    "learning_curve": ("position of the trial in its session", "path length (px)"),
}
FIGURES = EVENT_FIGURES | TRIAL_FIGURES
HOSTILE = "<img src=x> & <b>$x^2$</b>"


def draw(name, source, **selection):
    arguments = ("path_length_px",) if name in TRIAL_FIGURES else ()
    return getattr(ak.plot, name)(source, *arguments, **selection)


def contrast(one, other):
    """Return the contrast ratio of WCAG 2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def blend(colour, paper, opacity):
    mixed = [round(opacity * int(a[i : i + 2], 16) + (1 - opacity) * int(b[i : i + 2], 16))
             for a, b in [(colour, paper)] for i in (1, 3, 5)]  # fmt: skip
    return "#" + "".join(f"{part:02x}" for part in mixed)


def colours(value):
    """Return all colours in a figure's JSON."""
    return set(re.findall(r'"(#[0-9a-f]{6})"', value))


def test_public_figures_are_these():
    assert set(ak.plot.__all__) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_axes_carry_units(name, result):
    figure = draw(name, result)
    assert isinstance(figure, go.Figure)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == FIGURES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_hover_has_a_value_for_each_point(name, result):
    for trace in draw(name, result).data:
        for field in ("text", "customdata"):
            if f"%{{{field}" in trace.hovertemplate:  # one text for all points would be shown as "-"
                assert len(trace[field]) == len(trace.x)
                assert not isinstance(trace[field], str)
        if "%{fullData.name}" in trace.hovertemplate:
            assert trace.name


@pytest.mark.parametrize("name", FIGURES)
def test_title_and_notes_end_above_legend_and_axes(name, result):
    layout = draw(name, result).layout
    assert (layout.title.y, layout.title.yref, layout.title.yanchor) == (1, "container", "top")
    lines = layout.title.subtitle.text.count("<br>") + 1
    legend_px = style.LEGEND_PX if layout.legend.orientation == "h" else 0
    assert layout.margin.t >= layout.title.pad.t + layout.title.font.size + 16 * lines + legend_px + 20


@pytest.mark.parametrize("name", FIGURES)
def test_numbers_are_written_out_and_titles_keep_clear_of_them(name, result):
    template = draw(name, result).layout.template.layout
    for axis in (template.xaxis, template.yaxis):
        assert (axis.exponentformat, axis.separatethousands, axis.automargin) == ("none", True, True)
        assert axis.title.standoff > 0  # without it plotly leaves the title where it is, and long numbers run into it


def test_notes_break_between_notes_and_within_one_only_where_it_is_long():
    figure = style.figure([], "", ["a" * 80, "", "b", "c d e f g h", "i " * 60], style.PALETTES["light"])
    lines = figure.layout.title.subtitle.text.split("<br>")
    assert lines[0] == f"{'a' * 80} · b"
    assert lines[1].startswith("c d e f g h · i i i")
    assert max(map(len, lines)) <= style.NOTE_LINE_LENGTH


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_give_the_same_bytes(name, result):
    assert draw(name, result).to_json() == draw(name, result).to_json()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("theme", style.PALETTES)
def test_every_colour_stands_out_from_the_paper(name, theme, result):
    figure = draw(name, result, theme=theme)
    palette = style.PALETTES[theme]
    assert figure.layout.template.layout.paper_bgcolor == palette.paper
    used = colours(figure.to_json()) - {palette.paper, palette.grid}
    assert used
    for colour in used:
        assert contrast(colour, palette.paper) >= 3, colour
    for trace in figure.data:
        if (trace.opacity or 1) < 1:
            assert contrast(blend(trace.line.color, palette.paper, trace.opacity), palette.paper) >= 3


@pytest.mark.parametrize("theme", style.PALETTES)
def test_text_is_readable_and_no_two_of_many_categories_look_the_same(theme):
    palette = style.PALETTES[theme]
    assert contrast(palette.ink, palette.paper) > 7
    assert len({tuple(style.category_marker(palette, number).values()) for number in range(28)}) == 28


@pytest.mark.parametrize("name", FIGURES)
def test_empty_selection_gives_a_figure_with_a_message(name, result, figure_text):
    figure = draw(name, result, participant="nobody")
    assert not figure.data
    assert re.search(r"(There (are|is) no|No trial) ?.*of participant nobody", figure_text(figure))


@pytest.mark.parametrize("name", EVENT_FIGURES)
def test_an_empty_table_gives_an_empty_figure(name, result, figure_text):
    figure = draw(name, result.events("mouse_movement").head(0).assign(key_class=pd.array([], dtype="str")))
    assert not figure.data
    assert re.search(r"There (are|is) no ", figure_text(figure))


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_names_are_shown_as_they_are(name, result):
    hostile = dict.fromkeys(["participant", "task", "factor"], HOSTILE)
    if name in TRIAL_FIGURES:
        source = result.trials.assign(**hostile)
    else:
        kinds = {kind: result.events(kind) for kind in result.kinds}
        source = pd.concat([table.assign(kind=kind, **hostile) for kind, table in kinds.items()])
    figure = draw(name, source, participant=HOSTILE)
    texts = json.dumps(figure.to_plotly_json(), default=lambda value: getattr(value, "tolist", lambda: str(value))())
    assert "&lt;img" in texts or name in ("learning_curve",)
    assert "<img" not in texts
    assert "<b>" not in texts
    assert "$" not in texts


@pytest.mark.parametrize("name", FIGURES)
def test_a_hostile_selection_without_events_is_escaped(name, result, figure_text):
    assert "<b>" not in figure_text(draw(name, result, participant="<b>x</b>"))


@pytest.mark.parametrize("name", FIGURES)
def test_an_unknown_theme_is_an_error_with_the_nearest(name, result):
    with pytest.raises(SettingsError, match=r"no theme 'drak'. Did you mean 'dark'\?\nHint: Themes: light, dark"):
        draw(name, result, theme="drak")


@pytest.mark.parametrize("name", FIGURES)
def test_other_source_is_an_error(name):
    with pytest.raises(SettingsError, match=r"list.\nHint: Give a StudyResult"):
        draw(name, [1, 2])


@pytest.mark.parametrize("name", EVENT_FIGURES)
def test_a_table_without_time_is_an_error_with_the_nearest(name, movement):
    with pytest.raises(SettingsError, match="no column 't_s'"):
        draw(name, movement.rename(columns={"t_s": "time"}))


@pytest.mark.parametrize("name", EVENT_FIGURES)
def test_an_unknown_kind_is_an_error_with_the_nearest(name, movement):
    with pytest.raises(SettingsError, match=r"'mouse_movements'. Did you mean 'mouse_movement'\?"):
        draw(name, movement.assign(kind="mouse_movements"))


@pytest.mark.parametrize("name", ["trajectory", "heatmap", "session_timeline"])
def test_one_event_is_drawn(name, movement):
    figure = draw(name, movement.head(1))
    assert len(figure.data) == 1


def test_one_event_has_no_speed(movement, figure_text):
    assert "no pointer movement to compute a speed from" in figure_text(draw("speed_profile", movement.head(1)))


@pytest.mark.parametrize("name", FIGURES)
def test_real_logs_are_drawn(name, shared_data, tmp_path):
    from tests.study.make_study import Studies

    source = shared_data / "kh2017_fulcrum" / "zips" / "10_participant_session.zip"
    result = Studies(tmp_path).process(str(source))
    if name == "keystroke_timeline":
        assert "keyboard" not in result.kinds
        assert not draw(name, result).data
    else:
        assert draw(name, result).data


@pytest.mark.parametrize(
    ("name", "note", "most"),
    [
        ("trajectory", "every 100th of 1,000,000 movement rows", 10_300),
        ("speed_profile", "every 2nd of 300 trials the fastest and the slowest of every 100 steps", 10_300),
        ("session_timeline", "the first 40 of 300 trials", 5_000),
    ],
)
def test_of_a_million_events_some_are_drawn_and_a_note_states_which(name, note, most, million, figure_text):
    figure = draw(name, million)
    assert note in figure_text(figure)
    assert most / 2 < sum(len(trace.x) for trace in figure.data) <= most


def test_a_heatmap_counts_all_of_a_million(million):
    assert np.nansum(draw("heatmap", million).data[0].z) == 1_000_000


def test_the_examples_of_the_readme_draw_something(result):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    lines = re.search(r"## Figures.*?```python\n(.*?)```", text, re.DOTALL).group(1).splitlines()
    names = {"ak": ak, "result": result}
    exec(lines[0], names)  # noqa: S102
    assert [re.match(r"ak\.plot\.(\w+)", line).group(1) for line in lines[1:]] == list(FIGURES)
    assert all(eval(line, names).data for line in lines[1:])  # noqa: S307


class TestSelection:
    def test_values_can_be_lists_and_numbers_as_text(self, result, figure_text):
        one = draw("speed_profile", result, participant=1, trial=["1", 2])
        assert len(one.data) == len(result.trials.query("participant == '1' and trial in (1, 2)"))

    @pytest.mark.parametrize("kind", [list, tuple, set, pd.Series, pd.Index, pd.array, np.array, dict.fromkeys])
    def test_values_can_be_any_collection(self, kind, movement):
        assert len(draw("trajectory", movement, participant=kind(["1", "2"])).data[0].x) == 4

    def test_a_table_is_filtered_as_a_result_is(self, result):
        table = result.events("mouse_movement")
        choice = {"participant": "2", "task": "Search", "trial": 3}
        assert draw("heatmap", table, **choice).to_json() == draw("heatmap", result, **choice).to_json()

    def test_na_selects_unknown_names(self, movement):
        both = pd.concat([movement, movement.head(2).assign(participant=None)])
        assert len(draw("trajectory", both, participant=pd.NA).data[0].x) == 2
        assert len(draw("trajectory", both, participant="1").data[0].x) == 4
        assert len(draw("trajectory", both, participant=["1", pd.NA]).data[0].x) == 4 + 1 + 2

    def test_na_selects_unknown_names_of_a_result(self, movement):
        class Lone:
            trials = movement.head(1)
            kinds = ("mouse_movement",)

            def events(self, kind, **choice):
                assert choice == {"task": ["Search"]}
                return pd.concat([movement, movement.head(2).assign(participant=None)]).drop(columns="kind")

        assert len(draw("trajectory", Lone(), participant=pd.NA, task="Search").data[0].x) == 2

    def test_a_missing_column_is_an_error(self, movement):
        with pytest.raises(SettingsError, match="no column 'factor'"):
            draw("trajectory", movement.drop(columns="factor"), factor="Calm")
