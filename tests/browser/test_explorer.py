"""The explorer in a browser: it draws a trial, steps and chooses by mouse and keyboard, and leaves a record."""

import pytest
from playwright.sync_api import expect

import analytics_kit as ak

EXPLORER = ".ak-live.ak-explorer"
FIGURES = 5
SETUP = "import analytics_kit as ak\nresult = ak.process({path!r})\nak.explore(result)"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two participants with two tasks and two factors, eight trials."""
    return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1, trial_s=5)


@pytest.fixture
def explorer(notebook_page, study):
    """A notebook with an explorer whose figures are drawn, and a second cell."""
    notebook_page.write(SETUP.format(path=str(study)), "import time\ntime.sleep(0)")
    notebook_page.open()
    notebook_page.run_all()
    await_figures(notebook_page)
    return notebook_page


def await_figures(notebook_page):
    """Wait until plotly has drawn all figures."""
    expect(notebook_page.page.locator(f"{EXPLORER} figure .main-svg:first-child")).to_have_count(
        FIGURES, timeout=30_000
    )


def title(notebook_page):
    """The name of the trial and its position."""
    return notebook_page.page.locator(f"{EXPLORER} .ak-head")


def paper_colours(notebook_page):
    """The background colours of the figures."""
    script = "all => all.map(each => each.style.background)"
    return set(notebook_page.page.locator(f"{EXPLORER} figure .main-svg:first-child").evaluate_all(script))


def choose(notebook_page, column, label):
    """Choose a name in one of the lists."""
    name_list(notebook_page, column).select_option(label=label)


def name_list(notebook_page, column):
    """The list of names of a column."""
    return notebook_page.page.locator(f"{EXPLORER} select[data-field={column}]")


def test_trials_are_chosen_and_stepped_through_by_keyboard_while_a_cell_runs(explorer):
    notebook_page = explorer
    expect(title(notebook_page)).to_have_text("participant 1, Search, Baseline, trial 1: 1 of 8 trials")
    notebook_page.page.get_by_role("button", name="Next").focus()
    for key in "dd":  # would delete a cell if the notebook got it
        notebook_page.page.keyboard.press(key)
    notebook_page.page.keyboard.press("ArrowRight")
    expect(title(notebook_page)).to_contain_text("2 of 8 trials")
    expect(notebook_page.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
    choose(notebook_page, "participant", "2")
    expect(title(notebook_page)).to_contain_text("1 of 4 trials")
    choose(notebook_page, "task", "Fill_Form")
    expect(title(notebook_page)).to_contain_text("participant 2, Fill_Form")
    expect(title(notebook_page)).to_contain_text("1 of 2 trials")
    before = notebook_page.page.locator(f"{EXPLORER} [data-key=trajectory][data-figure]").get_attribute("data-figure")
    notebook_page.replace(1, "import time\nfor _ in range(600):\n    time.sleep(0.1)")
    notebook_page.run_cell(1)
    expect(notebook_page.cell(1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    notebook_page.page.get_by_role("button", name="Next").focus()
    notebook_page.page.keyboard.press("ArrowRight")
    expect(title(notebook_page)).to_contain_text("2 of 2 trials")
    expect(notebook_page.page.locator(f"{EXPLORER} .ak-announcement")).to_contain_text("2 of 2 trials")
    expect(notebook_page.page.get_by_role("button", name="Next")).to_be_disabled()
    assert notebook_page.prompt(1) == "[*]:"
    after = notebook_page.page.locator(f"{EXPLORER} [data-key=trajectory][data-figure]").get_attribute("data-figure")
    assert before != after
    notebook_page.page.keyboard.press("ArrowLeft")
    expect(title(notebook_page)).to_contain_text("1 of 2 trials")
    choose(notebook_page, "participant", "all")
    expect(title(notebook_page)).to_contain_text("of 4 trials")
    assert name_list(notebook_page, "task").locator("option:checked").inner_text() == "Fill_Form"


def test_figures_follow_the_theme_and_the_record_outlives_the_kernel(explorer):
    notebook_page = explorer
    for theme, paper in (("dark", "rgb(17, 17, 17)"), ("light", "rgb(255, 255, 255)")):
        notebook_page.theme(theme)
        notebook_page.page.wait_for_function(
            "([all, paper]) => [...document.querySelectorAll(all)].every(each => each.style.background === paper)",
            arg=[f"{EXPLORER} figure .main-svg:first-child", paper],
        )
        assert paper_colours(notebook_page) == {paper}
        notebook_page.screenshot(f"explorer-{theme}", notebook_page.page.locator(EXPLORER))
        assert notebook_page.axe(EXPLORER) == [], theme
    notebook_page.page.get_by_role("button", name="Next").click()
    expect(title(notebook_page)).to_contain_text("2 of 8 trials")
    expect(notebook_page.page.locator(".ak-record")).to_contain_text("2 of 8 trials")  # it follows within a second
    notebook_page.save()
    notebook_page.reload()
    await_figures(notebook_page)
    expect(title(notebook_page)).to_contain_text("2 of 8 trials")
    expect(notebook_page.page.locator(f"{EXPLORER} .ak-note")).to_contain_text("until the cell is run again.")
    notebook_page.restart_kernel()
    record = notebook_page.page.locator(".ak-record")
    expect(record).to_be_visible()
    expect(record).to_contain_text("2 of 8 trials")
    expect(notebook_page.page.locator(EXPLORER)).to_be_hidden()
    record.locator("summary").click()
    expect(record).to_contain_text("path length")
    assert notebook_page.broken_outputs() == []
    notebook_page.run_cell(0)
    await_figures(notebook_page)
