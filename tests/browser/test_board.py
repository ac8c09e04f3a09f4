"""Does the board of all jobs take in a study, and find, open, cancel and retry jobs?"""

import os
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import BOARD

ROW = f"{BOARD} tr[data-job]"
SETUP = "%env ANALYTICS_KIT_NAMESPACE={}\nimport analytics_kit as ak\nfrom tests.browser import notebook_fixtures as staged\nak.board()"
FILLER_BYTES = 52 * 2**20
UPLOAD = """
selector => {
  const seen = (window.akUpload = []);
  const look = () => {
    const bar = document.querySelector(selector);
    if (bar && bar.value !== seen.at(-1)?.[1]) seen.push([bar.closest("label").textContent, bar.value, bar.max]);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}
"""


@pytest.fixture
def board(sheet):
    """A sheet whose first cell shows a board of its own; below it a cell is empty."""
    sheet.write(SETUP.format(sheet.name), "None")
    sheet.open()
    sheet.run_all()
    expect(sheet.page.locator(BOARD)).to_contain_text("No jobs yet.")
    return sheet


@pytest.fixture
def staged(board, new_study, stages):
    """staged(name) → the stage of a study that was submitted from the empty cell."""

    def submit(name, word):
        study = new_study(name)
        stages(study).say(word)
        board.replace(1, f"staged.submit({str(study)!r})\nNone")
        board.run_cell(1)
        return stages(study)

    return submit


def row(sheet, name):
    """The row of a study."""
    return sheet.page.locator(ROW, has_text=name)


def status(sheet, name, word):
    """Wait until the row of a study says this."""
    expect(row(sheet, name).locator(".ak-state")).to_contain_text(word, timeout=30_000)


def names(sheet, *wanted):
    """Wait until the rows are these, in this order."""
    expect(sheet.page.locator(f"{ROW} .ak-name")).to_have_text(list(wanted))


def do(sheet, name, what):
    """A button in the row of a study."""
    return row(sheet, name).locator(f'button[data-do="{what}"]')


def test_a_large_study_is_uploaded_and_becomes_a_job(board, study):
    with zipfile.ZipFile(study, "a") as archive:
        archive.writestr(
            "1_participant_session/Search_Baseline_trial_1/Screen Recording.mp4", os.urandom(FILLER_BYTES)
        )
    find, state = board.page.get_by_label("Find"), board.page.get_by_label("State")
    find.fill("another")
    state.select_option("failed")
    board.page.evaluate(UPLOAD, f"{BOARD} .ak-uploads progress")
    with board.page.expect_file_chooser() as chooser:
        board.page.get_by_text("Upload a ZIP").click()
    chooser.value.set_files(study)
    board.shot("board-upload", board.page.locator(BOARD))  # mostly while it arrives
    status(board, "study.zip", "completed")
    expect(find).to_have_value("")
    expect(state).to_have_value("")
    expect(board.page.locator(f'{BOARD} .ak-card[data-status="completed"] .ak-facts').first).to_contain_text(
        "8 trials"
    )
    expect(board.page.locator(f"{BOARD} .ak-uploads")).to_be_empty()
    seen = board.page.evaluate("akUpload")
    arrived = [value for _, value, _ in seen]
    assert arrived == sorted(arrived)
    assert len(arrived) > 20
    assert {of for _, _, of in seen} == {study.stat().st_size}
    assert seen[0][0] == "Uploading study.zip0%"
    (copy,) = (board.lab.home / "store" / "uploads").glob("*/study.zip")
    assert copy.read_bytes() == study.read_bytes()


def test_jobs_are_found_by_what_is_typed_and_by_state(board, staged):
    staged("done.zip", GO)
    status(board, "done.zip", "completed")
    staged("torn.zip", FAIL)
    status(board, "torn.zip", "failed")
    stage = staged("running.zip", 0.2)
    status(board, "running.zip", "running")
    staged("waiting.zip", GO)
    names(board, "waiting.zip", "running.zip", "torn.zip", "done.zip")
    board.look("board", BOARD)
    find, state = board.page.get_by_label("Find"), board.page.get_by_label("State")
    find.click()
    board.page.keyboard.type("ING.zip")
    names(board, "waiting.zip", "running.zip")
    stage.say(0.6)
    expect(row(board, "running.zip").locator(".ak-percent")).to_have_text("60%")
    expect(find).to_be_focused()
    expect(find).to_have_value("ING.zip")
    state.select_option("running")
    names(board, "running.zip")
    stage.say(GO)
    expect(board.page.locator(BOARD)).to_contain_text("No job is like that.")
    state.select_option("completed")
    names(board, "waiting.zip", "running.zip")
    find.fill("is torn")
    expect(board.page.locator(BOARD)).to_contain_text("No job is like that.")
    state.select_option("all")
    names(board, "torn.zip")


def test_a_job_is_opened_by_keyboard_cancelled_and_retried(board, staged):
    stage = staged("study.zip", 0.2)
    status(board, "study.zip", "running")
    do(board, "study.zip", "cancel").focus()
    board.page.keyboard.press("Tab")
    expect(do(board, "study.zip", "open")).to_be_focused()
    board.page.keyboard.press("Enter")
    whole = board.page.locator(f"{BOARD} .ak-card[data-status]")
    expect(whole).to_have_attribute("data-status", "running")
    expect(do(board, "study.zip", "open")).to_be_focused()
    expect(do(board, "study.zip", "open")).to_have_attribute("aria-expanded", "true")
    board.look("board-open", BOARD)
    do(board, "study.zip", "cancel").click()
    status(board, "study.zip", "cancelled")
    expect(whole).to_have_attribute("data-status", "cancelled")
    expect(board.page.locator(f'{BOARD} .ak-say[role="status"]')).to_have_text("study.zip: cancelled")
    do(board, "study.zip", "retry").click()
    expect(board.page.locator(f"{ROW} .ak-state")).to_have_text(["▶ running", "■ cancelled"], timeout=30_000)
    expect(whole).to_have_attribute("data-status", "running")
    stage.say(GO)
    expect(board.page.locator(f"{ROW} .ak-state")).to_have_text(["✔ completed", "■ cancelled"], timeout=30_000)
    board.page.locator(f'{ROW} button[aria-expanded="true"]').press("Enter")
    expect(whole).to_have_count(0)
