"""Tasks for the backends' tests, called by dotted name in whichever process does the work."""

import math
import os
import signal
import time
from pathlib import Path

from analytics_kit.errors import BadArchiveError
from analytics_kit.model import Progress

LIMIT_S = 60


def warm():
    """Nothing has to be compiled here."""


def echo(task):
    return {"heard": dict(task.arguments)}


def steps(task):
    for done in (0, 30, 20, 100):
        task.report(Progress("processing", done, 100, fraction=done / 100))
        time.sleep(0.12)  # longer than progress is held back
    return {}


def gated(task):
    """Say 40 %, then go on once the file `gate` is there."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(task)
    return {"pid": os.getpid()}


def committing(task):
    task.begin_commit()
    _wait_for(task)
    return {}


def marking(task):
    """Report for ever; what it was told at last stands in the file `mark`, and that it goes on in `beat`."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    ends = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < ends:
            Path(task.arguments["beat"]).write_text(str(time.monotonic()))
            task.report(Progress("processing", 41, 100, fraction=0.41))
            time.sleep(0.02)
    except BaseException as error:
        Path(task.arguments["mark"]).write_text(type(error).__name__)
        raise
    return {}


def stuck(task):
    """Never report again: only a kill ends it."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(task)
    return {}


def late(task):
    """Begin to commit only after a while, without a report in between."""
    time.sleep(float(task.arguments["after_s"]))
    task.begin_commit()
    return {}


def failing_until(task):
    """Fail until the file `gate` is there."""
    if not Path(task.arguments["gate"]).exists():
        raise BadArchiveError("not yet")
    return {"done": True}


def _wait_for(task):
    ends = time.monotonic() + LIMIT_S
    while not Path(task.arguments["gate"]).exists():
        if time.monotonic() > ends:
            raise TimeoutError("nobody opened the gate")
        time.sleep(0.01)


def refuse(task):
    raise BadArchiveError("the ZIP is torn: ünïcode <b>", hint="mend it")


def crash(task):
    raise KeyError("odd")


def not_json(task):
    return {"x": {1, 2}}


def not_a_number(task):
    return {"x": math.nan}


def nothing(task):
    return None


def leave(task):
    raise SystemExit(3)


def die(task):
    os.kill(os.getpid(), signal.SIGKILL)


def parent(task):
    return {"pid": os.getpid(), "parent": os.getppid()}


not_callable = 7


def warm_behind_a_gate():
    while not Path(os.environ["DEEDS_GATE"]).exists():
        time.sleep(0.01)


def warm_that_fails():
    raise RuntimeError("the kernels can't be compiled")
