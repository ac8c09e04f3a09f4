"""The board in a browser: it receives a study, and finds, opens, cancels and retries jobs."""

import os
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import BOARD

ROW = f"{BOARD} tr[data-job]"
SETUP = """%env ANALYTICS_KIT_NAMESPACE={}
import analytics_kit as ak
from tests.browser import notebook_fixtures
ak.board()"""
FILLER_BYTES = 52 * 2**20
UPLOAD = """
selector => {
  const progress = (window.akUpload = []);
  const record = () => {
    const bar = document.querySelector(selector);
    if (!bar || bar.value === progress.at(-1)?.[1]) return;
    progress.push([bar.closest("label").textContent, bar.value, bar.max]);
  };
  new MutationObserver(record).observe(document.body, { subtree: true, childList: true, attributes: true });
}
"""


@pytest.fixture
def board(notebook_page):
    """A notebook whose first cell shows a board of its own; a second cell is empty."""
    notebook_page.write(SETUP.format(notebook_page.name), "None")
    notebook_page.open()
    notebook_page.run_all()
    expect(notebook_page.page.locator(BOARD)).to_contain_text("No jobs yet.")
    return notebook_page


@pytest.fixture
def submit_study(board, new_study, work_controls):
    """submit_study(name, command) → the control of a study, submitted from the empty cell with a first command."""

    def submit(name, command):
        study = new_study(name)
        work_controls(study).set(command)
        board.replace(1, f"notebook_fixtures.submit({str(study)!r})\nNone")
        board.run_cell(1)
        return work_controls(study)

    return submit


def row(notebook_page, name):
    """The row of a study."""
    return notebook_page.page.locator(ROW, has_text=name)


def await_status(notebook_page, name, status):
    """Wait until the row of a study has this status."""
    expect(row(notebook_page, name).locator(".ak-state")).to_contain_text(status, timeout=30_000)


def await_rows(notebook_page, *names):
    """Wait until the rows are those of these studies, in this order."""
    expect(notebook_page.page.locator(f"{ROW} .ak-name")).to_have_text(list(names))


def button(notebook_page, name, action):
    """The button for an action in the row of a study."""
    return row(notebook_page, name).locator(f'button[data-action="{action}"]')


def test_large_study_is_uploaded_and_becomes_a_job(board, study):
    with zipfile.ZipFile(study, "a") as archive:
        archive.writestr(
            "1_participant_session/Search_Baseline_trial_1/Screen Recording.mp4", os.urandom(FILLER_BYTES)
        )
    find, status = board.page.get_by_label("Find"), board.page.locator(BOARD).get_by_label("Status")
    find.fill("another")
    status.select_option("failed")
    board.page.evaluate(UPLOAD, f"{BOARD} .ak-uploads progress")
    with board.page.expect_file_chooser() as chooser:
        board.page.get_by_text("Upload a ZIP").click()
    chooser.value.set_files(study)
    board.screenshot("board-upload", board.page.locator(BOARD))  # usually during the upload
    await_status(board, "study.zip", "completed")
    expect(find).to_have_value("")
    expect(status).to_have_value("")
    expect(board.page.locator(f'{BOARD} .ak-card[data-status="completed"] .ak-facts').first).to_contain_text(
        "8 trials"
    )
    expect(board.page.locator(f"{BOARD} .ak-uploads")).to_be_empty()
    progress = board.page.evaluate("akUpload")
    received = [value for _, value, _ in progress]
    assert received == sorted(received)
    assert len(received) > 20
    assert {total for _, _, total in progress} == {study.stat().st_size}
    assert progress[0][0] == "Uploading study.zip0%"
    (stored,) = (board.lab.home / "store" / "uploads").glob("*/study.zip")
    assert stored.read_bytes() == study.read_bytes()


def test_jobs_are_found_by_text_and_by_status(board, submit_study):
    submit_study("done.zip", GO)
    await_status(board, "done.zip", "completed")
    submit_study("torn.zip", FAIL)
    await_status(board, "torn.zip", "failed")
    work_control = submit_study("running.zip", 0.2)
    await_status(board, "running.zip", "running")
    submit_study("waiting.zip", GO)
    await_rows(board, "waiting.zip", "running.zip", "torn.zip", "done.zip")
    board.check_appearance("board", BOARD)
    find, status = board.page.get_by_label("Find"), board.page.locator(BOARD).get_by_label("Status")
    find.click()
    board.page.keyboard.type("ING.zip")
    await_rows(board, "waiting.zip", "running.zip")
    work_control.set(0.6)
    expect(row(board, "running.zip").locator(".ak-percent")).to_have_text("60%")
    expect(find).to_be_focused()
    expect(find).to_have_value("ING.zip")
    status.select_option("running")
    await_rows(board, "running.zip")
    work_control.set(GO)
    expect(board.page.locator(BOARD)).to_contain_text("No job matches.")
    status.select_option("completed")
    await_rows(board, "waiting.zip", "running.zip")
    find.fill("is torn")
    expect(board.page.locator(BOARD)).to_contain_text("No job matches.")
    status.select_option("all")
    await_rows(board, "torn.zip")


def test_job_is_opened_by_keyboard_cancelled_and_retried(board, submit_study):
    work_control = submit_study("study.zip", 0.2)
    await_status(board, "study.zip", "running")
    button(board, "study.zip", "cancel").focus()
    board.page.keyboard.press("Tab")
    expect(button(board, "study.zip", "open")).to_be_focused()
    board.page.keyboard.press("Enter")
    card = board.page.locator(f"{BOARD} .ak-card[data-status]")
    expect(card).to_have_attribute("data-status", "running")
    expect(button(board, "study.zip", "open")).to_be_focused()
    expect(button(board, "study.zip", "open")).to_have_attribute("aria-expanded", "true")
    board.check_appearance("board-open", BOARD)
    button(board, "study.zip", "cancel").click()
    await_status(board, "study.zip", "cancelled")
    expect(card).to_have_attribute("data-status", "cancelled")
    expect(board.page.locator(f'{BOARD} .ak-announcement[role="status"]')).to_have_text("study.zip: cancelled")
    button(board, "study.zip", "retry").click()
    expect(board.page.locator(f"{ROW} .ak-state")).to_have_text(["▶ running", "■ cancelled"], timeout=30_000)
    expect(card).to_have_attribute("data-status", "running")
    work_control.set(GO)
    expect(board.page.locator(f"{ROW} .ak-state")).to_have_text(["✔ completed", "■ cancelled"], timeout=30_000)
    board.page.locator(f'{ROW} button[aria-expanded="true"]').press("Enter")
    expect(card).to_have_count(0)
