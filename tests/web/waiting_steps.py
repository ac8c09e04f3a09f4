"""A step that processes a study once a test lets it."""

import time
from pathlib import Path

from analytics_kit import worker_tasks as tasks
from analytics_kit.model import Progress


def wait(step):
    """Report 40 %, and process the study once `<source>.gate` exists."""
    step.report(Progress("processing", 40, 100, fraction=0.4))
    deadline = time.monotonic() + 60
    while not Path(f"{step.arguments['source']}.gate").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return tasks.process_study(step)


warm, discard, tidy = tasks.warm, tasks.discard, tasks.tidy
STEPS = (*tasks.STEPS, wait)
