"""What does somebody do with a notebook in a browser, and what is there to be seen?"""

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
RECORD = """
selector => {
  const seen = [];
  const look = () => {
    const card = document.querySelector(selector)?.querySelector(".ak-card[data-status]");
    if (!card) return;
    const word = card.querySelector(".ak-state")?.textContent.trim().split(/\\s+/).at(-1);
    const now = [word, card.querySelector("progress[value]")?.value ?? null];
    if (String(now) !== String(seen.at(-1))) seen.push(now);
  };
  new MutationObserver(look).observe(
    document, { subtree: true, childList: true, attributes: true, characterData: true });
  look();
  (window.akSeen ??= {})[selector] = seen;
}
"""


class Sheet:
    """A page of a browser and the notebook that is open in it; `errors` and `strays` must stay empty."""

    def __init__(self, page: Page, lab: Lab, shots: Path, name: str = "sheet.ipynb") -> None:
        self.page, self.lab, self.shots, self.name = page, lab, shots, name
        self.errors: list[str] = []
        """Exceptions in the page, and errors on its console that name us."""
        self.strays: list[str] = []
        """Requests to other hosts."""
        self.words = deque[str](maxlen=50)
        """The last that was heard of the page."""
        page.on("pageerror", self._catch)
        page.on("console", self._listen)
        page.on("request", self._watch)
        page.on("requestfailed", lambda request: self.words.append(f"failed: {request.url} {request.failure}"))
        page.on("crash", lambda _: self.words.append("the page has crashed"))
        page.on("close", lambda _: self.words.append("the page was closed"))
        page.context.browser.on("disconnected", lambda _: self.words.append("Chromium has ended"))

    @property
    def path(self) -> Path:
        """The notebook's file."""
        return self.lab.notebooks / self.name

    def write(self, *cells: str) -> None:
        """Make the notebook of these code cells."""
        book = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": KERNELSPEC})
        nbformat.write(book, self.path)

    def open(self) -> None:
        """Open the notebook, and wait until its kernel is ready."""
        address = self.lab.address(self.name)
        self.page.goto(f"{address}{'&' if '?' in address else '?'}token={self.lab.token}")
        self.ready()

    def ready(self) -> None:
        """Wait until the notebook is drawn and its kernel has nothing to do."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=LIMIT_S * 1000)
        self.page.wait_for_function(IDLE, timeout=LIMIT_S * 1000)

    def run_all(self) -> None:
        """Run → Run All Cells. A page that has just been opened sometimes ignores it: then once more."""
        before = self.prompt(0)

        def begun() -> bool:
            self.menu("Run", "runmenu:run-all")
            return self._has_begun(0, before)

        until(begun, "the first cell runs")

    def menu(self, name: str, command: str) -> None:
        """Choose from the menu bar."""
        self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{name}$")).click()
        self.page.locator(f'li.lm-Menu-item[data-command="{command}"]').click()

    def run_cell(self, place: int) -> None:
        """Run one cell by keyboard."""
        before = self.prompt(place)

        def begun() -> bool:
            self.cell(place).locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")
            return self._has_begun(place, before)

        until(begun, f"cell {place} runs")

    def replace(self, place: int, code: str) -> None:
        """Write other code into a cell."""
        self.cell(place).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)

    def cell(self, place: int) -> Locator:
        """A code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(place)

    def output(self, place: int) -> Locator:
        """What is below a code cell."""
        return self.cell(place).locator(".jp-OutputArea-output")

    def card(self, status: str, place: str = PANEL) -> Locator:
        """The card of a job there, once it has this status."""
        found = self.page.locator(f"{place} .ak-card")
        expect(found).to_have_attribute("data-status", status, timeout=LIMIT_S * 1000)
        return found

    def records(self) -> str:
        """All records in the file, as it was saved last."""
        outputs = [output for cell in nbformat.read(self.path, 4).cells for output in cell.get("outputs", [])]
        return "".join(output.get("data", {}).get("text/html", "") for output in outputs)

    def prompt(self, place: int) -> str:
        """The prompt of a code cell: "[1]:", "[*]:" while it runs or waits, "[ ]:" when it never ran."""
        return self.cell(place).locator(".jp-InputPrompt").inner_text()

    def idle(self, limit_s: float = LIMIT_S) -> None:
        """Wait until no cell runs or waits."""
        self.page.wait_for_function(
            "![...document.querySelectorAll('.jp-InputPrompt')].some(each => each.textContent.includes('*'))",
            timeout=limit_s * 1000,
        )

    def restart_kernel(self) -> None:
        """Kernel → Restart Kernel, and yes."""
        self.menu("Kernel", "kernelmenu:restart")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.ready()

    def reload(self) -> None:
        """Load the page again, as the browser's button does."""
        self.page.reload()
        self.ready()

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

    def record(self, selector: str) -> None:
        """Begin to record the states that the first card below `selector` goes through."""
        self.page.evaluate(RECORD, selector)

    def states(self, selector: str) -> list[tuple[str, float | None]]:
        """The states recorded: word and percent, None without a bar; each as often as it came."""
        return [(word, percent) for word, percent in self.page.evaluate("selector => akSeen[selector]", selector)]

    def broken(self) -> list[str]:
        """What stands in place of widgets that can't be drawn."""
        texts = self.page.locator(".jp-OutputArea-output").filter(visible=True).all_inner_texts()
        return [text for text in texts if BROKEN.search(text)]

    def axe(self, selector: str) -> list[str]:
        """What axe-core objects to in the elements."""
        found = Axe().run(self.page, selector).response["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]

    def look(self, name: str, selector: str) -> None:
        """A picture of the first card below in each theme; axe-core objects to nothing in either."""
        for theme in ("dark", "light"):
            self.theme(theme)
            self.shot(f"{name}-{theme}", self.page.locator(f"{selector} .ak-card").first)
            found = self.axe(selector)
            assert not found, "\n".join([f"{theme} theme:", *found])

    def shot(self, name: str, what: Locator | None = None) -> None:
        """A picture of an element, or of the whole page."""
        app = "" if self.lab.app == "lab" else f"{self.lab.app}-"
        (what or self.page).screenshot(path=self.shots / f"{app}{name}.png")

    def keep(self, name: str) -> None:
        """A picture and the source of the page, as far as there still is one."""
        try:
            self.shot(name)
            (self.shots / f"{name}.html").write_text(self.page.content())
        except Error as error:
            self.words.append(f"no picture: {error.message}")

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

    def _has_begun(self, place: int, before: str) -> bool:
        try:
            expect(self.cell(place).locator(".jp-InputPrompt")).not_to_have_text(before, timeout=3000)
        except AssertionError:
            return False
        return True

    def _catch(self, error: Error) -> None:
        self.words.append(f"exception: {error.message}\n{error.stack}")
        if OURS.search(f"{error.message}\n{error.stack}"):
            self.errors.append(error.message)

    def _listen(self, message: ConsoleMessage) -> None:
        self.words.append(f"{message.type}: {message.text}")
        if message.type == "error" and OURS.search(f"{message.text} {message.location.get('url', '')}"):
            self.errors.append(message.text)

    def _watch(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host not in (None, "127.0.0.1", "localhost"):
            self.strays.append(request.url)
