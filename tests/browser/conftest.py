"""What tests in a browser share: a Chromium, a server per file, a page per test, and what must not happen in it."""

import itertools
import re
from pathlib import Path

import pytest
from chromium import chromium
from lab import Lab
from sheet import WINDOW, Sheet
from staged import GO, Stage

import analytics_kit as ak

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_names, _seeds = itertools.count(), itertools.count(100)
_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Have a test's fixtures know whether it failed."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="module")
def browser():
    """A Chromium. Per file: while Playwright is on, asyncio.run works nowhere else in this process."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def shots():
    """The folder of pictures."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab with one worker."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def new_sheet(request, browser, shots):
    """new_sheet(lab) → a sheet on a page of its own. In all of them nothing of ours may go wrong."""
    sheets = []

    def new(lab, name=None):
        page = browser.new_context(viewport=WINDOW).new_page()
        sheets.append(Sheet(page, lab, shots, name or f"sheet-{next(_names)}.ipynb"))
        return sheets[-1]

    yield new
    for place, sheet in enumerate(sheet for sheet in sheets if not sheet.page.is_closed()):
        if request.node.stash.get(_failed, False):
            name = re.sub(r"\W+", "-", f"failed-{request.node.name}-{place}")
            sheet.shot(name)
            (shots / f"{name}.html").write_text(sheet.page.content())
        sheet.close()
    assert [sheet.errors for sheet in sheets] == [[] for _ in sheets]
    assert [sheet.strays for sheet in sheets] == [[] for _ in sheets]


@pytest.fixture
def sheet(lab, new_sheet):
    """A page with JupyterLab and a notebook."""
    return new_sheet(lab)


@pytest.fixture
def new_study(tmp_path):
    """new_study(name) → the path of a small study that was never submitted."""

    def new(name="study.zip"):
        return ak.sample_study(tmp_path / name, participants=2, trials=1, seed=next(_seeds))

    return new


@pytest.fixture
def study(new_study):
    """A study that was never submitted."""
    return new_study()


@pytest.fixture
def stages():
    """stages(study) → the stage of a study; whatever the test forgets, the work goes on after it."""
    made = []

    def of(study):
        made.append(Stage(study))
        return made[-1]

    yield of
    for stage in made:
        stage.say(GO)
