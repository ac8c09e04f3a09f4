"""Fixtures of the browser tests: a Chromium per test, a server per file, and checks that no page had errors."""

import itertools
import re
from pathlib import Path

import pytest

import analytics_kit as ak
from tests.browser.chromium import launcher
from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import GO, WorkControl
from tests.browser.notebook_page import WINDOW, NotebookPage

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_names, _seeds = itertools.count(), itertools.count(100)
_failed = pytest.StashKey[bool]()
_notebook_pages = pytest.StashKey[list[NotebookPage]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Mark a failed test for its fixtures, and report the logs of its pages and servers."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    if report.failed:
        pages = item.stash.get(_notebook_pages, [])
        report.sections += [
            (f"{notebook_page.name} in the browser", "\n".join(notebook_page.log)) for notebook_page in pages
        ]
        labs = {value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)}
        labs |= {notebook_page.lab for notebook_page in pages}
        report.sections += [(f"log of {lab.folder.name}", lab.log_tail()) for lab in labs]
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
def screenshots():
    """The folder of screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


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
def new_notebook_page(request, browser, screenshots):
    """new_notebook_page(lab) → a notebook on a page of its own. None may have errors or foreign requests."""
    pages = request.node.stash[_notebook_pages] = []

    def new(lab, name=None):
        page = browser.new_context(viewport=WINDOW).new_page()
        pages.append(NotebookPage(page, lab, screenshots, name or f"notebook-{next(_names)}.ipynb"))
        return pages[-1]

    yield new
    for number, notebook_page in enumerate(
        notebook_page for notebook_page in pages if not notebook_page.page.is_closed()
    ):
        if request.node.stash.get(_failed, False):
            notebook_page.save_evidence(re.sub(r"\W+", "-", f"failed-{request.node.name}-{number}"))
        notebook_page.close()
    assert [notebook_page.errors for notebook_page in pages] == [[] for _ in pages]
    assert [notebook_page.foreign_requests for notebook_page in pages] == [[] for _ in pages]


@pytest.fixture
def notebook_page(request, new_notebook_page):
    """A page with a notebook in JupyterLab, or in the server that the test is parametrized with."""
    return new_notebook_page(request.getfixturevalue(getattr(request, "param", "lab")))


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
def work_controls():
    """work_controls(study) → the control of the work on a study, which goes on after the test in any case."""
    controls = []

    def of(study):
        controls.append(WorkControl(study))
        return controls[-1]

    yield of
    for control in controls:
        control.set(GO)


@pytest.fixture
def work_control(study, work_controls):
    """The control of the work on the study."""
    return work_controls(study)
