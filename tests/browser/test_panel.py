"""A job's panel in a browser: it follows the job, obeys its buttons, and leaves a static record."""

import itertools

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import PANEL

SETUP = """import analytics_kit as ak
from tests.browser import notebook_fixtures
job = notebook_fixtures.submit({path!r})
job"""
EITHER = pytest.mark.parametrize("notebook_page", ["lab", "notebook"], indirect=True)


def button(notebook_page, action):
    """The button of the panel for an action."""
    return notebook_page.page.locator(f'{PANEL} button[data-action="{action}"]')


def statuses_in_order(recorded):
    """The distinct statuses in order; asserts that the percent never fell."""
    percents = [percent for _, percent in recorded if percent is not None]
    assert percents == sorted(percents)
    return [status for status, _ in itertools.groupby(status for status, _ in recorded)]


@EITHER
def test_panel_follows_a_job_from_queued_to_completed(notebook_page, study, work_control, new_study, work_controls):
    """Another job occupies the only worker: the job waits, is processed, and ends."""
    other = new_study("other.zip")
    first = work_controls(other)
    first.set(0.1)
    notebook_page.write(
        f"from tests.browser import notebook_fixtures\nnotebook_fixtures.submit({str(other)!r})\nNone",
        SETUP.format(path=str(study)),
    )
    notebook_page.open()
    notebook_page.start_recording(PANEL)
    notebook_page.run_all()
    notebook_page.card("queued")
    notebook_page.check_appearance("panel-queued", PANEL)
    first.set(GO)
    work_control.set(0.42)
    card = notebook_page.card("running")
    expect(card.locator(".ak-percent")).to_have_text("42%")
    expect(card.locator("label progress[max='100']")).to_have_attribute("value", "42")
    notebook_page.check_appearance("panel-running", PANEL)
    work_control.set(0.3)
    work_control.set(0.6)
    expect(card.locator(".ak-percent")).to_have_text("60%")
    expect(notebook_page.page.locator(".ak-record")).to_be_hidden()
    button(notebook_page, "log").click()
    expect(notebook_page.page.locator(f"{PANEL} pre.ak-log")).to_contain_text("started")
    button(notebook_page, "log").click()
    work_control.set(GO)
    notebook_page.card("completed")
    expect(notebook_page.page.locator(f'{PANEL} .ak-announcement[role="status"]')).to_have_text(
        "study.zip: completed"
    )
    notebook_page.check_appearance("panel-completed", PANEL)
    assert statuses_in_order(notebook_page.recorded_statuses(PANEL)) == ["queued", "running", "completed"]


@EITHER
def test_cancel_and_retry_work_by_mouse_and_by_keyboard(notebook_page, study, work_control):
    work_control.set(0.2)
    notebook_page.write(SETUP.format(path=str(study)), "job.id, job.status")
    notebook_page.open()
    notebook_page.run_all()
    notebook_page.card("running")
    button(notebook_page, "cancel").click()
    notebook_page.card("cancelled")
    notebook_page.check_appearance("panel-cancelled", PANEL)
    before = button(notebook_page, "retry").get_attribute("data-job")
    button(notebook_page, "retry").click()
    notebook_page.card("running")
    assert button(notebook_page, "cancel").get_attribute("data-job") != before
    notebook_page.page.locator(f"{PANEL} .ak-body").focus()
    notebook_page.page.keyboard.press("Tab")
    expect(button(notebook_page, "cancel")).to_be_focused()
    notebook_page.page.keyboard.press("Enter")
    notebook_page.card("cancelled")
    expect(button(notebook_page, "retry")).to_be_focused()
    notebook_page.page.keyboard.press("Enter")
    notebook_page.card("running")
    work_control.set(GO)
    notebook_page.card("completed")


def test_failed_job_shows_cause_and_hint(notebook_page, tmp_path, study, work_control):
    torn = tmp_path / "torn.zip"
    torn.write_bytes(b"no ZIP at all")
    work_control.set(FAIL)
    notebook_page.write(f"import analytics_kit as ak\nak.submit({str(torn)!r})", SETUP.format(path=str(study)))
    notebook_page.open()
    notebook_page.run_cell(0)
    card = notebook_page.card("failed")
    expect(card.locator(".ak-error")).to_contain_text("BadArchiveError")
    expect(card.locator(".ak-hint")).not_to_be_empty()
    notebook_page.check_appearance("panel-failed", PANEL)
    notebook_page.run_cell(1)
    second = notebook_page.page.locator(f"{PANEL} .ak-card").nth(1)
    expect(second.locator(".ak-error")).to_contain_text("the ZIP is torn: <b>here</b>")
    expect(second.locator(".ak-hint")).to_have_text("Download it again.")
    work_control.set(GO)
    button(notebook_page, "retry").nth(1).click()
    expect(second).to_have_attribute("data-status", "completed", timeout=30_000)
    expect(notebook_page.page.locator(f"{PANEL} .ak-card").nth(0)).to_have_attribute("data-status", "failed")
