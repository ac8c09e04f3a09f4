"""The HTTP server and its page in a browser, for the tests."""

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
client.WORKER_TASKS = "tests.browser.notebook_fixtures"
client.PROCESS_STUDY = f"{client.WORKER_TASKS}.process_study"
from analytics_kit.cli import main
main()
"""
"""A server whose jobs follow the file beside their study."""
WINDOW_SIZES = {"wide": (1300, 900), "phone": (320, 800)}
SETTINGS_PREFIXES = ("ANALYTICS_KIT_", "REDIS_")


class PageServer:
    """A server on a free port of this machine, with jobs in its own process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.token = folder, folder / "data", secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PageServer":
        self.data.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_PREFIXES)}
        settings = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(self.folder / "home")}
        settings |= {"ANALYTICS_KIT_TOKEN": f"ann: {self.token}", "PYTHONPATH": str(ROOT)}
        arguments = ["serve", "--data", str(self.data), "--port", "0"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                env=inherited | settings,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        try:
            address = until(
                lambda: re.search(r"Serving (http://\S+/)", self.log_text()), "the server prints its address"
            )
        except BaseException as error:
            error.add_note(self.log_text())
            self.__exit__()
            raise
        self.url = address[1]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)

    @property
    def origin(self) -> str:
        """Its URL without a path."""
        return self.url.removesuffix("/api/analytics/")

    def log_text(self) -> str:
        """Its output so far."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return (self.folder / "log").read_text()


class Dashboard:
    """The page in a browser. `errors` collects errors of its console, exceptions, and requests to other hosts."""

    def __init__(self, page: Page, server: PageServer, screenshots: Path) -> None:
        self.page, self.server, self.screenshots = page, server, screenshots
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(error.message))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("request", lambda request: request.url.startswith(server.origin) or self.errors.append(request.url))

    def sign_in(self) -> None:
        """Open the page and sign in with the token."""
        self.page.goto(self.server.url)
        self.page.get_by_label("Token").fill(self.server.token)
        self.page.get_by_role("button", name="Sign in").press("Enter")
        expect(self.page.get_by_role("heading", name="Jobs")).to_be_visible()

    def process(self, study: str) -> None:
        """Process a study of the catalogue."""
        self.page.get_by_label("Study", exact=True).select_option(study)
        self.page.get_by_role("button", name="Process").click()

    def job(self, name: str, status: str) -> Locator:
        """The card of a study's job, once it has this status."""
        card = self.page.locator(f"#jobs > li[data-status={status}]", has_text=name).first
        expect(card.locator(".status")).to_contain_text(status, timeout=30_000)
        return card

    def expect_note(self, text: str) -> None:
        """Wait until the note above the jobs contains the text."""
        expect(self.page.locator("#note")).to_contain_text(text)

    def throttle(self, upload_bytes_per_s: float) -> None:
        """Limit the speed of uploads."""
        conditions = {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": upload_bytes_per_s,
        }
        self.page.context.new_cdp_session(self.page).send("Network.emulateNetworkConditions", conditions)

    def check_appearance(self, name: str) -> None:
        """Take a screenshot in each theme and window size; nothing may be cut off or violate a rule of axe-core."""
        for width, (x, y) in WINDOW_SIZES.items():
            self.page.set_viewport_size({"width": x, "height": y})
            for theme in ("dark", "light"):
                self.page.emulate_media(color_scheme=theme)
                self.page.screenshot(path=self.screenshots / f"{name}-{width}-{theme}.png", full_page=True)
                violations = Axe().run(self.page).response["violations"]
                lines = [f"{each['id']}: {node['html'][:200]}" for each in violations for node in each["nodes"]]
                assert not lines, "\n".join([f"{width}, {theme}:", *lines])
            overflow_px = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow_px <= 0, f"{overflow_px} px are outside the {width} window"
        self.page.set_viewport_size({"width": 1300, "height": 900})
