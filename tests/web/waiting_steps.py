"""A task that stands in for the processing of studies, which it begins when it may."""

import time
from pathlib import Path

from analytics_kit.model import Progress
from analytics_kit.worker_tasks import process_study


def wait(task):
    """Go on once `<source>.gate` is there."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    ends = time.monotonic() + 60
    while not Path(f"{task.arguments['source']}.gate").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    return process_study(task)
