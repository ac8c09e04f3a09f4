"""Panels and a board after a reload, a new kernel and a new server: the records are shown and correct."""

from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import BOARD, PANEL
from tests.processes import until

SETUP = """import analytics_kit as ak
from tests.browser import notebook_fixtures
job = notebook_fixtures.submit({path!r})
job"""
NAMESPACE = "%env ANALYTICS_KIT_NAMESPACE=reopening"


def test_two_panels_agree_after_a_reload_and_a_new_kernel(notebook_page, study, work_control):
    work_control.set(0.2)
    notebook_page.write(SETUP.format(path=str(study)), "job", "print('id', job.id)", "import analytics_kit as ak")
    notebook_page.open()
    notebook_page.run_all()
    percents = notebook_page.page.locator(f"{PANEL} .ak-percent")
    expect(percents).to_have_text(["20%", "20%"], timeout=30_000)
    notebook_page.wait_until_idle()
    job_id = notebook_page.output(2).inner_text().split()[-1]
    notebook_page.save()
    work_control.set(0.5)
    expect(percents).to_have_text(["50%", "50%"])
    notebook_page.reload()
    expect(percents).to_have_text(["50%", "50%"])
    work_control.set(0.6)
    expect(percents).to_have_text(["60%", "60%"])
    notebook_page.restart_kernel()
    for index in (0, 1):
        expect(notebook_page.cell(index).locator(".ak-record")).to_be_visible()
        expect(notebook_page.cell(index).locator(PANEL)).to_be_hidden()
    notebook_page.replace(3, f"import analytics_kit as ak\njob = ak.get_job({job_id!r})\njob")
    notebook_page.run_cell(3)
    card = notebook_page.cell(3).locator(f"{PANEL} .ak-card")
    expect(card.locator(".ak-percent")).to_have_text("60%")
    work_control.set(GO)
    expect(card).to_have_attribute("data-status", "completed", timeout=30_000)


def test_saved_notebook_shows_records_and_no_broken_box(
    lab, notebook_page, new_notebook_page, new_study, work_controls, tmp_path
):
    """A panel, and a board with one more job."""
    study, torn = new_study("study.zip"), new_study("torn.zip")
    work_controls(study).set(0.2)
    work_controls(torn).set(FAIL)
    notebook_page.write(
        NAMESPACE, SETUP.format(path=str(study)), f"other = notebook_fixtures.submit({str(torn)!r})\nak.board()"
    )
    notebook_page.open()
    notebook_page.run_all()
    notebook_page.card("running")
    work_controls(study).set(GO)
    notebook_page.card("completed")
    expect(notebook_page.page.locator(f"{BOARD} .ak-count")).to_have_text(
        ["✔ 1 completed", "✖ 1 failed"], timeout=30_000
    )
    notebook_page.wait_until_idle()

    def is_saved():
        notebook_page.save()
        return (
            'data-status="completed"' in notebook_page.saved_records() and "1 failed" in notebook_page.saved_records()
        )

    until(is_saved, "the file has the end of the jobs")
    notebook_page.close()
    for trust, data in (("trusted", lab.data), ("untrusted", None)):
        with Lab(tmp_path / trust, data=data) as new_lab:
            reopened = new_notebook_page(new_lab, notebook_page.name)
            reopened.path.write_bytes(notebook_page.path.read_bytes())
            reopened.open()
            panel, board = (reopened.cell(index).locator(".ak-record") for index in (1, 2))
            expect(panel).to_be_visible()
            expect(panel).to_contain_text("completed")
            expect(board).to_be_visible()
            for text in (
                "1 completed",
                "1 failed",
                "study.zip",
                "torn.zip",
                "8 trials",
                "the ZIP is torn: <b>here</b>",
            ):
                expect(board).to_contain_text(text)
            assert reopened.page.locator(".ak-live").count() == 0
            assert reopened.broken_outputs() == []
            reopened.check_appearance(f"record-{trust}", ".ak-record")
            reopened.screenshot(f"board-record-{trust}", board)
            reopened.close()
