"""Tasks for the backends' tests, called by dotted name in whichever process does the work."""

import math
import os
import signal
import time
from pathlib import Path

from analytics_kit.errors import BadArchiveError
from analytics_kit.model import CannotRunHere, Progress, Split

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
    if "tell" in task.arguments:
        Path(task.arguments["tell"]).write_text(str(os.getpid()))
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


def discard(arguments, job_id, result):
    """Remove what the job left in its folder, but for what the result names."""
    if arguments.get("discard_fails"):
        raise OSError("the store is on fire")
    folder = Path(arguments.get("folder", "/nowhere"), job_id)
    kept = {Path(path) for path in (result or {}).get("files", ())}
    for path in folder.glob("*"):
        if path not in kept:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not kept:
        folder.rmdir()


def tidy():
    """There is no store here."""


def fan(task):
    """As many parts as asked for; each writes a file."""
    task.report(Progress("planning"))
    n = task.arguments["parts"]
    return Split(
        shards=n,
        total=100 * n,
        shard_task="tests.backends.sample_steps.fan_part",
        merge_task="tests.backends.sample_steps.fan_merge",
    )


def fan_part(task):
    """A part: a file in the job's folder. `die` lists the parts whose first attempts kill themselves, how often."""
    path = _own_file(task)
    path.write_text(f"{os.getpid()}")
    task.report(Progress("processing", 50, 100, fraction=0.5))
    if task.attempt <= task.arguments.get("die", {}).get(str(task.shard), 0):
        die(task)
    if "gate" in task.arguments:
        _wait_for(task)
    if task.arguments.get("bad") == task.shard:
        raise BadArchiveError(f"part {task.shard} is bad")
    task.report(Progress("processing", 100, 100, fraction=1.0))


def fan_merge(task):
    """The files of the attempts that count."""
    folder = Path(task.arguments["folder"], task.job_id)
    files = [str(folder / f"part-{part}-{attempt}") for part, attempt in sorted(task.winning_attempts.items())]
    if task.attempt <= task.arguments.get("die", {}).get("merge", 0):
        die(task)
    assert all(Path(path).exists() for path in files)
    if "merge_gate" in task.arguments:
        while not Path(task.arguments["merge_gate"]).exists():
            task.report(Progress("merging", 95, 100, fraction=0.95))
            time.sleep(0.01)
    task.begin_commit()
    if "commit_gate" in task.arguments:
        while not Path(task.arguments["commit_gate"]).exists():
            time.sleep(0.01)
    if task.attempt <= task.arguments.get("die", {}).get("commit", 0):
        die(task)
    return {"files": files, "merged_by": task.attempt}


def _own_file(task):
    folder = Path(task.arguments["folder"], task.job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{task.step}-{task.attempt}"


def elsewhere(task):
    """Work that only a process with the right environment can do."""
    if os.environ.get("DEEDS_PLACE") != task.arguments["place"]:
        raise CannotRunHere(f"this is not {task.arguments['place']}")
    return {"pid": os.getpid()}


def eat(task):
    """Take more and more memory."""
    task.report(Progress("processing"))
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20) * 20))
        time.sleep(0.01)


def mutter(task):
    """Print, then end as asked."""
    print("out of the way", flush=True)
    os.write(2, b"native <b>words</b>\n")
    return {} if task.arguments["how"] == "well" else die(task)


def slip_away(task):
    """End as if all were well."""
    task.report(Progress("processing"))
    os._exit(0)


KEPT = []


def grow(task):
    """Keep so much memory."""
    KEPT.append(os.urandom(1 << 20) * task.arguments["mb"])
    return {"pid": os.getpid()}
