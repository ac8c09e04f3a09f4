"""What of panels and a board outlives a reload, a new kernel and the server, and is it honest?"""

from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.notebook_fixtures import FAIL, GO
from tests.browser.notebook_page import BOARD, PANEL
from tests.processes import until

SETUP = "import analytics_kit as ak\nfrom tests.browser import notebook_fixtures as staged\njob = staged.submit({path!r})\njob"
NAMESPACE = "%env ANALYTICS_KIT_NAMESPACE=reopening"


def test_two_panels_agree_and_outlive_a_reload_and_a_new_kernel(sheet, study, stage):
    stage.say(0.2)
    sheet.write(SETUP.format(path=str(study)), "job", "print('id', job.id)", "import analytics_kit as ak")
    sheet.open()
    sheet.run_all()
    percents = sheet.page.locator(f"{PANEL} .ak-percent")
    expect(percents).to_have_text(["20%", "20%"], timeout=30_000)
    sheet.idle()
    job_id = sheet.output(2).inner_text().split()[-1]
    sheet.save()
    stage.say(0.5)
    expect(percents).to_have_text(["50%", "50%"])
    sheet.reload()
    expect(percents).to_have_text(["50%", "50%"])
    stage.say(0.6)
    expect(percents).to_have_text(["60%", "60%"])
    sheet.restart_kernel()
    for place in (0, 1):
        expect(sheet.cell(place).locator(".ak-record")).to_be_visible()
        expect(sheet.cell(place).locator(PANEL)).to_be_hidden()
    sheet.replace(3, f"import analytics_kit as ak\njob = ak.get_job({job_id!r})\njob")
    sheet.run_cell(3)
    shown = sheet.cell(3).locator(f"{PANEL} .ak-card")
    expect(shown.locator(".ak-percent")).to_have_text("60%")
    stage.say(GO)
    expect(shown).to_have_attribute("data-status", "completed", timeout=30_000)


def test_a_saved_notebook_shows_records_and_no_broken_box(lab, sheet, new_sheet, new_study, stages, tmp_path):
    """A panel, and a board with one job more."""
    study, torn = new_study("study.zip"), new_study("torn.zip")
    stages(study).say(0.2)
    stages(torn).say(FAIL)
    sheet.write(NAMESPACE, SETUP.format(path=str(study)), f"other = staged.submit({str(torn)!r})\nak.board()")
    sheet.open()
    sheet.run_all()
    sheet.card("running")
    stages(study).say(GO)
    sheet.card("completed")
    expect(sheet.page.locator(f"{BOARD} .ak-count")).to_have_text(["✔ 1 completed", "✖ 1 failed"], timeout=30_000)
    sheet.idle()

    def is_kept():
        sheet.save()
        return 'data-status="completed"' in sheet.records() and "1 failed" in sheet.records()

    until(is_kept, "the file knows how the jobs ended")
    sheet.close()
    for trust, data in (("trusted", lab.data), ("untrusted", None)):
        with Lab(tmp_path / trust, data=data) as fresh:
            again = new_sheet(fresh, sheet.name)
            again.path.write_bytes(sheet.path.read_bytes())
            again.open()
            panel, board = (again.cell(place).locator(".ak-record") for place in (1, 2))
            expect(panel).to_be_visible()
            expect(panel).to_contain_text("completed")
            expect(board).to_be_visible()
            for words in (
                "1 completed",
                "1 failed",
                "study.zip",
                "torn.zip",
                "8 trials",
                "the ZIP is torn: <b>here</b>",
            ):
                expect(board).to_contain_text(words)
            assert again.page.locator(".ak-live").count() == 0
            assert again.broken() == []
            again.look(f"record-{trust}", ".ak-record")
            again.shot(f"board-record-{trust}", board)
            again.close()
