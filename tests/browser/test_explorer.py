"""Does the explorer draw a trial, step and choose by mouse and by keyboard, and leave its words behind?"""

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
def explored(sheet, study):
    """A page with an explorer whose figures are drawn, and a second cell."""
    sheet.write(SETUP.format(path=str(study)), "import time\ntime.sleep(0)")
    sheet.open()
    sheet.run_all()
    drawn(sheet)
    return sheet


def drawn(sheet):
    """Wait until plotly has drawn all figures."""
    expect(sheet.page.locator(f"{EXPLORER} figure .main-svg:first-child")).to_have_count(FIGURES, timeout=30_000)


def title(sheet):
    """The name of the trial and its place."""
    return sheet.page.locator(f"{EXPLORER} .ak-head")


def papers(sheet):
    """The colours that figures are drawn on."""
    script = "all => all.map(each => each.style.background)"
    return set(sheet.page.locator(f"{EXPLORER} figure .main-svg:first-child").evaluate_all(script))


def choose(sheet, column, word):
    """Choose a name in one of the lists."""
    names(sheet, column).select_option(label=word)


def names(sheet, column):
    """The list of names of a column."""
    return sheet.page.locator(f"{EXPLORER} select[data-ask={column}]")


def test_trials_are_chosen_and_stepped_through_by_keyboard_also_while_a_cell_runs(explored):
    sheet = explored
    expect(title(sheet)).to_have_text("participant 1, Search, Baseline, trial 1: 1 of 8 trials")
    sheet.page.get_by_role("button", name="Next").focus()
    for key in "dd":  # deletes a cell where the notebook hears it
        sheet.page.keyboard.press(key)
    sheet.page.keyboard.press("ArrowRight")
    expect(title(sheet)).to_contain_text("2 of 8 trials")
    expect(sheet.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
    choose(sheet, "participant", "2")
    expect(title(sheet)).to_contain_text("1 of 4 trials")
    choose(sheet, "task", "Fill_Form")
    expect(title(sheet)).to_contain_text("participant 2, Fill_Form")
    expect(title(sheet)).to_contain_text("1 of 2 trials")
    before = sheet.page.locator(f"{EXPLORER} [data-key=trajectory][data-figure]").get_attribute("data-figure")
    sheet.replace(1, "import time\nfor _ in range(600):\n    time.sleep(0.1)")
    sheet.run_cell(1)
    expect(sheet.cell(1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    sheet.page.get_by_role("button", name="Next").focus()
    sheet.page.keyboard.press("ArrowRight")
    expect(title(sheet)).to_contain_text("2 of 2 trials")
    expect(sheet.page.locator(f"{EXPLORER} .ak-say")).to_contain_text("2 of 2 trials")
    expect(sheet.page.get_by_role("button", name="Next")).to_be_disabled()
    assert sheet.prompt(1) == "[*]:"
    after = sheet.page.locator(f"{EXPLORER} [data-key=trajectory][data-figure]").get_attribute("data-figure")
    assert before != after
    sheet.page.keyboard.press("ArrowLeft")
    expect(title(sheet)).to_contain_text("1 of 2 trials")
    choose(sheet, "participant", "all")
    expect(title(sheet)).to_contain_text("of 4 trials")
    assert names(sheet, "task").locator("option:checked").inner_text() == "Fill_Form"


def test_figures_follow_the_theme_and_words_outlive_the_kernel(explored):
    sheet = explored
    for theme, paper in (("dark", "rgb(17, 17, 17)"), ("light", "rgb(255, 255, 255)")):
        sheet.theme(theme)
        sheet.page.wait_for_function(
            "([all, paper]) => [...document.querySelectorAll(all)].every(each => each.style.background === paper)",
            arg=[f"{EXPLORER} figure .main-svg:first-child", paper],
        )
        assert papers(sheet) == {paper}
        sheet.shot(f"explorer-{theme}", sheet.page.locator(EXPLORER))
        assert sheet.axe(EXPLORER) == [], theme
    sheet.page.get_by_role("button", name="Next").click()
    expect(title(sheet)).to_contain_text("2 of 8 trials")
    sheet.save()
    sheet.reload()
    drawn(sheet)
    expect(title(sheet)).to_contain_text("2 of 8 trials")
    expect(sheet.page.locator(f"{EXPLORER} .ak-note")).to_contain_text("until the cell is run again.")
    sheet.restart_kernel()
    record = sheet.page.locator(".ak-record")
    expect(record).to_be_visible()
    expect(record).to_contain_text("2 of 8 trials")
    expect(sheet.page.locator(EXPLORER)).to_be_hidden()
    record.locator("summary").click()
    expect(record).to_contain_text("path length")
    assert sheet.broken() == []
    sheet.run_cell(0)
    drawn(sheet)
