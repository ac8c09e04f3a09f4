"""Does what the panels rest on hold in a real browser, and does the harness see what it should?"""

import shutil
import urllib.error
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.notebook_page import WINDOW, Sheet

FIRST_STUDY = Path(__file__).parents[2] / "notebooks" / "01_first_study.ipynb"
WIDGET = """
import threading, time, anywidget, traitlets
from analytics_kit.notebook.html_widget import Live

heard = []
def hear(content):
    heard.append(content.get("do"))
    live.shown = {"html": f"<button data-do='cancel'>{heard}</button>", "said": ""}

live = Live("panel", lambda content, _: content["do"] == "draw" or hear(content),
            html="<button data-do='cancel'>Cancel</button>", said="")
live
"""
BLOCK = """
ends = time.monotonic() + 60
while not heard and time.monotonic() < ends:
    time.sleep(0.02)
print("heard while it ran:", heard)
"""
BAD = """
from IPython.display import HTML
HTML('<div class="ak-bad"><input><img src="http://stray.invalid/x.png" alt=""></div>')
"""


EITHER = pytest.mark.parametrize("sheet", ["lab", "notebook"], indirect=True)


@EITHER
def test_the_first_notebook_runs_from_the_menu(sheet):
    shutil.copy(FIRST_STUDY, sheet.path)
    sheet.open()
    sheet.run_all()
    sheet.idle(60)
    sheet.save()
    outputs = [output for cell in nbformat.read(sheet.path, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("text/html" in output.get("data", {}) for output in outputs)


@EITHER
def test_a_press_is_heard_while_a_cell_runs(sheet):
    """The very first press, before anything else was answered, is the one that ipykernel 7.4 would keep."""
    sheet.write(WIDGET, BLOCK)
    sheet.open()
    sheet.run_cell(0)
    expect(sheet.page.locator(".ak-live button")).to_have_text("Cancel")
    sheet.run_cell(1)
    assert "*" in sheet.prompt(1)
    sheet.page.locator(".ak-live button").click()
    expect(sheet.page.locator(".ak-live button")).to_have_text("['cancel']")
    expect(sheet.output(1)).to_have_text("heard while it ran: ['cancel']")


def test_a_server_is_not_taken_for_another(lab, tmp_path):
    """Of two that choose the same port one ends, and only the other answers there."""
    other = Lab(tmp_path)
    other.url = lab.url
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        other.ask("status")
    refused.value.close()


def test_the_harness_sees_what_goes_wrong(lab, browser, shots):
    sheet = Sheet(browser.new_page(viewport=WINDOW), lab, shots, "wrong.ipynb")
    sheet.write(BAD)
    sheet.open()
    assert (sheet.errors, sheet.strays) == ([], [])
    sheet.run_all()
    sheet.page.locator(".ak-bad").wait_for()
    assert [line.split(":")[0] for line in sheet.axe(".ak-bad")] == ["label"]
    sheet.page.evaluate("() => console.error('ak-bad')")
    sheet.page.evaluate(
        "() => new Promise(go => { setTimeout(go, 1); setTimeout(() => { throw Error('anywidget') }) })"
    )
    sheet.page.evaluate("() => console.error('somebody else')")
    assert set(sheet.strays) == {"http://stray.invalid/x.png"}
    assert sheet.errors == ["ak-bad", "anywidget"]
    assert {"error: ak-bad", "error: somebody else"} <= set(sheet.words)
    assert "Kernel started" in lab.words()
    assert lab.words().endswith("(running)")
    sheet.page.close()
