"""The page behind JupyterLab's launcher: it opens, is protected by Jupyter's sign-in, and ends with Jupyter."""

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import analytics_kit as ak
from tests.browser.dashboard import PageServer
from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import GO, WorkControl
from tests.browser.notebook_page import WINDOW
from tests.processes import command_line, until

TITLE = "Studies and jobs"


def running_servers():
    """The process ids of the HTTP servers on this machine."""
    return {
        process.pid
        for process in psutil.process_iter()
        if {"analytics_kit.cli", "serve"} <= set(command_line(process))
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab for this file; the server it starts has to end with it."""
    before = running_servers()
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
        started = running_servers() - before
    assert started
    until(lambda: not started & running_servers(), "the server has ended with Jupyter")


def test_the_launcher_opens_the_page_which_processes_a_study_of_the_notebook_folder(lab, browser, screenshots):
    ak.sample_study(lab.notebooks / "beside.zip", participants=2, trials=1, seed=320)
    page = browser.new_context(viewport=WINDOW).new_page()
    page.goto(f"{lab.url}lab?reset&token={lab.token}")
    card = page.locator(".jp-LauncherCard", has_text=TITLE)
    expect(card).to_be_visible(timeout=30_000)
    icon = card.locator("img")
    expect(icon).to_have_js_property("complete", True)
    assert icon.evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=screenshots / "launcher.png")
    with page.context.expect_page() as opened:
        card.click()
    dashboard = opened.value
    errors = []
    dashboard.on("console", lambda message: message.type == "error" and errors.append(message.text))
    expect(dashboard.get_by_role("heading", name="Jobs")).to_be_visible(timeout=60_000)
    assert dashboard.url == f"{lab.url}analytics-kit/api/analytics/"
    expect(dashboard.get_by_role("button", name="Sign out")).to_have_count(0)
    dashboard.get_by_label("Study", exact=True).select_option("beside")
    dashboard.get_by_role("button", name="Process").click()
    expect(dashboard.locator("#note")).to_have_text("The study is being processed.")
    job = dashboard.locator("#jobs > li[data-status=completed]")
    expect(job).to_contain_text("beside.zip", timeout=60_000)
    expect(dashboard.locator("#queue")).to_contain_text("embedded queue, 1 worker")
    with dashboard.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.path().read_bytes().startswith(b"participant,")
    upload = ak.sample_study(lab.folder / "sent.zip", participants=1, trials=1, seed=321)
    dashboard.get_by_label("ZIP: choose it").set_input_files(upload)
    dashboard.get_by_role("button", name="Upload").click()
    expect(dashboard.locator("#note")).to_have_text("sent.zip was uploaded as sent.")
    expect(dashboard.locator("#jobs > li[data-status=completed]", has_text="sent.zip")).to_be_visible(timeout=60_000)
    assert not Axe().run(dashboard).response["violations"]
    dashboard.screenshot(path=screenshots / "launcher-page.png")
    assert errors == []


def test_a_browser_that_is_not_signed_in_to_jupyter_is_refused(lab, browser):
    page = browser.new_context().new_page()
    page.goto(f"{lab.url}lab?token={lab.token}")
    page.goto(f"{lab.url}analytics-kit/api/analytics/")
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible(timeout=60_000)
    stranger = browser.new_context().new_page()
    stranger.goto(f"{lab.url}analytics-kit/api/analytics/")
    expect(stranger).to_have_url(f"{lab.url}login?next=%2Fanalytics-kit%2Fapi%2Fanalytics%2F")


def test_a_user_signs_in_behind_a_proxy_that_strips_a_prefix(lab, browser, tmp_path):
    """Jupyter's proxy for any port: the server gets no header about the prefix that it trusts."""
    folder = tmp_path / "server"
    folder.mkdir()
    with PageServer(folder) as server:
        ak.sample_study(server.data / "study.zip", participants=1, trials=1, seed=322)
        WorkControl(server.data / "study.zip").set(GO)
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
