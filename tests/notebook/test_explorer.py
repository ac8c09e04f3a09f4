"""The explorer shows a trial, handles clicks and choices, and leaves a static record."""

import gzip
import json
import re
from html import unescape

import pytest

from analytics_kit import explore, sample_study
from analytics_kit.errors import SettingsError
from analytics_kit.notebook.explorer_model import FIGURES
from tests.kernels import Kernel, displays
from tests.notebook.fake_results import TRIALS, FakeResult
from tests.processes import until

HOSTILE = '"><script>alert(1)</script>'
SETUP = "import analytics_kit as ak\nresult = ak.process({path!r})"


class FakeWidget:
    """Keeps what a front end would get."""

    def __init__(self):
        self.content, self.sent = {"html": "", "announcement": ""}, []

    def send(self, content, buffers=None):
        self.sent.append((content, buffers))

    def close(self):
        pass


@pytest.fixture
def widget():
    return FakeWidget()


@pytest.fixture
def explorer(widget):
    panel = explore(FakeResult())
    panel._widget = widget
    yield panel
    panel.close()


def send(explorer, widget, action, expected, **content):
    """Send a message of the page, and wait until the widget shows `expected`."""
    explorer._on_message({"action": action, **content}, ())
    until(lambda: expected in widget.content["html"], f"the widget shows {expected}")


def offered(html, column):
    """Return the labels of a list, and those that are selected."""
    options = re.search(f'<select data-field="{column}".*?</select>', html)[0]
    return re.findall(r">([^<]+)</option>", options), re.findall(r"selected>([^<]+)<", options)


def figures(html):
    """Return the JSON of each figure by name."""
    return {
        name: json.loads(unescape(figure))
        for name, figure in re.findall(r'data-key="(\w+)" data-figure="([^"]*)"', html)
    }


def test_panel_shows_figures_metrics_and_code_of_the_first_trial(explorer):
    html = explorer._live_content()["html"]
    assert list(figures(html)) == list(FIGURES)
    assert figures(html)["trajectory"]["data"]
    assert "participant 1, Form, Calm, trial 2: 1 of 6 trials" in html
    assert '<th scope="row">path length</th><td>1,235</td><td>px</td>' in html
    code = "ak.plot.trajectory(result, participant='1', task='Form', factor='Calm', trial=2)"
    assert code in unescape(html)


def test_titles_and_notes_of_figures_are_in_captions(explorer):
    html = explorer._live_content()["html"]
    assert "<figcaption><b>Pointer path</b>" in html
    for figure in figures(html).values():
        assert not figure["layout"].get("title", {}).get("text")
    heatmap = re.search(r"<figcaption><b>Where the pointer moved</b>(.*?)</figcaption>", html)[1]
    assert "movement rows" in heatmap
    assert "participant 1" not in heatmap


def test_steps_and_choices_change_the_trial(explorer, widget):
    send(explorer, widget, "next", "2 of 6 trials")
    assert widget.content["announcement"] == explorer._record_text()
    send(explorer, widget, "previous", "1 of 6 trials")
    send(explorer, widget, "participant", "1 of 1 trial", value="1")
    assert "participant 2, Search, Calm, trial 1" in widget.content["html"]
    assert offered(widget.content["html"], "task") == (["all", "Search"], ["all"])
    assert offered(widget.content["html"], "participant")[1] == ["2"]
    send(explorer, widget, "participant", "of 6 trials", value="")
    send(explorer, widget, "participant", "1 of 2 trials", value="2")
    assert offered(widget.content["html"], "participant")[1] == ["unknown participant"]


def test_step_buttons_are_disabled_at_the_ends(explorer, widget):
    steps = re.findall(r'data-action="(\w+)"( aria-disabled="true")?', explorer._live_content()["html"])
    assert [do for do, off in steps if off] == ["previous"]
    send(explorer, widget, "participant", "1 of 1 trial", value="1")
    assert len(re.findall('aria-disabled="true"', widget.content["html"])) == 2


def test_figures_follow_the_theme(explorer, widget):
    send(explorer, widget, "theme", "#111111", value="dark")
    paper = figures(widget.content["html"])["trajectory"]["layout"]["template"]["layout"]["paper_bgcolor"]
    assert paper == "#111111"
    explorer._on_message({"action": "theme", "value": "pink"}, ())
    assert explorer._theme == "dark"


def test_plotly_script_is_sent_on_request(explorer, widget):
    assert widget.sent == []
    explorer._on_message({"action": "plotly"}, ())
    [(message, [script])] = widget.sent
    assert message == {"plotly": True}
    assert b"plotly.js v" in gzip.decompress(script)[:100]


def test_static_record_has_names_and_metrics_and_no_controls(explorer):
    html = explorer._record_html()
    assert "participant 1, Form, Calm, trial 2: 1 of 6 trials" in html
    assert "<summary>2 metrics</summary>" in html
    assert "path length" in html
    assert not re.search("<button|<select|data-figure", html)
    assert html == explore(FakeResult())._record_html()


def test_hostile_names_are_escaped():
    rows = [(HOSTILE, "1", HOSTILE, HOSTILE, 1, 1), *TRIALS[:1]]
    panel = explore(FakeResult(rows))
    html = panel._live_content()["html"] + panel._record_html()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert f"participant={HOSTILE!r}" in unescape(html)
    panel.close()


def test_panel_of_a_result_without_trials_has_a_message():
    panel = explore(FakeResult([]))
    for text in (panel._live_content()["html"], panel._record_html(), repr(panel)):
        assert "There are no trials in this result." in text
    panel.close()


def test_column_without_names_is_neither_shown_nor_offered():
    panel = explore(FakeResult([(None, "1", "Form", None, number, number) for number in (1, 2)]))
    assert panel._record_text() == "Form, trial 1: 1 of 2 trials"
    assert re.findall(r'<select data-field="(\w+)"', panel._live_content()["html"]) == ["trial"]
    panel.close()
    assert explore(FakeResult([(None, "1", None, None, None, 1)]))._record_text() == "1 of 1 trial"


def test_panel_opens_on_the_chosen_trial_and_an_impossible_choice_is_an_error():
    assert "3 of" not in repr(explore(FakeResult(), participant="2"))
    assert (
        repr(explore(FakeResult(), participant="2"))
        == "<ExplorerPanel of participant 2, Search, Calm, trial 1: 1 of 1 trial>"
    )
    with pytest.raises(SettingsError, match="no trial of participant 9"):
        explore(FakeResult(), participant="9")


def test_unknown_action_changes_nothing(explorer):
    before = explorer._record_text()
    explorer._on_message({"action": "dance"}, ())
    assert explorer._record_text() == before


def test_kernel_displays_box_and_record_and_without_a_front_end_only_the_record(tmp_path):
    study = sample_study(tmp_path / "study.zip", participants=1, trials=1, trial_s=2)
    with Kernel(tmp_path) as kernel:
        kernel.run_silently(SETUP.format(path=str(study)))
        live, static = (kernel.run("ak.explore(result)", cell="a", stdin=stdin) for stdin in (True, False))
        assert [kind for kind, _, _ in displays(live)] == ["view", "record"]
        assert [kind for kind, _, _ in displays(static)] == ["record"]
        [record] = [m["content"]["data"] for m in static if m["msg_type"] == "display_data"]
        assert "1 of 4 trials" in record["text/plain"]
