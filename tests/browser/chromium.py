"""Find and start the Chromium of the browser tests."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from playwright.sync_api import Browser, Playwright, sync_playwright

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
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
    """Return the path of a working Chromium: the system's, otherwise the one that Playwright has installed."""
    for name in EXECUTABLES:
        path = shutil.which(name)
        if path and _runs(path):
            return path
    installed = playwright.chromium.executable_path
    assert Path(installed).exists(), (
        f"No Chromium runs here: none of {', '.join(EXECUTABLES)}, and not Playwright's. "
        f"`make test` installs it; by hand: apt-get install chromium, or "
        f"{sys.executable} -m playwright install --with-deps chromium"
    )
    return installed


@contextlib.contextmanager
def launcher() -> Iterator[Callable[[], Browser]]:
    """Yield a function that starts a headless Chromium. pytest shows its log if a test fails."""
    with mock.patch.dict(os.environ, DEBUG="pw:browser"), sync_playwright() as playwright:
        path = executable(playwright)
        yield lambda: playwright.chromium.launch(executable_path=path, args=list(SWITCHES))


def _runs(path: str) -> bool:
    """Return whether it starts: Ubuntu's chromium-browser is a stub that asks for snap."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
