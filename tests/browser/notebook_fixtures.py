"""Studies whose processing a test controls; imported by a notebook's kernel and by its workers."""

import contextlib
import os
import time
from pathlib import Path
from unittest import mock

import analytics_kit as ak
from analytics_kit import client
from analytics_kit import worker_tasks as tasks
from analytics_kit.errors import BadArchiveError
from analytics_kit.model import Progress

LIMIT_S = 100
GO, FAIL = "go", "fail"


class WorkControl:
    """The test's side: sets the progress that the work on a study reports, and how it ends."""

    def __init__(self, study: Path) -> None:
        self._path = control_file(study)

    def set(self, command: float | str) -> None:
        """Set a fraction to report, or GO or FAIL."""
        beside = self._path.with_suffix(".new")
        beside.write_text(str(command))
        beside.replace(self._path)


def control_file(study: str | os.PathLike[str]) -> Path:
    """The file beside a study that holds the last command."""
    return Path(f"{study}.control")


def submit(study: str, **options: object) -> ak.Job:
    """Submit a study like `ak.submit`, but let its WorkControl hold up the processing."""
    with mock.patch.object(client, "PROCESS_STUDY", f"{__name__}.process_study"):
        return ak.submit(study, **options)


def process_study(task):
    """Report the fractions in the control file until it contains GO or FAIL."""
    deadline, path, command = time.monotonic() + LIMIT_S, control_file(task.arguments["source"]), ""
    while command != GO:
        if command == FAIL:
            raise BadArchiveError("the ZIP is torn: <b>here</b>", hint="Download it again.")
        with contextlib.suppress(ValueError):
            fraction = float(command)
            task.report(
                Progress(
                    "processing",
                    int(100 * fraction),
                    100,
                    fraction=fraction,
                    rows=int(2753 * fraction),
                    files=int(28 * fraction),
                )
            )
        if time.monotonic() > deadline:
            raise TimeoutError("the test set neither GO nor FAIL")
        time.sleep(0.02)
        with contextlib.suppress(FileNotFoundError):
            command = path.read_text()
    return tasks.process_study(task)


warm, discard, tidy = tasks.warm, tasks.discard, tasks.tidy
STEPS = (*tasks.STEPS, process_study)
