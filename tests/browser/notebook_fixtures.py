"""A study whose processing does as a test says: imported by a notebook's kernel and by its workers."""

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


class Stage:
    """The test's side: how far the work on a study seems to be, and how it goes on."""

    def __init__(self, study: Path) -> None:
        self._path = script(study)

    def say(self, word: float | str) -> None:
        """A fraction to report, or GO or FAIL."""
        beside = self._path.with_suffix(".new")
        beside.write_text(str(word))
        beside.replace(self._path)


def script(study: str | os.PathLike[str]) -> Path:
    """The file beside a study that holds the last word."""
    return Path(f"{study}.stage")


def submit(study: str, **options: object) -> ak.Job:
    """`ak.submit`, but the work does what the study's stage says before it is done."""
    with mock.patch.object(client, "PROCESS_STUDY", f"{__name__}.process_study"):
        return ak.submit(study, **options)


def process_study(task):
    """Report what the stage says until it says how to go on."""
    ends, path, said = time.monotonic() + LIMIT_S, script(task.arguments["source"]), ""
    while said != GO:
        if said == FAIL:
            raise BadArchiveError("the ZIP is torn: <b>here</b>", hint="Download it again.")
        with contextlib.suppress(ValueError):
            done = float(said)
            task.report(
                Progress(
                    "processing", int(100 * done), 100, fraction=done, rows=int(2753 * done), files=int(28 * done)
                )
            )
        if time.monotonic() > ends:
            raise TimeoutError("nobody said how to go on")
        time.sleep(0.02)
        with contextlib.suppress(FileNotFoundError):
            said = path.read_text()
    return tasks.process_study(task)
