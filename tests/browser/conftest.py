"""What tests in a browser share: a Chromium per test, a server per file, and what must not happen in it."""

import itertools
import re
from pathlib import Path

import pytest

import analytics_kit as ak
from tests.browser.chromium import launcher
from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import GO, Stage
from tests.browser.notebook_page import WINDOW, Sheet

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_names, _seeds = itertools.count(), itertools.count(100)
_failed = pytest.StashKey[bool]()
_sheets = pytest.StashKey[list[Sheet]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Of a test that failed, tell its fixtures, and print the last words of its pages and servers."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    if report.failed:
        sheets = item.stash.get(_sheets, [])
        report.sections += [(f"{sheet.name} in the browser", "\n".join(sheet.words)) for sheet in sheets]
        labs = {value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)}
        labs |= {sheet.lab for sheet in sheets}
        report.sections += [(f"log of {lab.folder.name}", lab.words()) for lab in labs]
    return report


@pytest.fixture(scope="module")
def launch():
    """launch() → a Chromium. Per file: while Playwright is on, asyncio.run works nowhere else in this process."""
    with launcher() as launch:
        yield launch


@pytest.fixture
def browser(launch):
    """A Chromium. Per test: when one ends too soon, it takes no other test with it."""
    browser = launch()
    yield browser
    browser.close()


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


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A Notebook 7 with one worker."""
    with Lab(tmp_path_factory.mktemp("notebook"), "notebook") as lab:
        yield lab


@pytest.fixture
def new_sheet(request, browser, shots):
    """new_sheet(lab) → a sheet on a page of its own. In all of them nothing of ours may go wrong."""
    sheets = request.node.stash[_sheets] = []

    def new(lab, name=None):
        page = browser.new_context(viewport=WINDOW).new_page()
        sheets.append(Sheet(page, lab, shots, name or f"sheet-{next(_names)}.ipynb"))
        return sheets[-1]

    yield new
    for place, sheet in enumerate(sheet for sheet in sheets if not sheet.page.is_closed()):
        if request.node.stash.get(_failed, False):
            sheet.keep(re.sub(r"\W+", "-", f"failed-{request.node.name}-{place}"))
        sheet.close()
    assert [sheet.errors for sheet in sheets] == [[] for _ in sheets]
    assert [sheet.strays for sheet in sheets] == [[] for _ in sheets]


@pytest.fixture
def sheet(request, new_sheet):
    """A page with a notebook in JupyterLab, or in what the test is parametrized with."""
    return new_sheet(request.getfixturevalue(getattr(request, "param", "lab")))


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


@pytest.fixture
def stage(study, stages):
    """How the work on the study goes on."""
    return stages(study)
