"""The server's page in a browser: by mouse and keyboard, in phone size, and without its script."""

import csv
import os
import zipfile

import pytest
from playwright.sync_api import expect

import analytics_kit as ak
from tests.browser.dashboard import Dashboard, PageServer
from tests.browser.notebook_fixtures import FAIL, GO
from tests.processes import until

FILLER_BYTES = 40 * 2**20
STUDIES = ("one", "two", "three", "torn")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Studies to process."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(STUDIES):
        ak.sample_study(folder / f"{name}.zip", participants=2, trials=1, seed=300 + seed)
    return folder


@pytest.fixture
def server(tmp_path, data):
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "data").mkdir()
    for study in data.glob("*.zip"):
        os.link(study, folder / "data" / study.name)
    with PageServer(folder) as server:
        yield server


@pytest.fixture
def new_page(browser, server, screenshots):
    """new_page(**context options) → a Dashboard, not yet opened. At the end none may have had errors."""
    dashboards = []

    def new(**context):
        page = browser.new_context(viewport={"width": 1300, "height": 900}, **context).new_page()
        dashboards.append(Dashboard(page, server, screenshots))
        return dashboards[-1]

    yield new
    for number, dashboard in enumerate(dashboards):
        dashboard.page.screenshot(path=screenshots / f"dashboard-last-{number}.png", full_page=True)
        dashboard.page.context.close()
    assert [dashboard.errors for dashboard in dashboards] == [[] for _ in dashboards]


@pytest.fixture
def dashboard(new_page):
    """The page of a user who is signed in."""
    dashboard = new_page()
    dashboard.sign_in()
    return dashboard


@pytest.fixture
def control(server, work_controls):
    """control(name, command) → the WorkControl of a study of the server, set to `command`."""

    def of(name, command):
        work_control = work_controls(server.data / f"{name}.zip")
        work_control.set(command)
        return work_control

    return of


def test_a_user_signs_in_and_out(new_page):
    dashboard = new_page()
    dashboard.page.goto(dashboard.server.origin)
    expect(dashboard.page.get_by_label("Token")).to_be_focused()
    dashboard.check_appearance("dashboard-sign-in")
    dashboard.page.get_by_label("Token").fill("wrong-0123456789abcdef")
    dashboard.page.keyboard.press("Enter")
    expect(dashboard.page.get_by_role("alert")).to_have_text("This token is unknown.")
    assert dashboard.errors == ["Failed to load resource: the server responded with a status of 401 (Unauthorized)"]
    dashboard.errors.clear()
    dashboard.sign_in()
    dashboard.page.reload()
    expect(dashboard.page.get_by_role("button", name="Sign out")).to_be_visible()
    assert dashboard.page.evaluate("document.cookie") == "", "scripts can not read the cookie"
    (cookie,) = dashboard.page.context.cookies()
    assert (cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == ("/api/analytics", True, "Strict")
    dashboard.page.get_by_role("button", name="Sign out").click()
    expect(dashboard.page.get_by_label("Token")).to_be_visible()
    dashboard.page.goto(dashboard.server.url)
    expect(dashboard.page.get_by_label("Token")).to_be_visible()


def test_an_upload_is_processed_and_its_tables_are_downloaded(dashboard, work_controls, tmp_path):
    study = ak.sample_study(tmp_path / "Meine Studie (3).zip", participants=2, trials=1, seed=310)
    with zipfile.ZipFile(study, "a") as archive:
        archive.writestr("1_participant_session/Fill_Form_Baseline_trial_1/Recording.mp4", os.urandom(FILLER_BYTES))
    dashboard.page.get_by_label("ZIP: choose it").set_input_files(study)
    expect(dashboard.page.get_by_label("Study id")).to_have_value("Meine-Studie-3-")
    dashboard.page.get_by_label("Study id").fill("jobs")
    dashboard.page.get_by_role("button", name="Upload").click()
    expect(dashboard.page.locator("#upload-progress")).to_be_hidden()
    dashboard.page.get_by_label("Study id").fill("mine")
    dashboard.throttle(20e6)
    dashboard.page.evaluate(
        """() => {
          const bar = document.querySelector("#upload-progress progress");
          window.values = [];
          new MutationObserver(() => values.push(bar.value)).observe(bar, { attributes: true });
        }"""
    )
    dashboard.page.get_by_role("button", name="Upload").click()
    dashboard.expect_note("was uploaded as mine.")
    job = dashboard.job("mine.zip", "running")
    (copy,) = dashboard.server.folder.glob("home/store/uploads/*/mine.zip")
    work_controls(copy).set(0.5)
    expect(job.get_by_role("progressbar", name="processing")).to_have_attribute("value", "50")
    work_controls(copy).set(GO)
    job = dashboard.job("mine.zip", "completed")
    values = dashboard.page.evaluate("values")
    assert values == sorted(values)
    assert len(values) > 3
    assert 0 < values[len(values) // 2] < 100
    expect(job).to_contain_text("8 trials")
    with dashboard.page.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "trials.csv"
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["participant"] for row in rows} == {"1", "2"}
    job.get_by_label("Table", exact=True).select_option("mouse_clicks")
    job.get_by_label("Format").select_option("parquet")
    with dashboard.page.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "mouse_clicks.parquet"


def test_a_dropped_file_that_is_no_zip_is_refused(dashboard):
    drop = """
    ([name, text]) => {
      const files = new DataTransfer();
      files.items.add(new File([text], name));
      for (const kind of ["dragover", "drop"])
        document.querySelector("#upload").dispatchEvent(
          new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files }));
    }
    """
    dashboard.page.evaluate(drop, ["notes.zip", "no ZIP"])
    expect(dashboard.page.get_by_label("Study id")).to_be_focused()
    expect(dashboard.page.get_by_label("Study id")).to_have_value("notes")
    dashboard.page.keyboard.press("Enter")
    dashboard.expect_note("notes.zip was not uploaded. The body is not a ZIP.")
    assert [error for error in dashboard.errors if "422" not in error] == []
    dashboard.errors.clear()
    expect(dashboard.page.locator("#jobs")).to_have_text("No jobs yet.")


def test_an_upload_can_be_stopped(dashboard, tmp_path):
    big = tmp_path / "big.zip"
    with big.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(3_000_000_000)
    dashboard.page.get_by_label("ZIP: choose it").set_input_files(big)
    dashboard.page.get_by_role("button", name="Upload").click()
    expect(dashboard.page.get_by_role("button", name="Stop")).to_be_focused()
    dashboard.page.keyboard.press("Enter")
    dashboard.expect_note("The upload of big.zip was stopped.")
    expect(dashboard.page.get_by_role("button", name="Upload")).to_be_focused()


def test_jobs_are_followed_cancelled_retried_and_deleted(dashboard, control):
    control("torn", FAIL)
    dashboard.process("torn")
    torn = dashboard.job("torn.zip", "failed")
    expect(torn).to_contain_text("BadArchiveError: the ZIP is torn: <b>here</b>")
    expect(torn).to_contain_text("Download it again.")
    control("one", GO)
    dashboard.process("one")
    dashboard.job("one.zip", "completed")
    two = control("two", 0.2)
    dashboard.process("two")
    job = dashboard.job("two.zip", "running")
    expect(job.locator(".percent")).to_have_text("20%")
    control("three", GO)
    dashboard.process("three")
    dashboard.job("three.zip", "queued")
    cancel = job.get_by_role("button", name="Cancel two.zip")
    cancel.focus()
    two.set(0.6)
    expect(job.locator(".percent")).to_have_text("60%")
    expect(cancel).to_be_focused()
    dashboard.check_appearance("dashboard")
    dashboard.page.keyboard.press("Enter")
    dashboard.expect_note("The job was cancelled.")
    cancelled = dashboard.job("two.zip", "cancelled")
    expect(dashboard.page.locator("#announcement")).to_contain_text("two.zip: cancelled")
    expect(cancelled).to_be_focused()
    cancelled.get_by_role("button", name="Retry").click()
    dashboard.expect_note("A new job was started in its place.")
    two.set(GO)
    dashboard.job("two.zip", "completed")
    delete = torn.get_by_role("button", name="Delete torn.zip permanently")
    expect(delete).to_be_hidden()
    torn.locator("summary").press("Enter")
    expect(delete).to_be_visible()
    dashboard.check_appearance("dashboard-delete")
    delete.press("Enter")
    dashboard.expect_note("The job was deleted.")
    expect(torn).to_have_count(0)


def test_the_last_known_jobs_stay_while_the_server_is_unreachable(dashboard, control):
    control("one", 0.5)
    dashboard.process("one")
    job = dashboard.job("one.zip", "running")
    expect(job.locator(".percent")).to_have_text("50%")
    dashboard.page.context.set_offline(True)
    dashboard.expect_note("can't be reached now")
    expect(job.locator(".percent")).to_have_text("50%")
    dashboard.errors.clear()
    control("one", GO)
    dashboard.page.context.set_offline(False)
    dashboard.job("one.zip", "completed")
    expect(dashboard.page.locator("#note")).to_have_text("")


def test_a_hidden_page_polls_less_often(new_page):
    dashboard = new_page()
    dashboard.page.add_init_script(
        """
        const real = window.setTimeout;
        window.pauses = [];
        window.setTimeout = (then, ms) => { pauses.push(ms); return real(then, ms / 100); };
        window.setHidden = (hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          pauses.length = 0;
          document.dispatchEvent(new Event("visibilitychange"));
        };
        """
    )
    dashboard.sign_in()
    dashboard.page.evaluate("setHidden(true)")
    until(lambda: len(dashboard.page.evaluate("pauses")) > 6, "it has polled several times")
    pauses = dashboard.page.evaluate("pauses")
    rising = pauses[pauses.index(2000) :]
    assert rising[:5] == [2000, 4000, 8000, 16_000, 30_000]
    assert set(rising[5:]) == {30_000}
    dashboard.page.evaluate("setHidden(false)")
    until(lambda: len(dashboard.page.evaluate("pauses")) > 2, "it polls often again")
    assert set(dashboard.page.evaluate("pauses")) == {1000}


def test_an_expired_session_leads_to_the_sign_in_form(dashboard):
    dashboard.page.context.clear_cookies()
    expect(dashboard.page.get_by_label("Token")).to_be_visible()
    assert dashboard.errors == ["Failed to load resource: the server responded with a status of 401 (Unauthorized)"]
    dashboard.errors.clear()


def test_the_page_works_without_its_script(new_page, control):
    dashboard = new_page(java_script_enabled=False)
    dashboard.sign_in()
    expect(dashboard.page.get_by_text("Uploading needs JavaScript")).to_be_visible()
    expect(dashboard.page.locator("#upload")).to_be_hidden()
    control("one", 0.3)
    dashboard.process("one")
    dashboard.expect_note("being processed")
    dashboard.page.get_by_role("button", name="Cancel one.zip").click()
    dashboard.expect_note("was cancelled")
    dashboard.page.reload()
    job = dashboard.job("one.zip", "cancelled")
    job.locator("summary").click()
    job.get_by_role("button", name="Delete one.zip permanently").click()
    dashboard.expect_note("was deleted")
