"""Is the page of the server all that people need, by mouse and by keyboard, on a phone, and without its script?"""

import csv
import os
import zipfile

import pytest
from playwright.sync_api import expect

import analytics_kit as ak
from tests.browser.dashboard import Dashboard, Server
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
    with Server(folder) as server:
        yield server


@pytest.fixture
def new_page(browser, server, shots):
    """new_page(**of the context) → the page, not yet opened. In all of them nothing may go wrong."""
    made = []

    def new(**context):
        page = browser.new_context(viewport={"width": 1300, "height": 900}, **context).new_page()
        made.append(Dashboard(page, server, shots))
        return made[-1]

    yield new
    for place, board in enumerate(made):
        board.page.screenshot(path=shots / f"dashboard-last-{place}.png", full_page=True)
        board.page.context.close()
    assert [board.errors for board in made] == [[] for _ in made]


@pytest.fixture
def board(new_page):
    """The page of somebody who is signed in."""
    board = new_page()
    board.sign_in()
    return board


@pytest.fixture
def stage(server, stages):
    """stage(name, word) → how the work on a study of the server goes on; it begins by saying `word`."""

    def of(name, word):
        made = stages(server.data / f"{name}.zip")
        made.say(word)
        return made

    return of


def test_somebody_signs_in_and_out(new_page):
    board = new_page()
    board.page.goto(board.server.origin)
    expect(board.page.get_by_label("Token")).to_be_focused()
    board.look("dashboard-sign-in")
    board.page.get_by_label("Token").fill("wrong-0123456789abcdef")
    board.page.keyboard.press("Enter")
    expect(board.page.get_by_role("alert")).to_have_text("This token is not known.")
    assert board.errors == ["Failed to load resource: the server responded with a status of 401 (UNAUTHORIZED)"]
    board.errors.clear()
    board.sign_in()
    board.page.reload()
    expect(board.page.get_by_role("button", name="Sign out")).to_be_visible()
    assert board.page.evaluate("document.cookie") == "", "no script sees the cookie"
    (cookie,) = board.page.context.cookies()
    assert (cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == ("/api/analytics", True, "Strict")
    board.page.get_by_role("button", name="Sign out").click()
    expect(board.page.get_by_label("Token")).to_be_visible()
    board.page.goto(board.server.url)
    expect(board.page.get_by_label("Token")).to_be_visible()


def test_a_study_is_uploaded_watched_and_its_trials_are_read(board, stages, tmp_path):
    study = ak.sample_study(tmp_path / "Meine Studie (3).zip", participants=2, trials=1, seed=310)
    with zipfile.ZipFile(study, "a") as archive:
        archive.writestr("1_participant_session/Fill_Form_Baseline_trial_1/Recording.mp4", os.urandom(FILLER_BYTES))
    board.page.get_by_label("ZIP: choose it").set_input_files(study)
    expect(board.page.get_by_label("Study id")).to_have_value("Meine-Studie-3-")
    board.page.get_by_label("Study id").fill("jobs")
    board.page.get_by_role("button", name="Upload").click()
    expect(board.page.locator("#sending")).to_be_hidden()
    board.page.get_by_label("Study id").fill("mine")
    board.throttle(20e6)
    board.page.evaluate(
        """() => {
          const bar = document.querySelector("#sending progress");
          window.seen = [];
          new MutationObserver(() => seen.push(bar.value)).observe(bar, { attributes: true });
        }"""
    )
    board.page.get_by_role("button", name="Upload").click()
    board.say("was uploaded as mine.")
    job = board.job("mine.zip", "running")
    (copy,) = board.server.folder.glob("home/store/uploads/*/mine.zip")
    stages(copy).say(0.5)
    expect(job.get_by_role("progressbar", name="processing")).to_have_attribute("value", "50")
    stages(copy).say(GO)
    job = board.job("mine.zip", "completed")
    seen = board.page.evaluate("seen")
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert 0 < seen[len(seen) // 2] < 100
    expect(job).to_contain_text("8 trials")
    with board.page.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "trials.csv"
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["participant"] for row in rows} == {"1", "2"}
    job.get_by_label("Table", exact=True).select_option("mouse_clicks")
    job.get_by_label("Format").select_option("parquet")
    with board.page.expect_download() as download:
        job.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "mouse_clicks.parquet"


def test_a_file_is_dropped_and_what_is_no_zip_is_refused(board):
    drop = """
    ([name, text]) => {
      const files = new DataTransfer();
      files.items.add(new File([text], name));
      for (const kind of ["dragover", "drop"])
        document.querySelector("#upload").dispatchEvent(
          new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files }));
    }
    """
    board.page.evaluate(drop, ["notes.zip", "no ZIP"])
    expect(board.page.get_by_label("Study id")).to_be_focused()
    expect(board.page.get_by_label("Study id")).to_have_value("notes")
    board.page.keyboard.press("Enter")
    board.say("notes.zip was not uploaded. What was sent is no ZIP.")
    assert [error for error in board.errors if "422" not in error] == []
    board.errors.clear()
    expect(board.page.locator("#jobs")).to_have_text("No jobs yet.")


def test_an_upload_is_stopped(board, tmp_path):
    big = tmp_path / "big.zip"
    with big.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(3_000_000_000)
    board.page.get_by_label("ZIP: choose it").set_input_files(big)
    board.page.get_by_role("button", name="Upload").click()
    expect(board.page.get_by_role("button", name="Stop")).to_be_focused()
    board.page.keyboard.press("Enter")
    board.say("The upload of big.zip was stopped.")
    expect(board.page.get_by_role("button", name="Upload")).to_be_focused()


def test_jobs_are_watched_cancelled_retried_and_deleted(board, stage):
    stage("torn", FAIL)
    board.start("torn")
    torn = board.job("torn.zip", "failed")
    expect(torn).to_contain_text("BadArchiveError: the ZIP is torn: <b>here</b>")
    expect(torn).to_contain_text("Download it again.")
    stage("one", GO)
    board.start("one")
    board.job("one.zip", "completed")
    two = stage("two", 0.2)
    board.start("two")
    job = board.job("two.zip", "running")
    expect(job.locator(".percent")).to_have_text("20%")
    stage("three", GO)
    board.start("three")
    board.job("three.zip", "queued")
    cancel = job.get_by_role("button", name="Cancel two.zip")
    cancel.focus()
    two.say(0.6)
    expect(job.locator(".percent")).to_have_text("60%")
    expect(cancel).to_be_focused()
    board.look("dashboard")
    board.page.keyboard.press("Enter")
    board.say("The job was cancelled.")
    gone = board.job("two.zip", "cancelled")
    expect(board.page.locator("#said")).to_contain_text("two.zip: cancelled")
    expect(gone).to_be_focused()
    gone.get_by_role("button", name="Retry").click()
    board.say("A new job does the work again.")
    two.say(GO)
    board.job("two.zip", "completed")
    delete = torn.get_by_role("button", name="Delete torn.zip for good")
    expect(delete).to_be_hidden()
    torn.locator("summary").press("Enter")
    expect(delete).to_be_visible()
    board.look("dashboard-delete")
    delete.press("Enter")
    board.say("The job was deleted.")
    expect(torn).to_have_count(0)


def test_what_was_known_stays_while_the_server_is_away(board, stage):
    stage("one", 0.5)
    board.start("one")
    job = board.job("one.zip", "running")
    expect(job.locator(".percent")).to_have_text("50%")
    board.page.context.set_offline(True)
    board.say("can't be reached now")
    expect(job.locator(".percent")).to_have_text("50%")
    board.errors.clear()
    stage("one", GO)
    board.page.context.set_offline(False)
    board.job("one.zip", "completed")
    expect(board.page.locator("#note")).to_have_text("")


def test_who_does_not_look_is_told_less_often(new_page):
    board = new_page()
    board.page.add_init_script(
        """
        const real = window.setTimeout;
        window.pauses = [];
        window.setTimeout = (then, ms) => { pauses.push(ms); return real(then, ms / 100); };
        window.turn = (hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          pauses.length = 0;
          document.dispatchEvent(new Event("visibilitychange"));
        };
        """
    )
    board.sign_in()
    board.page.evaluate("turn(true)")
    until(lambda: len(board.page.evaluate("pauses")) > 6, "it has looked so often")
    pauses = board.page.evaluate("pauses")
    rising = pauses[pauses.index(2000) :]
    assert rising[:5] == [2000, 4000, 8000, 16_000, 30_000]
    assert set(rising[5:]) == {30_000}
    board.page.evaluate("turn(false)")
    until(lambda: len(board.page.evaluate("pauses")) > 2, "it looks often again")
    assert set(board.page.evaluate("pauses")) == {1000}


def test_a_session_that_has_ended_leads_to_the_form(board):
    board.page.context.clear_cookies()
    expect(board.page.get_by_label("Token")).to_be_visible()
    assert board.errors == ["Failed to load resource: the server responded with a status of 401 (UNAUTHORIZED)"]
    board.errors.clear()


def test_it_is_of_use_without_its_script(new_page, stage):
    board = new_page(java_script_enabled=False)
    board.sign_in()
    expect(board.page.get_by_text("Uploading needs JavaScript")).to_be_visible()
    expect(board.page.locator("#upload")).to_be_hidden()
    stage("one", 0.3)
    board.start("one")
    board.say("being processed")
    board.page.get_by_role("button", name="Cancel one.zip").click()
    board.say("was cancelled")
    board.page.reload()
    job = board.job("one.zip", "cancelled")
    job.locator("summary").click()
    job.get_by_role("button", name="Delete one.zip for good").click()
    board.say("was deleted")
