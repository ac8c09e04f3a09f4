"""Does a notebook that was saved live make a whole HTML report, and does it give the same when it is run again?"""

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


def test_a_notebook_saved_live_is_reported_whole_and_passes_strictly(sheet, study, browser, shots, tmp_path):
    """A job was seen to its end before others waited for it, and the file knows that."""
    sheet.write(*(cell.format(path=str(study)) for cell in CELLS))
    sheet.open()
    sheet.run_cell(0)
    expect(sheet.cell(0).locator('.ak-live .ak-card[data-status="completed"]')).to_be_visible(timeout=30_000)
    for place in range(1, len(CELLS)):
        sheet.run_cell(place)
    expect(sheet.output(3)).to_have_text("8", timeout=30_000)
    sheet.save()
    outputs = [output for cell in nbformat.read(sheet.path, 4).cells for output in cell.outputs]
    assert sum("text/html" in output.get("data", {}) for output in outputs) == 2
    look_at_report(sheet.path, browser, shots, tmp_path)
    run_strictly(sheet.path, tmp_path / "home")


def look_at_report(notebook, browser, shots, folder):
    """Draw its HTML: each record is there, and nothing stands in place of a widget."""
    run("nbconvert", "--to", "html", "--output-dir", folder, notebook)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.route("http*://**", lambda route: route.abort())  # the report has to do without the internet
    page.goto((folder / notebook.with_suffix(".html").name).as_uri())
    page.screenshot(path=shots / "report.png", full_page=True)
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
    """Run it again in a home of its own, so that the job is done anew, and compare all that it gives."""
    try:
        told = run("pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull, notebook, ANALYTICS_KIT_HOME=home)
    finally:
        embedded.stop(Settings.of(home=home))
    assert f"{len(CELLS)} passed" in told


def run(module, *arguments, **environment):
    """What a program prints that ends well."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    own = os.environ | {name: str(value) for name, value in environment.items()}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=own)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
