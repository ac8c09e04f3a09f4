"""A notebook that was saved live gives a complete HTML report, and the same outputs when it is run again."""

import os
import subprocess
import sys

import nbformat
from playwright.sync_api import expect

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings

CELLS = (
    "import analytics_kit as ak\njob = ak.submit({path!r})\njob",
    "job.wait()",
    "again = ak.submit({path!r}, refresh=True)\nagain.wait()",
    "job.result().summary['trials']",
)
LIMIT_S = 100


def test_notebook_saved_live_gives_a_complete_report_and_passes_strictly(
    notebook_page, study, browser, screenshots, tmp_path
):
    """The end of a job is displayed before other cells wait for it, and the file has it."""
    notebook_page.write(*(cell.format(path=str(study)) for cell in CELLS))
    notebook_page.open()
    notebook_page.run_cell(0)
    expect(notebook_page.cell(0).locator('.ak-live .ak-card[data-status="completed"]')).to_be_visible(timeout=30_000)
    for index in range(1, len(CELLS)):
        notebook_page.run_cell(index)
    expect(notebook_page.output(3)).to_have_text("8", timeout=30_000)
    notebook_page.save()
    outputs = [output for cell in nbformat.read(notebook_page.path, 4).cells for output in cell.outputs]
    assert sum("text/html" in output.get("data", {}) for output in outputs) == 2
    check_report(notebook_page.path, browser, screenshots, tmp_path)
    run_strictly(notebook_page.path, tmp_path / "home")


def check_report(notebook, browser, screenshots, folder):
    """Draw its HTML: each static record is visible, and no output replaces a widget."""
    run("nbconvert", "--to", "html", "--output-dir", folder, notebook)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.route("http*://**", lambda route: route.abort())  # the report must work without the internet
    page.goto((folder / notebook.with_suffix(".html").name).as_uri())
    page.screenshot(path=screenshots / "report.png", full_page=True)
    records = page.locator(".ak-record")
    expect(records).to_have_count(2)
    for record in records.all():
        expect(record).to_be_visible()
        expect(record).to_contain_text("completed")
        expect(record).to_contain_text("8 trials")
    assert page.locator(".ak-live").count() == 0
    outputs = page.locator(".jp-OutputArea-child").filter(visible=True)
    assert [text for text in outputs.all_inner_texts() if not text.strip() or "widget" in text.lower()] == []


def run_strictly(notebook, home):
    """Run it again in a home of its own, so that the study is processed again, and compare all outputs."""
    try:
        output = run(
            "pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull, notebook, ANALYTICS_KIT_HOME=home
        )
    finally:
        embedded.stop(Settings.of(home=home))
    assert f"{len(CELLS)} passed" in output


def run(module, *arguments, **environment):
    """Run a module that must succeed, and return its output."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    inherited = os.environ | {name: str(value) for name, value in environment.items()}
    process = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=inherited)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout
