"""A notebook in a browser: what a user does with it and sees of it."""

import json
import re
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from axe_playwright_python.sync_playwright import Axe
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request, expect

from tests.browser.lab import Lab
from tests.processes import until

LIMIT_S = 30
WINDOW = {"width": 1300, "height": 1400}  # tall: Lab draws only the cells in view
OURS = re.compile(r"\bak-|anywidget|analytics_kit|blob:")  # widgets are loaded from blobs
BROKEN = re.compile(r"Loading widget|Error displaying widget|model not found|application/vnd\.jupyter|^\s*$")
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else a dialog asks
PANEL, BOARD = ".ak-live.ak-panel", ".ak-live.ak-board"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
IDLE = """
() => {
  const kernel = globalThis.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}
"""
RECORDER = """
selector => {
  const statuses = [];
  const record = () => {
    const card = document.querySelector(selector)?.querySelector(".ak-card[data-status]");
    if (!card) return;
    const word = card.querySelector(".ak-state")?.textContent.trim().split(/\\s+/).at(-1);
    const now = [word, card.querySelector("progress[value]")?.value ?? null];
    if (String(now) !== String(statuses.at(-1))) statuses.push(now);
  };
  new MutationObserver(record).observe(
    document, { subtree: true, childList: true, attributes: true, characterData: true });
  record();
  (window.akStatuses ??= {})[selector] = statuses;
}
"""


class NotebookPage:
    """A page of a browser with an open notebook; `errors` and `foreign_requests` must stay empty."""

    def __init__(self, page: Page, lab: Lab, screenshots: Path, name: str = "notebook.ipynb") -> None:
        self.page, self.lab, self.screenshots, self.name = page, lab, screenshots, name
        self.errors: list[str] = []
        """Exceptions in the page, and errors on its console that concern this package."""
        self.foreign_requests: list[str] = []
        """URLs of requests to other hosts."""
        self.log = deque[str](maxlen=50)
        """The last messages of the page."""
        page.on("pageerror", self._on_error)
        page.on("console", self._on_console)
        page.on("request", self._on_request)
        page.on("requestfailed", lambda request: self.log.append(f"failed: {request.url} {request.failure}"))
        page.on("crash", lambda _: self.log.append("the page has crashed"))
        page.on("close", lambda _: self.log.append("the page was closed"))
        page.context.browser.on("disconnected", lambda _: self.log.append("Chromium has ended"))

    @property
    def path(self) -> Path:
        """The notebook's file."""
        return self.lab.notebooks / self.name

    def write(self, *cells: str) -> None:
        """Write the notebook with these code cells."""
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": KERNELSPEC})
        nbformat.write(notebook, self.path)

    def open(self) -> None:
        """Open the notebook, and wait until its kernel is ready."""
        address = self.lab.address(self.name)
        self.page.goto(f"{address}{'&' if '?' in address else '?'}token={self.lab.token}")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the notebook is drawn and its kernel is idle."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=LIMIT_S * 1000)
        self.page.wait_for_function(IDLE, timeout=LIMIT_S * 1000)

    def run_all(self) -> None:
        """Choose Run → Run All Cells; repeat if a page that has just been opened ignores it."""
        before = self.prompt(0)

        def starts() -> bool:
            self.menu("Run", "runmenu:run-all")
            return self._has_started(0, before)

        until(starts, "the first cell runs")

    def menu(self, name: str, command: str) -> None:
        """Choose from the menu bar."""
        self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{name}$")).click()
        self.page.locator(f'li.lm-Menu-item[data-command="{command}"]').click()

    def run_cell(self, index: int) -> None:
        """Run one cell by keyboard."""
        before = self.prompt(index)

        def starts() -> bool:
            self.cell(index).locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")
            return self._has_started(index, before)

        until(starts, f"cell {index} runs")

    def replace(self, index: int, code: str) -> None:
        """Write other code into a cell."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)

    def cell(self, index: int) -> Locator:
        """A code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Locator:
        """The outputs of a code cell."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def card(self, status: str, selector: str = PANEL) -> Locator:
        """Wait until the card of a job has this status, and return the card."""
        card = self.page.locator(f"{selector} .ak-card")
        expect(card).to_have_attribute("data-status", status, timeout=LIMIT_S * 1000)
        return card

    def saved_records(self) -> str:
        """The HTML of all static records in the saved file."""
        outputs = [output for cell in nbformat.read(self.path, 4).cells for output in cell.get("outputs", [])]
        return "".join(output.get("data", {}).get("text/html", "") for output in outputs)

    def prompt(self, index: int) -> str:
        """The prompt of a code cell: "[1]:", "[*]:" while it runs or is pending, "[ ]:" when it never ran."""
        return self.cell(index).locator(".jp-InputPrompt").inner_text()

    def wait_until_idle(self, limit_s: float = LIMIT_S) -> None:
        """Wait until no cell is running or pending."""
        self.page.wait_for_function(
            "![...document.querySelectorAll('.jp-InputPrompt')].some(each => each.textContent.includes('*'))",
            timeout=limit_s * 1000,
        )

    def restart_kernel(self) -> None:
        """Choose Kernel → Restart Kernel, and confirm."""
        self.menu("Kernel", "kernelmenu:restart")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_until_ready()

    def reload(self) -> None:
        """Load the page again, as the browser's button does."""
        self.page.reload()
        self.wait_until_ready()

    def save(self) -> None:
        """Save the notebook, and wait for the file."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        until(lambda: self.path.stat().st_mtime_ns != before and self._is_whole(), "the notebook is saved")

    def theme(self, name: str) -> None:
        """Change to the light or the dark theme."""
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", THEMES[name])
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", str(name == "light").lower())
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)  # it fades over the page meanwhile

    def start_recording(self, selector: str) -> None:
        """Record the statuses of the first card below `selector` from now on."""
        self.page.evaluate(RECORDER, selector)

    def recorded_statuses(self, selector: str) -> list[tuple[str, float | None]]:
        """The recorded changes: status and percent, None without a bar."""
        return [
            (status, percent) for status, percent in self.page.evaluate("selector => akStatuses[selector]", selector)
        ]

    def broken_outputs(self) -> list[str]:
        """The texts of visible outputs that replace a widget that can't be drawn."""
        texts = self.page.locator(".jp-OutputArea-output").filter(visible=True).all_inner_texts()
        return [text for text in texts if BROKEN.search(text)]

    def axe(self, selector: str) -> list[str]:
        """The violations that axe-core finds in the elements."""
        violations = Axe().run(self.page, selector).response["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in violations for node in each["nodes"]]

    def check_appearance(self, name: str, selector: str) -> None:
        """Take a screenshot of the first card below `selector` in each theme; axe-core must find no violation."""
        for theme in ("dark", "light"):
            self.theme(theme)
            self.screenshot(f"{name}-{theme}", self.page.locator(f"{selector} .ak-card").first)
            violations = self.axe(selector)
            assert not violations, "\n".join([f"{theme} theme:", *violations])

    def screenshot(self, name: str, element: Locator | None = None) -> None:
        """Take a screenshot of an element, or of the whole page."""
        app = "" if self.lab.app == "lab" else f"{self.lab.app}-"
        (element or self.page).screenshot(path=self.screenshots / f"{app}{name}.png")

    def save_evidence(self, name: str) -> None:
        """Save a screenshot and the source of the page, unless the page is gone."""
        try:
            self.screenshot(name)
            (self.screenshots / f"{name}.html").write_text(self.page.content())
        except Error as error:
            self.log.append(f"no screenshot: {error.message}")

    def close(self) -> None:
        """Close the page and end the kernels of its server."""
        try:
            self.page.context.close()
        finally:
            self.lab.end_kernels()

    def _is_whole(self) -> bool:
        try:
            json.loads(self.path.read_bytes())
        except ValueError:
            return False
        return True

    def _has_started(self, index: int, before: str) -> bool:
        try:
            expect(self.cell(index).locator(".jp-InputPrompt")).not_to_have_text(before, timeout=3000)
        except AssertionError:
            return False
        return True

    def _on_error(self, error: Error) -> None:
        self.log.append(f"exception: {error.message}\n{error.stack}")
        if OURS.search(f"{error.message}\n{error.stack}"):
            self.errors.append(error.message)

    def _on_console(self, message: ConsoleMessage) -> None:
        self.log.append(f"{message.type}: {message.text}")
        if message.type == "error" and OURS.search(f"{message.text} {message.location.get('url', '')}"):
            self.errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host not in (None, "127.0.0.1", "localhost"):
            self.foreign_requests.append(request.url)
