"""How do tests start the server of the HTTP API, and what do they do at its page?"""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.processes import end, until

ROOT = Path(__file__).parents[2]
PROGRAM = """
from analytics_kit import client
client.PROCESS_STUDY = "tests.browser.notebook_fixtures.process_study"
from analytics_kit.cli import main
main()
"""
"""Its jobs do as the file beside their study says."""
LOOKS = {"wide": (1300, 900), "phone": (320, 800)}
FOREIGN = ("ANALYTICS_KIT_", "REDIS_")


class Server:
    """A server on a free port of this machine, with jobs in its own process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.token = folder, folder / "data", secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.data.mkdir(exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        known = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(self.folder / "home")}
        known |= {"ANALYTICS_KIT_TOKEN": f"ann: {self.token}", "PYTHONPATH": str(ROOT)}
        words = ["serve", "--data", str(self.data), "--port", "0"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words], env=own | known, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            found = until(lambda: re.search(r"Serving (http://\S+/)", self.words()), "it says where it is")
        except BaseException as error:
            error.add_note(self.words())
            self.__exit__()
            raise
        self.url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return self.url.removesuffix("/api/analytics/")

    def words(self) -> str:
        """What it said."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return (self.folder / "log").read_text()


class Dashboard:
    """The page in a browser. `errors` has what its console tells as errors, exceptions, and asks of other hosts."""

    def __init__(self, page: Page, server: Server, shots: Path) -> None:
        self.page, self.server, self.shots = page, server, shots
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(error.message))
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        page.on("request", lambda asked: asked.url.startswith(server.origin) or self.errors.append(asked.url))

    def sign_in(self) -> None:
        """Open the page and give the token."""
        self.page.goto(self.server.url)
        self.page.get_by_label("Token").fill(self.server.token)
        self.page.get_by_role("button", name="Sign in").press("Enter")
        expect(self.page.get_by_role("heading", name="Jobs")).to_be_visible()

    def start(self, study: str) -> None:
        """Process a study of the catalogue."""
        self.page.get_by_label("Study", exact=True).select_option(study)
        self.page.get_by_role("button", name="Process").click()

    def job(self, name: str, status: str) -> Locator:
        """The job of a study, once it is in this state."""
        found = self.page.locator(f"#jobs > li[data-status={status}]", has_text=name).first
        expect(found.locator(".state")).to_contain_text(status, timeout=30_000)
        return found

    def say(self, words: str) -> None:
        """Wait until the page says this."""
        expect(self.page.locator("#note")).to_contain_text(words)

    def throttle(self, upload_bytes_per_s: float) -> None:
        """Have uploads go no faster."""
        line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload_bytes_per_s}
        self.page.context.new_cdp_session(self.page).send("Network.emulateNetworkConditions", line)

    def look(self, name: str) -> None:
        """A picture in each theme and width: nothing is cut off, and axe-core objects to nothing."""
        for width, (x, y) in LOOKS.items():
            self.page.set_viewport_size({"width": x, "height": y})
            for theme in ("dark", "light"):
                self.page.emulate_media(color_scheme=theme)
                self.page.screenshot(path=self.shots / f"{name}-{width}-{theme}.png", full_page=True)
                found = Axe().run(self.page).response["violations"]
                told = [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
                assert not told, "\n".join([f"{width}, {theme}:", *told])
            beyond = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{beyond} px are beyond the {width} window"
        self.page.set_viewport_size({"width": 1300, "height": 900})
