"""The foundations of the panels work in a real browser, and the test harness notices errors."""

import shutil
import urllib.error
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.notebook_page import WINDOW, NotebookPage

FIRST_STUDY = Path(__file__).parents[2] / "notebooks" / "01_first_study.ipynb"
WIDGET = """
import threading, time, anywidget, traitlets
from analytics_kit.notebook.html_widget import HtmlWidget

actions = []
def on_message(content, _):
    if content["action"] != "open_page":
        actions.append(content["action"])
        widget.content = {"html": f"<button data-action='cancel'>{actions}</button>", "announcement": ""}

widget = HtmlWidget("panel", on_message, html="<button data-action='cancel'>Cancel</button>", announcement="")
widget
"""
BLOCK = """
deadline = time.monotonic() + 60
while not actions and time.monotonic() < deadline:
    time.sleep(0.02)
print("actions while it ran:", actions)
"""
BAD = """
from IPython.display import HTML
HTML('<div class="ak-bad"><input><img src="http://stray.invalid/x.png" alt=""></div>')
"""


EITHER = pytest.mark.parametrize("notebook_page", ["lab", "notebook"], indirect=True)


@EITHER
def test_first_notebook_runs_from_the_menu(notebook_page):
    shutil.copy(FIRST_STUDY, notebook_page.path)
    notebook_page.open()
    notebook_page.run_all()
    notebook_page.wait_until_idle(60)
    notebook_page.save()
    outputs = [output for cell in nbformat.read(notebook_page.path, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("text/html" in output.get("data", {}) for output in outputs)


@EITHER
def test_click_is_handled_while_a_cell_runs(notebook_page):
    """Tests the very first click, because ipykernel 7.4 would hold back that one."""
    notebook_page.write(WIDGET, BLOCK)
    notebook_page.open()
    notebook_page.run_cell(0)
    expect(notebook_page.page.locator(".ak-live button")).to_have_text("Cancel")
    notebook_page.run_cell(1)
    assert "*" in notebook_page.prompt(1)
    notebook_page.page.locator(".ak-live button").click()
    expect(notebook_page.page.locator(".ak-live button")).to_have_text("['cancel']")
    expect(notebook_page.output(1)).to_have_text("actions while it ran: ['cancel']")


def test_token_distinguishes_two_servers_on_one_port(lab, tmp_path):
    """Of two servers that choose the same port one ends, and the other one responds to both."""
    other = Lab(tmp_path)
    other.url = lab.url
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        other.request_api("status")
    refused.value.close()


def test_harness_notices_errors_and_foreign_requests(lab, browser, screenshots):
    notebook_page = NotebookPage(browser.new_page(viewport=WINDOW), lab, screenshots, "wrong.ipynb")
    notebook_page.write(BAD)
    notebook_page.open()
    assert (notebook_page.errors, notebook_page.foreign_requests) == ([], [])
    notebook_page.run_all()
    notebook_page.page.locator(".ak-bad").wait_for()
    assert [line.split(":")[0] for line in notebook_page.axe(".ak-bad")] == ["label"]
    notebook_page.page.evaluate("() => console.error('ak-bad')")
    notebook_page.page.evaluate(
        "() => new Promise(go => { setTimeout(go, 1); setTimeout(() => { throw Error('anywidget') }) })"
    )
    notebook_page.page.evaluate("() => console.error('somebody else')")
    assert set(notebook_page.foreign_requests) == {"http://stray.invalid/x.png"}
    assert notebook_page.errors == ["ak-bad", "anywidget"]
    assert {"error: ak-bad", "error: somebody else"} <= set(notebook_page.log)
    assert "Kernel started" in lab.log_tail()
    assert lab.log_tail().endswith("(running)")
    notebook_page.page.close()
