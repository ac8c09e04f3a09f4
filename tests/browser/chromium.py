"""Which Chromium do the tests look through, and how is it started?"""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",  # root in a container has none; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable(playwright: Playwright) -> str:
    """The path of a Chromium that runs: the system's, else the one that Playwright has installed."""
    for name in NAMES:
        path = shutil.which(name)
        if path and _runs(path):
            return path
    own = playwright.chromium.executable_path
    assert Path(own).exists(), (
        f"No Chromium runs here: none of {', '.join(NAMES)}, and not Playwright's. "
        f"`make test` installs it; by hand: apt-get install chromium, or "
        f"{sys.executable} -m playwright install --with-deps chromium"
    )
    return own


@contextlib.contextmanager
def chromium():
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=executable(playwright), args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


def _runs(path: str) -> bool:
    """Ubuntu's chromium-browser is a stub that asks for snap."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
