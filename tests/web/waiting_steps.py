"""A step that processes a study once a test lets it."""

import time
from pathlib import Path

from analytics_kit.model import Progress
from analytics_kit.worker_tasks import process_study


def wait(step):
    """Report 40 %, and process the study once `<source>.gate` exists."""
    step.report(Progress("processing", 40, 100, fraction=0.4))
    deadline = time.monotonic() + 60
    while not Path(f"{step.arguments['source']}.gate").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process_study(step)
