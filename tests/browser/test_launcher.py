"""Does the page open from the launcher of JupyterLab, let in whom Jupyter lets in, and end with it?"""

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import analytics_kit as ak
from tests.browser.dashboard import Server
from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import GO, Stage
from tests.browser.notebook_page import WINDOW
from tests.processes import command_line, until

TITLE = "Studies and jobs"


def servers():
    """The servers of the page that run on this machine."""
    return {
        process.pid
        for process in psutil.process_iter()
        if {"analytics_kit.cli", "serve"} <= set(command_line(process))
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of these tests' own; with it ends what it started."""
    before = servers()
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
        begun = servers() - before
    assert begun
    until(lambda: not begun & servers(), "the server has ended with Jupyter")


def test_the_page_opens_from_the_launcher_and_processes_a_study_beside_the_notebooks(lab, browser, shots):
    ak.sample_study(lab.notebooks / "beside.zip", participants=2, trials=1, seed=320)
    page = browser.new_context(viewport=WINDOW).new_page()
    page.goto(f"{lab.url}lab?reset&token={lab.token}")
    card = page.locator(".jp-LauncherCard", has_text=TITLE)
    expect(card).to_be_visible(timeout=30_000)
    icon = card.locator("img")
    expect(icon).to_have_js_property("complete", True)
    assert icon.evaluate("picture => picture.naturalWidth") > 0
    page.screenshot(path=shots / "launcher.png")
    with page.context.expect_page() as opened:
        card.click()
    board = opened.value
    errors = []
    board.on("console", lambda said: said.type == "error" and errors.append(said.text))
    expect(board.get_by_role("heading", name="Jobs")).to_be_visible(timeout=60_000)
    assert board.url == f"{lab.url}analytics-kit/api/analytics/"
    expect(board.get_by_role("button", name="Sign out")).to_have_count(0)
    board.get_by_label("Study", exact=True).select_option("beside")
    board.get_by_role("button", name="Process").click()
    expect(board.locator("#note")).to_have_text("The study is being processed.")
    job = board.locator("#jobs > li[data-status=completed]")
    expect(job).to_contain_text("beside.zip", timeout=60_000)
    expect(board.locator("#queue")).to_contain_text("embedded queue, 1 worker")
    with board.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.path().read_bytes().startswith(b"participant,")
    upload = ak.sample_study(lab.folder / "sent.zip", participants=1, trials=1, seed=321)
    board.get_by_label("ZIP: choose it").set_input_files(upload)
    board.get_by_role("button", name="Upload").click()
    expect(board.locator("#note")).to_have_text("sent.zip was uploaded as sent.")
    expect(board.locator("#jobs > li[data-status=completed]", has_text="sent.zip")).to_be_visible(timeout=60_000)
    assert not Axe().run(board).response["violations"]
    board.screenshot(path=shots / "launcher-page.png")
    assert errors == []


def test_who_is_not_signed_in_to_jupyter_is_not_let_in(lab, browser):
    page = browser.new_context().new_page()
    page.goto(f"{lab.url}lab?token={lab.token}")
    page.goto(f"{lab.url}analytics-kit/api/analytics/")
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible(timeout=60_000)
    stranger = browser.new_context().new_page()
    stranger.goto(f"{lab.url}analytics-kit/api/analytics/")
    expect(stranger).to_have_url(f"{lab.url}login?next=%2Fanalytics-kit%2Fapi%2Fanalytics%2F")


def test_somebody_signs_in_behind_a_proxy_that_strips_a_prefix(lab, browser, tmp_path):
    """Jupyter's proxy for any port: the server is told nothing that it believes."""
    folder = tmp_path / "server"
    folder.mkdir()
    with Server(folder) as server:
        ak.sample_study(server.data / "study.zip", participants=1, trials=1, seed=322)
        Stage(server.data / "study.zip").say(GO)
        page = browser.new_context(viewport=WINDOW).new_page()
        page.goto(f"{lab.url}lab?token={lab.token}")
        page.goto(f"{lab.url}proxy/{server.origin.rpartition(':')[2]}/")
        prefix = f"/proxy/{server.origin.rpartition(':')[2]}/api/analytics"
        expect(page).to_have_url(f"{lab.url.removesuffix('/')}{prefix}/")
        page.get_by_label("Token").fill(server.token)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Process").click()
        job = page.locator("#jobs > li[data-status=completed]")
        expect(job).to_contain_text("study.zip", timeout=30_000)
        with page.expect_download() as download:
            job.get_by_role("button", name="Download").click()
        assert download.value.path().read_bytes().startswith(b"participant,")
        assert {each["path"] for each in page.context.cookies() if each["name"].startswith("analytics")} == {prefix}
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert not [each for each in page.context.cookies() if each["name"].startswith("analytics")]
