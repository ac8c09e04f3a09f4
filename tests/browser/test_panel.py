"""Does a job's panel show what the job does, obey its buttons, and leave an honest record behind?"""

import itertools

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import PANEL

SETUP = "import analytics_kit as ak\nfrom tests.browser import notebook_fixtures as staged\njob = staged.submit({path!r})\njob"
EITHER = pytest.mark.parametrize("sheet", ["lab", "notebook"], indirect=True)


def do(sheet, what):
    """A button of the panel."""
    return sheet.page.locator(f'{PANEL} button[data-do="{what}"]')


def in_order(states):
    """The words of the states; the percent never fell on the way."""
    percents = [percent for _, percent in states if percent is not None]
    assert percents == sorted(percents)
    return [word for word, _ in itertools.groupby(word for word, _ in states)]


@EITHER
def test_a_job_is_seen_from_queued_to_completed(sheet, study, stage, new_study, stages):
    """One worker, which another job keeps: the job waits, works as it is told, and ends."""
    other = new_study("other.zip")
    first = stages(other)
    first.say(0.1)
    sheet.write(
        f"from tests.browser import notebook_fixtures as staged\nstaged.submit({str(other)!r})\nNone",
        SETUP.format(path=str(study)),
    )
    sheet.open()
    sheet.record(PANEL)
    sheet.run_all()
    sheet.card("queued")
    sheet.look("panel-queued", PANEL)
    first.say(GO)
    stage.say(0.42)
    shown = sheet.card("running")
    expect(shown.locator(".ak-percent")).to_have_text("42%")
    expect(shown.locator("label progress[max='100']")).to_have_attribute("value", "42")
    sheet.look("panel-running", PANEL)
    stage.say(0.3)
    stage.say(0.6)
    expect(shown.locator(".ak-percent")).to_have_text("60%")
    expect(sheet.page.locator(".ak-record")).to_be_hidden()
    do(sheet, "log").click()
    expect(sheet.page.locator(f"{PANEL} pre.ak-log")).to_contain_text("started")
    do(sheet, "log").click()
    stage.say(GO)
    sheet.card("completed")
    expect(sheet.page.locator(f'{PANEL} .ak-say[role="status"]')).to_have_text("study.zip: completed")
    sheet.look("panel-completed", PANEL)
    assert in_order(sheet.states(PANEL)) == ["queued", "running", "completed"]


@EITHER
def test_cancel_and_retry_by_mouse_and_by_keyboard(sheet, study, stage):
    stage.say(0.2)
    sheet.write(SETUP.format(path=str(study)), "job.id, job.status")
    sheet.open()
    sheet.run_all()
    sheet.card("running")
    do(sheet, "cancel").click()
    sheet.card("cancelled")
    sheet.look("panel-cancelled", PANEL)
    before = do(sheet, "retry").get_attribute("data-job")
    do(sheet, "retry").click()
    sheet.card("running")
    assert do(sheet, "cancel").get_attribute("data-job") != before
    sheet.page.locator(f"{PANEL} .ak-body").focus()
    sheet.page.keyboard.press("Tab")
    expect(do(sheet, "cancel")).to_be_focused()
    sheet.page.keyboard.press("Enter")
    sheet.card("cancelled")
    expect(do(sheet, "retry")).to_be_focused()
    sheet.page.keyboard.press("Enter")
    sheet.card("running")
    stage.say(GO)
    sheet.card("completed")


def test_a_failure_shows_cause_and_hint(sheet, tmp_path, study, stage):
    torn = tmp_path / "torn.zip"
    torn.write_bytes(b"no ZIP at all")
    stage.say(FAIL)
    sheet.write(f"import analytics_kit as ak\nak.submit({str(torn)!r})", SETUP.format(path=str(study)))
    sheet.open()
    sheet.run_cell(0)
    shown = sheet.card("failed")
    expect(shown.locator(".ak-error")).to_contain_text("BadArchiveError")
    expect(shown.locator(".ak-hint")).not_to_be_empty()
    sheet.look("panel-failed", PANEL)
    sheet.run_cell(1)
    second = sheet.page.locator(f"{PANEL} .ak-card").nth(1)
    expect(second.locator(".ak-error")).to_contain_text("the ZIP is torn: <b>here</b>")
    expect(second.locator(".ak-hint")).to_have_text("Download it again.")
    stage.say(GO)
    do(sheet, "retry").nth(1).click()
    expect(second).to_have_attribute("data-status", "completed", timeout=30_000)
    expect(sheet.page.locator(f"{PANEL} .ak-card").nth(0)).to_have_attribute("data-status", "failed")
