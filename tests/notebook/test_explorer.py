"""The explorer shows the trial that is looked at, does what is pressed, and leaves words in the file."""

import gzip
import json
import re
from html import unescape

import pytest

from analytics_kit import explore, sample_study
from analytics_kit.errors import SettingsError
from analytics_kit.notebook.explorer_model import FIGURES
from tests.kernels import Kernel, shows
from tests.notebook.fake_results import TRIALS, Result
from tests.processes import until

HOSTILE = '"><script>alert(1)</script>'
SETUP = "import analytics_kit as ak\nresult = ak.process({path!r})"


class Page:
    """What a front end would get."""

    def __init__(self):
        self.shown, self.told = {"html": "", "said": ""}, []

    def send(self, content, buffers=None):
        self.told.append((content, buffers))

    def close(self):
        pass


@pytest.fixture
def page():
    return Page()


@pytest.fixture
def explorer(page):
    panel = explore(Result())
    panel._live = page
    yield panel
    panel.close()


def press(explorer, page, do, seen, **content):
    """Press or choose, and wait until the page shows `seen`."""
    explorer._hear({"do": do, **content}, ())
    until(lambda: seen in page.shown["html"], f"the page shows {seen}")


def offered(html, column):
    """The words of the options of a list, and those that are chosen."""
    options = re.search(f'<select data-ask="{column}".*?</select>', html)[0]
    return re.findall(r">([^<]+)</option>", options), re.findall(r"selected>([^<]+)<", options)


def figures(html):
    """What plotly is to draw, by name."""
    return {
        name: json.loads(unescape(figure))
        for name, figure in re.findall(r'data-key="(\w+)" data-figure="([^"]*)"', html)
    }


def test_it_shows_figures_metrics_and_the_code_of_the_first_trial(explorer):
    html = explorer._shows()["html"]
    assert list(figures(html)) == list(FIGURES)
    assert figures(html)["trajectory"]["data"]
    assert "participant 1, Form, Calm, trial 2: 1 of 6 trials" in html
    assert '<th scope="row">path length</th><td>1,235</td><td>px</td>' in html
    code = "ak.plot.trajectory(result, participant='1', task='Form', factor='Calm', trial=2)"
    assert code in unescape(html)


def test_the_words_of_figures_stand_beside_them(explorer):
    html = explorer._shows()["html"]
    assert "<figcaption><b>Pointer path</b>" in html
    for figure in figures(html).values():
        assert not figure["layout"].get("title", {}).get("text")
    heatmap = re.search(r"<figcaption><b>Where the pointer moved</b>(.*?)</figcaption>", html)[1]
    assert "movement rows" in heatmap
    assert "participant 1" not in heatmap


def test_steps_and_names_are_obeyed(explorer, page):
    press(explorer, page, "next", "2 of 6 trials")
    assert page.shown["said"] == explorer._text()
    press(explorer, page, "previous", "1 of 6 trials")
    press(explorer, page, "participant", "1 of 1 trial", value="1")
    assert "participant 2, Search, Calm, trial 1" in page.shown["html"]
    assert offered(page.shown["html"], "task") == (["all", "Search"], ["all"])
    assert offered(page.shown["html"], "participant")[1] == ["2"]
    press(explorer, page, "participant", "of 6 trials", value="")
    press(explorer, page, "participant", "1 of 2 trials", value="2")
    assert offered(page.shown["html"], "participant")[1] == ["unknown participant"]


def test_steps_end_at_the_ends(explorer, page):
    steps = re.findall(r'data-do="(\w+)"( aria-disabled="true")?', explorer._shows()["html"])
    assert [do for do, off in steps if off] == ["previous"]
    press(explorer, page, "participant", "1 of 1 trial", value="1")
    assert len(re.findall('aria-disabled="true"', page.shown["html"])) == 2


def test_figures_follow_the_theme(explorer, page):
    press(explorer, page, "theme", "#111111", value="dark")
    paper = figures(page.shown["html"])["trajectory"]["layout"]["template"]["layout"]["paper_bgcolor"]
    assert paper == "#111111"
    explorer._hear({"do": "theme", "value": "pink"}, ())
    assert explorer._theme == "dark"


def test_the_script_that_draws_is_sent_when_it_is_asked_for(explorer, page):
    assert page.told == []
    explorer._hear({"do": "plotly"}, ())
    [(told, [script])] = page.told
    assert told == {"plotly": True}
    assert b"plotly.js v" in gzip.decompress(script)[:100]


def test_the_record_has_words_and_metrics_and_nothing_that_moves(explorer):
    html = explorer._html()
    assert "participant 1, Form, Calm, trial 2: 1 of 6 trials" in html
    assert "<summary>2 metrics</summary>" in html
    assert "path length" in html
    assert not re.search("<button|<select|data-figure", html)
    assert html == explore(Result())._html()


def test_hostile_names_are_escaped():
    rows = [(HOSTILE, "1", HOSTILE, HOSTILE, 1, 1), *TRIALS[:1]]
    panel = explore(Result(rows))
    html = panel._shows()["html"] + panel._html()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert f"participant={HOSTILE!r}" in unescape(html)
    panel.close()


def test_a_result_without_trials_says_so():
    panel = explore(Result([]))
    for told in (panel._shows()["html"], panel._html(), repr(panel)):
        assert "There are no trials in this result." in told
    panel.close()


def test_a_name_that_no_trial_has_is_neither_told_nor_offered():
    panel = explore(Result([(None, "1", "Form", None, number, number) for number in (1, 2)]))
    assert panel._text() == "Form, trial 1: 1 of 2 trials"
    assert re.findall(r'<select data-ask="(\w+)"', panel._shows()["html"]) == ["trial"]
    panel.close()
    assert explore(Result([(None, "1", None, None, None, 1)]))._text() == "1 of 1 trial"


def test_a_choice_begins_the_panel_and_a_wrong_one_is_told():
    assert "3 of" not in repr(explore(Result(), participant="2"))
    assert (
        repr(explore(Result(), participant="2"))
        == "<ExplorerPanel of participant 2, Search, Calm, trial 1: 1 of 1 trial>"
    )
    with pytest.raises(SettingsError, match="no trial of participant 9"):
        explore(Result(), participant="9")


def test_an_unknown_wish_changes_nothing(explorer):
    before = explorer._text()
    explorer._hear({"do": "dance"}, ())
    assert explorer._text() == before


def test_a_kernel_shows_a_box_and_a_record_or_without_a_front_end_the_record(tmp_path):
    study = sample_study(tmp_path / "study.zip", participants=1, trials=1, trial_s=2)
    with Kernel(tmp_path) as kernel:
        kernel.do(SETUP.format(path=str(study)))
        live, static = (kernel.run("ak.explore(result)", cell="a", stdin=stdin) for stdin in (True, False))
        assert [kind for kind, _, _ in shows(live)] == ["view", "record"]
        assert [kind for kind, _, _ in shows(static)] == ["record"]
        [record] = [m["content"]["data"] for m in static if m["msg_type"] == "display_data"]
        assert "1 of 4 trials" in record["text/plain"]
